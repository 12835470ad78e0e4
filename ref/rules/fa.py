"""Feedback alignment, section 2.1.1 (Lillicrap et al. 2016).

Backpropagation with fixed random B_{l+1} in the place of W_{l+1}:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

B_l has the shape and the sparse structure of W_l, and its initial distribution.
"""

from . import feedback
from .rule import Rule


def extend(net):
    """The network with a feedback map B_l like W_l for every layer above another, l = 2..L."""
    return net.adding("B", feedback.maps(net))


def carried_by(net, params):
    """{l: B_l}."""
    return params["B"]


def step(net, params, x, y, *, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    B = params["B"]
    return feedback.step(net, params, x, y, lambda kept, e: feedback.deltas(net, kept, e, B))


def equations(net, setting, phase):
    return feedback.equations(net, lambda u: f"B_{u}", "  (2.1.1)",
                              lambda u: (f"B_{u}", f"h_{u - 1}"))


RULE = Rule(step, equations, extend, carried_by, carrier="the fixed B_{u}")
