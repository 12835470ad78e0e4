"""30 steps of every rule and schedule on the ranks of an MPI job.

    mpiexec -n 2 python tests/mpi_steps.py OUT

Without MPI (OUT alone) it is what the ranks are compared with. Rank 0 writes OUT: the parameters of
every case. Batches of 7, 10, 2 and 1 examples: they do not divide by the ranks, or leave some none.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ref import architectures, mpi, ranks, rules, settings, training  # noqa: E402
from ref.network import flat, initial_parameters  # noqa: E402

LINE, SHAPE, CLASSES, STEPS = "local 3x3x3/2, conv 2x2x4, dense 6, softmax 5", (6, 5, 2), 5, 30
MORE = [("dtp", {"first_target": "hidden-mean"}), ("dtp", {"first_target": "output-mean"}),
        ("sdtp", {"order": "inverse-first"}), ("sdtp", {"reduction": "mean"}),
        ("sign-symmetry", {"magnitude": "batch"}), ("bp", {"optimizer": "sgd", "lr": 0.1})]
NORMS = "conv 3x3x4 pad 1 bn relu, block 4, block 8/2, mean, softmax 5"  # a small ResNet


def cases():
    """(rule, options) of every rule and schedule, and of what is special about batches."""
    for name in rules.NAMES:
        schedule = [o for o in rules.get(name).options if o.name == "schedule"]
        for word in schedule[0].choices if schedule else (None,):
            yield LINE, name, {"schedule": word} if word else {}
    for case in MORE:
        yield (LINE, *case)
    for name in ("bp", "fa", "sign-symmetry", "kolen-pollack"):
        yield NORMS, name, {}


def train(line, name, options, dtype, ranks):
    """{parameter: array} after STEPS steps."""
    rule = rules.get(name)
    setting, _ = settings.resolve(name, line, **options)
    net = rule.build(architectures.build(line, SHAPE, setting.get("output", "probabilities")),
                     setting)
    params = initial_parameters(net, training.initial_stream(0), np.dtype(dtype))
    trainer = training.Trainer(net, rule, params, setting, 0, ranks=ranks)
    for t in range(1, STEPS + 1):
        rng, N = np.random.default_rng(t), (7, 10, 2, 1)[t % 4]
        x = rng.normal(size=(N, *SHAPE)).astype(dtype)
        y = np.eye(CLASSES, dtype=dtype)[rng.integers(0, CLASSES, N)]
        rows = ranks.rows(N)
        trainer.step(x[rows], y[rows], training.phase_of_step(rule, setting.get("schedule"), t),
                     N=N)
    return flat(trainer.params)


def main():
    here = ranks.ALONE if "OUT" in sys.argv else mpi.world()
    ranks.LARGE = 30  # so that gradients are summed in both ways
    found = {}
    for dtype in ("float64", "float32"):
        for case in cases():
            found |= {f"{dtype} {case} {key}": array
                      for key, array in train(*case, dtype, here).items()}
    if here.rank == 0:
        np.savez(sys.argv[1], **found)


if __name__ == "__main__":
    main()
