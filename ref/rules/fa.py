"""Feedback alignment, section 2.1.1 (Lillicrap et al. 2016).

Backpropagation with fixed random B_{l+1} in the place of W_{l+1}:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}              l = L-1, ..., 1

B_l has the shape and the sparse structure of W_l, and its initial distribution.
"""

from dataclasses import replace

from ..network import forward, gradients

BUILD_OPTIONS = ()
STEP_OPTIONS = ()
DEFAULTS = {}
SYMBOLS = ("W", "b")


def extend(net):
    """The network with a feedback map B_l like W_l for l = 2..L."""
    return replace(net, b_map={l: net.map[l] for l in range(2, net.L + 1)})


def deltas(net, params, h, e):
    """{l: δ_l (N, *shape_l)} for l = 1..L, from the activities h and e = dL/da_L."""
    B = params["B"]
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        dh = net.b_map[l + 1].transpose(B[l + 1], delta[l + 1])  # stands in for dL/dh_l
        delta[l] = net.act[l].times_derivative(h[l], dh)
    return delta


def step(net, params, x, y):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    h, a_L = forward(net, params, x)
    e = net.loss.error(h[net.L], y)
    delta = deltas(net, params, h, e)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta)}
