"""Slips in the inverse's own loss and gradients: its noise, its derivative, its order."""

from math import prod

import numpy as np

from ... import network
from ...rules import inverses
from .formulas import derivatives

STEMS = ("inverse_loss", "dV", "dc")


def no_noise(e):
    """The inverse is trained on the clean activity."""
    if e.stem in STEMS and e.explains(e.variant(noise=0)):
        return f"the noise eps_{e.l - 1} is not added"
    return None


def scaled_noise(e):
    """The stored noise is multiplied by something before it is added."""
    if e.stem not in STEMS:
        return None
    sigma, eps = e.setting["sigma"], f"eps_{e.l - 1}"
    for k, words in ((-1, f"{eps} is subtracted, not added"),
                     (sigma, f"{eps} is multiplied by sigma {sigma:g}: store it as it is added"),
                     (1 / sigma if sigma else 0, f"{eps} is divided by sigma {sigma:g}"),
                     (2, f"twice {eps} is added"), (1 / 2, f"half of {eps} is added")):
        if e.explains(e.variant(noise=k)):
            return words
    return None


def wrong_derivative(e):
    """σ' of g left out, or taken elsewhere than at what g gives."""
    net, l = e.net, e.l
    if e.stem not in ("dV", "dc"):
        return None
    below, act, params = e.get(f"h_{l - 1}"), net.act[l - 1], e.parameters()
    u, x, d = _pieces(e, params)
    where = f"of g_{l} is taken at"
    candidates = [("of g is left out", d),
                  (f"{where} h_{l - 1}, where g_{l}'s own result belongs",
                   act.times_derivative(below, d)),
                  (f"{where} h_{l - 1} + ε_{l - 1}, where g_{l}'s own result belongs",
                   act.times_derivative(below + e.get(f"eps_{l - 1}"), d))]
    if act.name == "tanh":
        with np.errstate(all="ignore"):
            candidates += [(words, d * derivative)
                           for words, derivative in derivatives(x, "a", f"g_{l}(u)")]
    for words, delta in candidates:
        if e.explains(_gradient(e, u, delta)):
            return f"σ'_{l - 1} {words}"
    return None


def updated_before(e):
    """The inverse is trained after the forward parameters have had this step's update."""
    if e.stem not in STEMS or e.start.phases[e.t] != "both":
        return None
    after = {s: {l: e.get(f"after/{s}_{l}") for l in e.net.map} for s in ("W", "b")}
    words = "computed with W and b after their update, where those before the step belong"
    u, x, d = _pieces(e, e.parameters(**after))  # only f_l anew
    if e.stem == "inverse_loss":
        N, scale = len(d), _scale(e)
        once = inverses.squared_norm(d * N / (2 * scale)) * scale
    else:
        once = _gradient(e, u, e.net.act[e.l - 1].times_derivative(x, d))
    return words if e.explains(once) or e.explains(e.step("inverse", **after)) else None


def _pieces(e, params):
    """(u, x = g_l(u), d = dL/dx over N) of the inverse's loss."""
    net, l = e.net, e.l
    below = e.get(f"h_{l - 1}")
    noisy = below + e.get(f"eps_{l - 1}")
    u = e.declared.inverted(net, params, l, noisy)
    x = inverses.g(net, params, l, u)
    r = below if e.setting["inverse_loss"] == "de-noising" else noisy
    return u, x, 2 * _scale(e) / len(x) * (x - r)


def _scale(e):
    """1, or one over the units that the loss is a mean over."""
    mean = e.setting["reduction"] == "mean"
    return 1 / prod(e.net.shape(e.l - 1)) if mean else 1


def _gradient(e, u, delta):
    """dV_l or dc_l from dL/d(V_l u + c_l), over N."""
    if e.stem == "dV":
        return e.net.maps["V"][e.l].outer(delta, u)
    return network.sum_to(delta, e.net.maps["V"][e.l].in_bias_shape)


SPECIFIC = (no_noise, scaled_noise, wrong_derivative, updated_before)
