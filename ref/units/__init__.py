"""Units: all that stands between a_l = W_l h + b_l and the h_l that other layers read.

σ_l of the paper is the simplest one. A unit is a tuple of *parts*, from a_l up to h_l, none of
which carries weights that a rule would have to transport:

    BatchNorm   norm.py            Add         skip.py
    Sigma       sigma.py           MaxPool, AveragePool, GlobalAverage   pool.py

Each part has the way up and the way down side by side, with the ordinary derivative, whatever the
rule is (Xiao et al. 2018 and BioTorch keep it too; NOTES.md, readings):

    value(a, theta, skip, train)   (h, kept): the next value, and what the way down needs of it
    pull(kept, v)                  ((dh/da)ᵀ v, own): own holds the gradients of what else the part
                                   reads, by name: {"gamma": ..., "beta": ...} or {"skip": ...}
    out_shape(shape)               of h for one example, from that of a

a, h, v (N, ...);  theta {"gamma": (C,), ...}, the unit's own arrays;  skip (N, ...), the activity
that a skip connection adds;  train  whether batch norm takes the batch's statistics or the running
ones. Gradients in `own` are summed over the batch.
"""

from dataclasses import dataclass

from .norm import BatchNorm
from .pool import AveragePool, GlobalAverage, MaxPool
from .sigma import Sigma
from .skip import Add

POOLS = (MaxPool, AveragePool, GlobalAverage)
ORDER = (BatchNorm, Add, Sigma, *POOLS)

__all__ = ["POOLS", "Add", "AveragePool", "BatchNorm", "GlobalAverage", "MaxPool", "Sigma", "Unit"]


@dataclass(frozen=True)
class Unit:
    """The parts of one layer, in the order in which they follow a_l: BatchNorm, Add, Sigma, pools.

    That order is all that the field's networks need, and lets a part write over what the one before
    it gave: only Sigma keeps its own result.
    """

    parts: tuple

    def __post_init__(self):
        place = [ORDER.index(type(part)) for part in self.parts]
        if place != sorted(place) or self.count(BatchNorm) > 1 or self.count(Add) > 1:
            raise ValueError(f"{self.name}: the order is bn, add, a nonlinearity, pooling")

    def value(self, a, theta=None, skip=None, train=True):
        """(h, kept): one entry of kept for each part. May overwrite a."""
        kept = []
        for part in self.parts:
            a, k = part.value(a, theta, skip, train)
            kept.append(k)
        return a, kept

    def pull(self, kept, v):
        """((dh/da)ᵀ v, own) of all parts together, from the last one down."""
        own = {}
        for part, k in zip(reversed(self.parts), reversed(kept), strict=True):
            v, found = part.pull(k, v)
            own |= found
        return v, own

    def out_shape(self, shape):
        for part in self.parts:
            shape = part.out_shape(shape)
        return shape

    def shape_behind(self, kind, shape):
        """The shape behind the last part of a class."""
        found = None
        for part in self.parts:
            shape = part.out_shape(shape)
            found = shape if isinstance(part, kind) else found
        return found

    def count(self, kind):
        return sum(isinstance(part, kind) for part in self.parts)

    def find(self, kind):
        """The part of a class, or None."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    def kept_by(self, kind, kept):
        """What the last part of a class kept, or None."""
        found = [k for part, k in zip(self.parts, kept, strict=True) if isinstance(part, kind)]
        return found[-1] if found else None

    @property
    def name(self):
        """In words, as the one-line grammar has them: "bn relu maxpool 3/2"."""
        return " ".join(part.name for part in self.parts)
