"""Which array module an array belongs to, and the way between host and device.

Everything that knows NumPy from CuPy is in this file, but for parallel.py, whose pieces and threads
are for a CPU alone. Mathematics asks `xp = get_xp(x)` and
calls `xp.tanh(x)`; CuPy is optional and imported nowhere else.

Without a GPU this is held to CuPy's rules by tests/strict_xp.py (ref/gpu.md).
"""

import os
from functools import cached_property
from math import prod

import numpy as np

from .common.command import UserError

INSTALL = 'pip install "cupy-cuda12x[ctk]" (CUDA 12) or "cupy-cuda13x[ctk]" (CUDA 13)'

try:
    import cupy

    why_no_cupy = None
except Exception as error:  # of any kind: a broken CuPy must not stop what uses NumPy alone
    missing = getattr(error, "name", None) == "cupy"
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    cupy = None
    why_no_cupy = "CuPy is not installed" if missing else f"CuPy can't be imported ({said})"


class BackendError(UserError):
    """The array backend asked for can't be used here; the message says what to install."""


def get_xp(x):
    """The module (numpy or cupy) whose functions take the array x."""
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def on_host(x):
    """Whether an array is NumPy's."""
    return get_xp(x) is np


def select(name, device=None):
    """The array module called `name` ("numpy" or "cupy").

    device  the one to work on, a number: modulo how many there are; None for CUDA's own choice

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
    if device is not None:
        cupy.cuda.Device(device % count).use()
    try:
        square = cupy.zeros((2, 2), "float32") + 1  # needs the compiler NVRTC,
        cupy.asnumpy(square @ square)  # and cuBLAS
    except MemoryError as error:
        raise BackendError(f"--backend cupy: the device has no free memory ({first_line(error)}): "
                           "look with nvidia-smi who has it, or choose another device with "
                           "CUDA_VISIBLE_DEVICES") from None
    except Exception as error:  # of many classes: it is the libraries that this line is there for
        raise BackendError(f"--backend cupy: the device or CUDA's libraries can't be used "
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


def spread(v, shape):
    """v (N, C) repeated over the places of an image, (N, *shape); v where that is its shape."""
    if v.shape[1:] == shape:
        return v
    return get_xp(v).broadcast_to(v[:, None, None, :], (len(v), *shape))


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


# Numbers that a device draws at once. CuPy's default depends on the model of the device, and so
# would the numbers; its threads come in blocks of 256.
STREAM = 1 << 16


def device_normal(seeds):
    """A function (shape, dtype) -> N(0, 1) numbers drawn on the device.

    seeds  numpy.random.SeedSequence: the numbers are a function of it (CuPy takes 32 bits from it)
           and of the calls
    """
    generator = cupy.random.Generator(cupy.random.Philox4x3210(seeds, size=STREAM))
    return lambda shape, dtype: generator.standard_normal(shape, dtype=dtype)
