"""Compare somebody's outputs with ours, and find which quantity goes wrong first.

    by_replay(path, theirs)          with everything recomputed from the file's own start
    by_file(path, theirs, ...)       with another file

An array agrees if its largest absolute error is at most

    rtol · max(largest entry of ours, atol_scale) + rounding

For parameters after a step it is the largest change since the beginning that counts, not the
largest entry, so that a layer that never trains can't pass. In float64, `rounding` is zero but
for the last bit of a stored parameter. For a float32 file it is measured: we replay in float32
too, and allow ten times the error that we make ourselves. (Differences of nearly equal numbers,
such as h - ĥ, and Adam's division by √v lose far more than float32's 6e-8.)
"""

from dataclasses import dataclass

import numpy as np

from . import quantities
from .file import FileError
from .noise import unlike_sigma
from .replay import missing, replay
from .slips import Evidence, diagnose

RTOL = {4: 1e-4, 8: 1e-9}  # by the size in bytes of the file's numbers
ROUNDING = 10  # times our own error in float32
ADAM = [f"{group}{key}" for group in ("", "inverse_") for key in ("beta1", "beta2", "epsilon")]
ADAM.append("epsilon_form")  # what plain gradient descent does without
DIAGNOSED = 9  # roots that are looked into


@dataclass
class Row:
    """One quantity that was compared."""

    quantity: quantities.Quantity
    error: float  # largest, relative to the largest entry (of `after`: the largest change)
    limit: float  # what would still agree, in the same unit
    agrees: bool
    follows: bool = False  # it differs, and so does something it is computed from
    wrong: int = 0  # entries that differ by more than the limit
    worst: tuple = ()  # index of the largest error
    theirs: float = 0.0  # at that index
    ours: float = 0.0

    @property
    def verdict(self):
        return "ok" if self.agrees else "follows" if self.follows else "DIFFERS"


class Measure:
    """How far two arrays of one quantity may lie apart."""

    def __init__(self, rtol, atol_scale, dtype, single=None):
        self.rtol, self.atol_scale, self.dtype = rtol, atol_scale, dtype
        self.single = single  # our own replay in float32, or None

    def allowed(self, q, ours):
        """(largest absolute error that still agrees, the unit of relative errors)."""
        values = ours[q.name]
        scale = largest(values)
        rounding = 0.0
        stem, l = q.stem
        if stem.startswith("after/"):
            start = ours.get(f"init/{q.name.rpartition('/')[2]}")
            rounding = 2 * np.finfo(self.dtype).eps * scale
            if start is not None:
                scale = largest(values - start)
        if self.single is not None:
            rounding += ROUNDING * largest(self.single[q.name] - values)
        limit = self.rtol * max(scale, self.atol_scale) + rounding
        return limit, scale or largest(values) or self.atol_scale

    def row(self, q, theirs, ours):
        """The Row of one quantity."""
        limit, unit = self.allowed(q, ours)
        a, b = theirs[q.name].astype(np.float64), ours[q.name]
        if not b.size:  # no auxiliary units
            return Row(q, 0.0, 0.0, True)
        with np.errstate(invalid="ignore"):
            difference = np.abs(a - b)
        if not np.isfinite(b).all():
            difference = np.full(np.shape(b), np.inf)
        worst = np.unravel_index(np.argmax(difference), difference.shape)
        error = float(difference[worst])
        agrees = error <= limit
        if error:
            relative = error / unit if unit else np.inf
        else:
            relative = 0.0
        return Row(q, relative, limit / unit if unit else 0.0, agrees,
                   wrong=int((difference > limit).sum()), worst=tuple(int(k) for k in worst),
                   theirs=float(a[worst]), ours=float(b[worst]))


def largest(array):
    """The largest absolute value; 0 of nothing, infinite where an entry is NaN."""
    value = float(np.abs(array).max(initial=0.0))
    return value if value == value else np.inf


def compare(order, theirs, ours, measure, given=()):
    """A Row for each quantity that both have and that is not in `given`, in order of computation.

    A Row `follows` if something that its quantity is computed from differs; through quantities
    that can't be compared this is passed on, through those that agree it is not.
    """
    rows, tainted = [], set()
    for q in order:
        suspect = any(name in tainted for name in q.inputs)
        if q.name in given or q.name not in theirs or q.name not in ours:
            if suspect:
                tainted.add(q.name)
            continue
        row = measure.row(q, theirs, ours)
        row.follows = suspect and not row.agrees
        if not row.agrees:
            tainted.add(q.name)
        rows.append(row)
    return rows


def first(rows):
    """The Row that differs first while everything upstream agrees, or None."""
    return next((row for row in rows if not row.agrees), None)


def upstream(row, rows, given):
    """(names that agree, names that are given, names nobody could compare) among its inputs."""
    compared = {r.quantity.name for r in rows if r.agrees}
    inputs = dict.fromkeys(row.quantity.inputs)
    agree = [name for name in inputs if name in compared]
    taken = [name for name in inputs if name in given]
    unknown = [name for name in inputs if name not in compared and name not in given]
    return agree, taken, unknown


@dataclass
class Result:
    """Everything that a verification found."""

    path: str
    against: str | None
    content: object  # theirs
    measure: Measure
    rows: list
    given: set
    slips: dict  # {name of a root: sentences}
    notes: list

    @property
    def agrees(self):
        return all(row.agrees for row in self.rows)

    @property
    def roots(self):
        return [row for row in self.rows if not row.agrees and not row.follows]


def by_replay(path, theirs, rtol=None, atol_scale=0.0):
    """The Result of replaying a file's own start. Raises FileError where something is missing."""
    absent = missing(theirs)
    if absent:
        shown = ", ".join(absent[:12]) + (f" and {len(absent) - 12} more" if absent[12:] else "")
        raise FileError(f"{path}: a replay needs {shown}, which the file does not hold")
    single = replay(theirs, np.float32) if theirs.dtype.itemsize == 4 else None
    measure = Measure(rtol or RTOL[theirs.dtype.itemsize], atol_scale, theirs.dtype, single)
    given = {q.name for q in theirs.quantities if q.is_input}
    ours = replay(theirs)
    notes = []
    silent = [f"{key} {value}" for key, value in sorted(theirs.setting.items())
              if key not in theirs.given
              and not (theirs.setting["optimizer"] == "sgd" and key in ADAM)]
    if silent:
        notes.append(f"config does not say, so as ref.train has them: {', '.join(silent)}")
    notes += unlike_sigma(theirs)
    return _result(path, None, theirs, ours, theirs, measure, given, notes)


def by_file(path, theirs, against, reference, rtol=None, atol_scale=0.0):
    """The Result of comparing what both files hold. Raises FileError if they can't be compared."""
    for what in ("rule", "net", "phases"):
        if getattr(theirs, what) != getattr(reference, what):
            raise FileError(f"{path}: has another {what} than {against}: "
                            "they can't be compared")
    size = min(theirs.dtype.itemsize, reference.dtype.itemsize)
    dtype = np.dtype(f"f{size}")
    measure = Measure(rtol or RTOL[size], atol_scale, dtype)
    for name in theirs.arrays.keys() & reference.arrays.keys():
        a, b = theirs.arrays[name].shape, reference.arrays[name].shape
        if a != b:
            raise FileError(f"{path}: {name} is {a}, but {b} in {against}")
    ours = {name: array.astype(np.float64) for name, array in reference.arrays.items()}
    changed = {key: (theirs.setting.get(key), value) for key, value in reference.setting.items()
               if theirs.setting.get(key) != value}
    notes = [f"config differs: {key} is {a}, but {b} in {against}"
             for key, (a, b) in changed.items()]
    return _result(path, against, theirs, ours, reference, measure, set(), notes)


def _result(path, against, theirs, ours, start, measure, given, notes):
    rows = compare(theirs.quantities, theirs.arrays, ours, measure, given)
    if not rows:
        raise FileError(f"{path}: holds nothing to compare" if against is None else
                        f"{path}: holds nothing that {against} holds too")
    result = Result(path, against, theirs, measure, rows, given, {}, notes)
    for row in result.roots[:DIAGNOSED]:
        evidence = Evidence(start, row.quantity, theirs.arrays, ours, measure)
        result.slips[row.quantity.name] = diagnose(evidence)
    return result
