"""Train a network with one of the paper's rules: python -m ref.train --rule fa

Without --data it trains on `digits`, which it makes on the first run.
"""

import argparse
import datetime
import math
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

import data_prep.digits
from data_prep.command import Parser, count, integer_at_least, seed

from . import __version__, architectures, conventions, folder, hyperparameters, rules, training
from .augmentation import FLIPS, augment
from .backend import BackendError, select, to_device, to_host
from .data import DataFormatError, open_data
from .network import initial_parameters
from .optim import named
from .rules import inverses
from .rules.sign_symmetry import MAGNITUDES
from .seeds import stream

PREPARE = {  # the command that makes data/NAME.h5
    "digits": "python -m data_prep.digits",
    "mnist": "python -m data_prep.mnist",
    "cifar10": "python -m data_prep.cifar10",
}


class UsageError(Exception):
    """Arguments that don't fit together; one clear line for the user."""


def positive(text):
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def decay(text):
    """An argparse type: a number in [0, 1)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in [0, 1)")
    return value


def whole(text):
    """An argparse type: an integer of at least 0."""
    return integer_at_least(text, 0)


def number_from(low, high=math.inf):
    """An argparse type: a finite number in [low, high]."""

    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            limits = f"of at least {low}" if high == math.inf else f"in [{low}, {high}]"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {limits}")
        return value

    return convert


def parser():
    p = Parser(prog="python -m ref.train", description=__doc__.splitlines()[0])
    p.add_argument("--rule", required=True, choices=rules.NAMES, metavar="RULE",
                   help=f"learning rule: {', '.join(rules.NAMES)}")
    p.add_argument("--arch", default="mnist-fc",
                   help="a network of Table 3 by name, or layers: \"dense 256, softmax 10\" "
                        "(default %(default)s)")
    p.add_argument("--data", default="digits", metavar="NAME|FILE",
                   help="data/NAME.h5, or an HDF5 file (default %(default)s)")
    p.add_argument("--epochs", type=count, default=20, help="default %(default)s")
    p.add_argument("--batch-size", type=count, help="default 100, or as in the hyperparameters")
    p.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    p.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy")
    p.add_argument("--out", metavar="DIR", help="the run's folder (default: a new runs/out/...)")
    p.add_argument("--validation", type=int, default=0, metavar="N",
                   help="set N training examples apart and report their error too")
    p.add_argument("--angles", action="store_true",
                   help="record the angle between the rule's and backpropagation's updates")
    g = p.add_argument_group("augmentation of the training images (defaults depend on the data)")
    g.add_argument("--crop-padding", type=whole, metavar="PIXELS",
                   help="random crops after padding (default: 4 for cifar10, else 0)")
    g.add_argument("--flip", choices=FLIPS, help="default: horizontal for cifar10, else none")
    add_setting_arguments(p)
    return p


def add_setting_arguments(p):
    """Every hyperparameter and convention; None where the table's or the rule's default holds."""
    p.add_argument("--hyperparameters", choices=("default", "paper"), default="default",
                   help="default values: ours where Table 5's do not learn, or Table 5's alone")
    o = p.add_argument_group("optimiser (defaults: ref/hyperparameters.py)")
    o.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    o.add_argument("--epsilon-form", choices=("hat", "kingma"), default="hat",
                   help="where epsilon goes (ref/optim.py; default %(default)s, TensorFlow's)")
    for prefix, what in (("", "forward parameters"), ("inverse-", "inverses")):
        o.add_argument(f"--{prefix}lr", type=positive, help=f"learning rate of the {what}")
        o.add_argument(f"--{prefix}beta1", type=decay, help="decay of Adam's first moment")
        o.add_argument(f"--{prefix}beta2", type=decay, help="decay of Adam's second moment")
        o.add_argument(f"--{prefix}epsilon", type=positive, help="Adam's epsilon")
    t = p.add_argument_group("options of some rules")
    t.add_argument("--schedule", choices=("parallel", "alternating"),
                   help="train both losses on every batch (default), or a whole pass for the "
                        "inverses and then one for the forward parameters, in every epoch")
    t.add_argument("--alpha", type=number_from(0), help="step of DTP's first target")
    t.add_argument("--sigma", type=number_from(0), help="noise that trains the inverses")
    t.add_argument("--magnitude", choices=MAGNITUDES,
                   help="of the feedback (rule sign-symmetry; default uniform)")
    t.add_argument("--mu", type=number_from(0, 1), help="weight of BP's targets (rule hybrid)")
    t.add_argument("--aux", type=whole, help="auxiliary output units (rule ao-sdtp)")
    t.add_argument("--inverse", choices=inverses.SHAPES, help="receptive field of the inverses")
    t.add_argument("--convention", choices=conventions.PRESETS,
                   help="preset of the options below (ref/conventions.py; default bartunov2018)")
    for option, values in conventions.VALUES.items():
        t.add_argument(f"--{option.replace('_', '-')}", choices=values)


def find_data(name):
    """The path of a data set given by name or as a file; makes `digits` where it is missing."""
    path = Path(name) if name.endswith((".h5", ".hdf5")) else Path("data") / f"{name}.h5"
    if path.exists():
        return path
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


def resolve(args):
    """A run's whole setting, and the table it starts from.

    First the tables and the rule's defaults, then the convention, then what the command line says.
    Raises UsageError for an option that the rule does not have, or a value it can't follow.
    """
    rule = rules.get(args.rule)
    with_inverses = rules.has_inverses(rule)
    schedule = (args.schedule or "parallel") if with_inverses else None
    optimiser = ("lr", "beta1", "beta2", "epsilon")
    own = (*rule.BUILD_OPTIONS, *rule.STEP_OPTIONS)
    if with_inverses:
        optimiser += tuple(f"inverse_{key}" for key in optimiser)
        own += ("schedule", "sigma", "convention", "output", "order")
    every = ("schedule", "alpha", "sigma", "mu", "aux", "inverse", "convention",
             "magnitude", *conventions.VALUES, *(f"inverse_{key}" for key in optimiser[:4]))
    for key in every:
        if getattr(args, key) is not None and key not in (*own, *optimiser):
            raise UsageError(f"--{key.replace('_', '-')}: the rule {args.rule} has no such option")

    try:
        table, source = hyperparameters.lookup(
            args.arch, args.rule, schedule, args.hyperparameters)
    except KeyError:
        raise UsageError(
            f"--hyperparameters paper: Table 5 has nothing for {args.rule} "
            f"{'' if schedule is None else schedule + ' '}on {args.arch}") from None
    setting = {key: table[key] for key in optimiser}
    setting |= {"optimizer": args.optimizer, "epsilon_form": args.epsilon_form}
    setting["batch_size"] = getattr(args, "batch_size", None) or table.get("batch_size", 100)
    setting |= rule.DEFAULTS
    if with_inverses:
        setting |= {"schedule": schedule, "sigma": table["sigma"], "inverse": "same"}
        setting |= {"alpha": table["alpha"]} if "alpha" in own else {}
        preset = args.convention or "bartunov2018"
        for key, value in conventions.PRESETS[preset].items():
            if key not in own and value != conventions.PRESETS["bartunov2018"].get(key):
                raise UsageError(
                    f"--convention {preset} needs {key} {value}, which {args.rule} does not have")
            setting[key] = value
        setting["convention"] = preset
    given = (*own, *optimiser)
    setting |= {key: getattr(args, key) for key in given if getattr(args, key) is not None}
    if setting.get("output") == "logits" and args.rule != "dtp":
        raise UsageError(
            f"--output logits: no finite logits minimise the loss, so {args.rule} has no first "
            "target there; use probabilities, or the rule dtp")
    return setting, source


def commit():
    """The git commit of this code, with a + where files differ from it; None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty=+"],
            capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def versions():
    """What a result depends on, for config.json."""
    return {
        "ref": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "machine": platform.machine(),
        "processor": platform.processor(),
    }


def build(arch, rule_name, setting, data):
    """The network called or described by `arch`, extended by the rule, for an opened data set.

    Raises ArchitectureError, or UsageError where its outputs are not the data's classes.
    """
    net = architectures.build(arch, data.in_shape, setting.get("output", "probabilities"))
    outputs = net.shape(net.L)
    if not architectures.is_autoencoder(net) and outputs != (len(data.classes),):
        raise UsageError(
            f"--arch {arch} has {outputs[0]} outputs, "
            f"but {data.path} has {len(data.classes)} classes"
        )
    rule = rules.get(rule_name)
    return rule.extend(net, **{key: setting[key] for key in rule.BUILD_OPTIONS})


def run(args):
    """Train as the arguments say; returns the folder."""
    xp, dtype = select(args.backend), np.dtype(args.dtype)
    data = open_data(find_data(args.data), args.validation)
    setting, source = resolve(args)
    net = build(args.arch, args.rule, setting, data)
    label = Path(args.data).stem
    arch = args.arch if args.arch in architectures.NAMED else "custom"
    out = folder.create(args.out, f"{arch}_{args.rule}_{label}_seed{args.seed}")
    folder.write_config(out, {
        "command": shlex.join(["python", "-m", "ref.train", *sys.argv[1:]]),
        "arguments": vars(args),
        "hyperparameters": setting,
        "hyperparameters_from": source,
        "augmentation": dict(zip(("crop_padding", "flip"), augmentation(args, data), strict=True)),
        "data": {"path": str(Path(data.path).resolve()), "name": data.name},
        "versions": versions(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    })
    print(f"{args.rule} on {args.arch}, {data.name}: {len(data.train)} train and "
          f"{len(data.test)} test examples; results in {out}", flush=True)

    initial = initial_parameters(net, training.initial_stream(args.seed), dtype)
    params = to_device(initial, xp)
    trainer = training.Trainer(net, rules.get(args.rule), params, setting, args.seed)
    try:
        rows = epochs(args, data, trainer, out, xp, dtype)
    finally:
        arrays = named(params, params.keys())
        folder.write_parameters(out, {name: to_host(array) for name, array in arrays.items()})
    best = min(rows, key=lambda row: row["test_error"])
    show = unit_of(net)
    print(f"best test error {show(best['test_error'])} (epoch {best['epoch']}), "
          f"final {show(rows[-1]['test_error'])}")
    return out


def epochs(args, data, trainer, out, xp, dtype):
    """Train for args.epochs; prints and records a row for each."""
    probe = None
    if args.angles:
        images, labels = next(iter(data.train.in_order(training.ANGLE_BATCH)))
        probe = training.batch_of(trainer.net, images, labels, xp, dtype)
    show = unit_of(trainer.net)
    size = trainer.setting["batch_size"]
    crop, flip = augmentation(args, data)
    rows = []
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        row = {"epoch": epoch}
        for number, phase in passes(trainer.setting.get("schedule"), epoch):
            batches = data.train.epoch(size, args.seed, number)
            if crop or flip != "none":
                rng = stream(args.seed, "augmentation", number)
                batches = ((augment(images, rng, crop, flip), labels) for images, labels in batches)
            bar = progress_bar(len(data.train), size, f"epoch {epoch}/{args.epochs} {phase}")
            row |= training.train_epoch(trainer, batches, xp, dtype, phase, bar)
        parts = {"validation": data.validation, "test": data.test}
        for name, part in parts.items():
            if part is not None:
                error, loss = training.evaluate(trainer.net, trainer.params, part, xp, dtype)
                row |= {f"{name}_error": error, f"{name}_loss": loss}
        if probe is not None:
            row |= {f"angle_{l}": a for l, a in training.angles(trainer, *probe).items()}
        row["seconds"] = round(time.perf_counter() - start, 3)
        rows.append(row)
        folder.write_metrics(out, rows)
        print(epoch_line(row, show), flush=True)
    return rows


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
    inverse = [f"{row[key]:.3g}" for key in sorted(row) if key.startswith("inverse_loss_")]
    if inverse:
        parts.append(f"inverse loss {' '.join(inverse)}")
    angles = [f"{value:.0f}" for key, value in row.items() if key.startswith("angle_")]
    if angles:
        parts.append(f"angles {' '.join(angles)}")
    parts.append(f"{row['seconds']:.1f} s")
    return "   ".join(parts)


def progress_bar(n, batch_size, label):
    """A tqdm bar for one pass over n examples, silent where standard error is not a terminal."""
    total = -(-n // batch_size)
    return lambda batches: tqdm(batches, total=total, desc=label, leave=False, disable=None)


ERRORS = (UsageError, DataFormatError, BackendError, folder.FolderError,
          architectures.ArchitectureError, data_prep.hdf5.DataError)  # the user can put right


def main():
    args = parser().parse_args()
    try:
        run(args)
        return 0
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except training.Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what was reached so far is in the run's folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
