"""Locally-connected map, section 5.4: each output position has weights of its own.

W is (H', W', C_out, kh, kw, C_in): at every output position a dense matrix from its patch to its
C_out units, (W x)[n, i, j] = W[i, j] · patch of x[n] at (i, j). No weight is shared, so nothing
here is a convolution. The matrix products of all positions are one batched product.
"""

from dataclasses import dataclass
from math import prod

from ..backend import get_xp
from ..parallel import CACHE, each, slices
from .patches import Patches, check_sizes, expect


@dataclass(frozen=True)
class LocallyConnected:
    """Locally-connected map of (H, W, C_in) images; zero padding as in patches.py."""

    in_shape: tuple
    channels: int
    kernel: tuple
    stride: int = 1
    pad: int | None = None
    kind = "local"

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
        return (*self.out_shape, *self.kernel, self.in_shape[2])

    @property
    def bias_shape(self):
        return self.out_shape

    @property
    def in_bias_shape(self):
        return self.in_shape

    @property
    def fan_in(self):
        return self.patches.size

    @property
    def fan_out(self):
        return prod(self.kernel) * self.channels

    @property
    def multiply_adds(self):
        return prod(self.weight_shape)

    def wider(self):
        """The same with a kernel 2 larger in each direction (section 3.2)."""
        kernel = tuple(k + 2 for k in self.kernel)
        pad = None if self.pad is None else self.pad + 1
        return LocallyConnected(self.in_shape, self.channels, kernel, self.stride, pad)

    def _matrices(self, W):
        """W as a matrix for each position: (H', W', C_out, kh kw C_in)."""
        return W.reshape(*self.out_shape, self.patches.size)

    def _blocks(self, x):
        """Slices (of rows, of columns) of positions whose patches of x fit into a cache."""
        H, W = self.patches.out_size
        columns = CACHE // (len(x) * self.patches.size * x.dtype.itemsize)
        return [(i, j) for i in slices(H, columns // W, x) for j in slices(W, columns, x)]

    def _products(self, x, product):
        """Call product(patches, i, j) for all blocks (i, j): patches (r, c, N, kh kw C_in)."""
        windows = self.patches.windows(x)

        def block(ij):
            patches = windows[:, *ij].transpose(1, 2, 0, 3, 4, 5)
            product(patches.reshape(*patches.shape[:3], -1), *ij)

        each(block, self._blocks(x), x)

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        expect("W", W.shape, self.weight_shape)
        xp, matrices = get_xp(x), self._matrices(W).swapaxes(2, 3)
        y = xp.empty((len(x), *self.out_shape), xp.result_type(W, x))

        def product(patches, i, j):
            xp.matmul(patches, matrices[i, j], out=y[:, i, j].transpose(1, 2, 0, 3))

        self._products(x, product)
        return y

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        expect("W", W.shape, self.weight_shape)
        expect("y", y.shape[1:], self.out_shape)
        matrices, by_position = self._matrices(W), y.transpose(1, 2, 0, 3)
        padded, x = self.patches.zeros(len(y), y)

        def block(i):
            for j in slices(self.out_shape[1], 1, y):
                patches = by_position[i, j] @ matrices[i, j]  # (r, c, N, kh kw C_in)
                shape = (*patches.shape[:3], *self.kernel, self.in_shape[2])
                self.patches.add(patches.reshape(shape), padded, i, j)

        rows = slices(self.out_shape[0], self.patches.disjoint_rows(), y)
        each(block, rows[::2], y)  # no two of these add to the same inputs
        each(block, rows[1::2], y)
        return x

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ where W has entries: (N, *in_shape), (N, *out_shape) -> like W."""
        expect("y", y.shape[1:], self.out_shape)
        xp, by_position = get_xp(x), y.transpose(1, 2, 3, 0)
        G = xp.empty(self.weight_shape, xp.result_type(x, y))
        matrices = self._matrices(G)

        def product(patches, i, j):
            xp.matmul(by_position[i, j], patches, out=matrices[i, j])

        self._products(x, product)
        return G
