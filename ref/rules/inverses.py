"""Inverses and the losses local to a layer, shared by the target-propagation rules (2.1.2, 5.1).

The inverse of layer l takes the space of h_l to that of h_{l-1}; its nonlinearity is that of
layer l-1 (NOTES.md, reading 3):

    g_l(u) = σ_{l-1}(V_l u + c_l)

V_l is laid out like W_l, so the product is the transposed map: `transpose(V, u)`.

Inverse loss, with noise ε, h̃_{l-1} = h_{l-1} + ε, and u = f_l(h̃_{l-1}):

    L_l^inv(λ_l) = ‖r - g_l(u)‖²        r = h_{l-1}      "de-noising" (Algorithm 1)
                                        r = h̃_{l-1}      "noise-preserving" (Lee et al. 2015)

Forward loss, with the target ĥ_l held fixed:

    L_l(θ_l) = ‖h_l - ĥ_l‖²,            δ_l = dL_l/da_l = 2 (h_l - ĥ_l) ∘ σ'_l

Both are means over the batch, and over the units sums ("sum") or means ("mean"): `reduction`.
"""

from dataclasses import replace
from math import prod

from ..linear import Dense
from ..network import f, sum_to
from ..parallel import each

INVERSE_LOSSES = ("de-noising", "noise-preserving")
REDUCTIONS = ("sum", "mean")
SHAPES = ("same", "wide", "dense")


def extend(net, layers, inverse="same"):
    """The network with an inverse g_l for each l in layers.

    inverse  "same"   V_l has the structure of W_lᵀ (section 5.4)
             "wide"   the same with a receptive field 2 larger in each direction (section 3.2)
             "dense"  fully connected (section 3.2)
    """
    made = {"same": lambda m: m, "wide": lambda m: m.wider(),
            "dense": lambda m: Dense(m.in_shape, m.out_shape)}[inverse]
    return replace(net, g_map={l: made(net.map[l]) for l in layers})


def g(net, params, l, u):
    """g(u; λ_l) = σ_{l-1}(V_l u + c_l): (N, *shape_l) -> (N, *shape_{l-1})."""
    a = net.g_map[l].transpose(params["V"][l], u)
    a += params["c"][l]
    return net.act[l - 1].value(a, out=a)


def inverse_gradients(net, params, h, eps, inverse_loss, reduction="sum", f=f):
    """Gradients of L_l^inv for every inverse of the network (section 2.1.2; Algorithm 1).

    h              {l: h_l (N, *shape_l)}
    eps            {l: ε_l like h_l}, the noise added to h_l, for l + 1 in net.g_map
    inverse_loss   one of INVERSE_LOSSES; reduction: one of REDUCTIONS
    f              f(net, params, l, h) = f_l(h), what the inverse is given to invert
    Returns {"inverse_loss": {l: (N,)}, "dV": {l: like V_l}, "dc": {l: like c_l}}.
    """
    N = len(h[0])
    layers = sorted(net.g_map, reverse=True)
    loss, dV, dc = (dict.fromkeys(layers) for _ in range(3))

    def layer(l):
        h_tilde = h[l - 1] + eps[l - 1]
        u = f(net, params, l, h_tilde)  # held fixed while λ_l is trained
        x = g(net, params, l, u)
        r = h[l - 1] if inverse_loss == "de-noising" else h_tilde
        d = x - r
        scale = 1 if reduction == "sum" else 1 / prod(d.shape[1:])
        loss[l] = scale * squared_norm(d)
        d *= 2 * scale / N
        delta = net.act[l - 1].times_derivative(x, d)  # dL/d(V_l u + c_l), over N
        dV[l] = net.g_map[l].outer(delta, u)  # input and output have swapped their roles
        dc[l] = sum_to(delta, net.g_map[l].in_bias_shape)

    each(layer, layers, h[0])  # no inverse's loss depends on another's
    return {"inverse_loss": loss, "dV": dV, "dc": dc}


def local_deltas(net, h, h_hat, reduction="sum"):
    """{l: δ_l of the forward loss L_l} for every hidden l in h_hat."""
    delta = {}
    for l in h_hat:
        if l < net.L:
            scale = 2 if reduction == "sum" else 2 / prod(h[l].shape[1:])
            delta[l] = net.act[l].times_derivative(h[l], scale * (h[l] - h_hat[l]))
    return delta


def squared_norm(v):
    """‖v‖² of each example: (N, ...) -> (N,)."""
    v = v.reshape(len(v), -1)
    return (v * v).sum(axis=1)
