"""What an option does early on: the error over the last of the first images that are trained on.

Each condition sees the training images in the file's order, from the same seed. An image counts as
wrong by its forward phase, before it is learnt from.
"""

import numpy as np

import ref
from ref.common.command import UsageError, tell
from ref.data import open_data
from ref.evaluation import batch_of
from ref.find import find_data

from .. import output
from .paper import FIGURES, ONE, Condition

LAST = 1000  # images whose error is told
OTHERS = (
    Condition("range of weights doubled", ONE, {"initial_range": "doubled"}),
    Condition("teaching current as printed", ONE, {"teaching": "printed"}),
    Condition("averages over the last 20 ms", ONE, {"averages": "last-20"}),
    Condition("rates fed back", ONE, {"fed_back": "rates"}),
    Condition("without spikes, kernel without end", ONE, {"model": "rates", "kernel_steps": 0}),
    Condition("hidden layer does not learn", ONE, {"lr": 1e-9}),
)


def conditions(words):
    """Each setting once, under its first name, whose name has one of the words."""
    found = {}
    for c in (*(c for figure in FIGURES.values() for c in figure), *OTHERS):
        found.setdefault((c.arch, tuple(sorted(c.options.items()))), c)
    chosen = [c for c in found.values() if not words or any(word in c.name for word in words)]
    if not chosen:
        raise UsageError(f"--only {words[0]}: no condition has these words; there are "
                         + "; ".join(c.name for c in found.values()))
    return chosen


def error_of(condition, data, images, seed):
    """(% wrong among the last LAST of so many images, mean rate of the first layer there, Hz)."""
    trainer = ref.Trainer("segregated-dendrites", condition.arch, data.in_shape, seed,
                          **condition.options)
    wrong, rates = [], []
    for k, (image, label) in enumerate(data.train.in_order(1)):
        if k == images:
            break
        x, y = batch_of(trainer.net, image, label, np, trainer.params["W"][1].dtype)
        out = trainer.step(x, y)
        wrong.append(out["h"][trainer.net.L].argmax() != label[0])
        rates.append(out["measures"]["rate_hz_1"][0])
    return 100 * float(np.mean(wrong[-LAST:])), float(np.mean(rates[-LAST:]))


def work(args):
    """Train each condition a little and write a row for it."""
    data, rows = open_data(find_data(args.data)), []
    for c in conditions(args.only):
        error, rate = error_of(c, data, args.images, args.seed)
        options = " ".join(f"{key}={value}" for key, value in c.options.items())
        rows.append({"condition": c.name, "network": c.arch, "options": options,
                     "images": args.images, "train_error": error, "rate_hz_1": rate})
        tell(f"{c.name:42} {c.arch:34} {error:.1f} % of the last {LAST}, {rate:.0f} Hz")
    path = args.out / "dendrites_first.csv"
    output.write_csv(path, rows)
    output.write_about(path.with_suffix(".json"), "runs.dendrites", data=data.name, seed=args.seed)
    return 0
