"""A phase as a loop over its time steps, in the order of a step:

    from the bottom up each layer's dendrites (hearing the layer below's spikes of this step, the
    output's up to the one before), soma, rate and spikes

and what both this loop and whole.py carry along and give back.
"""

from dataclasses import dataclass

import numpy as np

from .compartments import hidden_current, output_current, sigma
from .kernel import matrix


@dataclass
class State:
    """What goes on from phase to phase and from image to image.

    V      {l: (n_l,)} somatic potentials, l = 1..L
    trace  {l: (width, n_l)} of earlier spikes (kernel.py), l = 0..L
    top    (n_L,) what the output sent back in the last step: s_L, or φ_L with feedback "rates"
    """

    V: dict
    trace: dict
    top: np.ndarray


@dataclass
class Means:
    """Averages over the last Δt of a phase: s {l: (n_l,)} for l = 0..L; V, phi {l: (n_l,)} for
    l = 1..L; V_a {l: (n_l,)} for l = 1..L-1."""

    s: dict
    V: dict
    phi: dict
    V_a: dict

    def plus(self, other):
        """Their sum, for averages whose weights are in parts."""
        return Means(**{name: {l: a + getattr(other, name)[l] for l, a in layers.items()}
                        for name, layers in vars(self).items()})


def at_rest(kernel, sizes, dtype=np.float64):
    """The State before the first image: no potential, no spikes. sizes  [n_0, ..., n_L]"""
    return State({l: np.zeros(n, dtype) for l, n in enumerate(sizes) if l},
                 {l: np.zeros((kernel.width, n), dtype) for l, n in enumerate(sizes)},
                 np.zeros(sizes[-1], dtype))


def phase(c, kernel, params, state, x, T, source, y=None, start=0, windows=None,
          fed_back="spikes", series=None, w=None):
    """(Means, the next State) of one phase of T steps.

    params   {"W": {l: (n_l, n_{l-1})}, "b": {l: (n_l,)}, "B": {l: (n_l, n_L)}}
    x        (n_0,) in [0, 1];  y  (n_L,) one-hot in the target phase, None in the forward phase
    source   of the spikes (spikes.py);  start  the phase's first step, counted within the image
    windows  {l: (n_l, T)} weights of V_a's average where each neuron has its own
    fed_back "spikes": Y hears s_L; "rates": it hears φ_L
    w        (T,) weights of the averages; by default c.window(T)
    series   a dict that is given what was averaged, and the spikes n: {"V": {l: (T, n_l)}, ...}
    """
    W, b, Y = params["W"], params["b"], params["B"]
    L = len(W)
    V, trace, top = dict(state.V), dict(state.trace), state.top
    N = source.hold(start, x, T)
    s_0 = matrix(kernel, T, x.dtype) @ np.concatenate([trace[0], N])  # (11)
    V_b_1 = s_0 @ W[1].T + b[1]  # (13): nothing in the network changes the input
    seen = {name: {l: [] for l in range(L + 1)} for name in ("n", "s", "V", "phi", "V_a")}

    def spikes(l, t, p):
        n = source.fire(l, start + t, p)
        s, trace[l] = kernel.step(trace[l], n)  # (11)
        seen["n"][l].append(n)
        seen["s"][l].append(s)
        return s

    s = None
    for t in range(T):
        for l in range(1, L):
            V_b = V_b_1[t] if l == 1 else W[l] @ s + b[l]  # (13)
            V_a = Y[l] @ top  # (13)
            V[l] = V[l] + hidden_current(c, V[l], V_b, V_a) / c.C_m  # (14)
            seen["V_a"][l].append(V_a)
            seen["V"][l].append(V[l])
            seen["phi"][l].append(c.phi_max * sigma(V[l]))  # (17)
            s = spikes(l, t, sigma(V[l]))
        V_b = V_b_1[t] if L == 1 else W[L] @ s + b[L]  # (18)
        V[L] = V[L] + output_current(c, V[L], V_b, y) / c.C_m  # (19)
        seen["V"][L].append(V[L])
        seen["phi"][L].append(c.phi_max * sigma(V[L]))
        s = spikes(L, t, sigma(V[L]))
        top = s if fed_back == "spikes" else seen["phi"][L][-1]

    seen = {name: {l: np.array(rows) for l, rows in layers.items() if rows}
            for name, layers in seen.items()}
    seen["n"][0], seen["s"][0], trace[0] = N, s_0, kernel.after(trace[0], N)
    if series is not None:
        series |= seen
    w = (c.window(T) if w is None else w).astype(x.dtype)
    means = {name: {l: w @ rows for l, rows in layers.items()} for name, layers in seen.items()}
    for l, own in (windows or {}).items():
        means["V_a"][l] = (own.astype(x.dtype) * seen["V_a"][l].T).sum(axis=1)
    del means["n"]
    return Means(**means), State(V, trace, top)
