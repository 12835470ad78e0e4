"""Feedback alignment, section 2.1.1 (Lillicrap et al. 2016).

Backpropagation with fixed random B_{l+1} in the place of W_{l+1}:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

B_l has the shape and the sparse structure of W_l. What it is drawn from (`feedback_law`):

    "as-weights"        W_l's own initial distribution
    "normal"            N(0, 2 / (fan_in + fan_out)): as large as Glorot's uniform one
    a convention        of another paper or code (scales.py)
    "xiao2018-signed"   B_l = s sign W_l at the beginning, and then fixed

and what is drawn is multiplied by `feedback_scale`.
"""

from dataclasses import replace

from ..network import initial_parameters
from . import feedback, scales
from .feedback import LAST_LAYER
from .rule import Option, Rule

SIGNED = "xiao2018-signed"
LAW = Option("feedback_law", "what it is drawn from (ref/rules/fa.py, scales.py)", "as-weights",
             ("as-weights", "normal", *scales.CONVENTIONS, SIGNED))
SCALE = Option("feedback_scale", "times what is drawn", 1.0, above=True)


def extend(net, feedback_law="as-weights", last_layer="rule"):
    """The network with a feedback map B_l like W_l for every layer above another, l = 2..L."""
    maps = feedback.maps(net, last_layer)
    if feedback_law == SIGNED:
        return replace(net.adding("B", maps), signed=scales.CONVENTIONS["xiao2018"][0])
    if feedback_law in scales.CONVENTIONS:
        return net.adding("B", maps, scales.law(feedback_law))
    return net.adding("B", maps, None if feedback_law == "as-weights" else feedback_law)


def initial(net, stream, dtype, feedback_scale=1.0):
    """The network's initial parameters, B times feedback_scale."""
    params = initial_parameters(net, stream, dtype)
    for B in params["B"].values():
        B *= B.dtype.type(feedback_scale)
    return params


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


RULE = Rule(step, equations, extend, carried_by, options=(LAW, SCALE, LAST_LAYER), initial=initial,
            carrier="the fixed B_{u}")
