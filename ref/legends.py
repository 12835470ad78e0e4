"""What a legend says of runs: the method, then the settings in which those that are shown differ.

All that decides how a run learns is compared among all of them, whatever their methods. What has no
effect on a run (momentum under Adam) or is off (no weight decay) is not named. Rates come first.
"""

from . import begin, curves, settings
from .config import complete
from .show import OF_ADAM, OF_OTHERS

ARGUMENTS = ("dtype", "validation", "validation_split", "patience", "normalise", "init",
             "device_noise")
DEFAULTS = {**{option.name: option.default for option in settings.every().values()},
            **begin.DEFAULTS, "crop_padding": 0}
FIRST = ("batch_size", "optimizer", "arch", "data")  # after the rates


def effective(run):
    """{what: value} of what decides how a run learns, but for its seed, and the schedule, which is
    in the method's name; the value is None where it is off."""
    config = complete(run.config)
    arguments, setting = config["arguments"], config["hyperparameters"]
    idle = [key for key in setting if key.endswith(
        OF_OTHERS if setting["optimizer"] == "adam" else OF_ADAM)]
    idle += ["convention", "schedule"]  # a preset's own options are compared
    idle += ["order"] if run.schedule == "alternating" else []
    idle += [] if arguments["validation"] else ["validation_split", "patience"]
    for key in setting:
        p, is_factor, _ = key.partition("lr_factor")
        if is_factor and not (setting.get(f"{p}lr_step") or setting.get(f"{p}lr_milestones")):
            idle.append(key)
    every = {"arch": run.arch, "data": config["data"]["name"], **setting,
             **{key: arguments[key] for key in ARGUMENTS}, **config["augmentation"]}
    return {key: None if _is_off(key, every[key]) else every[key]
            for key in sorted(every, key=_rank) if key not in idle}


def _is_off(key, value):
    return value in (None, "", "none") or value is False or value == DEFAULTS.get(key) == 0


def _rank(key):
    return (key != "lr", "lr" not in key.split("_"),
            FIRST.index(key) if key in FIRST else len(FIRST))


def differences(runs):
    """For each run, {what: value} that sets it apart from another one that has such a setting."""
    every = [effective(run) for run in runs]
    values = {key: {str(mine[key]) for mine in every if key in mine}
              for mine in every for key in mine}
    return [{key: value for key, value in mine.items()
             if value is not None and len(values[key]) > 1} for mine in every]


def _entries(runs):
    """Method and differences of each run, in words."""
    for run, apart in zip(runs, differences(runs), strict=True):
        words = [f"{key.replace('_', ' ')} {value:.12g}" if isinstance(value, float) else
                 f"{key.replace('_', ' ')} {value}" for key, value in apart.items()
                 if not (key == "arch" and run.conv)]  # which the method's name says
        yield "; ".join([curves.method(run.rule, run.schedule, run.conv), *words])


def one_by_one(runs):
    """An entry for each run: where it is, its method, what sets it apart, its seed."""
    seeds = [run.arguments["seed"] for run in runs]
    return [f"{place}: {entry}" + (f"; seed {seed}" if len(set(seeds)) > 1 else "")
            for place, entry, seed in zip(curves.places(runs), _entries(runs), seeds, strict=True)]


def together(runs):
    """(entry of each run, number of its look among those of its method): runs that differ in their
    seed alone share both; where even the seed is the same, the folder tells them apart."""
    names = [curves.method(run.rule, run.schedule, run.conv) for run in runs]
    seeds = [run.arguments["seed"] for run in runs]
    texts, alone = list(_entries(runs)), one_by_one(runs)
    for group in _groups(texts):
        own = [seeds[k] for k in group]
        for k in group:
            if len(set(own)) < len(own):
                texts[k] = alone[k]
            elif len(own) > 1:
                texts[k] += f"; seeds {', '.join(map(str, own))}"
            elif len(set(seeds)) > 1:
                texts[k] += f"; seed {seeds[k]}"
    looks = {}  # {method: its entries}
    for name, text in zip(names, texts, strict=True):
        looks.setdefault(name, {}).setdefault(text, len(looks[name]))
    return texts, [looks[name][text] for name, text in zip(names, texts, strict=True)]


def _groups(keys):
    """[[numbers of those with the same key]]."""
    found = {}
    for k, key in enumerate(keys):
        found.setdefault(key, []).append(k)
    return list(found.values())
