"""Which array module an array belongs to, and the way between host and device.

Everything that knows NumPy from CuPy is in this file. Mathematics asks `xp = get_xp(x)` and
calls `xp.tanh(x)`; CuPy is optional and imported nowhere else.
"""

from math import prod

import numpy as np

try:
    import cupy
except ImportError:
    cupy = None


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
