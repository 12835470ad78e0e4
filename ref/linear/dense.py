"""Fully-connected map: W is (n_out, n_in), W x the matrix product."""

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Dense:
    """Fully-connected map from in_shape to out_shape; shapes of images are flattened for it."""

    in_shape: tuple
    out_shape: tuple
    kind = "dense"

    @property
    def weight_shape(self):
        return (prod(self.out_shape), prod(self.in_shape))

    @property
    def bias_shape(self):
        return self.out_shape

    @property
    def in_bias_shape(self):
        return self.in_shape

    @property
    def fan_in(self):
        return prod(self.in_shape)

    @property
    def fan_out(self):
        return prod(self.out_shape)

    @property
    def multiply_adds(self):
        return prod(self.weight_shape)

    def wider(self):
        """Itself: a dense map already sees all of its input."""
        return self

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        N = len(x)
        return (W @ x.reshape(N, -1).T).T.reshape(N, *self.out_shape)

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        N = len(y)
        return (W.T @ y.reshape(N, -1).T).T.reshape(N, *self.in_shape)

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ: (N, *in_shape), (N, *out_shape) -> (n_out, n_in)."""
        N = len(x)
        return y.reshape(N, -1).T @ x.reshape(N, -1)
