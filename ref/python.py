"""ref from Python, on plain arrays, in the way of scikit-learn. `import ref` offers it all:

    run = ref.fit(rule="dtp", arch="dense 256, softmax 10", data=(x, y), epochs=5)
    run.metrics["test_error"]      a list, a number an epoch
    run.params["W"][1]             the arrays, by the paper's letters and layers
    run.predict(x)                 classes; of an autoencoder, reconstructions
    run.save("runs/out/mine")      a folder as ref.train makes it; ref.load gives it back
    ref.Trainer(rule="fa", arch=..., in_shape=(4, 4, 1)).step(x, y)   one step's named arrays
    ref.verify("THEIRS.h5")        the table of ref.reference verify

Every option of `python -m ref.train --help` is a keyword, and gives the same numbers. Errors are
UserErrors with the command line's one line. Nothing is printed, and no folder made, unasked.
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np

from . import architectures, begin, evaluation, folder, lines, rules, settings, transplant
from .arrays import arrays_as_data
from .backend import to_host
from .common.command import UsageError, tell
from .config import complete
from .config import read as read_config
from .evaluate import restore
from .network import flat, forward
from .normalisation import of_network
from .ranks import ALONE
from .run import Run

AHEAD = 1000  # examples that are predicted at a time


class Fitted:
    """A trained network.

    net      network.Network, extended by the rule
    params   {"W": {l: array}, "b": ..., ...}, NumPy arrays
    metrics  {column: [a number an epoch]}, the columns of metrics.csv
    config   everything resolved, as in config.json;  classes  their names
    best     {"W_1": array, ...} of the best epoch on the validation part, or None
    """

    def __init__(self, net, params, rows, config, best=None):
        self.net, self.params, self.rows, self.config = net, params, rows, config
        self.best = best
        self.metrics = {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}
        self.classes = config["data"].get("classes")

    def __repr__(self):
        arguments = self.config["arguments"]
        return f"<{arguments['rule']} on {arguments['arch']}, {len(self.rows)} epochs>"

    def activities(self, x, first=0):
        """{l: h_l (N, *shape_l)} for l = 0..L, of x (N, *shape_0): uint8 images, or floats."""
        x = _inputs(x, self.net.shape(0))
        dtype = self.params["W"][1].dtype
        x = evaluation.to_input(x, np, dtype, self.net.scaling)
        h, _ = forward(self.net, self.params, x, first)
        return h

    def predict(self, x):
        """The class of each example, (N,); of an autoencoder, its reconstruction (N, *shape_0)."""
        L = self.net.L
        x = _inputs(x, self.net.shape(0))
        h = np.concatenate([self.activities(x[k:k + AHEAD], k)[L] for k in range(0, len(x), AHEAD)])
        return h if architectures.is_autoencoder(self.net) else h.argmax(axis=1)

    def at_best(self):
        """The same network with the parameters of the best epoch on the validation part.

        Raises UsageError where there was no such part.
        """
        if self.best is None:
            raise UsageError("no epoch was picked: fit with validation=N; of a run in a folder "
                             "ref.load(path, best=True) has it")
        params = restore(self.net, "the run", self.best)
        return Fitted(self.net, params, self.rows, self.config, self.best)

    def save(self, path):
        """Write config.json, metrics.csv and parameters.h5 into a new or empty folder.

        Raises FolderError where it holds something already.
        """
        out, lock = folder.create(path, None)
        try:
            folder.write_config(out, self.config)
            if self.rows:
                folder.write_metrics(out, self.rows)
            folder.write_parameters(out, flat(self.params))
            if self.best:
                folder.write_parameters(out, self.best, folder.BEST)
        finally:
            lock.close()


def fit(rule, arch=begin.DEFAULTS["arch"], data=None, test=None, verbose=False, **given):
    """Train a network; returns a Fitted.

    rule, arch  as on the command line: "dtp", "dense 256, softmax 10"
    data        (x, y), or a data set's name or file. x (N, H, W, C) or (N, n): uint8 images, which
                are divided by 255, or floats, which are taken as they are; y (N,) integers
    test        (x, y) of the same kind; without it the last sixth of data=(x, y) is set apart
    verbose     print what ref.train prints
    given       any option of ref.train: epochs=5, seed=1, lr=1e-3, schedule="alternating"; with
                out="FOLDER" the run is written there as it goes, with checkpoints; mpi=True on
                every rank of an MPI job (ref/mpi.md), with the same data
    Raises UserError; training.Diverged where a loss is no number any more.
    """
    args = _arguments(rule, arch, given)
    if not isinstance(data, (str, os.PathLike, type(None))):
        opened = arrays_as_data(data, test, args.validation, begin.split_seed(args))
        args.data = None
    elif test is not None:
        raise UsageError("test: only with data=(x, y)")
    else:
        opened, args.data = None, data if data is None else str(data)
    ranks = ALONE
    if args.mpi:
        from . import mpi

        ranks = mpi.world()
    args.out = args.out if args.out is None else str(args.out)
    folder.check_free(args.out)
    new = begin.begin(args, opened, ranks)
    config = new.config("ref.fit")
    out = lock = None
    if args.out is not None and ranks.rank == 0:
        out, lock = folder.create(args.out, None)
        folder.write_config(out, config)
    say = tell if verbose and ranks.rank == 0 else None
    if say:
        tell(*lines.opening(out or "memory", config, new.data))
    run = Run(out, lock, config, new.data, new.trainer, tell=say)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow is reported once: Diverged
        try:
            run.train()
        finally:
            if lock:
                lock.close()
    params = {s: {l: to_host(p) for l, p in layers.items()}
              for s, layers in new.trainer.params.items()}
    best = run.best
    if out and (out / folder.BEST).exists():
        best = folder.read_parameters(out, best=True)
    return Fitted(new.trainer.net, params, run.rows, config, best)


def load(path, best=False):
    """The Fitted of a folder that ref.train or Fitted.save wrote. Raises FolderError.

    best  with the parameters of the best epoch on the validation part, not of the last
    """
    config = complete(read_config(path))
    arguments, setting = config["arguments"], config["hyperparameters"]
    in_shape = config["data"].get("in_shape")
    net = architectures.build(arguments["arch"], tuple(in_shape) if in_shape else None,
                              setting.get("output", "probabilities"))
    net = rules.get(arguments["rule"]).build(net, setting)
    net = of_network(net, config.get("normalisation"))
    params = restore(net, path, folder.read_parameters(path, best))
    return Fitted(net, params, folder.read_metrics(Path(path)), config)


def Trainer(rule, arch=begin.DEFAULTS["arch"], in_shape=None, seed=0, dtype="float32",
            backend="numpy", **given):
    """A training.Trainer at its first step (a function, so that it takes the options as keywords).

    in_shape  (H, W, C) of the inputs, where the network's name does not say it
    Its step(x, y) takes activities x (N, *in_shape) and y (N, *shape_L), one-hot, trains on them,
    and returns everything that the rule computed on the way, by name: "h", "delta", "dW", ...
    """
    args = _arguments(rule, arch, {"seed": seed, "dtype": dtype, "backend": backend, **given})
    first = begin.first_of(args)
    setting, _ = begin.resolve(args)
    settings.check_used(setting, given)
    net = architectures.build(arch, in_shape, setting.get("output", "probabilities"))
    trainer = begin.new_trainer(args, setting, rules.get(rule).build(net, setting))
    if first:
        transplant.apply(first, trainer, args)
    return trainer


def verify(path, against=None, rtol=None):
    """Compare somebody's file with what this project computes, or with another file.

    Returns ref.reference.verify.Result: .agrees, .rows, .first; ref.reference.report.report(result)
    gives the lines that the command prints. Raises FileError.
    """
    from .reference.read import read
    from .reference.verify import by_file, by_replay

    theirs = read(path)
    if against is None:
        return by_replay(path, theirs, rtol, 0.0)
    return by_file(path, theirs, against, read(against), rtol, 0.0)


def _arguments(rule, arch, given):
    """What the command line would have parsed. Raises UsageError for a keyword that it lacks."""
    known = {**begin.DEFAULTS, **dict.fromkeys(settings.every())}
    unknown = [key for key in given if key not in known]
    if unknown:
        raise UsageError(f"{unknown[0]}: no such option; there are {', '.join(sorted(known))}")
    for key in ("resume", "allow_changed_data"):
        if given.get(key):
            raise UsageError(f"{key}: only on the command line, python -m ref.train --resume")
    args = {**known, **given}
    for option in begin.LIMITS:
        if args[option.name] is not None:
            try:
                args[option.name] = option.value(args[option.name])
            except ValueError as error:
                raise UsageError(f"{option.name}: {error}") from None
    return argparse.Namespace(**{**args, "rule": rule, "arch": arch})


def _inputs(x, shape):
    """x as (N, *shape). Raises UsageError where its numbers do not fit."""
    x = np.asarray(x)
    if x.ndim < 2 or x[0].size != np.prod(shape):
        raise UsageError(f"x is {x.shape}, expected (N, {', '.join(map(str, shape))})")
    return x.reshape(len(x), *shape)
