"""Direct feedback alignment, section 2.1.1 (Nøkland 2016; Samadi et al. 2017).

Fixed random B_l carries the output's error straight to every hidden layer:

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_l e                         l = L-1, ..., 1

B_l is dense, (n_l, n_L), whatever kind of layer l is.
"""

from dataclasses import replace

from ..linear import Dense
from ..network import forward, gradients

BUILD_OPTIONS = ()
STEP_OPTIONS = ()
DEFAULTS = {}
SYMBOLS = ("W", "b")


def extend(net):
    """The network with a dense map B_l from the output to layer l for l = 1..L-1."""
    L = net.L
    return replace(net, b_map={l: Dense(net.shape(L), net.shape(l)) for l in range(1, L)})


def deltas(net, params, h, e):
    """{l: δ_l (N, *shape_l)} for l = 1..L, from the activities h and e = dL/da_L."""
    B = params["B"]
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        dh = net.b_map[l].forward(B[l], e)  # stands in for dL/dh_l
        delta[l] = net.act[l].times_derivative(h[l], dh)
    return delta


def step(net, params, x, y):
    """One batch: x (N, *shape_0), y (N, *shape_L) -> h, loss (N,), delta, dW, db."""
    h, a_L = forward(net, params, x)
    e = net.loss.error(h[net.L], y)
    delta = deltas(net, params, h, e)
    return {"h": h, "loss": net.loss.value(a_L, y), "delta": delta, **gradients(net, h, delta)}
