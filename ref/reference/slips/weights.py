"""Weights the wrong way round, zeros padded on the wrong side, biases that are not added."""

import numpy as np

from .. import quantities

FLATTENED = "as for an image that is flattened as C, H, W (here: H, W, C)"


def _turned(linear_map, W):
    """(words, W turned round) for each way in which weights of this kind are mistaken."""
    if linear_map.kind == "dense":
        if W.shape[0] == W.shape[1]:
            yield "transposed", W.T
        for axis, shape in ((1, linear_map.in_shape), (0, linear_map.out_shape)):
            if len(shape) == 3 and W.shape[axis] == np.prod(shape):
                order = np.arange(W.shape[axis]).reshape(shape).transpose(2, 0, 1).ravel()
                for places in (order, np.argsort(order)):
                    yield FLATTENED, W.take(places, axis)
    else:
        yield "turned by 180 degrees (a true convolution; layers correlate)", W[..., ::-1, ::-1, :]
        if W.shape[-3] == W.shape[-2]:
            yield "with height and width of the kernel swapped", W.swapaxes(-3, -2)


def turned_weights(e):
    """A weight matrix is transposed, a kernel turned, or columns in another order."""
    net, l = e.net, e.l
    maps = {"dW": net.map, "dV": net.g_map}
    if e.stem in maps:
        for words, candidate in _turned(maps[e.stem][l], e.ours):
            if e.explains(candidate):
                return f"it is ours {words}"
    if e.stem == "h" and l:
        below, W, b = e.get(f"h_{l - 1}"), e.parameter("W", l), e.parameter("b", l)
        for words, turned in _turned(net.map[l], W):
            if e.explains(net.act[l].value(net.map[l].forward(turned, below) + b)):
                return f"computed with W_{l} {words}"
    if e.stem == "delta" and l < net.L and e.rule in ("bp", "fa"):
        P = f"{'W' if e.rule == 'bp' else 'B'}_{l + 1}"
        for words, turned in _turned(net.map[l + 1], e.parameter(P[0], l + 1)):
            if e.explains(delta(e, turned)):
                if words == "transposed":
                    words = f"itself where {P}ᵀ belongs"
                return f"computed with {P} {words}"
    if e.stem == "delta" and l < net.L and e.rule == "dfa":
        for words, turned in _turned(net.b_map[l], e.parameter("B", l)):
            dh = net.b_map[l].forward(turned, e.get(f"delta_{net.L}"))
            if e.explains(net.act[l].times_derivative(e.get(f"h_{l}"), dh)):
                return f"computed with B_{l} {words}"
    return None


def delta(e, P):
    """δ_l with the weights P to carry δ_{l+1} back."""
    dh = e.net.map[e.l + 1].transpose(P, e.get(f"delta_{e.l + 1}"))
    return e.net.act[e.l].times_derivative(e.get(f"h_{e.l}"), dh)


def inverse_of(e):
    """(k, phase) of the inverse g_k that a target or an inverse's loss is made with, or Nones."""
    if e.stem in ("h_hat", "inverse_loss", "dV", "dc"):
        k = e.l + 1 if e.stem == "h_hat" else e.l
        if k in e.net.g_map:
            return k, "forward" if e.stem == "h_hat" else "inverse"
    return None, None


def turned_inverse(e):
    """The same for V_l: in ĥ_{l-1}, or in the inverse's own loss."""
    k, phase = inverse_of(e)
    for words, turned in _turned(e.net.g_map[k], e.parameter("V", k)) if k else ():
        if e.explains(e.step(phase, V={k: turned})):
            return f"computed with V_{k} {words} (V is laid out like W)"
    return None


def no_bias(e):
    """A layer, or an inverse, without its bias."""
    net, l = e.net, e.l
    if e.stem == "h" and l:
        a = net.map[l].forward(e.parameter("W", l), e.get(f"h_{l - 1}"))
        if e.explains(net.act[l].value(a)):
            return (f"the bias b_{l} is not added (a network without it: bias 0 in net/layer_{l})")
    k, phase = inverse_of(e)
    if k and e.explains(e.step(phase, c={k: np.zeros_like(e.parameter("c", k))})):
        return (f"the inverse's bias c_{k} is not added (a network without it: inverse_bias 0 in "
                f"net/layer_{k})")
    return None


def padding(e):
    """All of an odd padding before the image, as PyTorch's padding=k//2 has it."""
    net, l = e.net, e.l
    if e.stem != "h" or not l or net.map[l].kind == "dense":
        return None
    if all(before == after for before, after in net.map[l].patches.padding):
        return None
    W = e.parameter("W", l)[..., ::-1, ::-1, :]
    if net.map[l].kind == "local":
        W = W[::-1, ::-1]
    mirrored = net.map[l].forward(W, np.ascontiguousarray(e.get(f"h_{l - 1}")[:, ::-1, ::-1]))
    if e.explains(net.act[l].value(mirrored[:, ::-1, ::-1] + e.parameter("b", l))):
        return ("the odd row and column of zeros are before the image (PyTorch's padding=k//2); "
                f"SAME puts them after it: pads {net.map[l].patches.padding}")
    return None


def updated_before(e):
    """δ_l carried down through weights that have had their update already."""
    l = e.l
    if e.stem != "delta" or l == e.net.L or e.rule not in ("bp", "sign-symmetry"):
        return None
    name = quantities.name_of("W", l + 1)
    W = e.get(f"after/{name}")
    if e.rule == "sign-symmetry":
        W = np.sign(W) * np.abs(_magnitude(e))
    if e.explains(delta(e, W)):
        return f"computed with {name} after its update: update when all δ are there"
    return None


def _magnitude(e):
    """What sign-symmetry's feedback has beside the signs of W_{l+1}."""
    if e.setting["magnitude"] != "uniform":
        return e.parameter("B", e.l + 1)
    m = e.net.map[e.l + 1]
    return np.sqrt(2 / (m.fan_in + m.fan_out))


SPECIFIC = (turned_weights, turned_inverse, no_bias, padding, updated_before)
