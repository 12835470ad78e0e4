"""Mistakes in batch norm, pooling, skips and the feedback of sign-symmetry.

A mistaken unit is a part with one method written as the mistake has it, in the network that a step
of the rule is then computed with: what it gives is the candidate.
"""

from dataclasses import replace
from functools import cached_property

from ...backend import get_xp, sign
from ...network import Network, forward
from ...rules import feedback
from ...units import Add, BatchNorm, MaxPool, Unit
from ...units.norm import Normalised, per_channel
from .evidence import Unknown


class UnbiasedInside(BatchNorm):
    def value(self, a, theta, skip=None, train=True):
        m = a.size // self.channels
        wide = BatchNorm(self.channels, self.epsilon * (m - 1) / m)  # σ² m / (m - 1) + ε
        shrink = ((m - 1) / m) ** 0.5
        _, kept = wide.value(a.copy(), theta, skip, train)
        x_hat, scale = shrink * kept.x_hat, shrink * kept.scale
        return theta["gamma"] * x_hat + theta["beta"], kept._replace(x_hat=x_hat, scale=scale)


class EpsilonOutside(BatchNorm):
    def value(self, a, theta, skip=None, train=True):
        xp, m = get_xp(a), a.size // self.channels
        mean = per_channel(a) / m
        a = a - mean
        var = per_channel(a * a) / m
        inverse = 1 / (xp.sqrt(var) + self.epsilon)
        return theta["gamma"] * a * inverse + theta["beta"], Normalised(
            a * inverse, theta["gamma"] * inverse, mean, var * m / (m - 1))


class BiasedRunning(BatchNorm):
    def value(self, a, theta, skip=None, train=True):
        m = a.size // self.channels
        y, kept = super().value(a, theta, skip, train)
        return y, kept._replace(var=kept.var * (m - 1) / m)


class Frozen(BatchNorm):
    def pull(self, kept, v):
        return v * kept.scale, super().pull(kept, v)[1]


class ZeroPadded(MaxPool):
    def padded(self, a, value):
        return super().padded(a, 0)


class LastWins(MaxPool):
    def places(self, padded):
        return reversed(list(super().places(padded)))


class ChannelsBehind(Add):
    @property
    def channels(self):
        return slice(0, self.skip_shape[-1])


class NoSkip(Add):
    def value(self, a, theta, skip, train=True):
        return a, None


# (kind of part, stems that it may explain, how the mistake is made of the part, words)
FORWARD, BACKWARD = ("x_hat", "h", "winner"), ("delta", "dgamma", "dbeta")
PARTS = (
    (BatchNorm, FORWARD, lambda p: UnbiasedInside(p.channels, p.epsilon, p.momentum),
     "batch norm divides by the unbiased variance, where the biased one belongs"),
    (BatchNorm, FORWARD, lambda p: EpsilonOutside(p.channels, p.epsilon, p.momentum),
     "ε of batch norm stands outside the root"),
    (BatchNorm, ("after/running_var",), lambda p: BiasedRunning(p.channels, p.epsilon, p.momentum),
     "the running variance takes the biased variance, where the unbiased one belongs"),
    (BatchNorm, ("after/running_mean", "after/running_var"),
     lambda p: replace(p, momentum=1 - p.momentum),
     "the momentum is taken for the part that is kept (or the other way round)"),
    (BatchNorm, BACKWARD, lambda p: Frozen(p.channels, p.epsilon, p.momentum),
     "the batch's μ and σ² are taken for constants on the way down"),
    (MaxPool, FORWARD, lambda p: ZeroPadded(p.kernel, p.stride, p.pad),
     "max-pooling pads with zeros, where -∞ belongs"),
    (MaxPool, BACKWARD, lambda p: LastWins(p.kernel, p.stride, p.pad),
     "the last of equal places wins a max-pool's window, where the first does"),
    (Add, FORWARD, lambda p: NoSkip(p.skip_shape, p.shape), "the skip is not added"),
    (Add, FORWARD, lambda p: ChannelsBehind(p.skip_shape, p.shape),
     "a shortcut's zero channels all stand behind its own, where half belong before them"),
)


def mistaken_part(e):
    """A part of the layer's unit with one mistake."""
    unit = e.net.units.get(e.l)
    for kind, stems, mistake, words in PARTS if unit else ():
        if e.stem not in stems or not unit.find(kind):
            continue
        parts = tuple(mistake(p) if type(p) is kind else p for p in unit.parts)
        if e.explains(_with(e, replace(e.net, units={**e.net.units, e.l: _unit(parts)}))):
            return words
    return None


def _unit(parts):
    """A Unit of mistaken parts, whose order is that of right ones."""
    made = object.__new__(Unit)
    object.__setattr__(made, "parts", parts)
    return made


def _with(e, net):
    """Our array from a step with another network."""
    try:
        out = e.out("forward" if "forward" in e.declared.phases else "both", net=net)
    except (KeyError, ValueError):
        raise Unknown from None
    return out[e.stem.removeprefix("after/")][e.l]


class Overwritten(Network):
    """A network in which only some of what comes down to one fork counts."""

    def only(self, l, readers, adders):
        self.__dict__["readers"] = {**Network.readers.func(self), l: readers}
        self.__dict__["adders"] = {**Network.adders.func(self), l: adders}
        return self

    readers = cached_property(Network.readers.func)
    adders = cached_property(Network.adders.func)


def overwritten_fork(e):
    """At a fork, the gradients of the branches are not added up."""
    net, l = e.net, e.l
    if e.stem not in BACKWARD or l == net.L or len(net.readers[l]) + len(net.adders[l]) < 2:
        return None
    fields = {f: getattr(net, f) for f in net.__dataclass_fields__}
    for kind, k in [("reads it", k) for k in net.readers[l]] + [("adds it", k)
                                                               for k in net.adders[l]]:
        one = Overwritten(**fields).only(l, *(([k], []) if kind == "reads it" else ([], [k])))
        if e.explains(_with(e, one)):
            return (f"at the fork of h_{l} only what comes from layer {k}, which {kind}, counts: "
                    "what all of them send down adds up")
    return None


def carried(e, F):
    """Our δ_l (dγ_l, dβ_l) with F_k in the place of what some layers k send down."""
    params, kept = e.parameters(), {}
    h, _ = forward(e.net, params, e.get("x"), kept=kept)
    options = e.declared.options_of_feedback(e.setting) if e.declared.feedback else {}
    right = e.declared.feedback(e.net, params, **options) if e.declared.feedback else params["W"]
    error = e.net.loss.error(h[e.net.L], e.get("y"))
    delta, own = feedback.deltas(e.net, kept, error, {**right, **F})
    return delta[e.l] if e.stem == "delta" else own[e.l][e.stem[1:]] / len(h[0])


def other_weights(e):
    """A layer that reads h_l sends δ down through other weights than the rule's."""
    net, l = e.net, e.l
    if e.stem not in BACKWARD or l == net.L:
        return None
    for u in net.readers[l]:
        if not e.declared.feedback or f"W_{u}" in e.inputs and f"B_{u}" not in e.inputs:
            continue
        belongs = e.declared.carrier.format(u=u)
        W, B = e.parameter("W", u), e.parameter("B", u)
        tried = [(W, f"computed with backpropagation's W_{u} where {belongs} belongs")]
        if f"W_{u}" in e.inputs:
            tried += [
                (B * sign(W), f"the magnitudes B_{u} have signs of their own: |B_{u}| belongs"),
                *[(abs(B) * sign(old) * sign(W), f"the magnitudes of layer {u} were overwritten by "
                   "M ∘ sign W in the step before: M never changes") for old in _before(e, u)],
                (abs(B), f"the signs of W_{u} are left out")]
        for F, words in tried:
            if e.explains(carried(e, {u: F})):
                return words
    return None


def _before(e, u):
    """W_u as the step before found it."""
    return [e.parameter("W", u, e.t - 1)] if e.t > 1 else []


SPECIFIC = (mistaken_part, overwritten_fork, other_weights)
