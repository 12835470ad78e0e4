"""Direct feedback alignment, section 2.1.1 (Nøkland 2016; Samadi et al. 2017).

Fixed random B_l carries the output's error straight to every hidden layer:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_l e                         l = L-1, ..., 1

What B_l reaches of an image differs in the field (`broadcast`):

    "units"      every unit of h_l has a row of its own: B_l is dense, (n_l, n_L), whatever kind of
                 layer l is (Nøkland; this paper)
    "channels"   a row for each channel, the same at all places: B_l is (C_l, n_L)
    "inputs"     e is repeated over the places of a_l, and what layer l sends to the h that it reads
                 is B_lᵀ of it, B_l laid out like W_l with n_L output channels, l = 2..L (BioTorch)

With "inputs" skips carry down what they do in backpropagation, and all that reaches h_l is summed;
with the other two B_l e is all that h_l gets.
"""

from dataclasses import replace
from math import prod

from ..backend import spread
from ..linear import Dense
from . import feedback
from .equations import of_gradients, of_output_error
from .rule import Equation, Option, Rule
from .unit_equations import kept_names, of_unit_gradients, pulled

BROADCAST = Option("broadcast", "what of an image the feedback reaches (ref/rules/dfa.py)", "units",
                   ("units", "channels", "inputs"))


def extend(net, broadcast="units"):
    """The network with a map B_l from the output to every hidden layer (or to what layers read)."""
    K = (prod(net.shape(net.L)),)
    if broadcast == "inputs":
        return net.adding("B", {l: _reading(m, K) for l, m in feedback.maps(net).items()})
    reached = {l: net.shape(l) if broadcast == "units" else net.shape(l)[-1:]
               for l in range(1, net.L)}
    return net.adding("B", {l: Dense(net.shape(net.L), shape) for l, shape in reached.items()})


def _reading(m, K):
    """A map like m with the K = n_L units of the output in the place of its own."""
    return Dense(m.in_shape, K) if m.kind == "dense" else replace(m, channels=K[0])


def deltas(net, params, kept, e, broadcast="units"):
    """({l: δ_l} for l = 1..L, own) as feedback.deltas, from what the units kept and e = dL/da_L."""
    B, maps = params["B"], net.maps["B"]
    if broadcast == "inputs":
        return feedback.deltas(net, kept, e, lambda l, _: maps[l].transpose(
            B[l], spread(e.reshape(len(e), -1), maps[l].out_shape)))
    delta, own = {net.L: e}, {}
    for l in range(net.L - 1, 0, -1):
        dh = spread(maps[l].forward(B[l], e), net.shape(l))  # stands in for dL/dh_l
        delta[l], own[l] = net.unit(l).pull(kept[l], dh)
    return delta, own


def step(net, params, x, y, *, broadcast="units", eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    return feedback.step(net, params, x, y,
                         lambda kept, e: deltas(net, params, kept, e, broadcast))


def equations(net, setting, phase):
    L = net.L
    if setting.get("broadcast") == "inputs":
        yield from feedback.equations(net, lambda u: f"B_{u}", "", lambda u: (f"B_{u}",),
                                      above=lambda u: L)
        return
    yield of_output_error(net)
    for l in range(L - 1, 0, -1):
        yield Equation(f"delta_{l}", f"δ_{l} = {pulled(net, l, f'B_{l} δ_{L}')}  (2.1.1)",
                       (f"delta_{L}", f"B_{l}", *kept_names(net, l)))
    yield from of_unit_gradients(net, own=lambda l: (f"delta_{L}", f"B_{l}"))
    yield from of_gradients(net)


RULE = Rule(step, equations, extend, options=(BROADCAST,))
