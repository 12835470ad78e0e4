"""SDTP with auxiliary outputs, section 2.1.2 and Algorithm 2 (section 5.1).

The output is h_L = [o, z]: o the class distribution, on which alone the loss is computed, and z
fixed random features of h_{L-1} with the nonlinearity of the hidden layers, never trained:

    o = σ_L(W_L h_{L-1} + b_L),    z = σ_{L-1}(W_z h_{L-1} + b_z)
    ô = argmin L                                              the correct label distribution
    ĥ_{L-1} = h_{L-1} - g_L(o, z) + g_L(ô, z)            (3)
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-2, ..., 1

h[L] is o here; g_L reads o and z side by side, so V_L is (n_L + n_z, n_{L-1}).
"""

from math import prod

from ..backend import join
from ..linear import Dense
from ..network import f
from . import algorithm_1, inverses
from .inverses import TRAINS, difference, difference_targets, of_argmin, of_difference_targets
from .rule import Equation, Option, Rule

AUX = Option("aux", "auxiliary output units", 512, whole=True)


def extend(net, inverse="same", aux=512):
    """The network with `aux` auxiliary units and an inverse g_l for l = 2..L."""
    L = net.L
    if L == 1:
        return net  # no hidden layer that an auxiliary output could tell about
    net = inverses.extend(net, range(2, L + 1), inverse)
    g_L = Dense(net.shape(L - 1), (prod(net.shape(L)) + aux,))
    return (net.adding("V", {**net.maps["V"], L: g_L})
               .adding("W_z", {L: Dense(net.shape(L - 1), (aux,))}))


def auxiliary(net, params, h):
    """z = σ_{L-1}(W_z h + b_z): (N, *shape_{L-1}) -> (N, n_z)."""
    L = net.L
    a = net.maps["W_z"][L].forward(params["W_z"][L], h)
    a += params["b_z"][L]
    return net.act[L - 1].value(a, out=a)


def composite(net, params, l, h):
    """f_l(h), with the auxiliary output beside it at the top: [o, z] for l = L."""
    if l < net.L:
        return f(net, params, l, h)
    return join(f(net, params, l, h), auxiliary(net, params, h))


def targets(net, params, h, z, y):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L (ĥ_L is ô), from the activities and the labels."""
    L = net.L
    h_hat = {L: net.loss.argmin(y)}
    if L == 1:
        return h_hat
    h_hat[L - 1] = h[L - 1] + difference(
        net, params, L, join(h_hat[L], z), join(h[L], z))  # (3)
    return difference_targets(net, params, h, h_hat)


def step(net, params, x, y, *, eps=None, phase="both", inverse_loss, reduction="sum"):
    """One batch of Algorithm 2 (algorithm_1.step); z (N, n_z) is among what it returns."""

    def all_targets(h, e):
        if net.L == 1:
            return {"h_hat": targets(net, params, h, None, y)}
        z = auxiliary(net, params, h[net.L - 1])
        return {"z": z, "h_hat": targets(net, params, h, z, y)}

    return algorithm_1.step(net, params, x, y, eps, phase, all_targets, f=composite,
                            inverse_loss=inverse_loss, reduction=reduction)


def equations(net, setting, phase):
    L, found = net.L, [of_argmin(net)]
    if L > 1:
        l = L - 1
        found.insert(0, Equation("z", f"z = σ_{l}(W_z h_{l} + b_z)  (Algorithm 2)",
                                 (f"h_{l}", "W_z", "b_z")))
        found.append(Equation(
            f"h_hat_{l}", f"ĥ_{l} = h_{l} + [g_{L}(ĥ_{L}, z) - g_{L}(h_{L}, z)]  (3)",
            (f"h_hat_{L}", f"V_{L}", f"c_{L}", f"h_{l}", f"h_{L}", "z")))
        found += of_difference_targets(net, L - 2)
    return algorithm_1.equations(net, setting, phase, found)


RULE = Rule(step, equations, extend, trains=TRAINS, noise="V", like="sdtp", argmin_target=True,
            inverted=composite, options=inverses.options("de-noising", AUX))
