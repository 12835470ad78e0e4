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

    trainer.net = replace(net, map=counted(net.map),
                          maps={symbol: counted(maps) for symbol, maps in net.maps.items()})
    try:
        trainer.step(x, y)
    finally:
        trainer.net = net
    return 2 * sum(total)


def optimiser_bytes(trainer):
    """Bytes that the optimisers of one step must read and write."""
    return 7 * sum(p.nbytes for trained in trainer.trained.values() for p in trained.values())


def limits(xp, seconds):
    """(FLOP a second of a large float32 matrix product, bytes a second of a large copy).

    On all threads, or on the device; seconds(work) is the median time of work() there.
    """
    A = xp.zeros((PEAK_SIZE, PEAK_SIZE), np.float32)
    A += 1
    source = xp.zeros(COPY_BYTES // 4, np.float32)
    target = xp.zeros(COPY_BYTES // 4, np.float32)
    parts = slices(source.size, -(-source.size // threads()), source)

    def piece(i):
        target[i] = source[i]

    return (2 * PEAK_SIZE**3 / seconds(lambda: matmul(A, A)),
            2 * COPY_BYTES / seconds(lambda: each(piece, parts, source)))


def seconds(work, repeats=3):
    """Median time of work() by the host's clock, after one call that is not timed."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def summary(flop, traffic, step_times, limits):
    """{name: value} of the floor, from the limits measured beside each of the step's times."""
    floors = [flop / peak + traffic / bandwidth for peak, bandwidth in limits]
    return {
        "GFLOP": flop / 1e9,
        "GFLOP_per_second": flop / statistics.median(step_times) / 1e9,
        "peak_GFLOP_per_second": statistics.median(peak for peak, _ in limits) / 1e9,
        "bandwidth_GB_per_second": statistics.median(bandwidth for _, bandwidth in limits) / 1e9,
        "floor_ms": 1e3 * statistics.median(floors),
        **ratio("floor_ratio", step_times, floors),
    }


def ratio(name, ours, theirs):
    """Median, lowest and highest of the ratios of each turn."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {name: statistics.median(ratios), f"{name}_lowest": min(ratios),
            f"{name}_highest": max(ratios)}


def lines(r):
    """What a person reads of `summary`."""
    yield (f"  {r['GFLOP']:.2f} GFLOP of matrix products at {r['GFLOP_per_second']:.0f} GFLOP/s; "
           f"this machine: {r['peak_GFLOP_per_second']:.0f} GFLOP/s, "
           f"{r['bandwidth_GB_per_second']:.0f} GB/s")
    yield (f"  floor {r['floor_ms']:.2f} ms, {r['floor_ratio']:.2f} times that "
           f"({r['floor_ratio_lowest']:.2f} to {r['floor_ratio_highest']:.2f})")
