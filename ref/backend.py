"""Which array module an array belongs to, and the way between host and device.

Everything that knows NumPy from CuPy is in this file. Mathematics asks `xp = get_xp(x)` and
calls `xp.tanh(x)`; CuPy is optional and imported nowhere else.

Without a GPU this is held to CuPy's rules by tests/strict_xp.py (NOTES.md, part 6).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from math import prod

import numpy as np

INSTALL = 'pip install "cupy-cuda12x[ctk]" (CUDA 12) or "cupy-cuda13x[ctk]" (CUDA 13)'

try:
    import cupy

    why_no_cupy = None
except ImportError as error:
    cupy, why_no_cupy = None, "CuPy is not installed"
    if error.name != "cupy":
        why_no_cupy = f"CuPy can't be imported ({str(error).strip().splitlines()[0]})"

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

    Raises BackendError if it is not installed, or finds no driver, device, library or memory.
    """
    if name == "numpy":
        return np
    if cupy is None:
        raise BackendError(f"--backend cupy: {why_no_cupy}: {INSTALL}, or use --backend numpy")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" not in str(error):
            raise BackendError(
                f"--backend cupy: no NVIDIA driver that this CuPy can use ({first_line(error)}): "
                "install or update it and look with nvidia-smi, or use --backend numpy") from None
        count = 0
    if count == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
        raise BackendError(f"--backend cupy: no CUDA device to be seen{hidden}: "
                           "list them with nvidia-smi -L, or use --backend numpy")
    try:
        square = cupy.zeros((2, 2), "float32") + 1  # needs the compiler NVRTC,
        cupy.asnumpy(square @ square)  # and cuBLAS
    except MemoryError as error:
        raise BackendError(f"--backend cupy: the device has no free memory ({first_line(error)}): "
                           "look with nvidia-smi who has it, or choose another device with "
                           "CUDA_VISIBLE_DEVICES") from None
    except Exception as error:  # of many classes: it is the libraries that this line is there for
        raise BackendError(f"--backend cupy: CUDA's libraries can't be used "
                           f"({first_line(error)}): {INSTALL}, or use --backend numpy") from None
    return cupy


def first_line(error):
    """What an exception says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_device_error(error):
    """Whether an exception is CuPy's own, of a device or library that failed."""
    return type(error).__module__.split(".")[0] in ("cupy", "cupy_backends")


def versions(name):
    """What a result depends on beside NumPy, for config.json: {} for "numpy"."""
    if name == "numpy":
        return {}
    runtime = cupy.cuda.runtime
    device = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return {"cupy": cupy.__version__, "cuda": runtime.runtimeGetVersion(),
            "driver": runtime.driverGetVersion(), "device": device}


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


class Kernel:
    """An elementwise update as one kernel for a device: one pass over memory.

    inputs, outputs   CUDA C parameters "T a, T b"; T is the arrays' own type
    body              CUDA C for one entry; a statement is an assignment, so that tests can follow
    """

    def __init__(self, name, inputs, outputs, body):
        self.name, self.inputs, self.outputs, self.body = name, inputs, outputs, body

    @cached_property
    def compiled(self):
        return cupy.ElementwiseKernel(self.inputs, self.outputs, self.body, self.name)

    def __call__(self, *arguments):
        """Change the outputs in place; numbers among the inputs may change from call to call."""
        self.compiled(*arguments)


def elementwise(update, fused, *groups):
    """Change groups of equally long flat arrays in place.

    By update(*group), in blocks, on a CPU; by fused(*group), which calls a Kernel, on a device.
    """
    if groups and get_xp(groups[0][0]) is not np:
        for group in groups:
            fused(*group)
    else:
        in_blocks(update, *groups)


STREAM = 1 << 16  # numbers that a device draws at once: the same on any device


def device_normal(seeds):
    """A function (shape, dtype) -> N(0, 1) numbers drawn on the device.

    seeds  numpy.random.SeedSequence: the numbers are a function of it and of the calls
    """
    generator = cupy.random.Generator(cupy.random.Philox4x3210(seeds, size=STREAM))
    return lambda shape, dtype: generator.standard_normal(shape, dtype=dtype)


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
