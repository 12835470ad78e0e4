"""Work shared out to the CPU's cores, by threads: NumPy lets go of Python's lock while it computes.

How many threads BLAS has is chosen for each piece of work. One dense product after another
(`matmul`) gets them all. Products of different positions or inverses run side by side (`each`), one
thread each, with the copying around them while their operands are in that core's cache. What is
computed is a function of how many threads there are, and depends on it only in the last bits of the
products that BLAS cuts for them. On a device everything is one piece.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from .backend import get_xp

# Bytes that a core works on at a time: what stays in a 2 MiB cache (runs/speed.md).
CACHE = 1 << 20
# Elements of a block of an update. Of NumPy's passes over it, each waits for Python's lock: so two
# threads want large ones, and a cache small ones.
BLOCK = 1 << 17
# Below so many multiply-adds OpenBLAS multiplies without copying its operands first. A product with
# few columns has so little to do for each number that the copy takes a third of its time
# (ref/units/README.md); that pays from so many rows on.
UNPACKED, FEWEST = 10**6, 32
SIDE_BY_SIDE = 1 << 20  # elements of an update from which a second thread is worth waking


@cache
def _cpus():
    """How many CPUs were given to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def threads():
    """How many threads to use: the CPUs given to us, or OPENBLAS_NUM_THREADS or OMP_NUM_THREADS."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        limit = os.environ.get(name, "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:20]):
            return min(_cpus(), int(limit[:20]))
    return _cpus()


@cache
def _libraries():
    """BLAS as it is loaded; looking for it takes a millisecond."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


class blas:
    """with blas(n): in here BLAS has n threads, and then as many as before. It takes 2 µs."""

    def __init__(self, n):
        self.n = n

    def __enter__(self):
        counts = [(library, library.num_threads) for library in _libraries()]
        self.changed = [(library, count) for library, count in counts if count != self.n]
        for library, _ in self.changed:
            library.set_num_threads(self.n)

    def __exit__(self, *error):
        for library, count in self.changed:
            library.set_num_threads(count)


_pool = None
_this_thread = threading.local()  # .at_a_piece: whether it is within `each`


def _threads():
    """The threads that help the calling one."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=threads())
    return _pool


def each(work, pieces, x):
    """Call work(piece) for each of `pieces`, in no certain order, on all cores.

    The pieces must not depend on each other, nor write to the same memory. x is one of the arrays
    they work on: on a device the pieces go one after another.
    """
    pieces = list(pieces)
    if get_xp(x) is not np:
        for piece in pieces:
            work(piece)
        return
    todo = iter(pieces)

    def work_off():
        outer = getattr(_this_thread, "at_a_piece", False)
        _this_thread.at_a_piece = True
        try:
            for piece in todo:  # shared: each piece goes to whoever is free
                work(piece)
        finally:
            _this_thread.at_a_piece = outer

    with blas(1):
        others = [_threads().submit(work_off) for _ in range(min(threads(), len(pieces)) - 1)]
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


def by_example(work, *arrays):
    """[work(piece of each array) ...] for pieces of a few examples of images, (N, H, W, C), that
    stay in a cache; in the order of the examples, on all cores. Vectors, and what is on a device,
    are one piece."""
    first = arrays[0]
    n = len(first)
    size = CACHE // max(1, first.nbytes // max(1, n))
    if size >= n or first.ndim < 4:
        return [work(*arrays)]
    pieces = slices(n, size, first)
    found = [None] * len(pieces)

    def one(k):
        found[k] = work(*(array[pieces[k]] for array in arrays))

    each(one, range(len(pieces)), first)
    return found


def matmul(A, B):
    """A @ B of matrices (m, k), (k, n): on all threads, or, within a piece of `each`, on one."""
    if get_xp(A) is not np or getattr(_this_thread, "at_a_piece", False):
        return A @ B
    with blas(threads()):
        return A @ B


def small_product(rows, of_a_row, x):
    """The largest divisor of `rows` with which a product stays small: rows to multiply at once.
    of_a_row: multiply-adds of one. 0 where it does not pay; x as in `each`."""
    if get_xp(x) is not np:
        return 0
    most = min(rows, UNPACKED // of_a_row)
    tile = next((t for t in range(most, 0, -1) if rows % t == 0), 0)
    return tile if tile >= FEWEST else 0


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
    if sum(piece[0].size for piece in pieces) < SIDE_BY_SIDE:
        for piece in pieces:
            update(*piece)
        return
    pieces.sort(key=lambda piece: -piece[0].size)
    each(lambda piece: update(*piece), pieces, pieces[0][0])
