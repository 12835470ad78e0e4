"""How fast a step could be: its counted work at the machine's own measured speed.

    floor = 2 × multiply-adds of its matrix products / peak + bytes of its optimisers / bandwidth

Counted are the products that the rule asks its linear maps for, one multiplication and one
addition for each weight that an input meets, and for each parameter that Adam trains seven passes
over memory: θ, g, m, v read, θ, m, v written. Nonlinearities, noise, patches and the batch itself
are left out: nothing is lost by doing them in the shadow of these, in principle. Peak is what one
large matrix product of the same library reaches on as many threads, bandwidth a large copy.
"""

import statistics
import time
from dataclasses import replace

import numpy as np

from ref.parallel import each, matmul, slices, threads

PEAK_SIZE = 2048  # rows and columns: 17 GFLOP
COPY_BYTES = 1 << 28


class Counted:
    """A linear map that adds up the multiply-adds of its products in `total`, a list of numbers."""

    def __init__(self, linear_map, total):
        self._map, self._total = linear_map, total

    def __getattr__(self, name):
        return getattr(self._map, name)

    def _count(self, x):
        self._total.append(len(x) * self._map.multiply_adds)

    def forward(self, W, x):
        self._count(x)
        return self._map.forward(W, x)

    def transpose(self, W, y):
        self._count(y)
        return self._map.transpose(W, y)

    def outer(self, x, y):
        self._count(x)
        return self._map.outer(x, y)


def products(trainer, x, y):
    """FLOP of the matrix products of one step (which is taken)."""
    total, net = [], trainer.net

    def counted(maps):
        return {l: Counted(m, total) for l, m in maps.items()}

    trainer.net = replace(net, map=counted(net.map), g_map=counted(net.g_map),
                          b_map=counted(net.b_map),
                          z_map=Counted(net.z_map, total) if net.z_map else None)
    try:
        trainer.step(x, y)
    finally:
        trainer.net = net
    return 2 * sum(total)


def optimiser_bytes(trainer):
    """Bytes that the optimisers of one step must read and write."""
    return 7 * sum(p.nbytes for trained in trainer.trained.values() for p in trained.values())


def peak(repeats=3):
    """FLOP a second of a large float32 matrix product, on all threads: median."""
    A = np.ones((PEAK_SIZE, PEAK_SIZE), np.float32)
    return 2 * PEAK_SIZE**3 / _median(lambda: matmul(A, A), repeats)


def bandwidth(repeats=3):
    """Bytes a second that a large copy reads and writes, on all threads: median."""
    source = np.ones(COPY_BYTES // 4, np.float32)
    target = np.empty_like(source)
    parts = slices(source.size, -(-source.size // threads()), source)

    def copy():
        each(lambda i: np.copyto(target[i], source[i]), parts, source)

    return 2 * source.nbytes / _median(copy, repeats)


def _median(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
