"""Which array module an array belongs to, and the way between host and device.

Everything that knows NumPy from CuPy is in this file. Mathematics asks `xp = get_xp(x)` and
calls `xp.tanh(x)`; CuPy is optional and imported nowhere else.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np

try:
    import cupy
except ImportError:
    cupy = None

# Elements of a block: small enough for five float32 arrays to stay in a 2 MiB cache through all
# passes of an update, large enough for two threads not to wait for each other (NOTES.md, part 4).
BLOCK = 1 << 16


class BackendError(Exception):
    """The array backend asked for can't be used here; the message says what to install."""


def get_xp(x):
    """The module (numpy or cupy) whose functions take the array x."""
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def select(name):
    """The array module called `name` ("numpy" or "cupy").

    Raises BackendError if it is not installed or finds no device.
    """
    if name == "numpy":
        return np
    if cupy is None:
        raise BackendError(
            "--backend cupy needs CuPy, which is not installed: "
            "pip install cupy-cuda12x (CUDA 12) or cupy-cuda13x (CUDA 13), or use --backend numpy"
        )
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            f"--backend cupy: CUDA can't be used here ({error}); "
            "check the driver with nvidia-smi, or use --backend numpy"
        ) from None
    if count == 0:
        raise BackendError("--backend cupy: no CUDA device found; use --backend numpy")
    return cupy


def to_device(tree, xp):
    """A tree of dicts of NumPy arrays, with every array moved to xp's device."""
    if isinstance(tree, dict):
        return {key: to_device(value, xp) for key, value in tree.items()}
    return xp.asarray(tree)


def to_host(x):
    """x as a NumPy array (a copy only if it is on a device)."""
    return x if get_xp(x) is np else cupy.asnumpy(x)


def join(u, v):
    """The units of u and v side by side: (N, ...), (N, ...) -> (N, n_u + n_v)."""
    flat = [w.reshape(len(w), prod(w.shape[1:])) for w in (u, v)]
    return get_xp(u).concatenate(flat, axis=1)


def sign(v):
    """-1, 0 or 1 for each entry of v."""
    return get_xp(v).sign(v)


def threads():
    """How many threads elementwise work may use: the CPUs given to us, or OMP_NUM_THREADS."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cpus, int(limit)) if limit.isdigit() and int(limit) > 0 else cpus


_pool = None


def in_blocks(update, *groups):
    """Call update(*block) on matching pieces of each group of equally long flat arrays.

    `groups` are tuples of 1-D arrays; update changes its arguments in place, element by element.
    On a CPU the pieces have BLOCK elements, so that all passes of one update find their operands
    in the cache, and are shared out to threads (NumPy lets go of the interpreter while it works).
    The result does not depend on how many threads there are. On a device: one call per group.
    """
    global _pool
    if not groups:
        return
    if get_xp(groups[0][0]) is not np:
        for group in groups:
            update(*group)
        return
    pieces = [
        [array[start : start + BLOCK] for array in group]
        for group in groups
        for start in range(0, group[0].size, BLOCK)
    ]
    workers = min(threads(), sum(piece[0].size for piece in pieces) // BLOCK)
    if workers < 2:
        _update_all(update, pieces)
        return
    shares, loads = [[] for _ in range(workers)], [0] * workers
    for piece in sorted(pieces, key=lambda piece: -piece[0].size):
        lightest = loads.index(min(loads))
        shares[lightest].append(piece)
        loads[lightest] += piece[0].size
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=threads())
    others = [_pool.submit(_update_all, update, share) for share in shares[1:]]
    _update_all(update, shares[0])
    for other in others:
        other.result()


def _update_all(update, pieces):
    for piece in pieces:
        update(*piece)
