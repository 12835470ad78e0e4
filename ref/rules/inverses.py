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

from math import prod

from ..common.command import UserError
from ..linear import Dense
from ..network import f, sum_to
from ..parallel import each
from .equations import outer
from .rule import SCHEDULE, SIGMA, Equation, Option

TRAINS = {"inverse": ("V", "c"), "forward": ("W", "b")}  # Algorithm 1: inverses first


def options(inverse_loss, *own, tabled=()):
    """The options of a target-propagation rule: its default inverse loss, and those of its own.

    tabled  those of its own whose values stand in the tables of hyperparameters
    """
    return (
        Option("inverse_loss", "what the inverses reconstruct (default: the rule's)", inverse_loss,
               ("de-noising", "noise-preserving")),
        *own,
        SCHEDULE,
        SIGMA,
        Option("inverse", "receptive field of the inverses", "same", ("same", "wide", "dense")),
        *tabled,
        Option("output", "what h_L is to the inverses", "probabilities",
               ("probabilities", "logits")),
        Option("reduction", "of local losses, over units", "sum", ("sum", "mean")),
        Option("order", "within a step of the parallel schedule", "targets-first",
               ("targets-first", "inverse-first")),
    )


def extend(net, layers, inverse="same"):
    """The network with an inverse g_l for each l in layers.

    inverse  "same"   V_l has the structure of W_lᵀ (section 5.4)
             "wide"   the same with a receptive field 2 larger in each direction (section 3.2)
             "dense"  fully connected (section 3.2)
    Raises UserError where a layer has no inverse: g_l undoes σ_l(W_l h_{l-1} + b_l) and no more.
    """
    for l in net.map:
        if l in net.units or l in net.sources:
            more = net.unit(l).name if l in net.units else f"reads layer {net.reads(l)}"
            raise UserError(f"layer {l} ({more}) has no inverse, and this rule trains one of every "
                            "layer: it takes chains of layers with a nonlinearity alone between "
                            "them; another rule, or such a network")
    made = {"same": lambda m: m, "wide": lambda m: m.wider(),
            "dense": lambda m: Dense(m.in_shape, m.out_shape)}[inverse]
    return net.adding("V", {l: made(net.map[l]) for l in layers})


def g(net, params, l, u):
    """g(u; λ_l) = σ_{l-1}(V_l u + c_l): (N, *shape_l) -> (N, *shape_{l-1})."""
    a = net.maps["V"][l].transpose(params["V"][l], u)
    a += params["c"][l]
    return net.act[l - 1].value(a, out=a)


def difference(net, params, l, u_hat, u):
    """g_l(û) - g_l(u), the bracket of eq. (2): (N, *shape_{l-1})."""
    return g(net, params, l, u_hat) - g(net, params, l, u)


def difference_targets(net, params, h, h_hat):
    """h_hat with the targets of all layers below its lowest, from the top down:

        ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)
    """
    h_hat = dict(h_hat)
    for l in range(min(h_hat) - 1, 0, -1):
        h_hat[l] = h[l] + difference(net, params, l + 1, h_hat[l + 1], h[l + 1])  # (2)
    return h_hat


def inverse_gradients(net, params, h, eps, inverse_loss, reduction="sum", f=f):
    """Gradients of L_l^inv for every inverse of the network (section 2.1.2; Algorithm 1).

    h              {l: h_l (N, *shape_l)}
    eps            {l: ε_l like h_l}, the noise added to h_l, for every inverse g_{l+1}
    inverse_loss   "de-noising" or "noise-preserving";  reduction  "sum" or "mean"
    f              f(net, params, l, h) = f_l(h), what the inverse is given to invert
    Returns {"inverse_loss": {l: (N,)}, "dV": {l: like V_l}, "dc": {l: like c_l}}.
    """
    N = len(h[0])
    layers = sorted(net.maps_of("V"), reverse=True)
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
        dV[l] = net.maps["V"][l].outer(delta, u)  # input and output have swapped their roles
        dc[l] = sum_to(delta, net.maps["V"][l].in_bias_shape)

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


def of_argmin(net):
    """ĥ_L as an Equation."""
    return Equation(f"h_hat_{net.L}", f"ĥ_{net.L} = argmin L = y  (2.1.2)", ("y",))


def of_difference_targets(net, top):
    """The Equations of ĥ_l for l = top..1 (2)."""
    for l in range(top, 0, -1):
        u = l + 1
        yield Equation(f"h_hat_{l}", f"ĥ_{l} = h_{l} + [g_{u}(ĥ_{u}) - g_{u}(h_{u})]  (2)",
                       (f"h_hat_{u}", f"V_{u}", f"c_{u}", f"h_{l}", f"h_{u}"))


def of_local_deltas(net, setting):
    """The Equations of δ_l of the forward loss for every hidden l."""
    over = " / units" if setting["reduction"] == "mean" else ""
    for l in range(net.L - 1, 0, -1):
        yield Equation(f"delta_{l}", f"δ_{l} = 2 (h_{l} - ĥ_{l}) ∘ σ'_{l}{over}  (2.1.2)",
                       (f"h_{l}", f"h_hat_{l}"))


def of_inverses(net, setting):
    """The Equations of L_l^inv with u = f_l(h_{l-1} + ε_{l-1}); δ is its derivative at V_l u + c_l.

    Where there is an auxiliary output (ao_sdtp.py), the top inverse reads it too.
    """
    noise_preserving = setting["inverse_loss"] == "noise-preserving"
    for l in sorted(net.maps_of("V"), reverse=True):
        i = l - 1
        m = net.maps["V"][l]
        with_z = l in net.maps_of("W_z")
        u = f"u = f_{l}(h_{i} + ε_{i})" if not with_z else f"u = [f_{l}, z](h_{i} + ε_{i})"
        r = f"(h_{i} + ε_{i})" if noise_preserving else f"h_{i}"
        units = prod(net.shape(i)) if setting["reduction"] == "mean" else 1
        mean, two = (f" / {units}", f"2/{units}") if units > 1 else ("", "2")
        inputs = (f"h_{i}", f"eps_{i}", f"W_{l}", f"b_{l}", f"V_{l}", f"c_{l}")
        inputs += ("W_z", "b_z") if with_z else ()
        yield Equation(f"inverse_loss_{l}",
                       f"‖{r.strip('()')} - g_{l}(u)‖²{mean}, {u}  (2.1.2)", inputs)
        inputs += (f"inverse_loss_{l}",)
        delta = f"δ = {two} (x - {r}) ∘ σ'_{i} at x = g_{l}(u)"
        yield Equation(f"dV_{l}", f"{outer(m, f'dV_{l}', 'u', 'δ')}, {delta}, {u}  (2.1.2)", inputs)
        yield Equation(f"dc_{l}", f"dc_{l} = Σ δ / N, {delta}, {u}  (2.1.2)", inputs)
