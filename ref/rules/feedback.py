"""What the rules share that carry the output's error down: bp, fa, dfa, sign-symmetry and others.

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ F_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

A rule says what F is: W for backpropagation, something else where weights are not transported.

In general several layers k read h_l, and a unit (ref/units) stands where σ_l does:

    δ_l = pull_l(Σ_k F_kᵀ δ_k)                 pull_l(v) = (dh_l/da_l)ᵀ v, the ordinary derivative
"""

from ..graph import coming_down, of_units
from ..network import forward, gradients
from .equations import of_gradients, of_output_error
from .rule import Equation, Option
from .unit_equations import coming_down_inputs, kept_names, of_unit_gradients, pulled

LAST_LAYER = Option("last_layer", "what the output layer sends down: by the rule's feedback, or by "
                    "its own W, as backpropagation", "rule", ("rule", "bp"))


def maps(net, last_layer="rule"):
    """{l: the linear map of W_l} of the layers that send something down by the rule's feedback: all
    that read no input, without the output where last_layer is "bp"."""
    return {l: m for l, m in net.map.items()
            if net.reads(l) > 0 and not (last_layer == "bp" and l == net.L)}


def with_last(net, F, params, last_layer):
    """F, with W_L for the output layer where last_layer is "bp"."""
    return {**F, net.L: params["W"][net.L]} if last_layer == "bp" else F


def deltas(net, kept, e, F):
    """({l: δ_l (N, *shape of a_l)} for l = 1..L, own), from what the units kept, e = dL/da_L and F.

    F    {l: F_l}, or what graph.coming_down takes in its place
    own  {l: gradients of what else unit l reads: "gamma", "beta", "skip"}
    """
    delta, own = {net.L: e}, {}
    for l in range(net.L - 1, 0, -1):
        dh = coming_down(net, l, F, delta, own)  # dL/dh_l, or what stands for it
        delta[l], own[l] = net.unit(l).pull(kept[l], dh)
    return delta, own


def step(net, params, x, y, deltas):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db, and of units
    dgamma, dbeta, running_mean, running_var (graph.of_units).

    deltas(kept, e) gives ({l: δ_l}, own), as `deltas` above does.
    """
    kept = {}
    h, a_L = forward(net, params, x, kept=kept)
    e = net.loss.error(h[net.L], y)
    delta, own = deltas(kept, e)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta),
            **of_units(net, params, kept, own, len(x))}


def equations(net, F, section, inputs, gradients=None, above=lambda u: u):
    """Equations of a step: F(u) writes F_u, inputs(u) names what δ_{u-1} needs beside δ_u.

    section    where δ_l stands, behind its formula
    gradients  Equations in the place of those of dW_l and db_l
    above(u)   whose δ it is that layer u sends down
    """
    yield of_output_error(net)
    for l in range(net.L - 1, 0, -1):
        terms = [f"{F(u)}ᵀ δ_{above(u)}" for u in net.readers[l]]
        terms += [f"skip_{u}" for u in net.adders[l]]
        down = terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"
        yield Equation(f"delta_{l}", f"δ_{l} = {pulled(net, l, down)}{section}",
                       (*coming_down_inputs(net, l, inputs, above), *kept_names(net, l)))
    yield from of_unit_gradients(net, inputs, above)
    yield from of_gradients(net) if gradients is None else gradients
