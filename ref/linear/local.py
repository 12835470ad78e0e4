"""Locally-connected map, section 5.4: each output position has weights of its own.

W is (H', W', C_out, kh, kw, C_in): at every output position a dense matrix from its patch to its
C_out units, (W x)[n, i, j] = W[i, j] · patch of x[n] at (i, j). No weight is shared, so nothing
here is a convolution. The matrix products of all positions are one batched product.
"""

from dataclasses import dataclass
from math import prod

from ..backend import get_xp
from .patches import Patches


@dataclass(frozen=True)
class LocallyConnected:
    """Locally-connected map of (H, W, C_in) images; zero padding as in patches.py."""

    in_shape: tuple
    channels: int
    kernel: tuple
    stride: int = 1
    kind = "local"

    @property
    def patches(self):
        return Patches(self.in_shape, self.kernel, self.stride)

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
        return LocallyConnected(self.in_shape, self.channels, kernel, self.stride)

    def _by_position(self, x):
        """Patches of x (N, *in_shape), gathered position by position: (H'W', N, kh kw C_in)."""
        windows = self.patches.windows(x).transpose(1, 2, 0, 3, 4, 5)
        return windows.reshape(-1, len(x), self.patches.size)

    def _matrices(self, W):
        """W as one matrix for each position: (H'W', C_out, kh kw C_in)."""
        return W.reshape(-1, self.channels, self.patches.size)

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        xp = get_xp(x)
        y = xp.empty((len(x), *self.out_shape), x.dtype)
        xp.matmul(self._by_position(x), self._matrices(W).transpose(0, 2, 1),
                  out=y.reshape(len(x), -1, self.channels).transpose(1, 0, 2))
        return y

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        by_position = y.reshape(len(y), -1, self.channels).transpose(1, 0, 2)
        patches = by_position @ self._matrices(W)  # (H'W', N, kh kw C_in)
        windows = patches.reshape(*self.out_shape[:2], len(y), *self.kernel, self.in_shape[2])
        return self.patches.scatter(windows.transpose(2, 0, 1, 3, 4, 5))

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ where W has entries: (N, *in_shape), (N, *out_shape) -> like W."""
        by_position = y.reshape(len(y), -1, self.channels).transpose(1, 2, 0)
        return (by_position @ self._by_position(x)).reshape(self.weight_shape)
