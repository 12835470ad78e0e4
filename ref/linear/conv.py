"""Convolutional map: a locally-connected one whose weights are the same at every position.

W is (C_out, kh, kw, C_in). All positions of all images are the rows of one matrix product.

With explicit padding (`pad`) and stride 1, Wᵀ is itself a convolution: its kernel is W turned by
180 degrees with its channels swapped, its padding kh - 1 - pad.
"""

from dataclasses import dataclass
from math import prod

from ..backend import get_xp
from ..parallel import CACHE, each, slices, small_product, threads
from .patches import Patches, check_sizes, expect

BLOCK = 4 * CACHE  # bytes of patches at once


@dataclass(frozen=True)
class Convolution:
    """Convolution of (H, W, C_in) images; zero padding as in patches.py."""

    in_shape: tuple
    channels: int
    kernel: tuple
    stride: int = 1
    pad: int | None = None
    kind = "conv"

    def __post_init__(self):
        check_sizes(self)

    @property
    def patches(self):
        return Patches(self.in_shape, self.kernel, self.stride, self.pad)

    @property
    def out_shape(self):
        return (*self.patches.out_size, self.channels)

    @property
    def weight_shape(self):
        return (self.channels, *self.kernel, self.in_shape[2])

    @property
    def bias_shape(self):
        return (self.channels,)

    @property
    def in_bias_shape(self):
        return (self.in_shape[2],)

    @property
    def fan_in(self):
        return self.patches.size

    @property
    def fan_out(self):
        return prod(self.kernel) * self.channels

    @property
    def multiply_adds(self):
        return prod(self.patches.out_size) * prod(self.weight_shape)

    def wider(self):
        """The same with a kernel 2 larger in each direction (section 3.2)."""
        return Convolution(self.in_shape, self.channels, tuple(k + 2 for k in self.kernel),
                           self.stride, None if self.pad is None else self.pad + 1)

    def _blocks(self, x):
        """Slices of the batch whose patches fit into a few caches; with explicit padding as many
        for each thread."""
        each_needs = prod(self.patches.out_size) * self.patches.size * x.dtype.itemsize
        size = max(1, BLOCK // each_needs)
        if self.pad is not None:
            turns = -(-len(x) // (size * threads()))
            size = -(-len(x) // (turns * threads()))
        return slices(len(x), size, x)

    def _rows(self, x):
        """Patches of x (N, *in_shape) as rows: (N H'W', kh kw C_in)."""
        return self.patches.windows(x).reshape(-1, self.patches.size)

    def _tile(self, x):
        """How many rows of patches to multiply at once; 0: all of a block's.

        Only with explicit padding: the networks of Bartunov et al. keep their last bits.
        """
        if self.pad is None:
            return 0
        return small_product(prod(self.patches.out_size), self.patches.size * self.channels, x)

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        expect("W", W.shape, self.weight_shape)
        xp, matrix = get_xp(x), W.reshape(self.channels, -1).T
        y = xp.empty((len(x), *self.out_shape), xp.result_type(W, x))
        tile = self._tile(x)
        if tile:
            matrix = xp.ascontiguousarray(matrix)

        def block(n):
            rows, out = self._rows(x[n]), y[n].reshape(-1, self.channels)
            xp.matmul(in_tiles(rows, tile), matrix, out=in_tiles(out, tile))

        each(block, self._blocks(x), x)
        return y

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        expect("W", W.shape, self.weight_shape)
        expect("y", y.shape[1:], self.out_shape)
        kh, kw = self.kernel
        if self.pad is not None and self.stride == 1 and kh == kw and self.pad < kh:
            pad = kh - 1 - self.pad
            turned = Convolution(self.out_shape, self.in_shape[2], self.kernel, 1, pad)
            return turned.forward(W[:, ::-1, ::-1].transpose(3, 1, 2, 0), y)
        matrix = W.reshape(self.channels, -1)
        padded, x = self.patches.zeros(len(y), y)
        H, W_ = self.patches.out_size

        def block(n):
            patches = y[n].reshape(-1, self.channels) @ matrix
            patches = patches.reshape(-1, H, W_, *self.kernel, self.in_shape[2])
            self.patches.add(patches.transpose(1, 2, 0, 3, 4, 5), padded[n], slice(0, H),
                             slice(0, W_))

        each(block, self._blocks(y), y)
        return x

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ summed over the positions: (N, *in_shape), (N, *out_shape) -> like W."""
        expect("y", y.shape[1:], self.out_shape)
        blocks, tile = self._blocks(x), self._tile(x)
        G = [None] * len(blocks)

        def block(k):
            n = blocks[k]
            rows, to = self._rows(x[n]), y[n].reshape(-1, self.channels)
            if tile:
                G[k] = (in_tiles(to, tile).swapaxes(1, 2) @ in_tiles(rows, tile)).sum(axis=0)
            else:
                G[k] = to.T @ rows

        each(block, range(len(blocks)), x)
        return sum(G).reshape(self.weight_shape)


def in_tiles(rows, tile):
    """rows (R, K) as (R / tile, tile, K); themselves where tile is 0."""
    return rows.reshape(-1, tile, rows.shape[1]) if tile else rows
