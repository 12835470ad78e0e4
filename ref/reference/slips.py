"""Known slips: does a common mistake explain a quantity that differs?

Each function takes the Evidence about one quantity and returns a sentence if the mistake gives
their numbers, to within the tolerance of the comparison, and None if not. Whatever lies upstream
of the quantity agrees, so ours stands in for it.
"""

import contextlib
from math import prod, sqrt

import numpy as np

from .. import conventions, rules
from ..backend import join
from ..rules import inverses
from . import quantities
from .replay import missing, replay


class Unknown(Exception):
    """A slip needs an array that is not there to test it."""


class Evidence:
    """One quantity of theirs that differs from ours, and all that a slip may need to explain it.

    start    the Content with the inputs of a replay, if it is complete enough for one
    q        the Quantity; stem, l, t: its kind, layer and step
    theirs, ours    that array; `measure` says how far apart is still equal
    """

    def __init__(self, start, q, theirs, ours, measure):
        self.start, self.q, self.arrays, self.measure = start, q, ours, measure
        self.net, self.rule, self.setting = start.net, start.rule, start.setting
        self.theirs, self.ours = theirs[q.name].astype(np.float64), ours[q.name]
        (self.stem, self.l), self.t = q.stem, q.step

    def get(self, name):
        """Our array `name` of the same step. Raises Unknown."""
        return self.named(f"step_{self.t}/{name}")

    def named(self, name):
        if name not in self.arrays:
            raise Unknown
        return self.arrays[name]

    def parameter(self, symbol, l):
        """A parameter as this step finds it; for a target V and c as it does."""
        name = quantities.name_of(symbol, l)
        if symbol == "B" and quantities.drawn_anew(self.setting):
            return self.get(name)
        trained_before = (self.stem == "h_hat" and symbol in ("V", "c")
                          and self.start.phases[self.t] == "both"
                          and self.setting["order"] == "inverse-first")
        t = self.t if trained_before else self.t - 1
        return self.named(f"step_{t}/after/{name}" if t else f"init/{name}")

    def parameters(self):
        """All of them, {"W": {l: array}, ...}."""
        maps = {"W": self.net.map, "b": self.net.map, "V": self.net.g_map, "c": self.net.g_map,
                "B": self.net.b_map}
        maps |= {s: {self.net.L} if self.net.z_map else {} for s in ("W_z", "b_z")}
        return {s: {l: self.parameter(s, l) for l in layers} for s, layers in maps.items()}

    def explains(self, candidate):
        """Whether their numbers are the candidate's."""
        if np.shape(candidate) != self.theirs.shape:
            return False
        limit, _ = self.measure.allowed(self.q, self.arrays)
        with np.errstate(invalid="ignore"):
            return bool((np.abs(self.theirs - candidate) <= limit).all())

    def variant(self, **change):
        """Our array with options changed, or without noise, from the beginning."""
        if missing(self.start):
            raise Unknown
        found = replay(self.start, **change)
        if self.q.name not in found:
            raise Unknown
        return found[self.q.name]

    @property
    def base(self):
        """What a change is counted from: ĥ_l from h_l, parameters from those before the step."""
        if self.stem == "h_hat":
            return self.get(f"h_{self.l}")
        if self.stem.startswith("after/"):
            return self.parameter(*self.trained)
        return np.zeros_like(self.ours)

    @property
    def trained(self):
        """(symbol, l) of a parameter after the step."""
        symbol = self.stem.removeprefix("after/")
        return (symbol, self.net.L if symbol.endswith("_z") else self.l)


def diagnose(evidence):
    """The sentences of every known slip that explains the difference; the most specific first."""
    found = []
    for slips in (SLIPS, VAGUE):
        for slip in slips:
            with contextlib.suppress(Unknown):
                found.append(slip(evidence))
        if any(found):
            break
    return [sentence for sentence in found if sentence]


# ---- the whole array, scaled ---------------------------------------------------------------------


def all_zero(e):
    """Nothing is computed, or a layer is left out of the update."""
    if e.stem.startswith("after/"):
        symbol, l = e.trained
        if e.explains(e.base):
            name = quantities.name_of(symbol, l)
            return f"{name} did not change: it is left out of the optimiser's update"
    elif not e.theirs.any():
        return "it is all zero"
    return None


def should_not_train(e):
    """A parameter changes that this step does not train, or no step does."""
    if not e.stem.startswith("after/"):
        return None
    symbol, l = e.trained
    name = quantities.name_of(symbol, l)
    if symbol not in rules.get(e.rule).SYMBOLS:
        return f"{name} changed, but it is fixed"
    phase = e.start.phases[e.t]
    if phase != "both" and (phase == "inverse") != (symbol in ("V", "c")):
        return f"{name} changed, but this step trains the {phase} parameters only"
    return None


def ratio(e):
    """The number k with theirs = k · ours, or None."""
    ours, theirs = e.ours - e.base, e.theirs - e.base
    square = float((ours * ours).sum())
    k = float((ours * theirs).sum()) / square if square else 0.0
    return k if k and e.explains(e.base + k * ours) else None


def _what(e):
    """What it is that a ratio is of."""
    if e.stem == "h_hat":
        return "the displacement ĥ - h"
    return "the change" if e.stem.startswith("after/") else "it"


def factor(e):
    """Off by one number: a sign, 2, 1/2, N, 1/N, the number of units."""
    k = ratio(e)
    if k is None:
        return None
    N, units, what, said = len(e.get("x")), _units(e), _what(e), []
    for sign in (1, -1):
        for number, words in (
            (1, ""),
            (2, "twice ours: a factor of 2 too many"),
            (1 / 2, "half of ours: a factor of 2 is missing (a loss with ½ has none)"),
            (N, f"N = {N} times ours: 1/N is missing, a sum over the batch where the mean belongs"),
            (1 / N, f"1/N = 1/{N} of ours: an extra 1/N"
                    + (" (δ is of each example's own loss, not of the batch's mean)"
                       if e.stem == "delta" else "")),
            (units, f"{units} times ours, the number of units: a sum over units where "
                    "their mean belongs"),
            (1 / units, f"1/{units} of ours, one over the number of units: a mean over units where "
                        "their sum belongs"),
        ):
            if abs(k - sign * number) <= 1e-5 * abs(number) and (words or sign < 0):
                both = ("the sign is wrong" if sign < 0 else "", words and f"{what} is {words}")
                said.append(" and ".join(filter(None, both)))
    return "; or ".join(dict.fromkeys(said))


def proportional(e):
    """Off by one number that says nothing by itself."""
    k = ratio(e)
    return None if k is None else f"{_what(e)} is {k:.6g} times ours everywhere"


def _units(e):
    """Units of the layer that the quantity's local loss is taken over."""
    below = e.stem in ("inverse_loss", "dV", "dc")
    return prod(e.net.shape(e.l - 1 if below else e.l)) if e.l else 1


def few_entries(e):
    """Almost everything is right."""
    limit, _ = e.measure.allowed(e.q, e.arrays)
    wrong = np.argwhere(np.abs(e.theirs - e.ours) > limit)
    if 0 < len(wrong) <= max(1, e.ours.size // 20) and e.ours.size > 2:
        places = ", ".join(str([int(k) for k in index]) for index in wrong[:3])
        more = "" if len(wrong) <= 3 else f" and {len(wrong) - 3} more"
        return f"only {len(wrong)} of {e.ours.size} entries wrong, at {places}{more}"
    return None


# ---- weights the wrong way round -----------------------------------------------------------------


def _turned(linear_map, W):
    """(words, W turned round) for each way in which weights of this kind are mistaken."""
    if linear_map.kind == "dense":
        if W.shape[0] == W.shape[1]:
            yield "transposed", W.T
    else:
        yield "turned by 180 degrees (a true convolution; layers correlate)", W[..., ::-1, ::-1, :]
        if W.shape[-3] == W.shape[-2]:
            yield "with height and width of the kernel swapped", W.swapaxes(-3, -2)


def turned_weights(e):
    """A weight matrix is transposed, or a kernel turned."""
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
            if e.explains(_delta(e, turned)):
                if words == "transposed":
                    words = f"itself where {P}ᵀ belongs"
                return f"computed with {P} {words}"
    if e.stem in ("h_hat", "inverse_loss", "dV", "dc"):
        return _turned_inverse(e)
    return None


def _delta(e, P):
    """δ_l with the weights P to carry δ_{l+1} back."""
    dh = e.net.map[e.l + 1].transpose(P, e.get(f"delta_{e.l + 1}"))
    return e.net.act[e.l].times_derivative(e.get(f"h_{e.l}"), dh)


def _turned_inverse(e):
    """The same for V_l: in ĥ_{l-1}, or in the inverse's own loss."""
    k = e.l + 1 if e.stem == "h_hat" else e.l
    if k not in e.net.g_map:
        return None
    phase = "forward" if e.stem == "h_hat" else "inverse"
    for words, turned in _turned(e.net.g_map[k], e.parameter("V", k)):
        params = e.parameters()
        params["V"] = {**params["V"], k: turned}
        if e.explains(_one_step(e, params, phase)):
            return f"computed with V_{k} {words} (V is laid out like W)"
    return None


def _one_step(e, params, phase):
    """Our array, from one step of the rule with these parameters. Raises Unknown."""
    rule = rules.get(e.rule)
    eps = {l: e.get(f"eps_{l}") for l in range(1, e.net.L) if f"step_{e.t}/eps_{l}" in e.arrays}
    options = {key: e.setting[key] for key in rule.STEP_OPTIONS}
    out = rule.step(e.net, params, e.get("x"), e.get("y"), eps, phase, **options)
    return out[e.stem][e.l]


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


# ---- the wrong formula ---------------------------------------------------------------------------


def weight_transport(e):
    """Feedback alignment, or sign-symmetry, that uses backpropagation's weights."""
    l, u = e.l, (e.l or 0) + 1
    belongs = {"fa": f"the fixed B_{u}", "sign-symmetry": f"only the sign of W_{u}"}.get(e.rule)
    if belongs and e.stem == "delta" and l < e.net.L and e.explains(_delta(e, e.parameter("W", u))):
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
    limit, _ = e.measure.allowed(e.q, e.arrays)
    return np.where(np.abs(derived - e.ours) <= limit, e.theirs, np.nan)


def no_correction(e):
    """Vanilla target propagation's target where difference target propagation's belongs."""
    net, l = e.net, e.l
    if e.stem != "h_hat" or l == net.L or e.rule in ("tp", "hybrid") or l + 1 not in net.g_map:
        return None
    u = e.get(f"h_{l + 1}")
    if net.z_map and l + 1 == net.L:
        u = join(u, e.get("z"))
    back = inverses.g(net, e.parameters(), l + 1, u)
    if e.explains(e.ours - e.get(f"h_{l}") + back):
        return (f"the correction h_{l} - g_{l + 1}(h_{l + 1}) is left out, "
                "which makes it target propagation's target")
    return None


def no_noise(e):
    """The inverse is trained on the clean activity."""
    if e.stem in ("inverse_loss", "dV", "dc") and e.explains(e.variant(noise=0)):
        return f"the noise eps_{e.l - 1} is not added"
    return None


def other_option(e):
    """Another convention of the field than the one that the file's config names."""
    options = {key: values for key, values in conventions.VALUES.items()
               if key in e.setting and key != "output"}
    options["epsilon_form"] = ("hat", "kingma")
    options["optimizer"] = ("adam", "sgd")
    for key, values in options.items():
        for value in values:
            if value == e.setting[key] or (key == "first_target" and (
                    "output-mean" in (value, e.setting[key]))):  # it has other arrays
                continue
            if e.explains(e.variant(setting={key: value})):
                return f"it is what {key} {value} gives; the file's config says {e.setting[key]}"
    return None


def no_bias_correction(e):
    """Adam without the division by 1 - βᵗ, at the first step."""
    if not e.stem.startswith("after/") or e.setting["optimizer"] != "adam" or e.t != 1:
        return None
    symbol, l = e.trained
    prefix = "inverse_" if symbol in ("V", "c") else ""
    lr, beta1, beta2, epsilon = (
        e.setting[prefix + key] for key in ("lr", "beta1", "beta2", "epsilon"))
    g = e.get(f"d{symbol}_{l}")
    m, v = (1 - beta1) * g, (1 - beta2) * g * g
    if e.explains(e.base - lr * m / (np.sqrt(v) + epsilon)):
        return (f"Adam's bias correction, √(1 - β2ᵗ)/(1 - β1ᵗ) = "
                f"{sqrt(1 - beta2) / (1 - beta1):.4g} at this step, is left out")
    return None


SLIPS = (all_zero, should_not_train, weight_transport, turned_weights, padding, no_derivative,
         no_correction, other_option, no_noise, no_bias_correction, factor)
VAGUE = (proportional, few_entries)  # where none of these explains it
