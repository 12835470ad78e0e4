"""Train a network with one of the paper's rules: python -m ref.train --rule fa

Without --data it trains on `digits`, which it makes on the first run. `--resume RUN` goes on with a
run that was stopped or killed, and ends as the uninterrupted run would have, bit for bit.
"""

import argparse
import datetime
import platform
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

import data_prep.digits

from . import __version__, architectures, backend, checkpoint, folder, machine, rules, training
from .augmentation import FLIPS, augment
from .backend import select, to_device, to_host
from .common.command import Parser, UsageError, UserError, count, seed
from .data import DataFormatError, open_data
from .network import initial_parameters
from .optim import named
from .options import add_setting_arguments, positive, resolve, whole
from .seeds import stream

PREPARE = {  # the command that makes data/NAME.h5
    "digits": "python -m data_prep.digits",
    "mnist": "python -m data_prep.mnist",
    "cifar10": "python -m data_prep.cifar10",
    "imagenet": "python -m data_prep.imagenet --source DIR",
}


DEFAULT_EPOCHS = 20
RESUME_OPTIONS = ("--resume", "--epochs", "--data", "--checkpoint-every", "--checkpoint-minutes",
                  "--allow-changed-data")


class Stopped(Exception):
    """A signal asked the run to stop; it has finished its batch and written a checkpoint."""


def parser():
    p = Parser(prog="python -m ref.train", description=__doc__.splitlines()[0])
    p.add_argument("--rule", choices=rules.NAMES, metavar="RULE",
                   help=f"learning rule: {', '.join(rules.NAMES)}")
    p.add_argument("--arch", default="mnist-fc",
                   help="a network of Table 3 by name, or layers: \"dense 256, softmax 10\" "
                        "(default %(default)s)")
    p.add_argument("--data", metavar="NAME|FILE",
                   help="data/NAME.h5, or an HDF5 file (default digits)")
    p.add_argument("--epochs", type=count, help=f"default {DEFAULT_EPOCHS}")
    p.add_argument("--batch-size", type=count, help="default 100, or as in the hyperparameters")
    p.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    p.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="numpy, or cupy for a GPU (default %(default)s)")
    p.add_argument("--device-noise", action="store_true",
                   help="draw the noise that trains the inverses on the GPU: faster, but a run is "
                        "then not the numpy run up to rounding")
    p.add_argument("--out", metavar="DIR", help="the run's folder (default: a new runs/out/...)")
    p.add_argument("--validation", type=int, default=0, metavar="N",
                   help="set N training examples apart and report their error too")
    p.add_argument("--angles", action="store_true",
                   help="record, for each layer, the angle in degrees between the rule's dW and "
                        "backpropagation's on the first 250 training examples")
    c = p.add_argument_group("checkpoints")
    c.add_argument("--resume", metavar="RUN", help="go on with the run in this folder")
    c.add_argument("--checkpoint-every", type=count, default=1, metavar="EPOCHS",
                   help="default %(default)s")
    c.add_argument("--checkpoint-minutes", type=positive, default=10, metavar="MINUTES",
                   help="also within an epoch, after so many minutes (default %(default)s)")
    c.add_argument("--allow-changed-data", action="store_true",
                   help="resume though the data file is not the one it was trained on")
    g = p.add_argument_group("augmentation of the training images (defaults depend on the data)")
    g.add_argument("--crop-padding", type=whole, metavar="PIXELS",
                   help="random crops after padding (default: 4 for cifar10, else 0)")
    g.add_argument("--flip", choices=FLIPS, help="default: horizontal for cifar10, else none")
    add_setting_arguments(p)
    return p


def find_data(name):
    """The path of a data set given by name or as a file; makes `digits` where it is missing."""
    named_file = name.endswith((".h5", ".hdf5")) or Path(name).is_file()
    path = Path(name) if named_file else Path("data") / f"{name}.h5"
    if path.exists():
        return path
    if named_file:
        raise UsageError(f"--data {name}: {path} is not there")
    if name == "digits":
        print(f"making the data set digits ({path}) ...", flush=True)
        data_prep.digits.make(path)
        return path
    if name in PREPARE:
        raise UsageError(f"--data {name}: {path} is not there; make it with: {PREPARE[name]}")
    raise UsageError(
        f"--data {name}: {path} is not there; give an .h5 file or a name: "
        + ", ".join(f"{known} ({command})" for known, command in PREPARE.items())
    )


def commit():
    """The git commit of this code, with a + where files differ from it; None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(here),
             "describe", "--always", "--abbrev=12", "--dirty=+"],
            capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def versions(backend_name="numpy"):
    """What a result depends on, for config.json."""
    return {
        "ref": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        **machine.describe(),
        **backend.versions(backend_name),
    }


def build(arch, rule_name, setting, data):
    """The network called or described by `arch`, extended by the rule, for an opened data set.

    Raises ArchitectureError, or UsageError where its outputs are not the data's classes.
    """
    net = architectures.build(arch, data.in_shape, setting.get("output", "probabilities"))
    outputs = net.shape(net.L)
    if architectures.is_autoencoder(net) and setting.get("output") == "logits":
        raise UsageError(f"--output logits: {arch} has no classes")
    if not architectures.is_autoencoder(net) and outputs != (len(data.classes),):
        raise UsageError(
            f"--arch {arch} has {outputs[0]} outputs, "
            f"but {data.path} has {len(data.classes)} classes"
        )
    rule = rules.get(rule_name)
    return rule.extend(net, **{key: setting[key] for key in rule.BUILD_OPTIONS})


def start(args):
    """Open the data, build the network, make the folder: a run at its beginning."""
    if args.rule is None:
        raise UsageError(f"--rule is missing; there are {', '.join(rules.NAMES)}")
    if args.device_noise and not rules.has_inverses(rules.get(args.rule)):
        raise UsageError(f"--device-noise: the rule {args.rule} has no noise")
    if args.device_noise and args.backend == "numpy":
        raise UsageError("--device-noise: only with --backend cupy, numpy has no device")
    select(args.backend)
    args.data = args.data or "digits"
    setting, source = resolve(args)
    for key in ("beta1", "beta2", "epsilon", "inverse_beta1", "inverse_beta2", "inverse_epsilon"):
        if args.optimizer == "sgd" and getattr(args, key) is not None:
            raise UsageError(f"--{key.replace('_', '-')}: --optimizer sgd has only a learning rate")
    if args.order is not None and setting.get("schedule") == "alternating":
        raise UsageError("--order: it is an order within a step, and alternating has no such step")
    folder.check_free(args.out)
    data = open_data(find_data(args.data), args.validation)
    trainer = new_trainer(args, setting, build(args.arch, args.rule, setting, data))
    crop, flip = augmentation(args, data)
    arch = args.arch if args.arch in architectures.NAMED else "custom"
    name = f"{arch}_{args.rule}_{Path(args.data).stem}_seed{args.seed}"
    out = folder.create(args.out, name)
    config = {
        "command": shlex.join(["python", "-m", "ref.train", *sys.argv[1:]]),
        "arguments": vars(args),
        "hyperparameters": setting,
        "hyperparameters_from": source,
        "augmentation": {"crop_padding": crop, "flip": flip},
        "data": {"path": str(Path(data.path).resolve()), "name": data.name, "digest": data.digest},
        "versions": versions(args.backend),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    try:
        folder.write_config(out, config)
    except OSError as error:
        raise folder.FolderError(f"--out {out}: can't write here ({error.strerror})") from None
    print(f"{args.rule} on {args.arch}, {data.name}: {len(data.train)} train and "
          f"{len(data.test)} test examples; results in {out}", flush=True)
    return Run(out, config, data, trainer)


def new_trainer(args, setting, net):
    """A trainer at its first step, its arrays on the backend's device."""
    initial = initial_parameters(net, training.initial_stream(args.seed), np.dtype(args.dtype))
    params = to_device(initial, select(args.backend))
    device_noise = getattr(args, "device_noise", False)  # runs before it was there have no such key
    return training.Trainer(net, rules.get(args.rule), params, setting, args.seed, device_noise)


def resume(args):
    """Take up the run in the folder args.resume where its newest whole checkpoint left it."""
    for option in sys.argv[1:]:
        name = option.split("=")[0]
        if name.startswith("--") and name not in RESUME_OPTIONS:
            raise UsageError(f"{name}: the rest of a resumed run is as it was started; "
                             f"it takes only {', '.join(RESUME_OPTIONS)}")
    out = Path(args.resume)
    config = folder.read_config(out)
    if (out / "metrics.csv").exists() and not any(
            (out / name).exists() for name in (checkpoint.NAME, checkpoint.PREVIOUS)):
        raise UsageError(f"--resume {out}: it has results but no checkpoint to go on from")
    arguments = config["arguments"]
    if args.epochs is not None:
        if args.epochs < (arguments["epochs"] or DEFAULT_EPOCHS):
            raise UsageError(f"--epochs {args.epochs}: the run was started with "
                             f"{arguments['epochs'] or DEFAULT_EPOCHS}; it can only be raised")
        arguments["epochs"] = args.epochs
    data = open_data(find_data(args.data or config["data"]["path"]), arguments["validation"])
    if data.digest != config["data"]["digest"] and not args.allow_changed_data:
        raise UsageError(f"{data.path} is not the file that {out} was trained on (its digest "
                         "differs); put that one back, or add --allow-changed-data")
    setting = config["hyperparameters"]
    net = build(arguments["arch"], arguments["rule"], setting, data)
    trainer = new_trainer(argparse.Namespace(**arguments), setting, net)
    run = Run(out, config, data, trainer)
    config.setdefault("resumed", []).append(
        {"command": shlex.join(["python", "-m", "ref.train", *sys.argv[1:]]),
         "commit": commit()})
    folder.write_config(out, config)
    found = checkpoint.load(out, warn=lambda line: print(line, file=sys.stderr))
    if found is None:
        print(f"{out}: no checkpoint yet, starting at the beginning", flush=True)
    else:
        run.restore(*found)
        done = run.epoch > (arguments["epochs"] or DEFAULT_EPOCHS)
        print(f"{out}: all {run.epoch - 1} epochs are done; --epochs can be raised" if done else
              f"{out}: going on in epoch {run.epoch}, after {run.trainer.t} steps", flush=True)
    return run


class Run:
    """A run in its folder: the trainer, and how far it has come.

    epoch         the current one, from 1; more than config's epochs when the run is done
    pass_number   index of the current pass in passes(schedule, epoch)
    batch         batches of that pass that are done
    tally         what they summed to
    row           what the epoch's finished passes recorded;  rows  those of finished epochs
    """

    def __init__(self, out, config, data, trainer):
        self.out, self.config, self.data = out, config, data
        self.trainer, self.net = trainer, trainer.net
        self.args = argparse.Namespace(**config["arguments"])
        self.setting = config["hyperparameters"]
        self.xp, self.dtype = select(self.args.backend), np.dtype(self.args.dtype)
        self.lock = folder.lock(out)
        self.epoch, self.pass_number, self.batch = 1, 0, 0
        self.tally, self.row, self.rows = training.Tally(), {}, []
        self.stop = None  # the signal that asked us to
        self.saved = time.monotonic()

    def identity(self):
        """What a checkpoint must agree with."""
        return {key: self.config["arguments"][key] for key in ("arch", "rule", "dtype", "seed")} | {
            "schedule": self.setting.get("schedule")}

    def save(self):
        """Write a checkpoint. Raises OSError."""
        arrays = {f"parameters/{n}": to_host(p) for n, p in
                  named(self.trainer.params, self.trainer.params).items()}
        for group, state in self.trainer.state.items():
            for moment in ("m", "v"):
                arrays |= {f"{group}/{moment}/{n}": to_host(p) for n, p in state[moment].items()}
        checkpoint.save(self.out, arrays, {
            "identity": self.identity(), "t": self.trainer.t,
            "optimiser_t": {group: state["t"] for group, state in self.trainer.state.items()},
            "epoch": self.epoch, "pass": self.pass_number, "batch": self.batch,
            "tally": self.tally.state(), "row": self.row, "rows": self.rows,
        })
        self.saved = time.monotonic()

    def restore(self, arrays, state):
        """Take over a checkpoint's state. Raises FolderError if it is another run's."""
        for key, value in self.identity().items():
            if state["identity"].get(key) != value:
                raise folder.FolderError(
                    f"{self.out}: the checkpoint has {key} {state['identity'].get(key)!r}, "
                    f"config.json {value!r}")
        places = {f"parameters/{n}": p for n, p in
                  named(self.trainer.params, self.trainer.params).items()}
        for group, kept in self.trainer.state.items():
            kept["t"] = state["optimiser_t"][group]
            for moment in ("m", "v"):
                places |= {f"{group}/{moment}/{n}": p for n, p in kept[moment].items()}
        for name, place in places.items():
            if name not in arrays or arrays[name].shape != place.shape:
                raise folder.FolderError(
                    f"{self.out}: the checkpoint's {name} is "
                    f"{'missing' if name not in arrays else arrays[name].shape}, "
                    f"the network's is {place.shape}")
            place[...] = self.xp.asarray(arrays[name])
        self.trainer.t = state["t"]
        self.epoch, self.pass_number, self.batch = state["epoch"], state["pass"], state["batch"]
        self.tally, self.row = training.Tally(state["tally"]), state["row"]
        self.rows = state["rows"]

    def train(self):
        """Train to the last epoch, with a line, a row of metrics and a checkpoint for each."""
        epochs = self.args.epochs or DEFAULT_EPOCHS
        while self.epoch <= epochs:
            start = time.perf_counter()
            todo = passes(self.setting.get("schedule"), self.epoch)
            while self.pass_number < len(todo):
                self.one_pass(*todo[self.pass_number], label=f"epoch {self.epoch}/{epochs}")
                self.row |= self.tally.means()
                self.tally, self.batch = training.Tally(), 0
                self.pass_number += 1
            self.finish_epoch(start)
            due = self.epoch % self.args.checkpoint_every == 0 or self.epoch == epochs
            self.epoch, self.pass_number, self.row = self.epoch + 1, 0, {}
            if due or self.stop:
                self.save()
            if self.stop and self.epoch <= epochs:
                raise Stopped
        self.write_parameters()

    def one_pass(self, number, phase, label):
        """The rest of one pass over the training data."""
        size = self.setting["batch_size"]
        batches = self.data.train.epoch(size, self.args.seed, number, skip=self.batch)
        total = -(-len(self.data.train) // size)
        bar = tqdm(batches, desc=f"{label} {phase}", initial=self.batch, total=total, leave=False,
                   disable=None)
        for images, labels in bar:
            images = self.augment(images)
            x, y = training.batch_of(self.net, images, labels, self.xp, self.dtype)
            self.tally.add(self.net, self.trainer.step(x, y, phase), y)
            self.batch += 1
            if self.batch == total or self.trainer.t % training.CHECK_EVERY == 0:
                training.check_finite(self.trainer, self.tally.sums, x)
            if self.stop or time.monotonic() - self.saved > 60 * self.args.checkpoint_minutes:
                self.save()
                if self.stop:
                    raise Stopped

    def augment(self, images):
        """The batch as augmentation changes it: a function of the seed and the step."""
        how = self.config["augmentation"]
        if not how["crop_padding"] and how["flip"] == "none":
            return images
        rng = stream(self.args.seed, "augmentation", self.trainer.t)
        return augment(images, rng, how["crop_padding"], how["flip"])

    def finish_epoch(self, start):
        """Evaluate, record the epoch's row and print its line."""
        net, params = self.net, self.trainer.params
        row = {"epoch": self.epoch, **self.row}
        for name, part in (("validation", self.data.validation), ("test", self.data.test)):
            if part is not None:
                error, loss = training.evaluate(net, params, part, self.xp, self.dtype)
                training.check_finite(self.trainer, {f"{name}_loss": loss})
                row |= {f"{name}_error": error, f"{name}_loss": loss}
        if self.args.angles:
            images, labels = next(iter(self.data.train.in_order(training.ANGLE_BATCH)))
            x, y = training.batch_of(net, images, labels, self.xp, self.dtype)
            row |= {f"angle_{l}": a for l, a in training.angles(self.trainer, x, y).items()}
        row["seconds"] = round(time.perf_counter() - start, 3)
        self.rows.append(row)
        folder.write_metrics(self.out, self.rows)
        print(epoch_line(row, unit_of(net)), flush=True)

    def write_parameters(self):
        """The trained parameters as a file of their own."""
        arrays = named(self.trainer.params, self.trainer.params)
        folder.write_parameters(self.out, {name: to_host(p) for name, p in arrays.items()})

    def summary(self):
        """The last line: best and final test error."""
        best = min(self.rows, key=lambda row: row["test_error"])
        show = unit_of(self.net)
        return (f"best test error {show(best['test_error'])} (epoch {best['epoch']}), "
                f"final {show(self.rows[-1]['test_error'])}")


def augmentation(args, data):
    """(padding of the random crops, flip): as given, or the default for the data set."""
    crop, flip = (4, "horizontal") if data.name == "cifar10" else (0, "none")
    return (crop if args.crop_padding is None else args.crop_padding,
            flip if args.flip is None else args.flip)


def passes(schedule, epoch):
    """The passes over the training data that make an epoch: (number of the pass, phase) each.

    Alternating, an epoch is a pass for the inverses and a pass for the forward parameters, as in
    Lee et al.'s code, so that the forward parameters see each example once an epoch either way.
    """
    if schedule == "alternating":
        return [(2 * epoch - 1, "inverse"), (2 * epoch, "forward")]
    return [(epoch, "both")]


def percent(error):
    """A classifier's error for a person."""
    return f"{error:.2f} %"


def mean_square(error):
    """An autoencoder's error for a person: the mean over pixels of the squared error."""
    return f"{error:.5f} (mean squared error)"


def unit_of(net):
    """How to show the network's error to a person."""
    return mean_square if architectures.is_autoencoder(net) else percent


def epoch_line(row, show):
    """One line for a person: errors, losses, angles, seconds."""
    parts = [f"epoch {row['epoch']:3d}"]
    for name in ("train", "validation", "test"):
        if f"{name}_error" in row:
            parts.append(f"{name} {show(row[f'{name}_error'])} loss {row[f'{name}_loss']:.4f}")
    l_of = sorted(int(key[13:]) for key in row if key.startswith("inverse_loss_"))
    inverse = [f"{row[f'inverse_loss_{l}']:.3g}" for l in l_of]
    if inverse:
        parts.append(f"inverse loss {l_of[0]}-{l_of[-1]}: {' '.join(inverse)}")
    angles = [f"{value:.0f}" for key, value in row.items() if key.startswith("angle_")]
    if angles:
        parts.append(f"angles 1-{len(angles)}: {' '.join(angles)}")
    parts.append(f"{row['seconds']:.1f} s")
    return "   ".join(parts)


ERRORS = (UserError,)  # the user can put right


def reason(error):
    """One line that says what went wrong and with which file."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}"
    return backend.first_line(error)


def carry_out(run):
    """Train until done, stopped or failed; returns the exit status."""

    def ask_to_stop(number, _):
        run.stop = number
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM
                      else signal.default_int_handler)  # a second one stops at once

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    again = f"go on with: python -m ref.train --resume {shlex.quote(str(run.out))}"
    try:
        run.train()
    except Stopped:
        run.write_parameters()
        print(f"stopped in epoch {run.epoch}, everything is kept; {again}", file=sys.stderr)
        return 128 + run.stop
    except training.Diverged as error:
        print(f"error: epoch {run.epoch}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if isinstance(error, MemoryError):
            why = (f"not enough memory ({reason(error)}): free some, or start again with a smaller "
                   "--batch-size or network")
        elif backend.is_device_error(error):
            why = f"the device failed ({reason(error)})"
        elif isinstance(error, (OSError, DataFormatError)):
            why = reason(error)
        else:
            raise
        print(f"error: {why}; the last checkpoint in {run.out} is whole; "
              f"when this is put right, {again}", file=sys.stderr)
        return 1
    finally:
        run.lock.close()
    print(run.summary())
    return 0


def main():
    args = parser().parse_args()
    # an overflow is reported once, with its layer, by training.check_finite
    warnings.simplefilter("ignore", RuntimeWarning)
    try:
        return carry_out(resume(args) if args.resume else start(args))
    except (*ERRORS, OSError) as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: not enough memory ({reason(error)}); try a smaller --batch-size or network",
              file=sys.stderr)
        return 2
    except Exception as error:
        if not backend.is_device_error(error):
            raise
        print(f"error: the device failed ({reason(error)})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was reached so far is in the run's folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
