"""What a checkpoint says of how far a run has come, held to the run before it is believed.

Its digest tells a damaged file from a whole one; not one that somebody wrote.
"""

import numpy as np

from . import schedules
from .common.schema import keys, many, number, whole
from .folder import NEEDED, FolderError

NUMBER = number(finite=False)
SCHEMA = keys({
    "identity": keys({}), "t": whole(), "optimiser_t": keys({}, others=whole()),
    "epoch": whole(1), "pass": whole(), "batch": whole(),
    "tally": keys({"n": whole(), "sums": keys({}, others=number())}),
    "row": keys({}, others=NUMBER), "rows": many(keys({"epoch": whole(1)}, others=NUMBER))})


def check(run, state, arrays, changed_data=False):
    """Raise FolderError unless a run may be where the state (as SCHEMA returns it) says.

    changed_data  it is told by the batches of other data
    """
    passes, first = len(run.passes(state["epoch"])[1]), len(run.passes(1)[1])
    batches = -(-len(run.data.train) // run.setting["batch_size"])
    done = first + (state["epoch"] - 2) * passes if state["epoch"] > 1 else 0
    t = (done + state["pass"]) * batches + state["batch"]
    most = max(schedules.steps(run.setting, group) for group in run.trainer.rule.trains)
    between = state["pass"] == state["batch"] == 0
    wrong = None
    if set(state["optimiser_t"]) != set(run.trainer.state):
        wrong = f"optimiser_t has {', '.join(state['optimiser_t']) or 'nothing'}"
    elif [row["epoch"] for row in state["rows"]] != list(range(1, state["epoch"])):
        wrong = f"it has {len(state['rows'])} rows in epoch {state['epoch']}"
    elif any(row.keys() != state["rows"][0].keys() or not row.keys() >= set(NEEDED)
             for row in state["rows"]):
        wrong = f"its rows have not the same columns, {', '.join(NEEDED)} among them"
    elif state["pass"] > passes or state["batch"] > batches:
        wrong = f"pass {state['pass']}, batch {state['batch']} of {passes} and {batches}"
    elif state["t"] != t and not changed_data:
        wrong = f"t is {state['t']}, expected {t} after batch {state['batch']}"
    elif max(state["optimiser_t"].values(), default=0) > most * state["t"]:
        wrong = f"an optimiser has taken more steps than t, {state['t']}"
    elif (state["tally"]["n"] == 0) != (state["batch"] == 0):
        wrong = f"its sums are of {state['tally']['n']} examples after {state['batch']} batches"
    elif between:  # else the next look at the loss tells
        bad = [name for name, array in arrays.items()
               if array.dtype.kind == "f" and not np.isfinite(array).all()]
        wrong = f"{bad[0]} is not all finite numbers" if bad else None
    if wrong:
        raise FolderError(f"{run.out}: its checkpoint is of no such run: {wrong}")
