"""Fully-connected map: W is (n_out, n_in), W x the matrix product."""

from dataclasses import dataclass
from math import prod

from ..parallel import matmul


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

    # Batches of vectors are kept column by column in memory, the layout in which BLAS is fastest
    # (10 % of a step on mnist-fc); batches of images row by row, as the maps below them expect.

    def forward(self, W, x):
        """W x: (N, *in_shape) -> (N, *out_shape)."""
        y = matmul(W, x.reshape(len(x), -1).T)  # (n_out, N)
        return y.T.reshape(len(x), *self.out_shape)

    def transpose(self, W, y):
        """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
        y = y.reshape(len(y), -1)
        if len(self.in_shape) > 1:
            return matmul(y, W).reshape(len(y), *self.in_shape)
        return matmul(W.T, y.T).T

    def outer(self, x, y):
        """Σ_n y_n x_nᵀ: (N, *in_shape), (N, *out_shape) -> (n_out, n_in)."""
        return matmul(y.reshape(len(y), -1).T, x.reshape(len(x), -1))
