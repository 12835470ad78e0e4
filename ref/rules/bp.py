"""Backpropagation, section 2.1 (Rumelhart et al. 1986).

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ W_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1
    dW_l = δ_l h_{l-1}ᵀ,  db_l = δ_l           mean over the batch
"""

from . import feedback
from .rule import Rule


def step(net, params, x, y, *, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    W = params["W"]
    return feedback.step(net, params, x, y, lambda kept, e: feedback.deltas(net, kept, e, W))


def equations(net, setting, phase):
    return feedback.equations(net, lambda u: f"W_{u}", "  (2.1)",
                              lambda u: (f"W_{u}",))


RULE = Rule(step, equations, carrier="W_{u}")
