"""A network: eq. (1), h_l = σ_l(W_l h_{l-1} + b_l), l = 1..L, h_0 = x (section 2).

In general, with a unit (ref/units) for σ_l, any layer j < l for l-1, and a skip from i < l:

    h_l = unit_l(W_l h_j + b_l, h_i)        j = reads(l), l-1 if nothing is said;  i = adds[l]

Everything is indexed by the paper's own l: W, b, h, ... are dicts {l: array}. A network holds no
arrays; parameters are passed in as {"W": {l: array}, "b": {l: array}, ...}, with "V" and "c" for
inverses, "B" for feedback, "W_z" and "b_z" for auxiliary outputs, as the rule needs them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from . import initial
from .activations import Activation
from .initial import glorot  # noqa: F401  (the distribution of this paper)
from .losses import Loss
from .units import BatchNorm, Sigma, Unit

# Every kind of parameter, in the order of files: whose linear map gives its shape, and which.
SYMBOLS = {
    "W": ("W", "weight_shape"), "b": ("W", "bias_shape"),
    "gamma": ("norm", "shape"), "beta": ("norm", "shape"),  # of batch norm (units/norm.py)
    "running_mean": ("norm", "shape"), "running_var": ("norm", "shape"),
    "V": ("V", "weight_shape"), "c": ("V", "in_bias_shape"),  # of the inverses
    "B": ("B", "weight_shape"),  # feedback
    "W_z": ("W_z", "weight_shape"), "b_z": ("W_z", "bias_shape"),  # of the auxiliary output
}
FORWARD = ("W", "b", "gamma", "beta")  # what backpropagation trains
STATE = ("running_mean", "running_var")  # what changes without being trained
UNIT = ("gamma", "beta", *STATE)  # what a unit reads beside a and the skip
STREAMS = {"W": "weights", "V": "inverse", "B": "feedback", "W_z": "auxiliary"}  # seeds.PURPOSES


@dataclass(frozen=True)
class Network:
    """Layers 1..L and the linear maps that a rule adds to them.

    map[l]        the linear map of W_l;  act[l]  its σ_l;  loss  of h_L
    unbiased      the l of layers without b_l; an inverse g_l keeps its c_l
    units[l]      what stands between a_l and h_l where that is more than σ_l
    sources[l]    the layer whose h it reads where that is not l-1;  adds[l]  the one whose h its
                  unit adds, where there is one
    initial       the name of the initial distribution of its weights and biases (initial.py)
    laws          {symbol: the name of its own initial distribution}, for what a rule adds
    signed        a function m -> s where B_l begins at s sign(W_l) (rules/fa.py)
    maps["V"][l]  the linear map of V_l, whose *transpose* is the inverse g_l (rules/inverses.py)
    maps["B"][l]  the linear map of B_l (rules/fa.py, rules/dfa.py)
    maps["W_z"]   {L: the linear map of W_z}, from h_{L-1} to the auxiliary output
                  (rules/ao_sdtp.py)
    scaling       (means, deviations) of the input's channels, where x is normalised first
                  (normalisation.py)
    own_forward   what `forward` does where it is not eq. (1)
    """

    map: dict
    act: dict[int, Activation]
    loss: Loss
    maps: dict = field(default_factory=dict)
    unbiased: frozenset = frozenset()
    own_forward: Callable = field(default=None, compare=False)
    units: dict = field(default_factory=dict)
    sources: dict = field(default_factory=dict)
    adds: dict = field(default_factory=dict)
    initial: str = "glorot"
    laws: dict = field(default_factory=dict)
    signed: Callable = None
    scaling: tuple = None

    @property
    def L(self):
        return len(self.map)

    @cached_property
    def _every_unit(self):
        return {l: self.units.get(l) or Unit((Sigma(act),)) for l, act in self.act.items()}

    def unit(self, l):
        """The Unit between a_l and h_l."""
        return self._every_unit[l]

    def reads(self, l):
        """The j of the h_j that layer l reads."""
        return self.sources.get(l, l - 1)

    @cached_property
    def readers(self):
        """{j: the layers that read h_j}."""
        found = {j: [] for j in range(self.L + 1)}
        for l in self.map:
            found[self.reads(l)].append(l)
        return found

    @cached_property
    def adders(self):
        """{i: the layers whose unit adds h_i}."""
        return {i: [l for l in self.adds if self.adds[l] == i] for i in range(self.L + 1)}

    @cached_property
    def norms(self):
        """{l: the BatchNorm of a layer that has one}."""
        return {l: norm for l, unit in self.units.items() if (norm := unit.find(BatchNorm))}

    def maps_of(self, symbol):
        """{l: the linear map of a parameter}; {} where the rule has none of this kind."""
        kind = SYMBOLS[symbol][0]
        if kind == "norm":
            return self.norms
        return self.map if kind == "W" else self.maps.get(kind, {})

    def shapes_of(self, symbol):
        """{l: the shape of a parameter}."""
        lacking = self.unbiased if symbol == "b" else ()
        return {l: getattr(m, SYMBOLS[symbol][1]) for l, m in sorted(self.maps_of(symbol).items())
                if l not in lacking}

    def draw(self, symbol, rng, linear_map, dtype):
        """Initial numbers of one array of weights: distributed as W if no other law is said."""
        return initial.WEIGHTS[self.laws.get(symbol, self.initial)](rng, linear_map, dtype)

    def adding(self, symbol, maps, law=None):
        """This network with {l: linear map} of one more kind of weights.

        law  the name of their initial distribution (initial.py) where it is not that of W
        """
        laws = self.laws if law is None else {**self.laws, symbol: law}
        return replace(self, maps={**self.maps, symbol: maps}, laws=laws)

    def across(self, ranks):
        """This network with batch norm's sums over the rows of all ranks."""
        parts = {l: [replace(part, ranks=ranks) if isinstance(part, BatchNorm) else part
                     for part in unit.parts] for l, unit in self.units.items()}
        return replace(self, units={l: Unit(tuple(found)) for l, found in parts.items()})

    def shape(self, l):
        """Shape of h_l for one example."""
        return self.map[1].in_shape if l == 0 else self.unit(l).out_shape(self.map[l].out_shape)


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


def forward(net, params, x, first=0, kept=None):
    """All activities {0: x, 1: h_1, ..., L: h_L}, and a_L, which the loss needs.

    first  the number of the first example among all, for networks that are noisy by themselves
    kept   a dict to be filled with what the way down needs of each unit: then batch norm is in
           training, and takes the statistics of this batch; without it, the running ones
    """
    if net.own_forward:
        return net.own_forward(net, params, x, first)
    h = {0: x}
    for l in range(1, net.L):
        a = preactivation(net, params, l, h[net.reads(l)])
        h[l], of_unit = net.unit(l).value(a, of_layer(params, l), h.get(net.adds.get(l)),
                                          train=kept is not None)  # (1)
        if kept is not None:
            kept[l] = of_unit
    a_L = preactivation(net, params, net.L, h[net.reads(net.L)])
    h[net.L] = net.act[net.L].value(a_L)
    return h, a_L


def of_layer(params, l):
    """{"gamma": γ_l, ...}: the unit's own arrays of layer l."""
    return {symbol: params[symbol][l] for symbol in UNIT if l in params.get(symbol, ())}


def gradients(net, h, delta):
    """dL/dθ_l from δ_l = dL/da_l, averaged over the batch (section 2.1).

        dW_l = Σ_n δ_l h_{l-1}ᵀ / N,    db_l = Σ_n δ_l / N

    Returns {"dW": {l: like W_l}, "db": {l: like b_l}} for every l in delta, db where b_l exists.
    """
    N = len(h[0])
    dW, db = {}, {}
    for l in sorted(delta):
        d = delta[l] / N  # the small array is divided, not dW
        dW[l] = net.map[l].outer(h[net.reads(l)], d)
        if l not in net.unbiased:
            db[l] = sum_to(d, net.map[l].bias_shape)
    return {"dW": dW, "db": db}


def sum_to(v, bias_shape):
    """Sum v (N, ...) over the batch and over every axis that a bias is shared along."""
    return v.sum(axis=tuple(range(v.ndim - len(bias_shape))))


def zero_parameters(net, dtype):
    """{"W": {l: array}, ...} for every map of the network, all zero, as NumPy arrays.

    A symbol that the rule does not have is there with no layers.
    """
    return {symbol: {l: np.zeros(shape, dtype) for l, shape in net.shapes_of(symbol).items()}
            for symbol in SYMBOLS}


def initial_parameters(net, stream, dtype):
    """What every map of the network begins with, as NumPy arrays (initial.py): random weights, and
    zero biases unless net.initial says otherwise; γ = 1, β = 0.

    stream(purpose) gives a numpy.random.Generator; each kind of parameter has its own, so that
    networks of one seed have the same W whatever the rule.
    """
    params = zero_parameters(net, dtype)
    for symbol in ("gamma", "running_var"):
        for array in params[symbol].values():
            array[...] = 1
    for symbol, purpose in STREAMS.items():
        rng = stream(purpose)
        for l, m in sorted(net.maps_of(symbol).items()):
            params[symbol][l] = net.draw(symbol, rng, m, dtype)
    if net.signed:
        for l, m in net.maps_of("B").items():
            params["B"][l] = (net.signed(m) * np.sign(params["W"][l])).astype(dtype)
    if net.initial in initial.BIASES:
        rng = stream("biases")
        for l in net.shapes_of("b"):
            params["b"][l] = initial.BIASES[net.initial](rng, net.map[l], dtype)
    return params


def name_of(symbol, l):
    """A parameter's name in every file: W_1; W_z and b_z, of which there is one, have no index."""
    return symbol if symbol.endswith("_z") else f"{symbol}_{l}"


def flat(groups, symbols=None):
    """{"W": {1: array}, ...} -> {"W_1": array, ...}, of all symbols or of these."""
    return {name_of(symbol, l): array for symbol in symbols or groups
            for l, array in groups[symbol].items()}
