"""Weights the wrong way round, zeros padded on the wrong side, biases that are not added."""

import numpy as np

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
    maps = {"dW": net.map, "dV": net.maps_of("V")}
    if e.stem in maps:
        for words, candidate in _turned(maps[e.stem][l], e.ours):
            if e.explains(candidate):
                return f"it is ours {words}"
    if e.stem == "h" and l:
        below, W, b = e.get(f"h_{l - 1}"), e.parameter("W", l), e.parameter("b", l)
        for words, turned in _turned(net.map[l], W):
            if e.explains(net.act[l].value(net.map[l].forward(turned, below) + b)):
                return f"computed with W_{l} {words}"
    if e.stem == "delta" and l < net.L:
        return _turned_feedback(e)
    return None


def _turned_feedback(e):
    """The same for what carries δ_l down: W_{l+1} or B_{l+1}, or DFA's B_l."""
    net, l, u = e.net, e.l, e.l + 1
    if {f"delta_{u}", f"W_{u}"} <= e.inputs and not e.declared.feedback:
        tried = [(f"W_{u}", words, delta(e, turned))
                 for words, turned in _turned(net.map[u], e.parameter("W", u))]
    elif f"W_{u}" not in e.inputs:  # with B, which no forward pass reads
        tried = [(f"B_{k}", words, e.step("forward", B={k: turned}))
                 for k in (l, u) if f"B_{k}" in e.inputs
                 for words, turned in _turned(net.maps["B"][k], e.parameter("B", k))]
    else:
        tried = ()
    for P, words, candidate in tried:
        if e.explains(candidate):
            if words == "transposed" and P.endswith(f"_{u}"):
                words = f"itself where {P}ᵀ belongs"
            return f"computed with {P} {words}"
    return None


def delta(e, P):
    """δ_l with the weights P to carry δ_{l+1} back."""
    dh = e.net.map[e.l + 1].transpose(P, e.get(f"delta_{e.l + 1}"))
    return e.net.act[e.l].times_derivative(e.get(f"h_{e.l}"), dh)


def inverse_of(e):
    """(k, phase) of the inverse g_k that a target or an inverse's loss is made with, or Nones."""
    if e.stem in ("h_hat", "inverse_loss", "dV", "dc"):
        k = e.l + 1 if e.stem == "h_hat" else e.l
        if k in e.net.maps_of("V"):
            return k, "forward" if e.stem == "h_hat" else "inverse"
    return None, None


def turned_inverse(e):
    """The same for V_l: in ĥ_{l-1}, or in the inverse's own loss."""
    k, phase = inverse_of(e)
    for words, turned in _turned(e.net.maps["V"][k], e.parameter("V", k)) if k else ():
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
    u, rule = (e.l or 0) + 1, e.declared
    if e.stem != "delta" or not {f"delta_{u}", f"W_{u}"} <= e.inputs:
        return None
    W = e.get(f"after/W_{u}")
    if rule.feedback:
        params = e.parameters(W={u: W})
        W = rule.feedback(e.net, params, **rule.options_of_feedback(e.setting))[u]
    if e.explains(delta(e, W)):
        return f"computed with W_{u} after its update: update when all δ are there"
    return None


SPECIFIC = (turned_weights, turned_inverse, no_bias, padding, updated_before)
