"""Feedback alignment, section 2.1.1 (Lillicrap et al. 2016).

Backpropagation with fixed random B_{l+1} in the place of W_{l+1}:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

B_l has the shape and the sparse structure of W_l. What it is drawn from (`feedback_law`):

    "as-weights"        W_l's own initial distribution
    a convention        of another paper or code (scales.py)
    "xiao2018-signed"   B_l = s sign W_l at the beginning, and then fixed
"""

from dataclasses import replace

from . import feedback, scales
from .feedback import LAST_LAYER
from .rule import Option, Rule

SIGNED = "xiao2018-signed"
LAW = Option("feedback_law", "what it is drawn from (ref/rules/fa.py, scales.py)", "as-weights",
             ("as-weights", *scales.CONVENTIONS, SIGNED))


def extend(net, feedback_law="as-weights", last_layer="rule"):
    """The network with a feedback map B_l like W_l for every layer above another, l = 2..L."""
    maps = feedback.maps(net, last_layer)
    if feedback_law == SIGNED:
        return replace(net.adding("B", maps), signed=scales.CONVENTIONS["xiao2018"][0])
    return net.adding("B", maps,
                      None if feedback_law == "as-weights" else scales.law(feedback_law))


def carried_by(net, params, last_layer="rule"):
    """{l: B_l}."""
    return feedback.with_last(net, params["B"], params, last_layer)


def step(net, params, x, y, *, last_layer="rule", eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    B = carried_by(net, params, last_layer)
    return feedback.step(net, params, x, y, lambda kept, e: feedback.deltas(net, kept, e, B))


def equations(net, setting, phase):
    def B(u):
        return f"B_{u}" if u in net.maps_of("B") else f"W_{u}"

    return feedback.equations(net, B, "  (2.1.1)", lambda u: (B(u),))


RULE = Rule(step, equations, extend, carried_by, options=(LAW, LAST_LAYER),
            carrier="the fixed B_{u}")
