"""Slips in the optimiser's step: Adam's t and betas, weight decay, the other group's settings."""

from math import sqrt

import numpy as np

from ...network import name_of
from ...update import decay_of, is_plain
from .history import history

KEYS = ("lr", "beta1", "beta2", "epsilon")
DECAYS = sorted(k * 10.0**-n for n in range(1, 7) for k in (1, 2, 5))  # weight decays in use


def adam(gradients, s, form, count=lambda k: k, corrected=True):
    """The change that Adam's last step makes, after these gradients (ref/optim.py)."""
    m = v = 0.0
    for g in gradients:
        m = s["beta1"] * m + (1 - s["beta1"]) * g
        v = s["beta2"] * v + (1 - s["beta2"]) * g * g
    t = count(len(gradients))
    root = sqrt(1 - s["beta2"] ** t) if corrected else 1.0
    rate = s["lr"] * (root / (1 - s["beta1"] ** t) if corrected else 1.0)
    epsilon = s["epsilon"] * (root if form == "kingma" else 1.0)
    with np.errstate(all="ignore"):
        return -rate * m / (np.sqrt(v) + epsilon)


def _own(e, prefix=None):
    prefix = e.group[1] if prefix is None else prefix
    return {key: e.setting[prefix + key] for key in KEYS if prefix + key in e.setting}


def _uses_adam(e):
    return (e.is_update and e.setting["optimizer"] == "adam" and "lr" in _own(e)
            and not decay_of(e.setting, e.group[1]))


def wrong_adam(e):
    """Its bias correction left out, its t wrong, its betas swapped."""
    if not _uses_adam(e):
        return None
    _, gradients = history(e)
    if not gradients:
        return None
    s, form, k = _own(e), e.setting["epsilon_form"], len(gradients)
    swapped = {**s, "beta1": s["beta2"], "beta2": s["beta1"]}
    size = sqrt(1 - s["beta2"] ** k) / (1 - s["beta1"] ** k)
    for words, change in (
        (f"Adam's bias correction, √(1 - β2ᵗ)/(1 - β1ᵗ) = {size:.4g} at this step, is left out",
         adam(gradients, s, form, corrected=False)),
        ("Adam's t begins at 2: it is raised once too often before the first update",
         adam(gradients, s, form, count=lambda k: k + 1)),
        ("Adam's t stands still at 1", adam(gradients, s, form, count=lambda k: 1)),
        (f"Adam's betas are swapped: β1 is {s['beta1']:g}, β2 {s['beta2']:g}",
         adam(gradients, swapped, form)),
        ("Adam begins anew at this step: m, v and t are not kept",
         adam(gradients[-1:], s, form)),
    ):
        if e.explains(e.base + change):
            return words
    return None


def other_group(e):
    """The forward parameters' hyperparameters used for the inverses, or the other way round."""
    if not e.is_update:
        return None
    inverse = e.group[0] == "inverse"
    own, other = _own(e), _own(e, "" if inverse else "inverse_")
    _, gradients = history(e)
    if not gradients or len(own) < 4 or len(other) < 4 or not (
            e.setting["optimizer"] == "adam" or is_plain(e.setting, e.group[1])):
        return None
    for keys, words in ((KEYS, "hyperparameters"), (("lr",), "learning rate")):
        s = {**own, **{key: other[key] for key in keys}}
        if e.setting["optimizer"] != "adam":
            change = -s["lr"] * gradients[-1]
        else:
            change = adam(gradients, s, e.setting["epsilon_form"])
        if e.explains(e.base + change):
            mine = "inverses" if inverse else "forward parameters"
            others = "forward parameters" if inverse else "inverses"
            return f"updated with the {words} of the {others}, where those of the {mine} belong"
    return None


def weight_decay(e):
    """λ θ in the gradient, or taken off the parameter by itself."""
    if e.stem in ("dW", "db", "dV", "dc"):
        name = f"{e.stem[1:]}_{e.l}"
        decay = _multiple(e, e.parameter(e.stem[1:], e.l))
        return decay and f"weight decay: {decay:.3g} {name} is added to the gradient"
    if not e.is_update:
        return None
    before, gradients = history(e)
    s, name = _own(e), name_of(*e.trained)
    if not gradients or "lr" not in s or not before[-1].any():
        return None
    decay = _multiple(e, -s["lr"] * before[-1])
    if decay:
        return f"weight decay: {decay:.3g} lr {name} is subtracted beside the update"
    if e.setting["optimizer"] == "adam":
        for decay in DECAYS:
            wrong = [g + decay * theta for g, theta in zip(gradients, before, strict=True)]
            if e.explains(e.base + adam(wrong, s, e.setting["epsilon_form"])):
                return f"weight decay: {decay:.3g} {name} is added to the gradient (L2)"
    return None


def _multiple(e, array):
    """The positive number k with theirs = ours + k · array, or None."""
    square = float((array * array).sum())
    k = float(((e.theirs - e.ours) * array).sum()) / square if square else 0.0
    return k if k > 0 and array.size > 2 and e.explains(e.ours + k * array) else None


SPECIFIC = (wrong_adam, other_group, weight_decay)
