"""Inputs with mean 0 and deviation 1, channel by channel; or between -1 and 1.

    h_0 = (x - μ_c) / s_c         c the channel of a pixel, x in [0, 1] for images of bytes

μ and s are those of all pixels of the training part, without what is set apart for validation:
nothing that a result is measured on goes into them. They are numbers of the network, so that
training, evaluation and prediction use the same; config.json keeps them. "symmetric" has
μ = s = 1/2 whatever the data: images of bytes come to lie in [-1, 1].
"""

from dataclasses import replace

import numpy as np

from .backend import get_xp

BATCH = 1000  # examples that are looked at together
KINDS = ("none", "channels", "symmetric")


def measured(part):
    """{"mean": [μ_1, ...], "deviation": [s_1, ...]} of a part of a data set, in float64.

    In one pass, however large it is (Chan, Golub & LeVeque 1979). s_c is the root of the mean
    square of x - μ_c; 1 for a channel that is the same everywhere.
    """
    n, mean, square = 0, 0.0, 0.0  # square: Σ (x - mean)²
    for images, _ in part.in_order(BATCH):
        x = images.astype(np.float64).reshape(-1, images.shape[-1])
        if images.dtype == np.uint8:
            x /= 255
        here = x.mean(axis=0)
        apart = here - mean
        square = square + ((x - here) ** 2).sum(axis=0) + apart**2 * (n * len(x) / (n + len(x)))
        mean = mean + apart * (len(x) / (n + len(x)))
        n += len(x)
    deviation = np.sqrt(square / n)
    return {"mean": mean.tolist(), "deviation": np.where(deviation > 0, deviation, 1.0).tolist()}


def symmetric(channels):
    """The same of x in [0, 1] that shall lie in [-1, 1]."""
    return {"mean": [0.5] * channels, "deviation": [0.5] * channels}


def of_network(net, found):
    """The network whose inputs are normalised as `measured` found; as it is for None."""
    if not found:
        return net
    return replace(net, scaling=(tuple(found["mean"]), tuple(found["deviation"])))


def normalised(x, scaling):
    """h_0 of x (N, H, W, C), from a network's scaling; x itself where that is None."""
    if scaling is None:
        return x
    mean, deviation = (get_xp(x).asarray(np.array(numbers, x.dtype)) for numbers in scaling)
    return (x - mean) / deviation
