"""One image: a forward phase, a target phase on the same image, gradients."""

from dataclasses import dataclass

import numpy as np

from . import learning, steps, whole


@dataclass
class Example:
    """What an image did: steps.Means of both phases, {l: G_l}, the State after it."""

    forward: steps.Means
    target: steps.Means
    G: dict
    state: steps.State


def path(c):
    """The phase that a model needs: the fast one wherever it is exact."""
    return steps.phase if c.g_a else whole.phase


def run(c, kernel, params, state, x, y, lengths, source, windows=(None, None), fed_back="spikes",
        phase=None, series=(None, None)):
    """The Example of x (n_0,) with y (n_L,) one-hot.

    lengths  (T1, T2), steps of the two phases;  windows, series  one for each, as in steps.phase
    phase    steps.phase or whole.phase; by default the faster that is exact
    """
    phase = phase or path(c)
    forward, state = phase(c, kernel, params, state, x, lengths[0], source, None, 0, windows[0],
                           fed_back, series[0])
    target, state = phase(c, kernel, params, state, x, lengths[1], source, y, lengths[0],
                          windows[1], fed_back, series[1])
    return Example(forward, target, learning.gradients(c, forward, target), state)


def present(c, kernel, params, x, ms, source, block=50, phase=None):
    """steps.Means of an image alone, from rest and without a target, from Δt_s on to the end, ms.

    In blocks of steps, each as long as the cache of a core likes.
    Raises ValueError where ms is not above Δt_s.
    """
    if ms <= c.settling:
        raise ValueError(f"{ms} ms are not longer than the settling time of {c.settling}")
    phase = phase or path(c)
    W = params["W"]
    sizes = [W[1].shape[1], *(len(W[l]) for l in sorted(W))]
    state = steps.at_rest(kernel, sizes, x.dtype)
    weights = (np.arange(ms) >= c.settling) / (ms - c.settling)
    total = None
    for t in range(0, ms, block):
        w = weights[t:t + block]
        mean, state = phase(c, kernel, params, state, x, len(w), source, None, t, w=w)
        total = mean if total is None else total.plus(mean)
    return total
