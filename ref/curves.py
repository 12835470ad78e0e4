"""Runs as curves by epoch, and the panels that show them.

A quantity is a row of panels: of an error one panel for each part of the data, of what every layer
has (angles, ratios of norms, inverse losses) one for each layer. All runs are in each of them.
"""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import architectures, folder, rules
from .alignment import BATCH
from .common.command import UsageError
from .config import read as read_config
from .schedules import DEFAULT_EPOCHS

PARTS = {"train": 0.05, "validation": 0.25, "test": 0.25}  # and how early errors are no matter
LONG = 20  # epochs of a run whose early errors may be left out
FLOOR = 0.1  # of the highest value: an axis shows no less, lest rounding looks like a finding
ROOM = 0.05  # of an axis, beyond its ends
# acronyms in capitals: "ao-sdtp" is AO-SDTP, "hybrid" hybrid
NAMES = {rule: rule.upper() if max(map(len, rule.split("-"))) < 5 else rule for rule in rules.ALL}


@dataclass(frozen=True)
class Quantity:
    """Columns of metrics.csv that are shown together.

    title     of its panels, with {} for the symbols below
    prefixes  {prefix of the columns, before the layer's number: symbol}; of a run, the first
    log, early, ends, mark  as in Panel
    """

    title: str
    prefixes: dict
    unit: str
    log: bool = False
    early: float = 0.0
    ends: tuple = ()
    mark: float | None = None


OF_W = {"B": ("feedback_angle_", "feedback_norm_ratio_"),
        "V": ("inverse_angle_", "inverse_norm_ratio_")}
_ANGLE = {"unit": "degrees", "ends": (90, 180), "mark": 90}  # 90: unrelated
_RATIO = {"unit": "ratio of norms", "log": True, "mark": 1}
# what --what offers: rows of panels, by the layer or by the part of the data
QUANTITIES = {
    "error": (), "loss": (),  # by part: see _by_part
    "angles": (Quantity("angle of dW to BP's dW", {"angle_": "dW"}, **_ANGLE),
               Quantity("angle of {} to W", {angle: s for s, (angle, _) in OF_W.items()},
                        **_ANGLE)),
    "norms": (Quantity("‖dW‖ / ‖BP's dW‖", {"norm_ratio_": "dW"}, **_RATIO),
              Quantity("‖{}‖ / ‖W‖", {ratio: s for s, (_, ratio) in OF_W.items()}, **_RATIO)),
    "inverse-loss": (Quantity("inverse loss", {"inverse_loss_": "V"}, "squared error", log=True,
                              early=0.1),),
}
HOW = {"error": "no epoch is done yet", "loss": "no epoch is done yet",
       "angles": "train with --angles", "norms": "train with --angles",
       "inverse-loss": "only rules with inverses have it"}  # where a run has none
ON = f"dW is compared after each epoch, on the first {BATCH} training examples"
ABOUT = {"angles": ON, "norms": ON}


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
    early  the share of the epochs, from the first on, which the axis of a long run need not reach
    ends   the axis is from 0 to the first of these that is not below the data, where there are any
    mark   a value with a thin line across
    layer  its number, or None for a part of the data
    beside  lines of other panels whose axis is the same
    also    values that the axis reaches besides
    """

    title: str
    unit: str
    lines: list
    log: bool = False
    early: float = 0.0
    ends: tuple = ()
    mark: float | None = None
    layer: int | None = None
    beside: list = field(default_factory=list, repr=False)
    also: tuple = ()


def panels(runs, what, layers=None):
    """Rows of Panels, of the names in `what` (keys of QUANTITIES).

    layers  the numbers of those that are shown; None for all
    Raises UsageError for an unknown name, or for something that none of the runs recorded.
    """
    found = []
    for name in what:
        if name not in QUANTITIES:
            raise UsageError(f"--what {name}: there are {', '.join(QUANTITIES)}")
        rows = _rows(runs, name)
        if not rows:
            raise UsageError(f"--what {name}: none of these runs recorded it: {HOW[name]}")
        found += _of_layers(rows, layers, name) if layers else rows
    return found


def _of_layers(rows, layers, name):
    """The panels of these layers, and those of parts of the data."""
    there = {panel.layer for row in rows for panel in row}
    if missing := [l for l in layers if l not in there and there != {None}]:
        raise UsageError(f"--layers {','.join(map(str, missing))}: {name} are there of "
                         f"{', '.join(map(str, sorted(there)))}")
    kept = [[panel for panel in row if panel.layer in (None, *layers)] for row in rows]
    angles = [line for row in kept for p in row if p.ends for line in p.lines]
    return [[replace(p, beside=angles if p.ends else [line for q in row for line in q.lines])
             if p.beside else p for p in row] for row in kept if row]


def drawn(runs, what, layers=None):
    """(the runs that are in a panel, notes for a reader: of what, and which runs lack something).

    Raises what panels raises.
    """
    panels(runs, what, layers)
    every, notes = set(), [ABOUT[name] for name in what if name in ABOUT]
    for name in what:
        there = {k for row in _rows(runs, name) for panel in row for k, _ in panel.lines}
        every |= there
        if without := [place for k, place in enumerate(places(runs)) if k not in there]:
            notes.append(f"no {name} of {', '.join(without)}: {HOW[name]}")
    return [run for k, run in enumerate(runs) if k in every], list(dict.fromkeys(notes))


def places(runs):
    """Where each run is: its folder as it was given, or its number."""
    return [str(run.path or f"run {k}") for k, run in enumerate(runs, 1)]


def _rows(runs, name):
    rows = [_by_layer(runs, q) for q in QUANTITIES[name]] or [_by_part(runs, name)]
    angles = [line for row in rows for panel in row if panel.ends for line in panel.lines]
    return [[replace(p, beside=angles) if p.ends else p for p in row] for row in rows if row]


def _by_part(runs, name):
    unit = name
    if name == "error":
        kinds = {run.percent for run in runs}
        unit = {(True,): "error (%)", (False,): "squared error"}.get(tuple(kinds), "error")
    lines = {part: _lines(runs, [f"{part}_{name}"] * len(runs)) for part in PARTS}
    return [Panel(f"{part} {name}", unit, found, early=PARTS[part])
            for part, found in lines.items() if found]


def _by_layer(runs, q):
    own = [next((p for p in q.prefixes if any(_layer(p, key) for key in run.rows[0])), None)
           if run.rows else None for run in runs]
    layers = sorted({_layer(prefix, key) for run, prefix in zip(runs, own, strict=True) if prefix
                     for key in run.rows[0]} - {None})
    lines = {l: _lines(runs, [f"{prefix}{l}" for prefix in own]) for l in layers}
    every = [line for of_layer in lines.values() for line in of_layer]
    title = q.title.format(" or ".join(s for p, s in q.prefixes.items() if p in own))
    return [Panel(f"{title}, layer {l}", q.unit, found, q.log, q.early, q.ends, q.mark, l, every)
            for l, found in lines.items() if found]


def _layer(prefix, column):
    """The layer's number of a column that begins so, or None."""
    found = re.fullmatch(rf"{prefix}(\d+)", column)
    return int(found[1]) if found else None


def _lines(runs, columns):
    """Those of the runs that have a number in their column."""
    found = [(k, run.points(column)) for k, (run, column) in enumerate(
        zip(runs, columns, strict=True))]
    return [(k, points) for k, points in found if any(not math.isnan(y) for _, y in points)]


def span(panel, top=None):
    """(low, high) of a panel's axis: the data, or from 0 to `top` where that is given and the panel
    is of a part of the data.

    Of a long run it leaves out what is high in the early epochs alone, if that would take more than
    half of the axis.
    """
    lines = [[y for _, y in points if math.isfinite(y)]
             for _, points in panel.beside or panel.lines]
    every = [y for line in lines for y in line] or [0.0]
    low, high = min(every), max(every)
    if top and panel.layer is None:
        return 0.0, top
    if panel.ends:
        return 0.0, next((end for end in panel.ends if high <= end * (1 + ROOM)), high)
    if panel.early and max(map(len, lines)) >= LONG:
        late = max(max(line[round(panel.early * len(line)):]) for line in lines if line)
        high = late if high - low > 2 * (late - low) else high
    low, high = min(low, *panel.also, high), max(high, *panel.also, low)
    wide = max(FLOOR * abs(high) or 1.0, high - low)
    begin = min(low, max((low + high - wide) / 2, min(low, 0.0)))
    return begin, max(high, begin + wide)


def said_above(panel, high, names=None):
    """What a panel says of curves that leave its axis, with the runs' names; "" where none does."""
    lines = [(k, above) for k, points in panel.lines
             if (above := [(x, y) for x, y in points if y > high])]
    if not lines:
        return ""
    points = [point for _, above in lines for point in above]
    who = ", ".join(names[k] for k, _ in lines) + " " if names else ""
    first, last = (f(x for x, _ in points) for f in (min, max))
    when = f"epoch {first:g}" if first == last else f"epochs {first:g} to {last:g}"
    return f"off the axis: {who}up to {max(y for _, y in points):.3g}, {when}"
