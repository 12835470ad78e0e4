"""A network: eq. (1), h_l = σ_l(W_l h_{l-1} + b_l), l = 1..L, h_0 = x (section 2).

Everything is indexed by the paper's own l: W, b, h, ... are dicts {l: array}. A network holds no
arrays; parameters are passed in as {"W": {l: array}, "b": {l: array}, ...}, with "V" and "c" for
inverses, "B" for fixed feedback, "W_z" and "b_z" for auxiliary outputs, as the rule needs them.
"""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from .activations import Activation
from .losses import Loss
from .parallel import each


@dataclass(frozen=True)
class Network:
    """Layers 1..L and the linear maps that a rule adds to them.

    map[l]    the linear map of W_l;  act[l]  its σ_l;  loss  of h_L
    g_map[l]  the linear map of V_l, whose *transpose* is the inverse g_l (rules/inverses.py)
    b_map[l]  the linear map of B_l (rules/fa.py, rules/dfa.py)
    z_map     the linear map of W_z, from h_{L-1} to the auxiliary output (rules/ao_sdtp.py)
    """

    map: dict
    act: dict[int, Activation]
    loss: Loss
    g_map: dict = field(default_factory=dict)
    b_map: dict = field(default_factory=dict)
    z_map: object = None

    @property
    def L(self):
        return len(self.map)

    def shape(self, l):
        """Shape of h_l for one example."""
        return self.map[1].in_shape if l == 0 else self.map[l].out_shape


def preactivation(net, params, l, h):
    """a_l = W_l h + b_l."""
    a = net.map[l].forward(params["W"][l], h)
    a += params["b"][l]
    return a


def f(net, params, l, h):
    """f(h; θ_l) = σ_l(W_l h + b_l).                                                       (1)"""
    a = preactivation(net, params, l, h)
    return net.act[l].value(a, out=a)


def forward(net, params, x):
    """All activities {0: x, 1: h_1, ..., L: h_L}, and a_L, which the loss needs."""
    h = {0: x}
    for l in range(1, net.L):
        h[l] = f(net, params, l, h[l - 1])  # (1)
    a_L = preactivation(net, params, net.L, h[net.L - 1])
    h[net.L] = net.act[net.L].value(a_L)
    return h, a_L


def gradients(net, h, delta):
    """dL/dθ_l from δ_l = dL/da_l, averaged over the batch (section 2.1).

        dW_l = Σ_n δ_l h_{l-1}ᵀ / N,    db_l = Σ_n δ_l / N

    Returns {"dW": {l: like W_l}, "db": {l: like b_l}} for every l in delta.
    """
    N = len(h[0])
    dW, db = dict.fromkeys(sorted(delta)), dict.fromkeys(sorted(delta))

    def layer(l):
        d = delta[l] / N  # the small array is divided, not dW
        dW[l] = net.map[l].outer(h[l - 1], d)
        db[l] = sum_to(d, net.map[l].bias_shape)

    each(layer, dW, h[0])
    return {"dW": dW, "db": db}


def sum_to(v, bias_shape):
    """Sum v (N, ...) over the batch and over every axis that a bias is shared along."""
    return v.sum(axis=tuple(range(v.ndim - len(bias_shape))))


def glorot(rng, linear_map, dtype):
    """Weights of Glorot & Bengio 2010, eq. (16): uniform in ±√(6 / (fan_in + fan_out))."""
    limit = sqrt(6 / (linear_map.fan_in + linear_map.fan_out))
    return rng.uniform(-limit, limit, linear_map.weight_shape).astype(dtype)


def zero_parameters(net, dtype):
    """{"W": {l: array}, ...} for every map of the network, all zero, as NumPy arrays.

    A symbol that the rule does not have is there with no layers.
    """
    shapes = {
        "W": {l: m.weight_shape for l, m in net.map.items()},
        "b": {l: m.bias_shape for l, m in net.map.items()},
        "V": {l: m.weight_shape for l, m in net.g_map.items()},
        "c": {l: m.in_bias_shape for l, m in net.g_map.items()},
        "B": {l: m.weight_shape for l, m in net.b_map.items()},
        "W_z": {net.L: net.z_map.weight_shape} if net.z_map else {},
        "b_z": {net.L: net.z_map.bias_shape} if net.z_map else {},
    }
    return {symbol: {l: np.zeros(shape, dtype) for l, shape in layers.items()}
            for symbol, layers in shapes.items()}


def initial_parameters(net, stream, dtype):
    """Glorot weights and zero biases for every map of the network, as NumPy arrays.

    stream(purpose) gives a numpy.random.Generator; each kind of parameter has its own, so that
    networks of one seed have the same W whatever the rule.
    """
    params = zero_parameters(net, dtype)
    z_map = {net.L: net.z_map} if net.z_map else {}
    for symbol, purpose, maps in (("W", "weights", net.map), ("V", "inverse", net.g_map),
                                  ("B", "feedback", net.b_map), ("W_z", "auxiliary", z_map)):
        rng = stream(purpose)
        for l, m in sorted(maps.items()):
            params[symbol][l] = glorot(rng, m, dtype)
    return params
