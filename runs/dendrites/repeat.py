"""The paper's bars: one trained network tested several times, each with spikes of its own."""

import numpy as np

import ref
from ref.common.command import UsageError, tell
from ref.data import open_data
from ref.evaluation import BATCH, batch_of, error_sum
from ref.find import find_data
from ref.network import forward

from .. import output


def errors(run, part, repeats):
    """The test error, in %, of each of so many tests of a Fitted on a part of a data set."""
    dtype = run.params["W"][1].dtype
    for k in range(repeats):
        wrong = done = 0
        for images, labels in part.in_order(BATCH):
            x, y = batch_of(run.net, images, labels, np, dtype)
            h, _ = forward(run.net, run.params, x, k * len(part) + done)
            wrong, done = wrong + error_sum(run.net, h[run.net.L], y), done + len(labels)
        yield float(wrong) / done


def work(args):
    """Test a run and write a row a test."""
    run = ref.load(args.run)
    if run.config["arguments"]["rule"] != "segregated-dendrites":
        raise UsageError(f"{args.run}: it is of the rule {run.config['arguments']['rule']}")
    data = open_data(find_data(args.data))
    found = []
    for error in errors(run, data.test, args.repeats):
        found.append(error)
        tell(f"test {len(found):2}: {error:.2f} %")
    tell(f"{len(run.rows)} epochs: mean {np.mean(found):.2f} %, from {min(found):.2f} to "
         f"{max(found):.2f}, standard deviation {np.std(found):.3f} (the paper's: about 0.07)")
    path = args.out / "dendrites_tests.csv"
    output.write_csv(path, [{"test": k, "test_error": e} for k, e in enumerate(found, 1)])
    output.write_about(path.with_suffix(".json"), "runs.dendrites", run=str(args.run),
                       epochs=len(run.rows), data=data.name)
    return 0
