"""A phase as a few matrix products: the numbers of steps.py, for g_a = 0.

Nothing flows down within a phase then, and weights do not change within one. So each layer is
computed for all T steps before the next, and what happens along time is linear, a matrix too:

    s = K [trace; N]                    filtering spikes (kernel.py)
    V(t) = a V(t-1) + g V_b(t) + drive  is V = a^t V(0) + A (g V_b + drive), A of a^(t-k), k <= t
    V_b = s Wᵀ + b                      is K ([trace; N] Wᵀ) + b: weights and filter commute

Together V = M rows: M = [g A K, A 1, a^t] is a constant, and rows are [trace; N] Wᵀ, g b + drive
and V(0). V_a is only needed as an average, Y s̄_L. Pixels that are silent add nothing: W's columns
of the others are gathered, about a fifth of them.
"""

from functools import cache

import numpy as np

from .compartments import euler, sigma
from .kernel import matrix
from .steps import Means, State


@cache
def soma_matrix(kernel, a, g, T, dtype):
    """M (T, width + T + 2)."""
    lag = np.arange(T)[:, None] - np.arange(T)
    A = np.where(lag >= 0, a ** np.maximum(lag, 0.0), 0.0)
    ones = A.sum(axis=1, keepdims=True)
    power = a ** np.arange(1.0, T + 1)[:, None]
    return np.hstack([g * A @ kernel.matrix(T), ones, power]).astype(dtype)


def soma(c, kernel, V_0, W, b, heard, T, y=None, hidden=True):
    """V (T, n) from V(0) (n,), W (n, m), b (n,) and the spikes below, heard (width + T, m)."""
    a, g, drive = euler(c, y, hidden)
    rows = np.empty((len(heard) + 2, len(b)), heard.dtype)
    np.matmul(heard, W.T, out=rows[:-2])
    rows[-2] = g * b + drive
    rows[-1] = V_0
    return soma_matrix(kernel, a, g, T, heard.dtype) @ rows


def phase(c, kernel, params, state, x, T, source, y=None, start=0, windows=None,
          fed_back="spikes", series=None, w=None):
    """(Means, the next State); arguments as in steps.phase."""
    W, b, Y = params["W"], params["b"], params["B"]
    L, dtype = len(W), x.dtype
    K = matrix(kernel, T, dtype)
    w = (c.window(T) if w is None else w).astype(dtype)
    wK = w @ K
    mean, V, trace = Means({}, {}, {}, {}), {}, {}
    keep = {"n": {}, "heard": {}, "V": {}, "p": {}}

    N = source.hold(start, x, T)
    heard = np.concatenate([state.trace[0], N])
    trace[0] = kernel.after(state.trace[0], N)
    mean.s[0] = wK @ heard  # (11)
    keep["n"][0], keep["heard"][0] = N, heard
    live = np.flatnonzero(heard.any(axis=0))
    heard, W_live = heard[:, live], W[1].T[live].T
    for l in range(1, L + 1):
        V_l = soma(c, kernel, state.V[l], W_live if l == 1 else W[l], b[l], heard, T,
                   y if l == L else None, hidden=l < L)  # (13, 14, 18, 19)
        p = sigma(V_l)  # (17)
        N = source.fire(l, start, p)
        heard = np.concatenate([state.trace[l], N])
        V[l], trace[l] = V_l[-1], kernel.after(state.trace[l], N)
        mean.s[l], mean.V[l], mean.phi[l] = wK @ heard, w @ V_l, c.phi_max * (w @ p)
        for name, rows in (("n", N), ("heard", heard), ("V", V_l), ("p", p)):
            keep[name][l] = rows
    sent = K @ heard if fed_back == "spikes" else c.phi_max * keep["p"][L]
    sent = np.concatenate([state.top[None], sent])
    for l in range(1, L):
        mean.V_a[l] = Y[l] @ (w @ sent[:-1])  # up to the step before (13)
        if windows:
            mean.V_a[l] = (Y[l] * (windows[l].astype(dtype) @ sent[:-1])).sum(axis=1)
    if series is not None:
        series |= {"n": keep["n"], "V": keep["V"],
                   "s": {l: K @ rows for l, rows in keep["heard"].items()},
                   "phi": {l: c.phi_max * p for l, p in keep["p"].items()},
                   "V_a": {l: sent[:-1] @ Y[l].T for l in range(1, L)}}
    return mean, State(V, trace, sent[-1])
