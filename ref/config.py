"""A run's config.json, read: whoever wrote it, no value is taken that the command line refuses.

    config = read("runs/out/mnist-fc_fa_mnist_seed0")

It is what begin.Beginning.config wrote. Runs of an earlier day lack the options that came later:
`complete` gives those the value that they had then, their default.
"""

from functools import cache
from pathlib import Path

from . import begin, rules, settings
from .augmentation import FLIPS
from .common.schema import (
    check,
    keys,
    many,
    maybe,
    number,
    of_option,
    one_of,
    read_json,
    text,
    truth,
    whole,
)
from .folder import FolderError

NAME = "config.json"

_NUMBERS = {option.name: of_option(option)
            for option in (*begin.LIMITS, settings.BATCH_SIZE)}
DATA = keys(
    {"name": text},
    {"digest": text, "path": maybe(text), "in_shape": many(whole(1, 10**6), 1),
     "classes": many(text, 2)})
AUGMENTATION = keys({"crop_padding": _NUMBERS["crop_padding"], "flip": one_of(FLIPS)},
                    {"resized_crop": maybe(_NUMBERS["resized_crop"])})
NORMALISATION = keys({"mean": many(number()), "deviation": many(number(1e-300))})
VERSIONS = keys({}, {"commit": maybe(text), "processor": maybe(text)})


@cache
def config_schema():
    """Of the whole file, but for the hyperparameters: made when a file is read; it takes time."""
    arguments = keys(
        {"arch": text, "rule": one_of(rules.ALL), "seed": _NUMBERS["seed"],
         "dtype": _NUMBERS["dtype"], "epochs": maybe(_NUMBERS["epochs"])},
        {**{name: maybe(schema) for name, schema in _NUMBERS.items()},
         **{name: maybe(of_option(option)) for name, option in settings.every().items()},
         **dict.fromkeys(("data", "out", "init", "resume"), maybe(text)),
         **dict.fromkeys(("angles", "device_noise", "allow_changed_data", "mpi"), truth),
         **{name: _NUMBERS[name] for name in ("validation", "checkpoint_every",
                                              "checkpoint_minutes", "backend")}})
    return keys(
        {"arguments": arguments, "hyperparameters": keys({}), "data": DATA},
        {"augmentation": AUGMENTATION, "normalisation": maybe(NORMALISATION), "ranks": whole(1),
         "versions": VERSIONS, "command": text, "started": text,
         "hyperparameters_from": text, "begins_with": many(text), "resumed": many(keys({}))})


def setting_schema(rule):
    """Of the hyperparameters of a rule, by its name: those without a default are needed."""
    options = {option.name: option for option in (
        *settings.of_rule(rules.get(rule)).values(), *settings.OPTIMIZER, settings.BATCH_SIZE)}
    needed = {name: of_option(option) for name, option in options.items()
              if option.default is None and option is not settings.BATCH_SIZE}
    return keys(needed, {name: of_option(option) for name, option in options.items()
                         if name not in needed})


def read(folder):
    """The config of the run in a folder. Raises FolderError, in one line with file and key."""
    path = Path(folder) / NAME
    try:
        config = read_json(path, config_schema(), FolderError)
    except FileNotFoundError:
        raise FolderError(
            f"{folder}: not a run's folder (it has no whole {NAME})") from None
    schema = setting_schema(config["arguments"]["rule"])
    config["hyperparameters"] = check(
        config, keys({"hyperparameters": schema}), path, FolderError)["hyperparameters"]
    if found := config.get("normalisation"):
        channels = config["data"].get("in_shape", [len(found["mean"])])[-1]
        if {len(numbers) for numbers in found.values()} != {channels}:
            raise FolderError(f"{path}: normalisation: not a mean and a deviation for each channel")
    return config


def complete(config):
    """The config with every argument and every option of its rule, as a run of today has them."""
    arguments = {**begin.DEFAULTS, **config["arguments"]}
    options = (*settings.OPTIMIZER, *settings.of_rule(rules.get(arguments["rule"])).values())
    setting = {o.name: o.default for o in options if o.default is not None}
    setting |= {"batch_size": arguments["batch_size"] or 100, **config["hyperparameters"]}
    how = {"crop_padding": 0, "flip": "none", "resized_crop": None,
           **config.get("augmentation", {})}
    return {**config, "arguments": arguments, "hyperparameters": setting, "augmentation": how}
