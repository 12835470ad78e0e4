"""The wrong formula for δ_l, ĥ_l, the output or the loss; another convention than config's."""

import numpy as np

from ... import activations, conventions, losses
from ...backend import join
from ...rules import inverses
from .weights import delta


def weight_transport(e):
    """Feedback alignment, or sign-symmetry, that uses backpropagation's weights."""
    l, u = e.l, (e.l or 0) + 1
    if (e.stem == "delta" and l < e.net.L and e.declared.feedback
            and e.explains(delta(e, e.parameter("W", u)))):
        belongs = e.declared.carrier.format(u=u)
        return f"computed with backpropagation's W_{u} where {belongs} belongs"
    return None


def no_derivative(e):
    """σ' is left out of δ."""
    net, l = e.net, e.l
    if e.stem != "delta" or l == net.L:
        return None
    h = e.get(f"h_{l}")
    # ours is σ' ∘ v; theirs would be v. An entry where σ' is 0 says nothing about v.
    if e.explains(_with(e, net.act[l].times_derivative(h, e.theirs))):
        return f"σ'_{l} is left out"
    return None


def _with(e, derived):
    """Their array where σ' applied to it gives ours; elsewhere NaN, which explains nothing."""
    return np.where(np.abs(derived - e.ours) <= e.limit, e.theirs, np.nan)


def wrong_derivative(e):
    """σ' of δ_l taken at the wrong argument, twice, or divided by."""
    l = e.l
    if e.stem != "delta" or l == e.net.L or e.net.act[l].name != "tanh":
        return None
    h = e.get(f"h_{l}")
    with np.errstate(all="ignore"):
        v = e.ours / (1 - h * h)
        for words, derivative in derivatives(h, f"a_{l}", f"h_{l}"):
            if e.explains(derivative * v):
                return f"σ'_{l} {words}"
    return None


def derivatives(h, a, name):
    """(words, what stands in the place of σ' = 1 - h²) for mistaken derivatives of h = tanh(a)."""
    a_ = np.arctanh(h)
    yield f"is tanh' of the output {name}, where {a} belongs", 1 - np.tanh(h) ** 2
    yield f"is 1 - {a}², where 1 - {name}² belongs", 1 - a_ * a_
    yield f"is 1 - {name}, where 1 - {name}² belongs", 1 - h
    yield "is divided by, where it multiplies (it is that of arctanh)", 1 / (1 - h * h)
    yield "is there twice", (1 - h * h) ** 2


def softmax_twice(e):
    """The softmax of a softmax, or its derivative once more than h_L - y has it."""
    net, L = e.net, e.net.L
    if not net.loss.name.startswith("cross-entropy"):
        return None
    softmax = activations.softmax
    if e.stem == "h" and e.l == L and e.explains(softmax.value(e.ours.copy())):
        return ("softmax is applied twice" if net.act[L] is softmax else
                "softmax is applied, but the network's last layer is declared as identity")
    if e.stem not in ("loss", "delta") or e.stem == "delta" and e.l != L:
        return None
    h, y = e.get(f"h_{L}"), e.get("y")
    p = h if net.act[L] is softmax else softmax.value(h.copy())
    twice = "softmax is applied twice: the loss has its own, and is given probabilities for logits"
    if e.stem == "loss":
        return twice if e.explains(losses.cross_entropy.value(p, y)) else None
    wrong = softmax.value(p.copy()) - y
    if e.explains(wrong) or e.explains(softmax.times_derivative(p, wrong)):
        return twice
    if e.explains(softmax.times_derivative(p, p - y)):
        return f"the derivative of softmax is there twice: h_{L} - y has it already"
    return None


def no_correction(e):
    """Vanilla target propagation's target where difference target propagation's belongs."""
    net, l = e.net, e.l
    if (e.stem != "h_hat" or not {f"h_{l}", f"h_{l + 1}", f"V_{l + 1}"} <= e.inputs
            or f"W_{l + 1}" in e.inputs):  # no target of eq. (2)
        return None
    u = e.get(f"h_{l + 1}")
    if l + 1 in net.maps_of("W_z"):
        u = join(u, e.get("z"))
    back = inverses.g(net, e.parameters(), l + 1, u)
    if e.explains(e.ours - e.get(f"h_{l}") + back):
        return (f"the correction h_{l} - g_{l + 1}(h_{l + 1}) is left out, "
                "which makes it target propagation's target")
    return None


def other_option(e):
    """Another convention of the field than the one that the file's config names."""
    named = {key for preset in conventions.PRESETS.values() for key in preset} - {"output"}
    options = {option.name: option.choices for option in e.declared.options
               if option.name in named}
    options["epsilon_form"] = ("hat", "kingma")
    options["optimizer"] = ("adam", "sgd", "batch-manhattan")
    for key, values in options.items():
        for value in values:
            if value == e.setting[key] or (key == "first_target" and (
                    "output-mean" in (value, e.setting[key]))):  # it has other arrays
                continue
            if e.explains(e.variant(setting={key: value})):
                return f"it is what {key} {value} gives; the file's config says {e.setting[key]}"
    return None


SPECIFIC = (weight_transport, no_derivative, wrong_derivative, softmax_twice, no_correction)
OPTIONS = (other_option,)
