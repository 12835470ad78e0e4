"""Pooling of (H, W, C) images: windows of `kernel` at every stride-th place, in floor mode.

    MaxPool        h = the largest a of a window, -∞ outside the image; v goes to that one alone,
                   the first in row-major order where several are as large; windows that overlap
                   add up
    AveragePool    h = Σ a / kernel²,  v / kernel² to each of the window
    GlobalAverage  h = Σ a / (H W) over all places, (C,);  v / (H W) to each
"""

from dataclasses import dataclass
from math import inf

from ..backend import get_xp
from ..parallel import by_example


@dataclass(frozen=True)
class _Windows:
    """kernel, stride, pad  in pixels, the same down and across."""

    kernel: int
    stride: int
    pad: int = 0

    def out_shape(self, shape):
        H, W, C = shape
        return (*((size + 2 * self.pad - self.kernel) // self.stride + 1 for size in (H, W)), C)

    @property
    def name(self):
        pad = f" pad {self.pad}" if self.pad else ""
        return f"{self.word} {self.kernel}/{self.stride}{pad}"

    def padded(self, a, value):
        """a with `pad` rows and columns of a value on every side."""
        if not self.pad:
            return a
        N, H, W, C = a.shape
        p = self.pad
        wide = get_xp(a).full((N, H + 2 * p, W + 2 * p, C), value, a.dtype)
        wide[:, p : p + H, p : p + W] = a
        return wide

    def places(self, padded):
        """Views (N, H', W', C) of the padded image, one for each place in a window, row by row."""
        H, W = ((size - self.kernel) // self.stride + 1 for size in padded.shape[1:3])
        s = self.stride
        for i in range(self.kernel):
            for j in range(self.kernel):
                yield padded[:, i : i + s * (H - 1) + 1 : s, j : j + s * (W - 1) + 1 : s]

    def spread(self, shape, like, pieces):
        """The sum of pieces (one for each place in a window) where they came from: (N, *shape)."""
        N, H, W, C = shape
        p = self.pad
        wide = get_xp(like).zeros((N, H + 2 * p, W + 2 * p, C), like.dtype)
        for place, piece in zip(self.places(wide), pieces, strict=True):
            place += piece
        return wide[:, p : p + H, p : p + W] if p else wide


@dataclass(frozen=True)
class MaxPool(_Windows):
    word = "maxpool"

    def value(self, a, theta=None, skip=None, train=True):
        """(h, (winner, shape of a)); winner (N, H', W', C): which place of its window, from 0."""
        xp = get_xp(a)
        h = xp.empty((len(a), *self.out_shape(a.shape[1:])), a.dtype)
        winner = xp.zeros(h.shape, "uint8" if self.kernel < 16 else "int32")

        def few(a, h, winner):
            places = self.places(self.padded(a, -inf))
            h[...] = next(places)
            for k, place in enumerate(places, 1):
                larger = place.real > h.real  # and not >=: the first keeps a tie
                if h.dtype.kind == "c":
                    xp.copyto(h, place, where=larger)  # complex numbers have no such order
                else:
                    xp.maximum(h, place, out=h)
                # k grows: the last to be larger has won. Four times as fast as a copy under a mask
                xp.maximum(winner, larger * winner.dtype.type(k), out=winner)

        by_example(few, a, h, winner)
        return h, (winner, a.shape)

    def pull(self, kept, v):
        winner, shape = kept
        down = get_xp(v).empty(shape, v.dtype)

        def few(v, winner, down):
            pieces = (v * (winner == k) for k in range(self.kernel**2))
            down[...] = self.spread(down.shape, v, pieces)

        by_example(few, v, winner, down)
        return down, {}


@dataclass(frozen=True)
class AveragePool(_Windows):
    word = "meanpool"

    def value(self, a, theta=None, skip=None, train=True):
        return sum(self.places(self.padded(a, 0))) / self.kernel**2, a.shape

    def pull(self, shape, v):
        v = v / self.kernel**2
        return self.spread(shape, v, (v for _ in range(self.kernel**2))), {}


@dataclass(frozen=True)
class GlobalAverage:
    name = "mean"

    def value(self, a, theta=None, skip=None, train=True):
        return a.mean(axis=(1, 2)), a.shape

    def pull(self, shape, v):
        v = v / (shape[1] * shape[2])
        return get_xp(v).broadcast_to(v[:, None, None, :], shape), {}

    def out_shape(self, shape):
        return shape[-1:]
