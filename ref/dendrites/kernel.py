"""Filtered spike trains s(t) = Σ_k κ(t - t_k), the synapse's response to spikes at times t_k (11).

    κ(t) = (e^(-t/τ_L) - e^(-t/τ_s)) / (τ_L - τ_s),   t > 0                                   (12)

In steps of 1 ms a spike of this step counts already, with κ(1). Both kernels have

    width             rows of a trace, what is remembered of earlier spikes, (width, n)
    step(trace, n)    (s (n,), the next trace) from the spikes n (n,) of one step
    matrix(T)         K (T, width + T), with s (T, n) = K [trace; N] for the spikes N (T, n)
    after(trace, N)   the trace after T steps
    mass              Σ κ: s = mass φ for a constant rate φ
"""

from functools import cache

import numpy as np

FORGOTTEN = 1e-20  # a trace below this is dropped: s is of order 0.1


def kappa(t, tau_s, tau_L):
    """κ at the times t > 0, in ms; its integral is 1 (12)."""
    return (np.exp(-t / tau_L) - np.exp(-t / tau_s)) / (tau_L - tau_s)


@cache
def make(c, steps, shift=0):
    """The kernel that remembers a spike for so many steps; 0: for ever, as the paper has it.

    shift  1: each spike counts with κ(t + 1), a mistake that reference files may have made
    """
    return Truncated(c, steps, shift) if steps else Exact(c, shift)


@cache
def matrix(kernel, T, dtype):
    """kernel.matrix(T), kept."""
    return kernel.matrix(T).astype(dtype)


class Truncated:
    """κ at lags 1 ... steps, nothing after, as in the authors' code. A trace is the spikes of the
    last steps - 1 steps, the oldest first."""

    def __init__(self, c, steps, shift=0):
        self.width = steps - 1
        self.kappa = kappa(np.arange(1, steps + 1) + shift, c.tau_s, c.tau_L)
        self.mass = self.kappa.sum()

    def step(self, trace, n):
        window = np.concatenate([trace, n[None]])
        return self.kappa[::-1].astype(n.dtype) @ window, window[1:]

    def matrix(self, T):
        m = self.width
        lag = (m + np.arange(T))[:, None] - np.arange(m + T) + 1
        inside = (lag >= 1) & (lag <= m + 1)
        return np.where(inside, self.kappa[np.clip(lag, 1, m + 1) - 1], 0.0)

    def after(self, trace, N):
        return np.concatenate([trace, N])[len(N):]


class Exact:
    """All lags. A trace is (u_L, u_s), one exponential each: u ← (u + n) e^(-1/τ), and
    s = (u_L - u_s) / (τ_L - τ_s)."""

    width = 2

    def __init__(self, c, shift=0):
        self.tau = np.array([c.tau_L, c.tau_s])
        self.sign = np.array([1, -1]) / (c.tau_L - c.tau_s) * np.exp(-shift / self.tau)
        decay = np.exp(-1 / self.tau)
        self.mass = float(self.sign @ (decay / (1 - decay)))

    def step(self, trace, n):
        u = (trace + n) * np.exp(-1 / self.tau).astype(n.dtype)[:, None]
        return self.sign.astype(n.dtype) @ u, u

    def _decays(self, lag):
        """(2, *lag.shape): e^(-lag/τ), 0 where a lag is not of the past."""
        tau = self.tau.reshape(2, *[1] * lag.ndim)
        return np.where(lag >= 1, np.exp(-np.maximum(lag, 1) / tau), 0.0)

    def matrix(self, T):
        t = np.arange(1, T + 1)
        old = self._decays(t).T * self.sign
        new = np.tensordot(self.sign, self._decays(t[:, None] - t + 1), 1)
        return np.hstack([old, new])

    def after(self, trace, N):
        T = len(N)
        new = self._decays(T - np.arange(T)).astype(N.dtype)
        u = trace * np.exp(-T / self.tau).astype(N.dtype)[:, None] + new @ N
        u[u < FORGOTTEN] = 0
        return u
