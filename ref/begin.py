"""A run at its beginning, from keywords or a parsed command line: setting, data, network, trainer.

No folder is made here and nothing is printed; ref.train and ref.fit do that.
"""

import argparse
import datetime
from dataclasses import dataclass

import numpy as np

from . import architectures, imported, normalisation, rules, settings, training, transplant
from .augmentation import FLIPS
from .backend import select, to_device
from .common.command import UsageError
from .data import open_data
from .find import find_data
from .machine import versions
from .options import names
from .ranks import ALONE
from .rules.rule import Option

# What can be said about a run beside its setting; the command line's defaults and Python's.
DEFAULTS = {
    "arch": "mnist-fc", "data": None, "epochs": None, "batch_size": None, "seed": 0,
    "dtype": "float32", "backend": "numpy", "device_noise": False, "validation": 0,
    "angles": False, "crop_padding": None, "flip": None, "out": None, "checkpoint_every": 1,
    "checkpoint_minutes": 10, "resume": None, "allow_changed_data": False,
    "init": None, "mpi": False, "normalise": "none", "validation_split": "last", "patience": None,
    "resized_crop": None,
}
CROP_PADDING = Option("crop_padding", "", high=1000, whole=True)
SPLITS = ("last", "random")
# What these may be, for Python; on the command line argparse holds them to the same.
LIMITS = (
    Option("epochs", "", low=1, whole=True), Option("seed", "", high=2**128 - 1, whole=True),
    Option("validation", "", whole=True), CROP_PADDING,
    Option("checkpoint_every", "", low=1, whole=True), Option("checkpoint_minutes", "", above=True),
    Option("dtype", "", choices=("float32", "float64")), Option("flip", "", choices=FLIPS),
    Option("backend", "", choices=("numpy", "cupy")),
    Option("normalise", "", choices=normalisation.KINDS),
    Option("resized_crop", "", high=1, above=True),
    Option("validation_split", "", choices=SPLITS), Option("patience", "", low=1, whole=True),
)


@dataclass
class Beginning:
    """Everything that a new run begins with.

    arguments  argparse.Namespace, as the command line gives it
    setting    resolved (settings.py), and the name of the table that it starts from
    """

    arguments: argparse.Namespace
    setting: dict
    source: str
    data: object
    trainer: training.Trainer
    normalisation: dict = None  # as normalisation.measured gives it
    begins_with: tuple = ()  # what transplant.apply says

    def config(self, command):
        """What config.json says: everything resolved."""
        args, data = self.arguments, self.data
        crop, flip, area = augmentation(args, data)
        return {
            "command": command,
            "arguments": {key: value for key, value in vars(args).items() if key != "mpi"},
            "ranks": self.trainer.ranks.size,
            "hyperparameters": self.setting,
            "hyperparameters_from": self.source,
            "augmentation": {"crop_padding": crop, "flip": flip, "resized_crop": area},
            "normalisation": self.normalisation,
            "begins_with": list(self.begins_with),
            "data": {"path": data.path, "name": data.name, "digest": data.digest,
                     "in_shape": list(map(int, data.in_shape)), "classes": data.classes},
            "versions": versions(args.backend),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def begin(args, data=None, ranks=ALONE):
    """The Beginning of a run.

    args  argparse.Namespace with the names of DEFAULTS, `rule` and the options of a setting
    data  a data.Data; by default args.data is opened
    ranks  the processes that train it together
    Raises UserError: UsageError, DataFormatError, ArchitectureError, InitialError.
    """
    if args.rule is None:
        raise UsageError(f"--rule is missing; there are {', '.join(rules.ALL)}")
    first = first_of(args)
    setting, source = resolve(args)
    settings.check_used(setting, given_in(args))
    if args.device_noise and not rules.get(args.rule).noise:
        raise UsageError(f"--device-noise: the rule {args.rule} has no noise")
    if args.device_noise and args.backend == "numpy":
        raise UsageError("--device-noise: only with --backend cupy, numpy has no device")
    for option, off in (("patience", None), ("validation_split", "last")):
        if getattr(args, option) != off and not args.validation:
            raise UsageError(f"--{option.replace('_', '-')}: needs --validation N, so many "
                             "training examples to set apart")
    select(args.backend, ranks.local_rank)
    if data is None:
        args.data = args.data or "digits"
        data = open_data(find_data(args.data), args.validation, split_seed(args))
    augmentation(args, data)  # or its error
    if args.normalise != "none" and rules.get(args.rule).trainer:
        raise UsageError(f"--normalise {args.normalise}: {args.rule} takes inputs in [0, 1]")
    net, scale = build(args.arch, args.rule, setting, data), None
    if args.normalise != "none":
        if architectures.is_autoencoder(net):
            raise UsageError(f"--normalise {args.normalise}: an autoencoder reconstructs its "
                             "inputs as they are")
        scale = (normalisation.measured(data.train) if args.normalise == "channels"
                 else normalisation.symmetric(data.in_shape[-1]))
        net = normalisation.of_network(net, scale)
    trainer = new_trainer(args, setting, net, ranks)
    said = transplant.apply(first, trainer, args) if first else ()
    return Beginning(args, setting, source, data, trainer, scale, said)


def split_seed(args):
    """The seed of a random validation part, or None: the last examples."""
    return args.seed if getattr(args, "validation_split", "last") == "random" else None


def first_of(args):
    """The Initial that args.init names, or None; its settings are args' where none are given."""
    if args.init is None:
        return None
    first = imported.read(args.init)
    args.init = first.path  # a state dict itself can't stand in config.json
    if args.optimizer not in (None, first.settings.get("optimizer")):
        first = imported.without_optimizer(first)
    for key, value in first.settings.items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    return first


def given_in(args):
    """{name: value or None} of what is said about the setting."""
    return {key: getattr(args, key) for key in (*names(), "batch_size")}


def resolve(args):
    """(setting, source) of a parsed command line. Raises UsageError."""
    return settings.resolve(args.rule, args.arch, **given_in(args))


def build(arch, rule_name, setting, data, scale=None):
    """The network called or described by `arch`, extended by the rule, for an opened data set.

    scale  as normalisation.measured found it, or None
    Raises ArchitectureError, or UsageError where its outputs are not the data's classes.
    """
    net = architectures.build(arch, data.in_shape, setting.get("output", "probabilities"))
    outputs = net.shape(net.L)
    if architectures.is_autoencoder(net) and setting.get("output") == "logits":
        raise UsageError(f"--output logits: {arch} has no classes")
    if not architectures.is_autoencoder(net) and outputs != (len(data.classes),):
        raise UsageError(
            f"--arch {arch} has {outputs[0]} outputs, "
            f"but {data.path or 'the data'} has {len(data.classes)} classes"
        )
    return normalisation.of_network(rules.get(rule_name).build(net, setting), scale)


def new_trainer(args, setting, net, ranks=ALONE):
    """A trainer at its first step, its arrays on the backend's device."""
    rule = rules.get(args.rule)
    initial = rule.initial_parameters(net, training.initial_stream(args.seed),
                                      np.dtype(args.dtype), setting)
    params = to_device(initial, select(args.backend, ranks.local_rank))
    device_noise = getattr(args, "device_noise", False)  # runs before it was there have no such key
    if rule.trainer and ranks.size > 1:
        raise UsageError(f"--mpi: the rule {args.rule} has a trainer of its own, for one process")
    if rule.trainer:
        return rule.trainer(net, rule, params, setting, args.seed, device_noise)
    return training.Trainer(net, rule, params, setting, args.seed, device_noise, ranks)


def augmentation(args, data):
    """(padding of the random crops, flip, least area of random-resized crops or None): as given, or
    the default for the data set. Raises UsageError for two kinds of crops."""
    crop, flip = (4, "horizontal") if data.name == "cifar10" else (0, "none")
    area = getattr(args, "resized_crop", None)
    if area is not None and args.crop_padding:
        raise UsageError("--resized-crop: with --crop-padding 0 alone: one kind of crops")
    crop = 0 if area is not None else crop
    return (crop if args.crop_padding is None else args.crop_padding,
            flip if args.flip is None else args.flip, area)
