"""Work shared out to the CPU's cores, by threads: NumPy lets go of Python's lock while it computes.

BLAS itself is held to one thread (ref/__init__.py), because its own threads only serve one product
at a time. Here the products of different positions, layers and pieces of a large matrix run side
by side, each with the copying around it, while its operands are in that core's cache. What is
computed does not depend on how many threads there are, but for the last bits of a product large
enough to be cut for them (`matmul`), which BLAS sums differently near an edge. On a device
everything is one piece.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .backend import get_xp

# Bytes that a core works on at a time: what stays in a 2 MiB cache (runs/speed.md).
CACHE = 1 << 20
# Elements of a block of an update: five float32 arrays of it stay in the cache through all passes,
# and two threads do not wait for each other.
BLOCK = 1 << 16
# Multiply-adds from which one matrix product is worth a second thread: about 0.2 ms of work.
LARGE = 1 << 24


def threads():
    """How many threads to use: the CPUs given to us, or OPENBLAS_NUM_THREADS or OMP_NUM_THREADS."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        limit = os.environ.get(name, "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:20]):
            return min(cpus, int(limit))
    return cpus


_pool = None


def _threads():
    """The threads that help the calling one."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=threads())
    return _pool


def later(work, *arguments):
    """Begin work(*arguments) on another core, if there is one; call what this returns for it."""
    if threads() == 1:
        return lambda: work(*arguments)
    return _threads().submit(work, *arguments).result


def each(work, pieces, x):
    """Call work(piece) for each of `pieces`, in no certain order, on all cores.

    The pieces must not depend on each other, nor write to the same memory. x is one of the arrays
    they work on: on a device the pieces go one after another.
    """
    pieces = list(pieces)
    helpers = min(threads(), len(pieces)) - 1 if get_xp(x) is np else 0
    todo = iter(pieces)

    def work_off():
        for piece in todo:  # shared: each piece goes to whoever is free
            work(piece)

    if helpers < 1:
        work_off()
        return
    others = [_threads().submit(work_off) for _ in range(helpers)]
    try:
        work_off()
    finally:
        for other in others:
            if not other.cancel():  # it had begun
                other.result()


def slices(n, size, x):
    """Slices that cover range(n), of `size` or what is left; one slice if x is on a device."""
    size = max(1, size) if get_xp(x) is np else n
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def matmul(A, B):
    """A @ B of matrices (m, k), (k, n); a large product in as many pieces as there are threads."""
    (m, k), n = A.shape, B.shape[1]
    if m * k * n < LARGE or get_xp(A) is not np:
        return A @ B
    C = np.empty((m, n), np.result_type(A, B))
    if m >= n:
        each(lambda i: np.matmul(A[i], B, out=C[i]), slices(m, -(-m // threads()), A), A)
    else:
        each(lambda j: np.matmul(A, B[:, j], out=C[:, j]), slices(n, -(-n // threads()), A), A)
    return C


def elementwise(update, fused, *groups):
    """Change groups of equally long flat arrays in place, entry by entry.

    On a CPU by update(*block), in blocks of BLOCK elements, so that all passes of one update find
    their operands in the cache. On a device by fused(*group), which calls a backend.Kernel.
    """
    if groups and get_xp(groups[0][0]) is not np:
        for group in groups:
            fused(*group)
        return
    pieces = [[array[i] for array in group] for group in groups
              for i in slices(group[0].size, BLOCK, group[0])]
    if sum(piece[0].size for piece in pieces) < 2 * BLOCK:  # not worth a second thread
        for piece in pieces:
            update(*piece)
        return
    pieces.sort(key=lambda piece: -piece[0].size)
    each(lambda piece: update(*piece), pieces, pieces[0][0])
