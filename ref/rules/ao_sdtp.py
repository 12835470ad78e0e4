"""SDTP with auxiliary outputs, section 2.1.2 and Algorithm 2 (section 5.1).

The output is h_L = [o, z]: o the class distribution, on which alone the loss is computed, and z
fixed random features of h_{L-1} with the nonlinearity of the hidden layers, never trained:

    o = σ_L(W_L h_{L-1} + b_L),    z = σ_{L-1}(W_z h_{L-1} + b_z)
    ô = argmin L                                              the correct label distribution
    ĥ_{L-1} = h_{L-1} - g_L(o, z) + g_L(ô, z)            (3)
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-2, ..., 1

h[L] is o here; g_L reads o and z side by side, so V_L is (n_L + n_z, n_{L-1}).
"""

from dataclasses import replace
from math import prod

from ..backend import join
from ..linear import Dense
from ..network import f, forward, gradients
from . import inverses
from .inverses import g, inverse_gradients, local_deltas

BUILD_OPTIONS = ("inverse", "aux")
STEP_OPTIONS = ("inverse_loss", "reduction")
DEFAULTS = {"inverse_loss": "de-noising", "aux": 512}
SYMBOLS = ("W", "b", "V", "c")


def extend(net, inverse="same", aux=512):
    """The network with `aux` auxiliary units and an inverse g_l for l = 2..L."""
    L = net.L
    if L == 1:
        return net  # no hidden layer that an auxiliary output could tell about
    net = inverses.extend(net, range(2, L + 1), inverse)
    g_L = Dense(net.shape(L - 1), (prod(net.shape(L)) + aux,))
    return replace(net, g_map={**net.g_map, L: g_L}, z_map=Dense(net.shape(L - 1), (aux,)))


def auxiliary(net, params, h):
    """z = σ_{L-1}(W_z h + b_z): (N, *shape_{L-1}) -> (N, n_z)."""
    L = net.L
    a = net.z_map.forward(params["W_z"][L], h)
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
    difference = (g(net, params, L, join(h_hat[L], z))
                  - g(net, params, L, join(h[L], z)))
    h_hat[L - 1] = h[L - 1] + difference  # (3)
    for l in range(L - 2, 0, -1):
        difference = g(net, params, l + 1, h_hat[l + 1]) - g(net, params, l + 1, h[l + 1])
        h_hat[l] = h[l] + difference  # (2)
    return h_hat


def step(net, params, x, y, eps, phase="both", *, inverse_loss, reduction="sum"):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase "both", "forward" or "inverse": whose gradients to compute. Returns h, loss (N,), and
    z, h_hat, delta, dW, db of the forward phase, inverse_loss, dV, dc of the inverse phase.
    """
    h, a_L = forward(net, params, x)
    out = {"h": h, "loss": net.loss.value(a_L, y)}
    if phase != "inverse":
        z = auxiliary(net, params, h[net.L - 1]) if net.z_map else None
        h_hat = targets(net, params, h, z, y)
        delta = {net.L: net.loss.error(h[net.L], y), **local_deltas(net, h, h_hat, reduction)}
        out |= {"z": z} if net.z_map else {}
        out |= {"h_hat": h_hat, "delta": delta, **gradients(net, h, delta)}
    if phase != "forward":
        out |= inverse_gradients(net, params, h, eps, inverse_loss, reduction, composite)
    return out
