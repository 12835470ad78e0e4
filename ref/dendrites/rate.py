"""The model without spikes: what it does on average, at rest in each phase, were noise small.

    s_0 = m φ_max x          V_l = k_b V_b + k_a V_a          s_l = m φ_max σ(V_l)

with m the kernel's mass. Averages of the spiking model come near it, but E[σ(V)] is not σ(E[V]).
With g_a > 0 the layers depend on each other in a circle, and the steps of Euler's method are
repeated till they settle.
"""

import numpy as np

from . import steps
from .compartments import output_at_rest, sigma

SETTLED = 400  # steps of Euler's method, by which its slowest factor, 0.3 or so, is below rounding


def phase(c, m, params, x, y=None, before=None):
    """steps.Means of a phase that has settled. x (n_0,) or (N, n_0); y like the output, or None.

    before  Means of the forward phase of the same images: where g_a = 0, what hidden layers do in
            the target phase too
    """
    W, b, Y = params["W"], params["b"], params["B"]
    L = len(W)
    mean = steps.Means({0: m * c.phi_max * x}, {}, {}, {})
    V_a = {l: 0.0 for l in range(1, L)}
    known = before is not None and not c.g_a
    if known:
        mean = steps.Means(dict(before.s), dict(before.V), dict(before.phi), {})
    else:
        V_b_1 = first_dendrite(W[1], b[1], mean.s[0])
    for _ in range(SETTLED if c.g_a else 1):
        for l in range(L if known else 1, L + 1):
            V_b = V_b_1 if l == 1 and not known else mean.s[l - 1] @ W[l].T + b[l]
            mean.V[l] = (c.k_b * V_b + c.k_a * V_a[l] if l < L else output_at_rest(c, V_b, y))
            mean.phi[l] = c.phi_max * sigma(mean.V[l])
            mean.s[l] = m * mean.phi[l]
        V_a = {l: mean.s[L] @ Y[l].T for l in range(1, L)}
    mean.V_a = V_a
    return mean


def first_dendrite(W, b, s):
    """W s + b, without the columns of pixels that are dark in all of s (n_0,) or (N, n_0)."""
    live = np.flatnonzero(s if s.ndim == 1 else s.any(axis=0))
    return s[..., live] @ W.T[live] + b
