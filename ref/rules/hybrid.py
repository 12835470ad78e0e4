"""Hybrid targets, section 5.6: backpropagation's difference blended with the learned inverse's.

With t_l = ĥ_l - h_l, the displacement of the target (h̃_l in the paper's section 5.6):

    t_L = argmin L - h_L
    t_{L-1} = -μ dL/dh_{L-1}                  + (1 - μ) [g_L(ĥ_L) - g_L(h_L)]
    t_l = μ (dh_{l+1}/dh_l)ᵀ t_{l+1}          + (1 - μ) [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]
        with (dh_{l+1}/dh_l)ᵀ t = W_{l+1}ᵀ (σ'_{l+1} ∘ t)
    L_l = ½ ‖h_l - ĥ_l‖²,  δ_l = -t_l ∘ σ'_l

With losses summed over units (the default) μ = 1 is backpropagation exactly; μ = 0 has SDTP's
targets (its updates are half of SDTP's, whose forward loss has no ½).
"""

from math import prod

from . import algorithm_1, inverses
from .inverses import TRAINS, difference, of_argmin
from .rule import Equation, Option, Rule

MU = Option("mu", "weight of BP's targets", 0.5, high=1)


def extend(net, inverse="same"):
    """The network with an inverse g_l for l = 2..L."""
    return inverses.extend(net, range(2, net.L + 1), inverse)


def displacements(net, params, h, e, y, mu):
    """{l: t_l (N, *shape_l)} for l = 1..L."""
    L, W = net.L, params["W"]
    t = {L: net.loss.argmin(y) - h[L]}
    minus_dL_da = {L: -e}  # of a_{l+1}: W_{l+1}ᵀ takes it to the differential part of t_l
    for l in range(L - 1, 0, -1):
        differential = net.map[l + 1].transpose(W[l + 1], minus_dL_da[l + 1])
        learned = difference(net, params, l + 1, h[l + 1] + t[l + 1], h[l + 1])
        t[l] = mu * differential + (1 - mu) * learned
        minus_dL_da[l] = net.act[l].times_derivative(h[l], t[l])
    return t


def step(net, params, x, y, *, eps=None, phase="both", mu, inverse_loss, reduction="sum"):
    """One batch of Algorithm 1 (algorithm_1.step), with the δ_l of the displacements."""
    t = {}

    def targets(h, e):
        t.update(displacements(net, params, h, e, y, mu))
        return {"h_hat": {l: h[l] + t[l] for l in t}}

    def deltas(net, h, h_hat, reduction):
        scale = {l: 1 if reduction == "sum" else 1 / prod(h[l].shape[1:]) for l in h}
        return {l: net.act[l].times_derivative(h[l], -scale[l] * t[l]) for l in range(1, net.L)}

    return algorithm_1.step(net, params, x, y, eps, phase, targets, deltas=deltas,
                            inverse_loss=inverse_loss, reduction=reduction)


def equations(net, setting, phase):
    L, found = net.L, [of_argmin(net)]
    for l in range(L - 1, 0, -1):
        u = l + 1
        part = f"-W_{u}ᵀ δ_{u}" if u == L else f"(dh_{u}/dh_{l})ᵀ(ĥ_{u} - h_{u})"
        found.append(Equation(
            f"h_hat_{l}",
            f"ĥ_{l} = h_{l} + μ {part} + (1-μ) [g_{u}(ĥ_{u}) - g_{u}(h_{u})]  (5.6)",
            (f"h_hat_{u}", f"V_{u}", f"c_{u}", f"h_{l}", f"h_{u}", f"W_{u}",
             *(("y",) if u == L else ()))))
    return algorithm_1.equations(net, setting, phase, found, of_deltas)


def of_deltas(net, setting):
    """The Equations of δ_l for every hidden l."""
    over = " / units" if setting["reduction"] == "mean" else ""
    for l in range(net.L - 1, 0, -1):
        yield Equation(f"delta_{l}", f"δ_{l} = (h_{l} - ĥ_{l}) ∘ σ'_{l}{over}  (5.6)",
                       (f"h_{l}", f"h_hat_{l}"))


RULE = Rule(step, equations, extend, trains=TRAINS, noise="V", like="sdtp", argmin_target=True,
            options=inverses.options("de-noising", MU))
