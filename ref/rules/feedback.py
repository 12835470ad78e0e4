"""What the rules share that carry the output's error down: bp, fa, dfa, sign-symmetry and others.

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ F_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

A rule says what F is: W for backpropagation, something else where weights are not transported.
"""

from ..network import forward, gradients
from .equations import of_gradients, of_output_error
from .rule import Equation


def deltas(net, h, e, F):
    """{l: δ_l (N, *shape_l)} for l = 1..L, from the activities, e = dL/da_L and {l: F_l}."""
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        dh = net.map[l + 1].transpose(F[l + 1], delta[l + 1])  # dL/dh_l, or what stands for it
        delta[l] = net.act[l].times_derivative(h[l], dh)
    return delta


def step(net, params, x, y, deltas):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db.

    deltas(h, e) gives {l: δ_l}.
    """
    h, a_L = forward(net, params, x)
    e = net.loss.error(h[net.L], y)
    delta = deltas(h, e)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta)}


def equations(net, F, section, inputs, gradients=None):
    """Equations of a step: F(u) writes F_u, inputs(u) names what δ_{u-1} needs beside δ_u.

    section    where δ_l stands, behind its formula
    gradients  Equations in the place of those of dW_l and db_l
    """
    yield of_output_error(net)
    for l in range(net.L - 1, 0, -1):
        u = l + 1
        yield Equation(f"delta_{l}", f"δ_{l} = σ'_{l} ∘ {F(u)}ᵀ δ_{u}{section}",
                       (f"delta_{u}", *inputs(u)))
    yield from of_gradients(net) if gradients is None else gradients
