"""How far an entry may lie from ours: what its own computation makes of rounding.

Two right implementations differ, because they take sums in another order. By how much depends on
the entry: h - ĥ loses the digits that the two have in common, and Adam divides a gradient that is
nearly zero by its own size. So every array gets an allowance for each of its entries:

    array                       allowance of an entry
    computed by the rule        rtol · largest entry of ours  (of ĥ_l: largest entry of ĥ_l - h_l)
                                + ROUNDING · what float32 does to it
                                + CARRIED · what the allowances of the parameters do to it
    a parameter after a step    its allowance before the step
                                + rtol · its change + 2 ulp of what is stored
                                + what the update does to a gradient that is off by its allowance
    a velocity after a step     rtol · largest entry + 2 ulp + the same of the update

*What float32 does*: the same step from the same numbers in float32; its error, for a file in
float64 times 2^-29, the ratio of the two precisions, since rounding errors are proportional to it.
It is one sample of the error. (Where ĥ_l is so near to h_l that float32 can't tell them apart, it
shows nothing; then also the same step in float64, each value of σ off by its own rounding.) What
an entry is allowed comes from the largest of its own error and the root mean square of its row, of
its column and of the array. *What the allowances of the parameters do*: the step from parameters
that are off by these, each with a random sign (one that is smaller than its own allowance gets the
other sign: the rule sign-symmetry asks for it).

So an array agrees if inputs that agree can give it, and nothing that follows from a difference
too small to be seen is called wrong.

ROUNDING = 32 is five standard deviations, the largest of a million errors, times six for a
product that is summed one term after another (BLAS sums in blocks, and more exactly).
CARRIED = 3: a parameter's allowance is a largest error already.
"""

import numpy as np

from .. import rules
from ..network import STATE
from ..rules.rule import prefix
from . import update

ROUNDING, CARRIED = 32, 3
RTOL = {4: 1e-4, 8: 1e-9}  # by the size in bytes of the file's numbers


class Allowances:
    """The allowance of every entry of ours.

    rtol, atol_scale   of arrays whose largest entry is below atol_scale that counts instead
    dtype              of the file's numbers
    start              the Content that ours comes from, whose options say how parameters change;
                       without it they are held to rtol of their largest change
    rounding           {name: ROUNDING and CARRIED's part}, filled while ours is replayed
    """

    def __init__(self, rtol, atol_scale, dtype, start=None):
        self.rtol, self.atol_scale, self.dtype = rtol, atol_scale, np.dtype(dtype)
        self.start, self.rounding, self.found = start, {}, {}
        self.by_name = {q.name: q for q in start.quantities} if start else {}

    def allowed(self, q, ours):
        """(the allowance: a number or an array like ours, the unit of relative errors)."""
        if q.name not in self.found:
            made = (self.of_state if self.is_state(q) else
                    self.of_velocity if q.stem[0].startswith("after/v_") else
                    self.of_parameter if q.stem[0].startswith("after/") else self.of_result)
            self.found[q.name] = made(q, ours)
        return self.found[q.name]

    def of_result(self, q, ours):
        values = ours[q.name]
        scale = largest(values - base(q, ours))
        limit = self.rtol * max(scale, self.atol_scale) + self.rounding.get(q.name, 0.0)
        return limit, scale or largest(values) or self.atol_scale

    def is_state(self, q):
        """Whether it is a running statistic after a step: no optimiser's, but the step's own."""
        return q.stem[0].removeprefix("after/") in STATE and q.stem[0].startswith("after/")

    def of_state(self, q, ours):
        values, scale = ours[q.name], largest(ours[q.name])
        of_step = f"step_{q.step}/{q.name.rpartition('/')[2]}"
        limit = self.rtol * max(scale, self.atol_scale) + self.rounding.get(of_step, 0.0)
        return limit + 2 * np.finfo(self.dtype).eps * np.abs(values), scale or self.atol_scale

    def of_parameter(self, q, ours):
        values, name = ours[q.name], q.name.rpartition("/")[2]
        start = ours.get(f"init/{name}")
        scale = largest(values - start) if start is not None else largest(values)
        unit = scale or largest(values) or self.atol_scale
        ulp = 2 * np.finfo(self.dtype).eps
        before = self.before(q)
        spread = self.spread(q, ours) if before in ours else None
        if spread is None:  # nothing is known of its gradients
            return self.rtol * max(scale, self.atol_scale) + ulp * largest(values), unit
        limit = self.allowed(self.by_name[before], ours)[0] if before in self.by_name else 0.0
        if before.startswith("init/"):
            limit = 0.0
        old = ours[before]
        limit = limit + spread + self.rtol * np.maximum(np.abs(values - old), self.atol_scale)
        return limit + ulp * np.maximum(np.abs(values), np.abs(old)), unit

    def before(self, q):
        """The name of the same parameter before the step."""
        name = q.name.rpartition("/")[2]
        return f"step_{q.step - 1}/after/{name}" if q.step > 1 else f"init/{name}"

    def spread(self, q, ours):
        """What the update does to gradients that are off by their allowances; None if unknown."""
        if self.start is None:
            return None
        name = q.name.rpartition("/")[2]
        if f"step_{q.step}/d{name}" not in self.by_name:
            return self.rounding.get(q.name, 0.0)  # it is not trained, or without a gradient
        found = self.directions(q, name, ours)
        return found and update.spread(self.start.setting, self.group(name), *found)

    def of_velocity(self, q, ours):
        """v of momentum, which is 0 before the first step."""
        values, name = ours[q.name], q.name.rpartition("/")[2].removeprefix("v_")
        unit = largest(values) or self.atol_scale
        limit = self.rtol * max(largest(values), self.atol_scale)
        limit = limit + 2 * np.finfo(self.dtype).eps * np.abs(values)
        found = self.start and self.directions(q, name, ours)
        if found and found[0]:
            limit = limit + update.of_velocity(self.start.setting, self.group(name), *found)
        return limit, unit

    def group(self, name):
        """The group that trains the parameter called `name`."""
        return rules.get(self.start.rule).group_of(name.rpartition("_")[0] or name)

    def directions(self, q, name, ours):
        """update.directions of the steps up to that of q; None where an array is not there."""
        steps = [t for t in range(1, q.step + 1) if f"step_{t}/d{name}" in self.by_name]
        setting = self.start.setting
        gradients = [f"step_{t}/d{name}" for t in steps]
        before = [f"step_{t - 1}/after/{name}" if t > 1 else f"init/{name}" for t in steps]
        decays = update.decay_of(setting, prefix(self.group(name)))
        if any(g not in ours for g in gradients) or decays and any(b not in ours for b in before):
            return None
        off = [self.allowed(self.by_name[b], ours)[0] if decays and not b.startswith("init/")
               else 0.0 for b in before]
        return update.directions(
            setting, self.group(name), [ours[g] for g in gradients],
            [self.allowed(self.by_name[g], ours)[0] for g in gradients],
            [ours.get(b) for b in before], off)

    def learn(self, single, ours, carried, shaken):
        """Take in what float32, the parameters' allowances and rounded σ did: {name: array}."""
        ratio = float(np.finfo(self.dtype).eps / np.finfo(np.float32).eps)
        for name, array in single.items():
            part = ROUNDING * ratio * typical(array - ours[name])
            if name in shaken:
                part = part + ROUNDING * typical(shaken[name] - ours[name])
            if carried:
                part = part + CARRIED * typical(carried[name] - ours[name])
            self.rounding[name] = part


def base(q, ours):
    """What an array is a displacement of: ĥ_l of h_l. 0 for others."""
    return ours.get(f"step_{q.step}/h_{q.stem[1]}", 0.0) if q.stem[0] == "h_hat" else 0.0


def largest(array):
    """The largest absolute value; 0 of nothing, infinite where an entry is NaN."""
    value = float(np.abs(array).max(initial=0.0))
    return value if value == value else np.inf


def typical(error):
    """The size of an error, from one sample: like it. The largest of |error| and three means."""
    if not error.size:
        return np.abs(error)
    error = np.abs(np.where(np.isfinite(error), error, 0.0))
    flat = error.reshape(len(error), -1) if error.ndim > 1 else error.reshape(1, -1)
    square = flat * flat
    size = np.maximum(flat, np.sqrt(square.mean()))
    if error.ndim > 1:
        np.maximum(size, np.sqrt(square.mean(axis=1, keepdims=True)), out=size)
        np.maximum(size, np.sqrt(square.mean(axis=0, keepdims=True)), out=size)
    return size.reshape(error.shape)


def moved(array, allowance, rng):
    """The array off by its allowance, with random signs; entries smaller than it change sign."""
    signs = rng.integers(0, 2, array.shape, np.int8) * 2 - 1
    return np.where(np.abs(array) <= allowance, -array, array + signs * allowance)

