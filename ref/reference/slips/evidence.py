"""What there is to go by when a quantity differs, and when a candidate explains it."""

from functools import cached_property

import numpy as np

from ... import rules
from ...network import SYMBOLS, name_of
from ...rules.rule import prefix
from ..replay import missing, replay

BETTER = 4  # times closer to theirs than ours is: as little tells anything in a wide allowance


class Unknown(Exception):
    """A slip needs an array that is not there to test it."""


class Evidence:
    """One quantity of theirs that differs from ours, and all that a slip may need to explain it.

    start    the Content with the inputs of a replay, if it is complete enough for one
    q        the Quantity; stem, l, t: its kind, layer and step
    theirs, ours    that array; `measure` says how far apart is still equal
    have     names of the arrays that they give
    is_update, is_velocity    whether it is a parameter, or its velocity, after the step
    """

    def __init__(self, start, q, theirs, ours, measure):
        self.start, self.q, self.arrays, self.measure = start, q, ours, measure
        self.net, self.setting, self.declared = start.net, start.setting, rules.get(start.rule)
        # what it is computed from, by name: delta_3, W_3
        self.inputs = {name.rpartition("/")[2] for name in q.inputs}
        self.theirs, self.ours = theirs[q.name].astype(np.float64), ours[q.name]
        (self.stem, self.l), self.t, self.have = q.stem, q.step, theirs.keys()
        self.is_velocity = self.stem.startswith("after/v_")
        self.is_update = self.stem.startswith("after/") and not self.is_velocity

    def get(self, name):
        """Our array `name` of the same step. Raises Unknown."""
        return self.named(f"step_{self.t}/{name}")

    def named(self, name):
        if name not in self.arrays:
            raise Unknown
        return self.arrays[name]

    def parameter(self, symbol, l, t=None):
        """A parameter as this step (or step t) finds it; for a target V and c as it does."""
        name = name_of(symbol, l)
        if symbol in self.declared.redrawn(self.setting):
            return self.get(name)
        trained_before = (self.stem == "h_hat" and symbol in ("V", "c")
                          and self.start.phases[self.t] == "both"
                          and self.setting["order"] == "inverse-first")
        before = (t or self.t) - (0 if trained_before else 1)
        return self.named(f"step_{before}/after/{name}" if before else f"init/{name}")

    def parameters(self, **changed):
        """All of them, {"W": {l: array}, ...}; `changed`: V={2: array} for another V_2."""
        return {s: {l: self.parameter(s, l) for l in self.net.shapes_of(s)} | changed.get(s, {})
                for s in SYMBOLS}

    def step(self, phase, **changed):
        """Our array, from one step of the rule with some parameters changed. Raises Unknown."""
        return self.out(phase, **changed)[self.stem][self.l]

    def out(self, phase, net=None, **changed):
        """All that such a step gives, or one of another network. Raises Unknown."""
        rule = self.declared
        eps = {l: self.get(f"eps_{l}") for l in range(self.net.L)
               if f"step_{self.t}/eps_{l}" in self.arrays}
        return rule.step(net or self.net, self.parameters(**changed), self.get("x"), self.get("y"),
                         eps=eps, phase=phase, **rule.options_of_step(self.setting))

    def variant(self, **change):
        """Our array with options changed, or with other noise, from the beginning."""
        if missing(self.start):
            raise Unknown
        found = replay(self.start, **change)
        if self.q.name not in found:
            raise Unknown
        return found[self.q.name]

    @property
    def is_chain(self):
        """Whether σ alone stands between the layers, each of which reads the one before it."""
        return not (self.net.units or self.net.sources or self.net.adds)

    @cached_property
    def limit(self):
        """How far apart is still equal: a number, or one for each entry."""
        return self.measure.allowed(self.q, self.arrays)[0]

    def explains(self, candidate):
        """Whether their numbers are the candidate's, and much more so than ours."""
        if np.shape(candidate) != self.theirs.shape:
            return False
        off = self._off(candidate)
        return bool((off <= 1).all()) and _size(off) * BETTER <= _size(self._off(self.ours))

    def _off(self, candidate):
        """How far an array is from theirs, in units of what is still equal."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            difference = np.abs(self.theirs - candidate)
            return np.where(difference == 0, 0.0, difference / self.limit)

    @property
    def base(self):
        """What a change is counted from: ĥ_l from h_l, parameters from those before the step."""
        if self.stem == "h_hat":
            return self.get(f"h_{self.l}")
        if self.is_update:
            return self.parameter(*self.trained)
        return np.zeros_like(self.ours)

    @property
    def trained(self):
        """(symbol, l) of a parameter, or of its velocity, after the step."""
        symbol = self.stem.removeprefix("after/").removeprefix("v_")
        return (symbol, self.net.L if symbol.endswith("_z") else self.l)

    @property
    def group(self):
        """The group of parameters that it belongs to, and the prefix of its hyperparameters."""
        group = self.declared.group_of(self.trained[0]) or "forward"
        return group, prefix(group)


def _size(off):
    """The root mean square."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(off * off))) if off.size else 0.0
