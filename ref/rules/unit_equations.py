"""The equations of units and forks, as data: what is on the way up, what the way down reads."""

from ..units import POOLS, BatchNorm, MaxPool
from .rule import Equation


def of_unit(net, l, a, inputs):
    """The Equations of h_l = unit_l(a) and what is on the way, from a and its inputs."""
    unit = net.unit(l)
    if unit.find(BatchNorm):
        yield Equation(f"x_hat_{l}", f"x̂_{l} = (a - μ) / √(σ² + ε), a = {a}", inputs)
        a, inputs = f"γ_{l} x̂_{l} + β_{l}", (f"x_hat_{l}", f"gamma_{l}", f"beta_{l}")
    if l in net.adds:
        a, inputs = f"{a} + h_{net.adds[l]}", (*inputs, f"h_{net.adds[l]}")
    value = f"σ_{l}({a})" if net.act[l].name != "identity" else a
    if unit.find(MaxPool):
        yield Equation(f"winner_{l}", f"which place of each window of {value} is the largest, from "
                       "0, row by row, the first on a tie", inputs)
    pools = [part.name for part in unit.parts if isinstance(part, POOLS)]
    for name in pools:
        value = f"{name} of {value}"
    yield Equation(f"h_{l}", f"h_{l} = {value}", inputs)


def pulled(net, l, down):
    """What the unit of layer l makes of what comes down to h_l, in letters."""
    return f"pull_{l} {down}" if l in net.units else f"σ'_{l} ∘ {down}"


def coming_down_inputs(net, l, inputs, above=lambda u: u):
    """Names of what dL/dh_l is computed from; what comes down a skip is no quantity of a file."""
    found = [name for u in net.readers[l] for name in (f"delta_{above(u)}", *inputs(u))]
    for u in net.adders[l]:
        found += [*coming_down_inputs(net, u, inputs, above), f"h_{u}"]
    return tuple(dict.fromkeys(found))


def kept_names(net, l):
    """Names of what the way down through the unit of layer l reads."""
    unit, names = net.unit(l), [f"h_{l}"]
    if unit.find(BatchNorm):
        names += [f"x_hat_{l}", f"gamma_{l}", f"beta_{l}"]
    return (*names, f"winner_{l}") if unit.find(MaxPool) else tuple(names)


def of_unit_gradients(net, inputs=None, above=lambda u: u, own=None):
    """dγ_l, dβ_l and the running statistics of every layer with batch norm (units/norm.py).

    own(l)  names of what dL/dh_l is computed from, where that is not as in `equations`
    """
    for l in sorted(net.norms, reverse=True):
        down = own(l) if own else coming_down_inputs(net, l, inputs, above)
        names = (*down, *kept_names(net, l))
        yield Equation(f"dgamma_{l}", f"dγ_{l} = Σ v x̂_{l} / N, v = dL/d(γ_{l} x̂_{l} + β_{l})",
                       names)
        yield Equation(f"dbeta_{l}", f"dβ_{l} = Σ v / N, v = dL/d(γ_{l} x̂_{l} + β_{l})", names)
