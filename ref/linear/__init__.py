"""Linear maps: what a fully-connected, a locally-connected and a convolutional layer differ in.

Each has three operations, all linear in each argument:

    forward(W, x)      W x                 (N, *in_shape)  -> (N, *out_shape)
    transpose(W, y)    Wᵀ y                (N, *out_shape) -> (N, *in_shape)
    outer(x, y)        G with ⟨G, W⟩ = ⟨y, W x⟩, like W, summed over the batch

and the numbers that building and counting need: weight_shape, bias_shape (of b, added to W x),
in_bias_shape (of c, added to Vᵀ y), fan_in, fan_out, multiply_adds (one W x of one example).

A local or conv map raises ValueError for a W, x or y of another shape; a dense map takes whatever
has as many numbers. README.md beside this has examples.

One identity holds for all of them: ⟨y, W x⟩ = ⟨Wᵀ y, x⟩ = ⟨outer(x, y), W⟩.
"""

from .conv import Convolution
from .dense import Dense
from .local import LocallyConnected

__all__ = ["Convolution", "Dense", "LocallyConnected"]
