"""Compare somebody's outputs with ours, and find which quantity goes wrong first.

    by_replay(path, theirs)          with everything recomputed from the file's own start
    by_file(path, theirs, ...)       with another file

An array agrees if every entry lies within its allowance of ours (allowance.py), and if a change
(of a parameter, of a target from its activity) is not larger or smaller as a whole by more than
LEAN of what its entries' allowances let it be: rounding has no favourite direction, a wrong
learning rate has.
"""

from dataclasses import dataclass

import numpy as np

from .. import rules
from . import quantities
from .allowance import RTOL, Allowances, base
from .file import FileError
from .noise import unlike_sigma
from .replay import missing, replay
from .slips import Evidence, diagnose

LEAN = 0.5
ADAM = ("beta1", "beta2", "epsilon", "epsilon_form")  # what gradient descent does without
EXTRA = ("momentum", "weight_decay")  # none unless it is said
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
    lean: float = 0.0  # how far a change is too large as a whole, 1 for all entries at their limit

    @property
    def verdict(self):
        return "ok" if self.agrees else "follows" if self.follows else "DIFFERS"


class Measure(Allowances):
    """Whether two arrays of one quantity agree."""

    def row(self, q, theirs, ours):
        """The Row of one quantity."""
        limit, unit = self.allowed(q, ours)
        a, b = theirs[q.name].astype(np.float64), ours[q.name]
        if not b.size:  # no auxiliary units
            return Row(q, 0.0, 0.0, True)
        limit = np.broadcast_to(limit, b.shape)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            error = a - b
            if not isinstance(start := base(q, ours), float) and _name_of_base(q) in theirs:
                # of their own displacement: an h that agrees is not held to what ĥ - h is held to
                error = error - (theirs[_name_of_base(q)] - start)
            difference = np.abs(error)
            if not np.isfinite(b).all():
                difference = np.full(b.shape, np.inf)
            wrong = ~(difference <= limit)
            off = np.where(difference == 0, 0.0, difference / limit)
            lean = self.lean(q, error, limit, ours)
        worst = np.unravel_index(np.argmax(off), off.shape)
        return Row(q, _relative(difference[worst], unit), _relative(limit[worst], unit),
                   not wrong.any() and abs(lean) <= LEAN,
                   wrong=int(wrong.sum()), worst=tuple(int(k) for k in worst),
                   theirs=float(a[worst]), ours=float(b[worst]), lean=lean)

    def lean(self, q, error, limit, ours):
        """How far a change is too large as a whole: 1 where every entry is by its allowance.

        The mean of error/allowance along the change, weighted by change/allowance, over the
        entries that are allowed less than their change: of others nothing is known. 0 for what is
        no change.
        """
        if q.stem[0] == "h_hat":
            start = base(q, ours)
        elif q.stem[0].startswith("after/"):
            start = ours.get(f"init/{q.name.rpartition('/')[2]}", ours[q.name])
        else:
            return 0.0
        change = ours[q.name] - start
        known = (limit > 0) & (limit < np.abs(change))
        weight = np.where(known, change / np.where(known, limit, 1.0), 0.0)
        along = np.where(known, error / np.where(known, limit, 1.0), 0.0)
        total = float(np.abs(weight).sum())
        return float((weight * along).sum()) / total if total else 0.0


def _name_of_base(q):
    return f"step_{q.step}/h_{q.stem[1]}"


def _relative(value, unit):
    return float(value / unit) if unit else float(np.inf if value else 0.0)


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
    measure = Measure(rtol or RTOL[theirs.dtype.itemsize], atol_scale, theirs.dtype, theirs)
    given = {q.name for q in theirs.quantities if q.is_input}
    try:
        ours = replay(theirs, allowances=measure)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    notes = []
    silent = [f"{key} {value}" for key, value in sorted(theirs.setting.items())
              if key not in theirs.given and not key.endswith(EXTRA)
              and not (theirs.setting["optimizer"] != "adam" and key.endswith(ADAM))]
    if silent:
        notes.append(f"config does not say, so as ref.train has them: {', '.join(silent)}")
    notes += unlike_sigma(theirs)
    if own := rules.get(theirs.rule).recompute:
        notes += [line for t in theirs.phases for line in own.unlike_rates(theirs.net, ours, t)]
    return _result(path, None, theirs, ours, theirs, measure, given, notes)


def by_file(path, theirs, against, reference, rtol=None, atol_scale=0.0):
    """The Result of comparing what both files hold. Raises FileError if they can't be compared."""
    for what in ("rule", "net", "phases"):
        if getattr(theirs, what) != getattr(reference, what):
            raise FileError(f"{path}: has another {what} than {against}: "
                            "they can't be compared")
    size = min(theirs.dtype.itemsize, reference.dtype.itemsize)
    dtype = np.dtype(f"f{size}")
    measure = Measure(rtol or RTOL[size], atol_scale, dtype, reference)
    for name in theirs.arrays.keys() & reference.arrays.keys():
        a, b = theirs.arrays[name].shape, reference.arrays[name].shape
        if a != b:
            raise FileError(f"{path}: {name} is {a}, but {b} in {against}")
    ours = {name: array.astype(np.float64) for name, array in reference.arrays.items()}
    if not missing(reference):  # what rounding does to it shows in a replay
        replay(reference, allowances=measure)
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
