"""Convolutional map: a locally-connected one whose weights are the same at every position.

W is (C_out, kh, kw, C_in). All positions of all images are the rows of one matrix product.
"""

from dataclasses import dataclass
from math import prod

from .patches import Patches


@dataclass(frozen=True)
class Convolution:
    """Convolution of (H, W, C_in) images; zero padding as in patches.py."""

    in_shape: tuple
    channels: int
    kernel: tuple
    stride: int = 1
    kind = "conv"

    @property
    def patches(self):
        return Patches(self.in_shape, self.kernel, self.stride)

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
                           self.stride)

    def _rows(self, x):
        """Patches of x (N, *in_shape) as rows: (N H'W', kh kw C_in)."""
        return self.patches.windows(x).reshape(-1, self.patches.size)

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        y = self._rows(x) @ W.reshape(self.channels, -1).T
        return y.reshape(len(x), *self.out_shape)

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        rows = y.reshape(-1, self.channels) @ W.reshape(self.channels, -1)
        windows = rows.reshape(len(y), *self.out_shape[:2], *self.kernel, self.in_shape[2])
        return self.patches.scatter(windows)

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ summed over the positions: (N, *in_shape), (N, *out_shape) -> like W."""
        return (y.reshape(-1, self.channels).T @ self._rows(x)).reshape(self.weight_shape)
