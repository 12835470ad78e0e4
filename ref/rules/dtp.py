"""Difference target propagation, section 2.1.2 (Lee et al. 2015).

    ĥ_{L-1} = h_{L-1} - α dL/dh_{L-1}                         dL/dh_{L-1} = W_Lᵀ e
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-2, ..., 1

The output layer takes dL/dθ_L; the others and the inverses their local losses (inverses.py).
g_L is in no target, so there is none.

Where the first target is set (`first_target`) differs in the field:

    "hidden"        as above, dL/dh_{L-1} of each example (the paper)
    "hidden-mean"   the same of the mean loss, so dL/dh_{L-1} / N (Lee et al.'s code)
    "output-mean"   ĥ_L = h_L - α e / N, and (2) for every l < L (Meulemans et al. 2020, whose
                    h_L is logits, so that e = dL/da_L is dL/dh_L)
"""

from ..network import forward, gradients
from . import inverses
from .inverses import g, inverse_gradients, local_deltas

BUILD_OPTIONS = ("inverse", "first_target")
STEP_OPTIONS = ("alpha", "inverse_loss", "reduction", "first_target")
DEFAULTS = {"inverse_loss": "noise-preserving", "first_target": "hidden"}
SYMBOLS = ("W", "b", "V", "c")

FIRST_TARGETS = ("hidden", "hidden-mean", "output-mean")


def extend(net, inverse="same", first_target="hidden"):
    """The network with an inverse g_l for l = 2..L-1, and g_L where the first target is ĥ_L."""
    last = net.L if first_target == "output-mean" else net.L - 1
    return inverses.extend(net, range(2, last + 1), inverse)


def targets(net, params, h, e, alpha, first_target="hidden"):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L-1 (or L), from the activities and e = dL/da_L."""
    L, N = net.L, len(e)
    if L == 1:
        return {}  # no hidden layer to set a target for
    if first_target == "output-mean":
        h_hat = {L: h[L] - alpha * e / N}
    else:
        dh = net.map[L].transpose(params["W"][L], e)  # dL/dh_{L-1}
        h_hat = {L - 1: h[L - 1] - (alpha if first_target == "hidden" else alpha / N) * dh}
    for l in range(min(h_hat) - 1, 0, -1):
        difference = g(net, params, l + 1, h_hat[l + 1]) - g(net, params, l + 1, h[l + 1])
        h_hat[l] = h[l] + difference  # (2)
    return h_hat


def step(net, params, x, y, eps, phase="both", *, alpha, inverse_loss, reduction="sum",
         first_target="hidden"):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase "both", "forward" or "inverse": whose gradients to compute. Returns h, loss (N,), and
    h_hat, delta, dW, db of the forward phase, inverse_loss, dV, dc of the inverse phase.
    """
    h, a_L = forward(net, params, x)
    out = {"h": h, "loss": net.loss.value(a_L, y)}
    if phase != "inverse":
        e = net.loss.error(h[net.L], y)
        h_hat = targets(net, params, h, e, alpha, first_target)
        delta = {net.L: e, **local_deltas(net, h, h_hat, reduction)}
        out |= {"h_hat": h_hat, "delta": delta, **gradients(net, h, delta)}
    if phase != "forward":
        out |= inverse_gradients(net, params, h, eps, inverse_loss, reduction)
    return out
