"""Kolen-Pollack learning (Kolen & Pollack 1994; Akrout et al. 2019).

Feedback alignment whose B_l learns too: it takes the same update as W_l, and both decay, so that
what they began with is forgotten and what is left is the same:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1
    dW_l = δ_l h_{l-1}ᵀ + λ W_l                mean over the batch
    dB_l = δ_l h_{l-1}ᵀ + λ B_l                the same product: no weight is transported

By gradient descent with rate η, W_l - B_l shrinks by 1 - ηλ at every step, exactly.
"""

from ..network import FORWARD
from . import fa, feedback
from .equations import of_gradients
from .rule import Equation, Option, Rule

DECAY = Option("decay", "decay λ of W and B", 1e-3)


def step(net, params, x, y, *, decay, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db, dB."""
    W, B = params["W"], params["B"]
    out = fa.step(net, params, x, y)
    dW = out["dW"]
    out["dB"] = {l: dW[l] + decay * B[l] for l in B}
    out["dW"] = {l: dW[l] + decay * W[l] for l in W}
    return out


def equations(net, setting, phase):
    yield from feedback.equations(net, lambda u: f"B_{u}", "", lambda u: (f"B_{u}",), gradients=())
    for symbol in "WB":
        for e in of_gradients(net):
            kind, _, l = e.name.rpartition("_")
            if kind == "dW" and int(l) in net.maps_of(symbol):
                formula = e.formula.removesuffix("  (2.1)").replace("dW", f"d{symbol}")
                yield Equation(f"d{symbol}_{l}", f"{formula} + λ {symbol}_{l}",
                               (*e.inputs, f"{symbol}_{l}"))
            elif symbol == "W" and kind == "db":
                yield e


RULE = Rule(step, equations, fa.extend, fa.carried_by, trains={"forward": (*FORWARD, "B")},
            options=(DECAY,), like="fa", carrier="B_{u}")
