"""Random streams: one seed, one independent stream for each purpose.

A stream is addressed by its purpose and, where it renews itself, by a counter (epoch, step), and
depends on nothing else. So a new purpose never shifts an old one, and a run can be resumed
anywhere without stored generator states.
"""

from numpy.random import SFC64, Generator, SeedSequence

# The position of a purpose is part of its stream's address: append, never reorder.
PURPOSES = ("weights", "inverse", "feedback", "auxiliary", "noise", "order", "augmentation")


def stream(seed, purpose, *counter):
    """The numpy Generator of `purpose` (one of PURPOSES) under `seed`, at `counter`."""
    key = (PURPOSES.index(purpose), *counter)
    return Generator(SFC64(SeedSequence(seed, spawn_key=key)))
