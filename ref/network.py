"""A network: eq. (1), h_l = σ_l(W_l h_{l-1} + b_l), l = 1..L, h_0 = x (section 2).

Everything is indexed by the paper's own l: W, b, h, ... are dicts {l: array}. A network holds no
arrays; parameters are passed in as {"W": {l: array}, "b": {l: array}, ...}, with "V" and "c" for
inverses, "B" for feedback, "W_z" and "b_z" for auxiliary outputs, as the rule needs them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np

from .activations import Activation
from .losses import Loss
from .parallel import each

# Every kind of parameter, in the order of files: whose linear map gives its shape, and which.
SYMBOLS = {
    "W": ("W", "weight_shape"), "b": ("W", "bias_shape"),
    "V": ("V", "weight_shape"), "c": ("V", "in_bias_shape"),  # of the inverses
    "B": ("B", "weight_shape"),  # feedback
    "W_z": ("W_z", "weight_shape"), "b_z": ("W_z", "bias_shape"),  # of the auxiliary output
}
STREAMS = {"W": "weights", "V": "inverse", "B": "feedback", "W_z": "auxiliary"}  # seeds.PURPOSES


@dataclass(frozen=True)
class Network:
    """Layers 1..L and the linear maps that a rule adds to them.

    map[l]        the linear map of W_l;  act[l]  its σ_l;  loss  of h_L
    unbiased      the l of layers without b_l; an inverse g_l keeps its c_l
    maps["V"][l]  the linear map of V_l, whose *transpose* is the inverse g_l (rules/inverses.py)
    maps["B"][l]  the linear map of B_l (rules/fa.py, rules/dfa.py)
    maps["W_z"]   {L: the linear map of W_z}, from h_{L-1} to the auxiliary output
                  (rules/ao_sdtp.py)
    own_forward   what `forward` does where it is not eq. (1)
    """

    map: dict
    act: dict[int, Activation]
    loss: Loss
    maps: dict = field(default_factory=dict)
    unbiased: frozenset = frozenset()
    own_forward: Callable = None

    @property
    def L(self):
        return len(self.map)

    def maps_of(self, symbol):
        """{l: the linear map of a parameter}; {} where the rule has none of this kind."""
        kind = SYMBOLS[symbol][0]
        return self.map if kind == "W" else self.maps.get(kind, {})

    def shapes_of(self, symbol):
        """{l: the shape of a parameter}."""
        lacking = self.unbiased if symbol == "b" else ()
        return {l: getattr(m, SYMBOLS[symbol][1]) for l, m in sorted(self.maps_of(symbol).items())
                if l not in lacking}

    def adding(self, symbol, maps):
        """This network with {l: linear map} of one more kind of weights."""
        return replace(self, maps={**self.maps, symbol: maps})

    def shape(self, l):
        """Shape of h_l for one example."""
        return self.map[1].in_shape if l == 0 else self.map[l].out_shape


def preactivation(net, params, l, h):
    """a_l = W_l h + b_l, or W_l h where the layer has no bias."""
    a = net.map[l].forward(params["W"][l], h)
    if l not in net.unbiased:
        a += params["b"][l]
    return a


def f(net, params, l, h):
    """f(h; θ_l) = σ_l(W_l h + b_l).                                                       (1)"""
    a = preactivation(net, params, l, h)
    return net.act[l].value(a, out=a)


def forward(net, params, x, first=0):
    """All activities {0: x, 1: h_1, ..., L: h_L}, and a_L, which the loss needs.

    first  the number of the first example among all, for networks that are noisy by themselves
    """
    if net.own_forward:
        return net.own_forward(net, params, x, first)
    h = {0: x}
    for l in range(1, net.L):
        h[l] = f(net, params, l, h[l - 1])  # (1)
    a_L = preactivation(net, params, net.L, h[net.L - 1])
    h[net.L] = net.act[net.L].value(a_L)
    return h, a_L


def gradients(net, h, delta):
    """dL/dθ_l from δ_l = dL/da_l, averaged over the batch (section 2.1).

        dW_l = Σ_n δ_l h_{l-1}ᵀ / N,    db_l = Σ_n δ_l / N

    Returns {"dW": {l: like W_l}, "db": {l: like b_l}} for every l in delta, db where b_l exists.
    """
    N = len(h[0])
    dW = dict.fromkeys(sorted(delta))
    db = {l: None for l in dW if l not in net.unbiased}

    def layer(l):
        d = delta[l] / N  # the small array is divided, not dW
        dW[l] = net.map[l].outer(h[l - 1], d)
        if l in db:
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
    return {symbol: {l: np.zeros(shape, dtype) for l, shape in net.shapes_of(symbol).items()}
            for symbol in SYMBOLS}


def initial_parameters(net, stream, dtype):
    """Glorot weights and zero biases for every map of the network, as NumPy arrays.

    stream(purpose) gives a numpy.random.Generator; each kind of parameter has its own, so that
    networks of one seed have the same W whatever the rule.
    """
    params = zero_parameters(net, dtype)
    for symbol, purpose in STREAMS.items():
        rng = stream(purpose)
        for l, m in sorted(net.maps_of(symbol).items()):
            params[symbol][l] = glorot(rng, m, dtype)
    return params


def name_of(symbol, l):
    """A parameter's name in every file: W_1; W_z and b_z, of which there is one, have no index."""
    return symbol if symbol.endswith("_z") else f"{symbol}_{l}"


def flat(groups, symbols=None):
    """{"W": {1: array}, ...} -> {"W_1": array, ...}, of all symbols or of these."""
    return {name_of(symbol, l): array for symbol in symbols or groups
            for l, array in groups[symbol].items()}
