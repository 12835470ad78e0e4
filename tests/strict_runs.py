"""What is run with the stand-in for CuPy: all that ref does with arrays, on tiny networks.

tests/test_strict.py looks at the results, tests/test_cupy_signatures.py at the calls.
"""

import signal
import sys
from contextlib import contextmanager

import pytest
import strict_xp
from write_reference import FOLDER

import ref.evaluate
import ref.train
import runs.bench.__main__
from ref import evaluation, momentum, optim, rules, training
from ref.backend import to_device, to_host
from ref.common.command import STOPPING
from ref.reference import cli, read
from ref.reference.replay import replay

KERNELS = (optim.ADAM, optim.SGD, momentum.MOMENTUM)
REFERENCES = sorted(path.stem for path in FOLDER.glob("*.h5"))


def within_step(function):
    """The function, in which nothing may wait for the device."""

    def marked(*args, **kwargs):
        with strict_xp.step():
            return function(*args, **kwargs)

    return marked


@contextmanager
def strict():
    """In here --backend cupy is the stand-in, and it is marked where a step begins and ends."""
    strict_xp.syncs.clear()
    strict_xp.uploads.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ref.backend.cupy", strict_xp)
        patch.setattr("runs.bench.__main__.alone", lambda work, *arguments: work(*arguments))
        for owner, name in ((training.Trainer, "step"), (evaluation.Tally, "add"),
                            (evaluation, "batch_of"), (evaluation, "error_sum")):
            patch.setattr(owner, name, within_step(getattr(owner, name)))
        forget_kernels()
        try:
            yield strict_xp
        finally:
            forget_kernels()


def forget_kernels():
    """Those compiled by another module than the one that is there now."""
    for kernel in KERNELS:
        kernel.__dict__.pop("compiled", None)


def on_host(tree):
    """Nested dicts of device arrays -> of NumPy arrays."""
    if isinstance(tree, dict):
        return {key: on_host(value) for key, value in tree.items()}
    return to_host(tree)


def rule_step(case):
    """What the rule of a checks.Case computes on the stand-in."""
    moved = {key: to_device(getattr(case, key), strict_xp) for key in ("params", "x", "y", "eps")}
    with strict_xp.step():
        out = case._replace(**moved).step()
    return on_host(out)


def replayed(name, xp):
    """{name: array} of a reference file, recomputed: every rule and layer, with the optimiser."""
    return replay(read.read(FOLDER / f"{name}.h5"), xp=xp)


ARCHITECTURES = {
    "dense": "dense 6, dense 5, softmax 10",
    "local": "local 3x3x2/2, local 3x3x2/2, softmax 10",
    "conv": "conv 3x3x2/2, conv 3x3x2/2, softmax 10",
    "autoencoder": "dense 6, reconstruction",
    "units": "conv 3x3x4/4 pad 1 bn relu, maxpool 3/2 pad 1, block 4, block 6/2, block 8/2 a, "
             "dense 5 bn tanh, softmax 10",
    "pools": "conv 3x3x2/4 pad 1 relu, meanpool 2/1, conv 2x2x2 bn relu, mean, softmax 10",
}
TRAINING = {  # name: arguments of ref.train
    "bp": ["bp", "--crop-padding", 2, "--flip", "horizontal"],
    "fa": ["fa", "--validation", 40, "--angles"],
    "dfa": ["dfa", "--optimizer", "sgd", "--lr", 0.01],
    "sign-symmetry": ["sign-symmetry", "--magnitude", "batch", "--arch", "local"],
    "tp": ["tp", "--arch", "local", "--schedule", "alternating", "--optimizer", "sgd",
           "--lr", 0.01, "--inverse-lr", 0.01],
    "dtp": ["dtp", "--arch", "conv", "--order", "inverse-first", "--epsilon-form", "kingma"],
    "sdtp": ["sdtp", "--arch", "conv", "--inverse", "wide", "--angles"],
    "sdtp-dense-inverse": ["sdtp", "--arch", "local", "--inverse", "dense"],
    "ao-sdtp": ["ao-sdtp", "--arch", "local", "--aux", 7],
    "hybrid": ["hybrid", "--schedule", "alternating"],
    "kolen-pollack": ["kolen-pollack", "--arch", "conv", "--angles"],
    "weight-mirror": ["weight-mirror", "--arch", "conv", "--schedule", "alternating"],
    "autoencoder": ["dtp", "--arch", "autoencoder"],
    "units": ["bp", "--arch", "units", "--optimizer", "sgd", "--momentum", 0.9, "--lr", 0.01],
    "units-fa": ["fa", "--arch", "units", "--angles", "--last-layer", "bp"],
    "units-signs": ["sign-symmetry", "--arch", "units", "--magnitude", "batch"],
    "units-dfa": ["dfa", "--arch", "units", "--broadcast", "inputs"],
    "units-channels": ["dfa", "--arch", "units", "--broadcast", "channels"],
    "pools": ["kolen-pollack", "--arch", "pools"],
    "units-mirror": ["weight-mirror", "--arch", "units", "--schedule", "alternating"],
    "momentum": ["dtp", "--optimizer", "sgd", "--momentum", 0.9, "--inverse-weight-decay", 0.01,
                 "--inverse-steps", 2, "--lr-step", 1],
    "batch-manhattan": ["bp", "--optimizer", "batch-manhattan", "--momentum", 0.9],
    "normalised": ["bp", "--normalise", "channels", "--arch", "conv"],
    "resized": ["bp", "--resized-crop", 0.3, "--flip", "horizontal"],
    "adam-decay": ["fa", "--weight-decay", 0.01],
}
assert {given[0] for given in TRAINING.values()} == set(rules.NAMES)


def training_arguments(name, data, *more):
    """The command line of a run of a few steps, in float64."""
    rule, *given = TRAINING[name]
    if "--arch" not in given:
        given += ["--arch", "dense"]
    given[given.index("--arch") + 1] = ARCHITECTURES[given[given.index("--arch") + 1]]
    return [str(a) for a in ("--rule", rule, "--data", data, "--epochs", 2, "--batch-size", 60,
                             "--dtype", "float64", *given, *more)]


def command(main, *arguments):
    """main() of a command with these arguments; its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["test", *map(str, arguments)])
        patch.setattr("ref.common.version.commit", lambda: "test")
        handlers = {number: signal.getsignal(number) for number in STOPPING}
        try:
            return main()
        except SystemExit as end:
            return end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


BENCH = ["--arch", "mnist-fc", "--rule", "dtp", "--batch-size", 8, "--steps", 2, "--turns", 2,
         "--warm-up", 1, "--backend", "cupy"]


def everything(data, folder, cases):
    """All of it, for its calls: rules on every kind of layer, optimisers, loader, evaluation."""
    with strict():
        for case in cases:
            rule_step(case)
        for name in REFERENCES:
            replayed(name, strict_xp)
        for name in TRAINING:
            out = folder / name
            assert command(ref.train.main, *training_arguments(
                name, data, "--backend", "cupy", "--out", out)) == 0
        assert command(ref.train.main, *training_arguments(
            "sdtp", data, "--backend", "cupy", "--device-noise", "--dtype", "float32",
            "--out", folder / "noise")) == 0
        assert command(ref.train.main, "--resume", folder / "bp", "--epochs", 3) == 0
        assert command(ref.evaluate.main, folder / "bp", "--backend", "cupy") == 0
        assert command(runs.bench.__main__.main, *BENCH) == 0
        assert cli.work(["write", str(folder / "out.h5"), "--rule", "ao-sdtp", "--arch",
                         "dense 8, softmax 4", "--in-shape", "4x4x1", "--backend", "cupy"]) == 0
