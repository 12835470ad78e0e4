"""Hybrid targets, section 5.6: backpropagation's difference blended with the learned inverse's.

With t_l = ĥ_l - h_l, the displacement of the target (h̃_l in the paper's section 5.6):

    t_L = argmin L - h_L
    t_{L-1} = -μ dL/dh_{L-1}                  + (1 - μ) [g_L(ĥ_L) - g_L(h_L)]
    t_l = μ (dh_{l+1}/dh_l)ᵀ t_{l+1}          + (1 - μ) [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]
        with (dh_{l+1}/dh_l)ᵀ t = W_{l+1}ᵀ (σ'_{l+1} ∘ t)
    L_l = ½ ‖h_l - ĥ_l‖²,  δ_l = -t_l ∘ σ'_l

With losses summed over units (the default) μ = 1 is backpropagation exactly; μ = 0 has SDTP's
targets (its updates are half of SDTP's, whose forward loss has no ½).
"""

from math import prod

from ..network import forward, gradients
from . import inverses
from .inverses import g, inverse_gradients

BUILD_OPTIONS = ("inverse",)
STEP_OPTIONS = ("mu", "inverse_loss", "reduction")
DEFAULTS = {"inverse_loss": "de-noising", "mu": 0.5}
SYMBOLS = ("W", "b", "V", "c")


def extend(net, inverse="same"):
    """The network with an inverse g_l for l = 2..L."""
    return inverses.extend(net, range(2, net.L + 1), inverse)


def displacements(net, params, h, e, y, mu):
    """{l: t_l (N, *shape_l)} for l = 1..L."""
    L, W = net.L, params["W"]
    t = {L: net.loss.argmin(y) - h[L]}
    minus_dL_da = {L: -e}  # of a_{l+1}: W_{l+1}ᵀ takes it to the differential part of t_l
    for l in range(L - 1, 0, -1):
        differential = net.map[l + 1].transpose(W[l + 1], minus_dL_da[l + 1])
        learned = g(net, params, l + 1, h[l + 1] + t[l + 1]) - g(net, params, l + 1, h[l + 1])
        t[l] = mu * differential + (1 - mu) * learned
        minus_dL_da[l] = net.act[l].times_derivative(h[l], t[l])
    return t


def step(net, params, x, y, eps, phase="both", *, mu, inverse_loss, reduction="sum"):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase "both", "forward" or "inverse": whose gradients to compute. Returns h, loss (N,), and
    h_hat, delta, dW, db of the forward phase, inverse_loss, dV, dc of the inverse phase.
    """
    h, a_L = forward(net, params, x)
    out = {"h": h, "loss": net.loss.value(a_L, y)}
    if phase != "inverse":
        e = net.loss.error(h[net.L], y)
        t = displacements(net, params, h, e, y, mu)
        delta = {net.L: e}
        for l in range(1, net.L):
            scale = 1 if reduction == "sum" else 1 / prod(h[l].shape[1:])
            delta[l] = net.act[l].times_derivative(h[l], -scale * t[l])
        h_hat = {l: h[l] + t[l] for l in t}
        out |= {"h_hat": h_hat, "delta": delta, **gradients(net, h, delta)}
    if phase != "forward":
        out |= inverse_gradients(net, params, h, eps, inverse_loss, reduction)
    return out
