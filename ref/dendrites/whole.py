"""A phase as a few matrix products: the numbers of steps.py, for g_a = 0.

Nothing flows down within a phase then, and weights do not change within one. So each layer is
computed for all T steps before the next:

    s = K [trace; N]        the filter along time is a matrix (kernel.py)
    V = A [V(0); drive]     so is Euler's method: V(t) = a V(t-1) + drive(t) is Σ a^(t-k) drive(k)
    V_a                     is only needed as an average, Y s̄_L

Pixels that are silent add nothing: W's columns of the others are gathered, about a fifth of them.
"""

from functools import cache

import numpy as np

from .compartments import leak, sigma
from .steps import Means, State


@cache
def soma_matrix(a, T, dtype):
    """A (T, 1 + T): V (T, n) = A [V(0); drive]."""
    power = np.arange(T)[:, None] - np.arange(T)
    later = np.where(power >= 0, a ** np.maximum(power, 0.0), 0.0)
    return np.hstack([a ** np.arange(1.0, T + 1)[:, None], later]).astype(dtype)


@cache
def filter_matrix(kernel, T, dtype):
    """K of a kernel, kept."""
    return kernel.matrix(T).astype(dtype)


def soma(c, V_0, V_b, y=None, hidden=True):
    """V (T, n) from V(0) (n,) and the dendrite's V_b (T, n) (14, 19)."""
    a, drive = leak(c, V_b, y, hidden)
    A = soma_matrix(a, len(V_b), V_b.dtype)
    return A[:, 1:] @ drive + A[:, :1] * V_0


def phase(c, kernel, params, state, x, T, source, y=None, start=0, windows=None,
          fed_back="spikes", series=None, w=None):
    """(Means, the next State); arguments as in steps.phase."""
    W, b, Y = params["W"], params["b"], params["B"]
    L, dtype = len(W), x.dtype
    K = filter_matrix(kernel, T, dtype)
    w = (c.window(T) if w is None else w).astype(dtype)
    mean, V, trace = Means({}, {}, {}, {}), {}, {}
    keep = {name: {} for name in ("n", "s", "V", "phi", "V_a")}

    N = source.hold(start, x, T)
    heard = np.concatenate([state.trace[0], N])
    trace[0] = kernel.after(state.trace[0], N)
    live = np.flatnonzero(heard.any(axis=0))
    s = K @ heard[:, live]
    mean.s[0] = np.zeros_like(x)
    mean.s[0][live] = w @ s
    keep["n"][0] = N
    V_b = s @ W[1].T[live] + b[1]
    for l in range(1, L + 1):
        if l > 1:
            V_b = s @ W[l].T + b[l]  # (13, 18)
        V_l = soma(c, state.V[l], V_b, y if l == L else None, hidden=l < L)
        p = sigma(V_l)  # (17)
        N = source.fire(l, start, p)
        s = K @ np.concatenate([state.trace[l], N])  # (11)
        V[l], trace[l] = V_l[-1], kernel.after(state.trace[l], N)
        mean.s[l], mean.V[l], mean.phi[l] = w @ s, w @ V_l, c.phi_max * (w @ p)
        for name, rows in (("n", N), ("s", s), ("V", V_l), ("phi", c.phi_max * p)):
            keep[name][l] = rows
    sent = keep["s" if fed_back == "spikes" else "phi"][L]
    heard = np.concatenate([state.top[None], sent[:-1]])  # up to the step before
    for l in range(1, L):
        mean.V_a[l] = Y[l] @ (w @ heard)
        if windows:
            mean.V_a[l] = (Y[l] * (windows[l].astype(dtype) @ heard)).sum(axis=1)
    if series is not None:
        keep["V_a"] = {l: heard @ Y[l].T for l in range(1, L)}
        series |= keep
    return mean, State(V, trace, sent[-1])
