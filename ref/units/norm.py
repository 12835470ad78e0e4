"""Batch norm (Ioffe & Szegedy 2015), per channel, over the m = N H W values that a batch has of it.

    training      μ = Σ a / m,  σ² = Σ (a - μ)² / m           biased: of this batch alone
                  x̂ = (a - μ) / √(σ² + ε)
                  y = γ x̂ + β
    evaluation    the same with the running mean and variance for μ and σ²
    running       r <- (1 - momentum) r + momentum μ, and σ² m / (m - 1), unbiased, for the variance

The way down in training goes through μ and σ² too; sums are over the m values:

    dβ = Σ v,  dγ = Σ v x̂
    da = γ / (m √(σ² + ε)) · (m v - dβ - x̂ dγ)

and in evaluation, where nothing of the batch is in μ and σ², da = γ v / √(σ² + ε).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..backend import get_xp
from ..common.command import UserError
from ..parallel import by_example
from ..ranks import ALONE

RUN = 1 << 17  # bytes: a part of what a core works on at a time (parallel.CACHE)


class Normalised(NamedTuple):
    """What the way down, the running statistics and reference files need.

    x_hat      (N, ..., C);  scale  γ / √(σ² + ε), (C,)
    mean, var  μ and the *unbiased* variance, (C,); None in evaluation, as is x_hat
    """

    x_hat: object
    scale: object
    mean: object
    var: object


@dataclass(frozen=True)
class BatchNorm:
    """channels  C, the size of the last axis (of a dense layer: its units)
    ranks     over whose rows of the batch the sums go (ref/ranks.py)
    """

    channels: int
    epsilon: float = 1e-5
    momentum: float = 0.1
    ranks: object = ALONE
    name = "bn"

    @property
    def shape(self):
        """Of γ, β and the running statistics."""
        return (self.channels,)

    def value(self, a, theta, skip=None, train=True):
        """(y, Normalised). Overwrites a. Raises UserError where a batch has one value a channel."""
        if not train:
            scale = theta["gamma"] / get_xp(a).sqrt(theta["running_var"] + self.epsilon)
            r, s, beta = (in_runs(c, a) for c in (theta["running_mean"], scale, theta["beta"]))

            def fixed(a):
                a -= r
                a *= s
                a += beta

            by_example(fixed, a)
            return a, Normalised(None, scale, None, None)
        xp, m = get_xp(a), self.values(a)
        if m == 1:
            raise UserError("batch norm needs more than one value a channel to train: give batches "
                            "of at least 2 examples (the last one of a pass too: --batch-size)")
        mean = self.ranks.sums(sum(by_example(per_channel, a))) / m
        runs_of_mean = in_runs(mean, a)

        def squares(a):
            t = a - runs_of_mean  # a itself is written once, below
            t *= t
            return per_channel(t)

        var = self.ranks.sums(sum(by_example(squares, a))) / m
        inverse = 1 / xp.sqrt(var + self.epsilon)
        y = xp.empty(a.shape, a.dtype)
        runs, gamma, beta = (in_runs(c, a) for c in (inverse, theta["gamma"], theta["beta"]))

        def normalise(a, y):
            a -= runs_of_mean
            a *= runs
            xp.multiply(a, gamma, out=y)
            y += beta

        by_example(normalise, a, y)
        return y, Normalised(a, theta["gamma"] * inverse, mean, var * (m / (m - 1)))

    def pull(self, kept, v):
        if kept.x_hat is None:
            return v * kept.scale, {}
        xp, m = get_xp(v), self.values(v)
        sums = by_example(lambda v, x_hat: (per_channel(v), per_channel(v * x_hat)), v, kept.x_hat)
        dbeta, dgamma = (sum(parts) for parts in zip(*sums, strict=True))
        of_v, of_x_hat = self.ranks.sums(dbeta) / m, self.ranks.sums(dgamma) / m
        of_v, of_x_hat, scale = (in_runs(c, v) for c in (of_v, of_x_hat, kept.scale))
        d = xp.empty(v.shape, v.dtype)

        def below(v, x_hat, d):
            xp.subtract(v, of_v, out=d)
            d -= x_hat * of_x_hat
            d *= scale

        by_example(below, v, kept.x_hat, d)
        return d, {"gamma": dgamma, "beta": dbeta}

    def values(self, a):
        """How many values of a channel the batch has."""
        return int(self.ranks.sums(np.array([a.size // self.channels]))[0])

    def running(self, kept, theta):
        """{"running_mean": ..., "running_var": ...} after the batch that `kept` is of."""
        old, k = 1 - self.momentum, self.momentum
        return {"running_mean": old * theta["running_mean"] + k * kept.mean,
                "running_var": old * theta["running_var"] + k * kept.var}

    def out_shape(self, shape):
        return shape


def in_runs(c, a):
    """c (C,), a number for each channel, repeated as far as that pays: over the places of an
    example of a, or of a row of it where images are large. NumPy goes through memory in runs of
    the operand that is repeated, and runs of 16 channels take twice as long."""
    shape = a.shape[1:] if a[0].nbytes <= RUN else a.shape[-2:]
    return get_xp(a).ascontiguousarray(get_xp(a).broadcast_to(c, shape)) if a.ndim > 2 else c


def per_channel(v):
    """Σ over all axes but the last: (N, ..., C) -> (C,).

    Over the batch as a product with ones, which BLAS does at the speed of memory; over the places
    in double precision, so that float32 keeps its digits however many there are.
    """
    xp = get_xp(v)
    places = (xp.ones(len(v), v.dtype) @ v.reshape(len(v), -1)).reshape(-1, v.shape[-1])
    double = "complex128" if v.dtype.kind == "c" else "float64"
    return places.sum(axis=0, dtype=double).astype(v.dtype)
