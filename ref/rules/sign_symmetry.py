"""Sign-symmetry (Liao et al. 2016; Xiao et al. 2018, who answer this paper with it).

Backpropagation with feedback that shares the signs of W_{l+1} but not its magnitudes:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ (M_{l+1} ∘ sign W_{l+1})ᵀ δ_{l+1}            l = L-1, ..., 1

    magnitude "uniform"   M_l = √(2 / (fan_in + fan_out)), one number for the layer
              "fixed"     M_l = |B_l|, random with W_l's initial distribution, drawn once
              "batch"     the same, drawn anew for every step (by the trainer)
"""

from dataclasses import replace
from math import sqrt

from ..backend import sign
from ..network import forward, gradients

BUILD_OPTIONS = ("magnitude",)
STEP_OPTIONS = ("magnitude",)
DEFAULTS = {"magnitude": "uniform"}
SYMBOLS = ("W", "b")

MAGNITUDES = ("uniform", "fixed", "batch")


def extend(net, magnitude="uniform"):
    """The network, with B_l like W_l for l = 2..L unless the magnitude is one number."""
    if magnitude == "uniform":
        return net
    return replace(net, b_map={l: net.map[l] for l in range(2, net.L + 1)})


def deltas(net, params, h, e, magnitude):
    """{l: δ_l (N, *shape_l)} for l = 1..L, from the activities h and e = dL/da_L."""
    W = params["W"]
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        m = net.map[l + 1]
        M = sqrt(2 / (m.fan_in + m.fan_out)) if magnitude == "uniform" else abs(params["B"][l + 1])
        dh = m.transpose(M * sign(W[l + 1]), delta[l + 1])  # stands in for dL/dh_l
        delta[l] = net.act[l].times_derivative(h[l], dh)
    return delta


def step(net, params, x, y, *, magnitude):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    h, a_L = forward(net, params, x)
    e = net.loss.error(h[net.L], y)
    delta = deltas(net, params, h, e, magnitude)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta)}
