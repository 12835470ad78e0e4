"""Runs as curves by epoch, the panels that show them, and what their settings differ in.

A quantity is a row of panels: of an error one panel for each part of the data, of what every layer
has (angles, ratios of norms, inverse losses) one for each layer. All runs are in each of them.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from . import architectures, folder, rules
from .common.command import UsageError
from .config import read as read_config
from .run import DEFAULT_EPOCHS

PARTS = {"train": 0.05, "validation": 0.25, "test": 0.25}  # and how early errors are no matter
FEW = 4  # differences that a legend names
# acronyms in capitals: "ao-sdtp" is AO-SDTP, "hybrid" hybrid
NAMES = {rule: rule.upper() if max(map(len, rule.split("-"))) < 5 else rule for rule in rules.ALL}


@dataclass(frozen=True)
class Quantity:
    """Columns of metrics.csv that are shown together.

    prefixes  of the columns, before the layer's number; of a run, the first that it has
    early     the share of the epochs, from the first on, which the axis need not reach
    """

    title: str
    prefixes: tuple
    unit: str
    log: bool = False
    early: float = 0.0


# what --what offers: rows of panels, by the layer or by the part of the data
QUANTITIES = {
    "error": (), "loss": (),  # by part: see _by_part
    "angles": (Quantity("dW to BP's", ("angle_",), "angle (°)"),
               Quantity("B (or V) to W", ("feedback_angle_", "inverse_angle_"), "angle (°)")),
    "norms": (Quantity("dW to BP's", ("norm_ratio_",), "ratio of norms", log=True),
              Quantity("B (or V) to W", ("feedback_norm_ratio_", "inverse_norm_ratio_"),
                       "ratio of norms", log=True)),
    "inverse-loss": (Quantity("inverse", ("inverse_loss_",), "loss", log=True, early=0.1),),
}


@dataclass(frozen=True)
class Curves:
    """A run: where it is (None for one in memory), its config.json, and its rows of metrics."""

    path: Path | None
    config: dict
    rows: list = field(repr=False)

    @classmethod
    def read(cls, path):
        """Those of a run's folder. Raises FolderError where there is none."""
        return cls(Path(path), read_config(path), folder.read_metrics(path))

    @property
    def arguments(self):
        return self.config["arguments"]

    @property
    def arch(self):
        return self.arguments["arch"]

    @property
    def rule(self):
        return self.arguments["rule"]

    @property
    def schedule(self):
        return self.config["hyperparameters"].get("schedule")

    @property
    def conv(self):
        """Whether it is a named ConvNet, which stands beside a locally-connected network."""
        return self.arch in architectures.NAMED and self.arch.endswith("-conv")

    @property
    def epochs(self):
        """How many it was asked for."""
        return self.arguments["epochs"] or DEFAULT_EPOCHS

    @property
    def percent(self):
        """Whether the errors are percentages: not those of an autoencoder."""
        return "autoencoder" not in self.arch and "reconstruction" not in self.arch

    def points(self, column):
        """[(epoch, value)] of a column; [] where the run has no such column."""
        return [(row["epoch"], row[column]) for row in self.rows if column in row]


read = Curves.read


def method(rule, schedule=None, conv=False):
    """A method's name for a person: "DTP, parallel"."""
    return (NAMES.get(rule, rule) + (f", {schedule}" if schedule else "")
            + (", ConvNet" if conv else ""))


@dataclass(frozen=True)
class Panel:
    """Curves on one pair of axes: lines [(number of the run, [(epoch, value)])].

    log    whether the axis is logarithmic where its ends are far apart
    early  as in Quantity
    beside  lines of other panels whose axis is the same
    """

    title: str
    unit: str
    lines: list
    log: bool = False
    early: float = 0.0
    beside: list = field(default_factory=list, repr=False)


def panels(runs, what):
    """Rows of Panels, of the names in `what` (keys of QUANTITIES).

    Raises UsageError for an unknown name, or for something that none of the runs recorded.
    """
    found = []
    for name in what:
        if name not in QUANTITIES:
            raise UsageError(f"--what {name}: there are {', '.join(QUANTITIES)}")
        rows = [_by_layer(runs, q) for q in QUANTITIES[name]] or [_by_part(runs, name)]
        if not any(rows):
            how = {"angles": ": train with --angles", "norms": ": train with --angles",
                   "inverse-loss": ": only rules with inverses have it"}.get(name, " yet")
            raise UsageError(f"--what {name}: none of these runs recorded it{how}")
        found += [row for row in rows if row]
    return found


def _by_part(runs, name):
    unit = name
    if name == "error":
        kinds = {run.percent for run in runs}
        unit = {(True,): "error (%)", (False,): "squared error"}.get(tuple(kinds), "error")
    lines = {part: _lines(runs, lambda run, part=part: f"{part}_{name}") for part in PARTS}
    return [Panel(part, unit, found, early=PARTS[part]) for part, found in lines.items() if found]


def _by_layer(runs, quantity):
    own = [next((p for p in quantity.prefixes if any(_layer(p, key) for key in run.rows[0])), None)
           if run.rows else None for run in runs]
    layers = sorted({_layer(prefix, key) for run, prefix in zip(runs, own, strict=True) if prefix
                     for key in run.rows[0]} - {None})
    lines = {l: [(k, run.points(f"{own[k]}{l}")) for k, run in enumerate(runs)
                 if own[k] and run.points(f"{own[k]}{l}")] for l in layers}
    every = [line for of_layer in lines.values() for line in of_layer]
    return [Panel(f"{quantity.title}, layer {l}", quantity.unit, lines[l], quantity.log,
                  quantity.early, every) for l in layers]


def _layer(prefix, column):
    """The layer's number of a column that begins so, or None."""
    found = re.fullmatch(rf"{prefix}(\d+)", column)
    return int(found[1]) if found else None


def _lines(runs, column):
    return [(k, points) for k, run in enumerate(runs) if (points := run.points(column(run)))]


def span(panel, top=None):
    """(low, high) of a panel's axis: the data, but for what is high in its early epochs alone;
    high is `top` where that is given."""
    def values(points):
        return [y for _, y in points if y == y and (y > 0 or not panel.log)]

    lines = [points for _, points in panel.beside or panel.lines]
    late = [points[min(round(panel.early * len(points)), len(points) - 1):] for points in lines]
    low = min((y for points in lines for y in values(points)), default=0.0)
    return low, top or max((y for points in late for y in values(points)), default=1.0)


def differences(runs):
    """For each run, {what: value} that sets it apart from the others.

    Network, data and what is done to it, precision, what it began with, among all of the runs;
    hyperparameters among those of one method on one network, since every rule has rates of its
    own. Not the seed.
    """
    common = [{"arch": run.arch, "data": run.config["data"]["name"],
               "dtype": run.arguments.get("dtype", "float32"),
               "validation": run.arguments.get("validation"),
               "normalise": run.arguments.get("normalise", "none"),
               "init": run.arguments.get("init") or "none",
               **(run.config.get("augmentation") or {})} for run in runs]
    found = [{key: value for key, value in mine.items() if not _same(common, key)}
             for mine in common]
    for group in _groups([(run.rule, run.schedule, run.arch) for run in runs]):
        settings = [runs[k].config["hyperparameters"] for k in group]
        for k, mine in zip(group, settings, strict=True):
            found[k] |= {key: value for key, value in mine.items() if not _same(settings, key)}
    return found


def _same(dicts, key):
    """Whether all of those that have the key agree: what an older run does not name it had not."""
    return len({str(d[key]) for d in dicts if key in d}) < 2


def _groups(keys):
    """[[numbers of those with the same key]]."""
    found = {}
    for k, key in enumerate(keys):
        found.setdefault(key, []).append(k)
    return list(found.values())


def legend(runs):
    """(label of each run, number of its look among those of its method): runs that differ in their
    seed alone share both."""
    names = [method(run.rule, run.schedule, run.conv) for run in runs]
    texts = [", ".join([name, *_said(run, apart)])
             for name, apart, run in zip(names, differences(runs), runs, strict=True)]
    seeds = [run.arguments["seed"] for run in runs]
    looks = [list(dict.fromkeys(t for t, n in zip(texts, names, strict=True) if n == name)).index(
        text) for text, name in zip(texts, names, strict=True)]
    for group in _groups(texts):
        own = [str(seeds[k]) for k in group]
        said = ""
        if len(set(own)) > 1:
            said = f", seeds {', '.join(dict.fromkeys(own))}"
        elif len(set(seeds)) > 1:
            said = f", seed {own[0]}"
        for k in group:
            texts[k] += said
    return texts, looks


def _said(run, apart):
    """Differences as words: a few, and where there are more the run's name."""
    words = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
             for key, value in apart.items() if not (key == "arch" and run.conv)]
    if len(words) <= FEW:
        return words
    return [*words[:FEW], f"and {len(words) - FEW} more{f' ({run.path.name})' if run.path else ''}"]
