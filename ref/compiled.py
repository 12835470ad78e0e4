"""Adam's update as one compiled loop, where numba is installed (the extra `fast`).

NumPy makes twelve passes over memory; this one reads and writes each number once. It takes the same
operations in the same order, each rounded, so that both give the same bits (test_compiled.py). It
lets go of Python's lock, so that the pieces of parallel.elementwise run side by side.
"""

from functools import cache
from math import sqrt

import numpy as np


def _loop(theta, g, m, v, beta1, rest1, beta2, rest2, lr_t, epsilon_t):
    for i in range(theta.size):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * (g[i] * g[i])
        theta[i] -= lr_t * (m[i] / (sqrt(v[i]) + epsilon_t))


@cache
def _compiled():
    """_loop in machine code, kept on the disk; None where that can't be."""
    try:
        import numba

        if numba.config.DISABLE_JIT:
            return None
        # no fastmath: nothing is rearranged or fused; "numpy": a division by 0 gives inf
        types = [f"void({', '.join([f'{t}[::1]'] * 4 + [t] * 6)})" for t in ("f4", "f8")]
        return numba.njit(types, nogil=True, error_model="numpy", cache=True)(_loop)
    except Exception:  # of any kind: a broken numba must not stop what uses NumPy alone
        return None


def adam(formula, *numbers):
    """A function like formula(theta, g, m, v), compiled if it can be; else the formula itself.

    theta, g, m, v  flat arrays of one dtype, changed in place
    numbers         β1, 1 - β1, β2, 1 - β2, lr_t, ε_t
    """
    loop = _compiled()
    if loop is None:
        return formula

    rounded = {np.dtype(t): [t(n) for n in numbers] for t in (np.float32, np.float64)}

    def update(theta, g, m, v):
        if theta.dtype not in rounded or not theta.dtype == g.dtype == m.dtype == v.dtype:
            return formula(theta, g, m, v)
        return loop(theta, g, m, v, *rounded[theta.dtype])

    return update
