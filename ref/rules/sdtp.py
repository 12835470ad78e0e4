"""Simplified difference target propagation, section 2.1.2 and Algorithm 1.

    ĥ_L = argmin L                                            the correct label distribution
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-1, ..., 1

No gradient is carried from one layer to another. The output layer takes dL/dθ_L; the others and
the inverses their local losses (inverses.py).
"""

from ..network import forward, gradients
from . import inverses
from .inverses import g, inverse_gradients, local_deltas

BUILD_OPTIONS = ("inverse",)
STEP_OPTIONS = ("inverse_loss", "reduction")
DEFAULTS = {"inverse_loss": "de-noising"}
SYMBOLS = ("W", "b", "V", "c")


def extend(net, inverse="same"):
    """The network with an inverse g_l for l = 2..L."""
    return inverses.extend(net, range(2, net.L + 1), inverse)


def targets(net, params, h, y):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L, from the activities and the labels."""
    h_hat = {net.L: net.loss.argmin(y)}
    for l in range(net.L - 1, 0, -1):
        difference = g(net, params, l + 1, h_hat[l + 1]) - g(net, params, l + 1, h[l + 1])
        h_hat[l] = h[l] + difference  # (2)
    return h_hat


def step(net, params, x, y, eps, phase="both", *, inverse_loss, reduction="sum"):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase "both", "forward" or "inverse": whose gradients to compute. Returns h, loss (N,), and
    h_hat, delta, dW, db of the forward phase, inverse_loss, dV, dc of the inverse phase.
    """
    h, a_L = forward(net, params, x)
    out = {"h": h, "loss": net.loss.value(a_L, y)}
    if phase != "inverse":
        h_hat = targets(net, params, h, y)
        delta = {net.L: net.loss.error(h[net.L], y), **local_deltas(net, h, h_hat, reduction)}
        out |= {"h_hat": h_hat, "delta": delta, **gradients(net, h, delta)}
    if phase != "forward":
        out |= inverse_gradients(net, params, h, eps, inverse_loss, reduction)
    return out
