"""The whole array, scaled: zero, a wrong sign, twice, half, 1/N; or only a few entries wrong."""

from math import prod

import numpy as np

from ...network import name_of

GRADIENTS = ("dW", "db", "dV", "dc")  # means over the batch


def all_zero(e):
    """Nothing is computed, or a layer is left out of the update."""
    if e.is_update:
        symbol, l = e.trained
        if e.explains(e.base):
            name = name_of(symbol, l)
            hint = (f" (a network without it: {'inverse_' if symbol == 'c' else ''}bias 0 in "
                    f"net/layer_{l})") if symbol in ("b", "c") and not e.theirs.any() else ""
            return f"{name} did not change: it is left out of the optimiser's update{hint}"
    elif not e.theirs.any() and e.ours.any():
        return "it is all zero"
    return None


def should_not_train(e):
    """A parameter changes that this step does not train, or no step does."""
    if not e.is_update:
        return None
    symbol, l = e.trained
    name = name_of(symbol, l)
    if symbol not in e.declared.symbols:
        return f"{name} changed, but it is fixed"
    phase = e.start.phases[e.t]
    if phase not in ("both", e.group[0]):
        return f"{name} changed, but this step trains the {phase} parameters only"
    return None


def factor(e):
    """Off by one number: a sign, 2, 1/2, N, 1/N, the number of units."""
    change, what = e.ours - e.base, _what(e)
    said = []
    for number, words in _numbers(e):
        for sign in (1, -1):
            if (words or sign < 0) and e.explains(e.base + sign * number * change):
                both = ("the sign is wrong" if sign < 0 else "", words and f"{what} is {words}")
                said.append(" and ".join(filter(None, both)))
    return "; or ".join(dict.fromkeys(said))


def _numbers(e):
    """(number, what it says if theirs is that many times ours), of numbers that mean something."""
    N = 1 if e.declared.trainer else len(e.get("x"))
    units = _units(e)
    yield 1, ""
    if e.is_update:
        for number, words in ((2, "twice ours"), (1 / 2, "half of ours"),
                              (N, f"N = {N} times ours"), (1 / N, f"1/N = 1/{N} of ours")):
            if number != 1:
                yield number, words + _rate(e, number)
        return
    yield 2, "twice ours: a factor of 2 too many"
    yield 1 / 2, ("half of ours: a factor of 2 is missing"
                  + (" (a loss with ½ has none)" if _of_a_square(e) else ""))
    if N > 1:
        yield N, f"N = {N} times ours" + (
            ": 1/N is missing, a sum over the batch where the mean belongs"
            if e.stem in GRADIENTS else ", the size of the batch")
        yield 1 / N, f"1/N = 1/{N} of ours: an extra 1/N" + (
            " (δ is of each example's own loss, not of the batch's mean)"
            if e.stem == "delta" else "")
    if units > 1:
        yield units, (f"{units} times ours, the number of units: a sum over units where "
                      "their mean belongs")
        yield 1 / units, (f"1/{units} of ours, one over the number of units: a mean over units "
                          "where their sum belongs")


def _rate(e, k):
    """What an update that is k times ours says about the learning rate."""
    name = name_of(*e.trained)
    key = e.group[1] + "lr"
    if key not in e.setting:
        return ""
    rate = e.setting[key]
    words = f": a learning rate of {k * rate:.6g} where config has {key} {rate:.6g}"
    if e.setting["optimizer"] != "adam" and f"step_{e.t}/d{name}" not in e.have:
        words += f", or a gradient of another size (d{name} is not in the file)"
    return words


def _of_a_square(e):
    """Whether it is, or comes from, the square of a difference."""
    if e.stem in ("inverse_loss", "dV", "dc"):
        return True
    return (e.stem == "delta" and f"h_hat_{e.l}" in e.inputs
            or e.stem in ("delta", "loss") and e.net.loss.name == "squared-error")


def proportional(e):
    """Off by one number that says nothing by itself."""
    ours, theirs = e.ours - e.base, e.theirs - e.base
    square = float((ours * ours).sum())
    k = float((ours * theirs).sum()) / square if square else 0.0
    if np.count_nonzero(ours) < 3 or not k or not e.explains(e.base + k * ours):
        return None  # of one or two numbers, any other is a multiple
    rate = _rate(e, k) if e.is_update and k > 0 else ""
    return f"{_what(e)} is {k:.6g} times ours everywhere{rate}"


def _what(e):
    """What it is that a ratio is of."""
    if e.stem == "h_hat":
        return "the displacement ĥ - h"
    return "the change" if e.is_update else "it"


def _units(e):
    """Units of the layer that the quantity's local loss is taken over."""
    below = e.stem in ("inverse_loss", "dV", "dc")
    return prod(e.net.shape(e.l - 1 if below else e.l)) if e.l else 1


def few_entries(e):
    """Almost everything is right."""
    wrong = np.argwhere(np.abs(e.theirs - e.ours) > e.limit)
    if 0 < len(wrong) <= max(1, e.ours.size // 20) and e.ours.size > 2:
        places = ", ".join(str([int(k) for k in index]) for index in wrong[:3])
        more = "" if len(wrong) <= 3 else f" and {len(wrong) - 3} more"
        return f"only {len(wrong)} of {e.ours.size} entries wrong, at {places}{more}"
    return None


SPECIFIC = (all_zero, should_not_train)
FACTORS = (factor,)
VAGUE = (proportional, few_entries)
