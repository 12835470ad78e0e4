"""Direct feedback alignment, section 2.1.1 (Nøkland 2016; Samadi et al. 2017).

Fixed random B_l carries the output's error straight to every hidden layer:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_l e                         l = L-1, ..., 1

B_l is dense, (n_l, n_L), whatever kind of layer l is.
"""

from ..linear import Dense
from . import feedback
from .equations import of_gradients, of_output_error
from .rule import Equation, Rule


def extend(net):
    """The network with a dense map B_l from the output to layer l for l = 1..L-1."""
    L = net.L
    return net.adding("B", {l: Dense(net.shape(L), net.shape(l)) for l in range(1, L)})


def deltas(net, params, kept, e):
    """({l: δ_l} for l = 1..L, own) as feedback.deltas, from what the units kept and e = dL/da_L."""
    B = params["B"]
    delta, own = {net.L: e}, {}
    for l in range(net.L - 1, 0, -1):
        dh = net.maps["B"][l].forward(B[l], e)  # stands in for dL/dh_l
        delta[l], own[l] = net.unit(l).pull(kept[l], dh)
    return delta, own


def step(net, params, x, y, *, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    return feedback.step(net, params, x, y, lambda kept, e: deltas(net, params, kept, e))


def equations(net, setting, phase):
    yield of_output_error(net)
    L = net.L
    for l in range(L - 1, 0, -1):
        yield Equation(f"delta_{l}", f"δ_{l} = σ'_{l} ∘ B_{l} δ_{L}  (2.1.1)",
                       (f"delta_{L}", f"B_{l}", f"h_{l}"))
    yield from of_gradients(net)


RULE = Rule(step, equations, extend)
