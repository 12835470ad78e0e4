"""Random streams: one seed, one independent stream for each purpose.

A stream is addressed by its purpose and, where it renews itself, by a counter (epoch, step), and
depends on nothing else. So a new purpose never shifts an old one, and a run can be resumed
anywhere without stored generator states.
"""

from math import prod

import numpy as np
from numpy.random import SFC64, Generator, SeedSequence

# The position of a purpose is part of its stream's address: append, never reorder.
PURPOSES = ("weights", "inverse", "feedback", "auxiliary", "noise", "order", "augmentation",
            "magnitude", "spikes", "phases", "tests", "biases", "validation")


def address(seed, purpose, *counter):
    """The SeedSequence of `purpose` (one of PURPOSES) under `seed`, at `counter`."""
    return SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *counter))


def stream(seed, purpose, *counter):
    """The numpy Generator of `purpose` (one of PURPOSES) under `seed`, at `counter`."""
    return Generator(SFC64(address(seed, purpose, *counter)))


def normals(rng, shapes, dtype):
    """{key: N(0, 1) numbers} of the {key: shape} and dtype (float32 or float64) given.

    By Box & Muller 1958: in float32 0.4 of the time of Generator.standard_normal, which was a fifth
    of a step of target propagation. The largest value it can give is √(48 ln 2) = 5.8 there.
    """
    pairs = {key: (prod(shape) + 1) // 2 for key, shape in shapes.items()}
    radius, angle = np.empty((2, sum(pairs.values())), dtype)
    places, start = {}, 0
    for key, n in pairs.items():
        places[key] = i = slice(start, start + n)
        rng.random(dtype=dtype, out=radius[i])
        rng.random(dtype=dtype, out=angle[i])
        start += n
    radius = np.sqrt(-2 * np.log(1 - radius))  # 1 - u lies in (0, 1]
    angle *= 2 * np.pi
    first, second = radius * np.cos(angle), radius * np.sin(angle)
    return {key: np.concatenate([first[i], second[i]])[:prod(shapes[key])].reshape(shapes[key])
            for key, i in places.items()}
