"""Recompute the steps of a file of reference outputs, through the functions that training uses."""

from dataclasses import replace
from functools import wraps

import numpy as np

from .. import rules
from ..backend import to_device, to_host
from ..network import flat, name_of
from ..training import Trainer
from . import images, quantities
from .allowance import moved

NEAR = 1e-4  # of h: displacements below it have lost three of float32's seven digits


def missing(content):
    """Names of the arrays that a replay needs and the file does not have."""
    return [q.name for q in content.quantities if q.is_input and q.name not in content.arrays]


def replay(content, dtype=np.float64, setting=(), noise=1, xp=np, allowances=None, slip=None):
    """{name: NumPy array} of every quantity, computed by the steps that training takes.

    Starts from the file's own initial parameters; each further step from our own parameters.
    setting     options to change;  noise  a factor for it;  xp  the module to compute with
    slip  what a rule with a trainer of its own shall do wrong (images.py)
    allowances  Allowances to fill on the way; of a replay in float64
    """
    net, rule = content.net, rules.get(content.rule)
    if rule.trainer:
        return images.replay(content, dtype, setting, allowances, slip)
    arrays = {q.name: content.arrays[q.name].astype(dtype)
              for q in content.quantities if q.is_input}
    shapes = {q.name: q.shape for q in quantities.initial(net, rule, content.setting)}
    arrays |= {f"init/{name}": np.zeros(shapes[f"init/{name}"], dtype) for name in content.without}
    initial = {name.removeprefix("init/"): array.copy()
               for name, array in arrays.items() if name.startswith("init/")}
    setting = {**content.setting, **dict(setting)}
    anew = rule.redrawn(setting)
    initial |= {name_of(symbol, l): np.empty(shape, dtype) for symbol in anew
                for l, shape in net.shapes_of(symbol).items()}
    params = to_device(quantities.by_layer(net, initial), xp)
    trainer = Trainer(net, holding_at_zero(rule, content.without), params, setting, seed=0)
    inquiry = Inquiry(trainer, allowances) if allowances else None
    ours = dict(arrays)
    with np.errstate(all="ignore"):  # what overflows here is reported as a difference
        for t, phase in content.phases.items():
            x, y = (xp.asarray(arrays[f"step_{t}/{name}"]) for name in "xy")
            eps = {l: arrays[f"step_{t}/eps_{l}"] for l in range(content.net.L)
                   if f"step_{t}/eps_{l}" in arrays}
            eps = {l: dtype(noise) * e for l, e in eps.items()}
            drawn = {symbol: {l: xp.asarray(arrays[f"step_{t}/{name_of(symbol, l)}"])
                              for l in net.maps_of(symbol)} for symbol in anew}
            eps = to_device(eps, xp)
            for part in rule.parts(setting, phase):
                samples = inquiry.samples(x, y, part, eps, drawn) if inquiry else None
                ours |= outputs(t, trainer.step(x, y, part, eps, drawn), trainer)
                if inquiry:
                    inquiry.learn(t, part, ours, samples)
    return ours


class Inquiry:
    """Asks, before each part of a step, what rounding would do to it (allowance.py)."""

    def __init__(self, trainer, allowances):
        self.trainer, self.allowances = trainer, allowances
        self.rng = np.random.default_rng(0)  # the same file gets the same verdict
        self.of_parameter = {}  # {"W_1": allowance}, of those that were trained

    def samples(self, x, y, part, eps, drawn):
        """What the rule gives in float32, with parameters off by their allowance, and with every
        σ off by its rounding; the last two None where there is nothing to learn from them."""
        params = self.trainer.params | drawn
        single = self._step(_mapped(params, lambda name, a: a.astype(np.float32)),
                            *(_single(a) for a in (x, y)), part, _single(eps))
        shaken = self._shaken(single, x, y, part, eps, drawn)
        if not self.of_parameter:
            return single, None, shaken
        off = _mapped(params, lambda name, a: moved(a, self.of_parameter[name], self.rng)
                      if name in self.of_parameter else a)
        return single, self._step(off, x, y, part, eps), shaken

    def _shaken(self, single, x, y, part, eps, drawn):
        """The forward phase with each value of σ off by its own rounding; where targets are so
        near to their activities that float32 cannot tell the two apart, and so shows nothing."""
        h, h_hat = single["h"], single.get("h_hat", {})
        if all(np.abs(h_hat[l] - h[l]).max() > NEAR * np.abs(h[l]).max() for l in h_hat):
            return None
        size = np.finfo(self.allowances.dtype).eps

        def value(act):
            return lambda a, out=None: (v := act.value(a)) * (
                1 + size * self.rng.standard_normal(v.shape))

        net = self.trainer.net
        net = replace(net, act={l: a._replace(value=value(a)) for l, a in net.act.items()})
        rule, options = self.trainer.rule, self.trainer.options
        return rule.step(net, self.trainer.params | drawn, x, y, eps=eps, phase="forward",
                         **options)

    def _step(self, params, x, y, part, eps):
        rule, net, options = self.trainer.rule, self.trainer.net, self.trainer.options
        return rule.step(net, params, x, y, eps=eps, phase=part, **options)

    def learn(self, t, part, ours, samples):
        """Hand on what was found about step t, whose part gave `ours`."""
        single, carried, shaken = (named(t, out) if out else {} for out in samples)
        self.allowances.learn(single, ours, carried, shaken)
        for group, trained in self.trainer.trained.items():
            for name in trained if part in ("both", group) else ():
                q = self.allowances.by_name.get(f"step_{t}/after/{name}")
                if q:  # a bias that the network does not have is in no file
                    self.of_parameter[name] = self.allowances.allowed(q, ours)[0]


def _mapped(groups, change):
    """{"W": {1: change("W_1", array)}, ...}"""
    return {symbol: {l: change(name_of(symbol, l), a) for l, a in layers.items()}
            for symbol, layers in groups.items()}


def _single(arrays):
    if isinstance(arrays, dict):
        return {l: a.astype(np.float32) for l, a in arrays.items()}
    return arrays.astype(np.float32)


def holding_at_zero(rule, biases):
    """The rule, with gradients of zero for these biases ("b_1", "c_2"), which so never change."""
    if not biases:
        return rule

    @wraps(rule.step)
    def step(*args, **options):
        out = rule.step(*args, **options)
        for name in biases:
            symbol, l = name.split("_")
            if f"d{symbol}" in out and int(l) in out[f"d{symbol}"]:
                out[f"d{symbol}"][int(l)] *= 0
        return out

    return replace(rule, step=step)


def outputs(t, out, trainer):
    """{name: a copy of the array} of what a step computed, and of the parameters and velocities
    after it."""
    found = named(t, out) | {f"step_{t}/after/{name}": array
                             for name, array in flat(trainer.params).items()}
    found |= {f"step_{t}/after/v_{name}": array for name, array in trainer.velocities().items()}
    return {name: np.array(to_host(array)) for name, array in found.items()}


def named(t, out):
    """{name in a file: array} of what a rule's step computed."""
    nested = {key: value for key, value in out.items() if isinstance(value, dict)}
    single = {key: value for key, value in out.items() if not isinstance(value, dict)}
    return {f"step_{t}/{name}": array.astype(float) if array.dtype.kind == "u" else array
            for name, array in (flat(nested) | single).items()}
