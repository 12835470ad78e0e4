"""The network that a stranger's file describes: net/layer_1, net/layer_2, ...

Attributes of a layer, beside its linear map and its activation σ_l:

    pad      P where P zeros stand on every side (PyTorch); without it the padding is SAME
    unit     what is between a_l and h_l, in this order: "bn add relu maxpool 3/2 pad 1"
             (ref/layers.py has them); its nonlinearity must be the activation
    reads    the layer that it reads, where that is not the one before it; 0 is the input
    adds     the layer whose h its unit adds
    bn_epsilon, bn_momentum   of batch norm: 1e-5 and 0.1 where they are not said
    bias     0 or 1: whether there is a b_l; 1 where it is not said, before batch norm 0

out_shape is that of a_l, before any pooling.
"""

import re
from math import isfinite

from .. import activations, losses
from ..common import hdf5
from ..linear import Convolution, Dense, LocallyConnected
from ..network import Network
from ..units import Add, AveragePool, BatchNorm, GlobalAverage, MaxPool, Sigma, Unit
from . import untrusted
from .file import FileError

OUTPUTS = {"cross-entropy": "softmax", "cross-entropy-logits": "identity",
           "squared-error": "identity"}  # loss: the activation of layer L that it goes with


def network(file, rule, setting):
    """The network that net/layer_1, net/layer_2, ... describe, extended by the rule."""
    group = untrusted.group_at(file, "net")
    names = untrusted.names(group, "net")
    L = len(names)
    if L == 0 or names != {f"layer_{l}" for l in range(1, L + 1)}:
        raise FileError("net must hold layer_1, layer_2, ... and nothing else")
    own = rule.trainer is not None  # whose units are its own
    maps, act, units, sources, adds, unbiased = {}, {}, {}, {}, {}, set()
    shapes = {}  # of h_l
    for l in range(1, L + 1):
        where = f"net/layer_{l}"
        layer = untrusted.group_at(file, where)
        maps[l], act[l] = _layer(layer, where, own and ("softmax" if l == L else "tanh"))
        j, i = _below(layer, "reads", where, l, l - 1), _below(layer, "adds", where, l, None)
        shapes.setdefault(0, maps[l].in_shape)
        if maps[l].in_shape != shapes[j]:
            raise FileError(f"{where}: in_shape is {_x(maps[l].in_shape)}, but "
                            f"{f'layer_{j}' if j else 'the input'} gives {_x(shapes[j])}")
        if j != l - 1:
            sources[l] = j
        if i is not None:
            adds[l] = i
        unit = _unit(layer, where, maps[l].out_shape, act[l], i is not None and shapes[i])
        if len(unit.parts) > 1:
            units[l] = unit
        if unit.find(BatchNorm) and not untrusted.flag(layer, "bias", 0):
            unbiased.add(l)
        shapes[l] = unit.out_shape(maps[l].out_shape)
    if L in units:
        raise FileError(f"net/layer_{L}: nothing may stand between the last layer and its loss")
    read = {sources.get(l, l - 1) for l in maps} | set(adds.values())
    unread = [l for l in range(1, L) if l not in read]
    if unread:
        raise FileError(f"net: nothing reads layer_{unread[0]}")
    top = act[L].name
    if top == "softmax":
        guess = "cross-entropy"
    else:
        logits = setting.get("output") == "logits"
        guess = "cross-entropy-logits" if logits else "squared-error"
    loss = guess if own else untrusted.text(group, "loss", guess)
    if OUTPUTS.get(loss) != top:
        pairs = ", ".join(f"{name} ({output})" for name, output in OUTPUTS.items())
        raise FileError(f"net: loss {loss[:40]!r} over {top!r} is none of {pairs}")
    if loss.startswith("cross-entropy") and len(maps[L].out_shape) != 1:
        raise FileError(f"net: cross-entropy needs a vector, layer_{L} gives "
                        f"{_x(maps[L].out_shape)}")
    return rule.build(Network(maps, act, losses.BY_NAME[loss], unbiased=frozenset(unbiased),
                              units=units, sources=sources, adds=adds), setting)


def _layer(group, where, activation=None):
    """(linear map, activation) of one layer; its attribute is read where no activation is given."""
    kind = untrusted.text(group, "kind")
    activation = activation or untrusted.text(group, "activation")
    if activation not in activations.BY_NAME:
        raise FileError(f"{where}: activation {activation[:40]!r} is none of "
                        f"{', '.join(activations.BY_NAME)}")
    in_shape = untrusted.integers(group, "in_shape", (1, 3))
    out_shape = untrusted.integers(group, "out_shape", (1, 3))
    if kind == "dense":
        return Dense(in_shape, out_shape), activations.BY_NAME[activation]
    if kind not in ("local", "conv"):
        raise FileError(f"{where}: kind {kind[:40]!r} is none of dense, local, conv")
    if len(in_shape) != 3 or len(out_shape) != 3:
        raise FileError(f"{where}: a {kind} layer has shapes (H, W, C)")
    kernel = untrusted.integers(group, "kernel", (2,))
    stride = untrusted.integers(group, "stride", (1,))[0]
    made = LocallyConnected if kind == "local" else Convolution
    pad = hdf5.attribute(group, "pad", None)
    pad = None if pad is None else untrusted.flag(group, "pad", 0)
    m = made(in_shape, out_shape[2], kernel, stride, pad)
    for other in ("groups", "dilation"):
        if untrusted.flag(group, other, 1) != 1:
            raise FileError(f"{where}: {other} other than 1 are not known here")
    padding = untrusted.text(group, "padding", "SAME")
    if padding != "SAME" and pad is None:
        raise FileError(f"{where}: padding is {padding[:40]!r}, only SAME (TensorFlow's) is "
                        "known, or an attribute pad for zeros on every side")
    if m.out_shape != out_shape:
        raise FileError(f"{where}: out_shape is {_x(out_shape)}, but {_x(in_shape)} at stride "
                        f"{stride}{'' if pad is None else f', pad {pad},'} gives "
                        f"{_x(m.out_shape)}")
    return m, activations.BY_NAME[activation]


def _below(group, name, where, l, default):
    """The layer below l that an attribute names."""
    value = hdf5.attribute(group, name, None)
    if value is None:
        return default
    k = hdf5.whole(value)
    if k is None or not 0 <= k < l:
        raise FileError(f"{where}: {name} is {untrusted.shown(value)}, expected a layer below it")
    return k


PART = re.compile(r"(bn|add|mean)\b|(?:(maxpool|meanpool) (\d{1,3})/(\d{1,3})(?: pad (\d{1,3}))?)"
                  r"|(tanh|relu|identity|softmax)\b")


def _unit(group, where, shape, act, skip_shape):
    """The Unit of a layer. Raises FileError."""
    words = untrusted.text(group, "unit", "add " * bool(skip_shape) + act.name).strip()
    expected = f'{where}: unit is {words[:60]!r}, expected such as "bn add relu maxpool 3/2 pad 1"'
    parts, rest = [], words
    while rest:
        found = PART.match(rest)
        if not found:
            raise FileError(expected)
        word, pool, kernel, stride, pad, sigma = found.groups()
        if word == "bn":
            parts.append(BatchNorm(shape[-1], _number(group, "bn_epsilon", 1e-5, where),
                                   _number(group, "bn_momentum", 0.1, where)))
        elif word == "add":
            parts.append(Add(skip_shape or (), shape))
        elif word == "mean":
            parts.append(GlobalAverage())
        elif pool:
            made = MaxPool if pool == "maxpool" else AveragePool
            parts.append(made(int(kernel), int(stride), *([int(pad)] if pad else [])))
        else:
            parts.append(Sigma(activations.BY_NAME[sigma]))
        rest = rest[found.end():].strip()
    try:
        unit = Unit(tuple(parts))
    except ValueError as error:
        raise FileError(f"{where}: unit is {error}") from None
    _check_unit(unit, where, shape, act, skip_shape, expected)
    return unit


def _check_unit(unit, where, shape, act, skip_shape, expected):
    sigma = unit.find(Sigma)
    if (sigma and sigma.act) is not act or unit.count(Sigma) != 1:
        raise FileError(f"{expected}, with its activation, {act.name}, once")
    if bool(unit.find(Add)) != bool(skip_shape):
        raise FileError(f"{where}: `add` in unit and the attribute adds go together")
    if skip_shape and not Add.fits(skip_shape, shape):
        raise FileError(f"{where}: it adds {_x(skip_shape)} to {_x(shape)}")
    for part in unit.parts:
        if isinstance(part, MaxPool | AveragePool):
            if len(shape) != 3 or 0 in (part.kernel, part.stride) or 2 * part.pad > part.kernel:
                raise FileError(f"{where}: {part.name} of {_x(shape)}: expected an image, and pad "
                                "at most half of the window")
        if isinstance(part, GlobalAverage) and len(shape) != 3:
            raise FileError(f"{where}: mean of {_x(shape)}: expected an image")
        shape = part.out_shape(shape)
        if min(shape) < 1:
            raise FileError(f"{where}: {part.name}: the image below it is too small")


def _number(group, name, default, where):
    value = hdf5.attribute(group, name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (
            isfinite(value) and 0 < value < 1):
        raise FileError(f"{where}: {name} is {untrusted.shown(value)}, expected a number in (0, 1)")
    return float(value)


def _x(shape):
    return "x".join(map(str, shape))
