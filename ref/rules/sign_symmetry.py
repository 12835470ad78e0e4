"""Sign-symmetry (Liao et al. 2016; Xiao et al. 2018, who answer this paper with it).

Backpropagation with feedback that shares the signs of W_{l+1} but not its magnitudes:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ (M_{l+1} ∘ sign W_{l+1})ᵀ δ_{l+1}            l = L-1, ..., 1

    magnitude "uniform"   M_l = s_l, one number for the layer (uSF)
              "fixed"     M_l = |B_l|, random, drawn once (frSF)
              "batch"     the same, drawn anew for every step, by the trainer (brSF)

s_l and the law of B_l are those of a convention, `scale` (scales.py). The signs are those of the W
that the forward pass of the same batch used; a weight of exactly 0 sends nothing down.
"""

from ..backend import sign
from . import feedback, scales
from .feedback import LAST_LAYER
from .rule import Option, Rule

MAGNITUDE = Option("magnitude", "of the feedback", "uniform", ("uniform", "fixed", "batch"))
SCALE = Option("scale", "of the feedback: whose convention (ref/rules/scales.py)", "biotorch2021",
               tuple(scales.CONVENTIONS))


def extend(net, magnitude="uniform", scale="biotorch2021", last_layer="rule"):
    """The network, with B_l like W_l for l = 2..L unless the magnitude is one number."""
    if magnitude == "uniform":
        return net
    return net.adding("B", feedback.maps(net, last_layer), scales.law(scale))


def carried_by(net, params, magnitude, scale="biotorch2021", last_layer="rule"):
    """{l: M_l ∘ sign W_l} for l = 2..L."""
    F = {}
    for l, m in feedback.maps(net, last_layer).items():
        M = scales.scale(scale, m) if magnitude == "uniform" else abs(params["B"][l])
        F[l] = M * sign(params["W"][l])
    return feedback.with_last(net, F, params, last_layer)


def step(net, params, x, y, *, magnitude, scale="biotorch2021", last_layer="rule", eps=None,
         phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    F = carried_by(net, params, magnitude, scale, last_layer)
    return feedback.step(net, params, x, y, lambda kept, e: feedback.deltas(net, kept, e, F))


def equations(net, setting, phase):
    uniform = setting["magnitude"] == "uniform"
    below = feedback.maps(net, setting.get("last_layer", "rule"))

    def F(u):
        if u not in below:
            return f"W_{u}"
        return f"({f'M_{u}' if uniform else f'|B_{u}|'} ∘ sign W_{u})"

    return feedback.equations(
        net, F, "", lambda u: (f"W_{u}",) if uniform or u not in below else (f"W_{u}", f"B_{u}"))


RULE = Rule(step, equations, extend, carried_by, options=(MAGNITUDE, SCALE, LAST_LAYER), like="fa",
            redrawn=lambda setting: ("B",) if setting["magnitude"] == "batch" else (),
            carrier="only the sign of W_{u}")
