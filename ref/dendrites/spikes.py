"""Where spikes come from. A source has

    fire(l, t, p)    spikes of layer l in the steps from t on: counts like p = σ(V), (n,) or (T, n)
    hold(t, x, T)    those of the input, whose p = x (n,) is the same in T steps: (T, n)

A count is Poisson with mean φ_max p dt (it may exceed 1). t counts from the beginning of the image.
"""

import numpy as np


class Poisson:
    """Spikes drawn by thinning, which is exact: events at rate φ_max everywhere, each of which is
    kept with probability p. About φ_max of the cells need random numbers, not all."""

    def __init__(self, rng, phi_max):
        self.rng, self.phi_max = rng, phi_max

    def fire(self, l, t, p):
        events = self.rng.poisson(self.phi_max * p.size)
        where = self.rng.integers(0, p.size, events)
        kept = where[self.rng.random(events, dtype=np.float32) < p.ravel()[where]]
        N = np.zeros(p.size, p.dtype)
        np.add.at(N, kept, p.dtype.type(1))
        return N.reshape(p.shape)

    def hold(self, t, x, T):
        N = np.zeros((T, len(x)), x.dtype)
        bright = np.flatnonzero(x)  # the others never fire
        N[:, bright] = self.fire(0, t, np.tile(x[bright], (T, 1)))
        return N


class Given:
    """Spikes that are known: {l: (T, n_l)} of a whole image, l = 0..L."""

    def __init__(self, spikes):
        self.spikes = spikes

    def fire(self, l, t, p):
        return self.spikes[l][t] if p.ndim == 1 else self.spikes[l][t:t + len(p)]

    def hold(self, t, x, T):
        return self.spikes[0][t:t + T]


class Rates:
    """No spikes: each count is its mean."""

    def __init__(self, phi_max):
        self.phi_max = phi_max

    def fire(self, l, t, p):
        return self.phi_max * p

    def hold(self, t, x, T):
        return np.tile(self.phi_max * x, (T, 1))
