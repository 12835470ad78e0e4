"""Backpropagation, section 2.1 (Rumelhart et al. 1986).

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ W_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1
    dW_l = δ_l h_{l-1}ᵀ,  db_l = δ_l           mean over the batch
"""

from ..network import forward, gradients

BUILD_OPTIONS = ()
STEP_OPTIONS = ()
DEFAULTS = {}
SYMBOLS = ("W", "b")


def extend(net):
    """Backpropagation has no arrays of its own: the network as it is."""
    return net


def deltas(net, params, h, e):
    """{l: δ_l (N, *shape_l)} for l = 1..L, from the activities h and e = dL/da_L."""
    W = params["W"]
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        dh = net.map[l + 1].transpose(W[l + 1], delta[l + 1])  # dL/dh_l
        delta[l] = net.act[l].times_derivative(h[l], dh)
    return delta


def step(net, params, x, y):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    h, a_L = forward(net, params, x)
    e = net.loss.error(h[net.L], y)
    delta = deltas(net, params, h, e)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta)}
