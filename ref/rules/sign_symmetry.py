"""Sign-symmetry (Liao et al. 2016; Xiao et al. 2018, who answer this paper with it).

Backpropagation with feedback that shares the signs of W_{l+1} but not its magnitudes:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ (M_{l+1} ∘ sign W_{l+1})ᵀ δ_{l+1}            l = L-1, ..., 1

    magnitude "uniform"   M_l = √(2 / (fan_in + fan_out)), one number for the layer
              "fixed"     M_l = |B_l|, random with W_l's initial distribution, drawn once
              "batch"     the same, drawn anew for every step (by the trainer)
"""

from math import sqrt

from ..backend import sign
from . import feedback
from .rule import Option, Rule

MAGNITUDE = Option("magnitude", "of the feedback", "uniform", ("uniform", "fixed", "batch"))


def extend(net, magnitude="uniform"):
    """The network, with B_l like W_l for l = 2..L unless the magnitude is one number."""
    if magnitude == "uniform":
        return net
    return net.adding("B", feedback.maps(net))


def carried_by(net, params, magnitude):
    """{l: M_l ∘ sign W_l} for l = 2..L."""
    F = {}
    for l, m in feedback.maps(net).items():
        M = sqrt(2 / (m.fan_in + m.fan_out)) if magnitude == "uniform" else abs(params["B"][l])
        F[l] = M * sign(params["W"][l])
    return F


def step(net, params, x, y, *, magnitude, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    F = carried_by(net, params, magnitude)
    return feedback.step(net, params, x, y, lambda kept, e: feedback.deltas(net, kept, e, F))


def equations(net, setting, phase):
    uniform = setting["magnitude"] == "uniform"
    M = (lambda u: f"M_{u}") if uniform else (lambda u: f"|B_{u}|")
    return feedback.equations(
        net, lambda u: f"({M(u)} ∘ sign W_{u})", "",
        lambda u: (f"W_{u}", f"h_{u - 1}") if uniform else (f"W_{u}", f"h_{u - 1}", f"B_{u}"))


RULE = Rule(step, equations, extend, carried_by, options=(MAGNITUDE,), like="fa",
            redrawn=lambda setting: ("B",) if setting["magnitude"] == "batch" else (),
            carrier="only the sign of W_{u}")
