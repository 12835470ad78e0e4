"""Recompute the steps of a file of reference outputs, through the functions that training uses."""

from dataclasses import replace
from functools import wraps

import numpy as np

from .. import rules
from ..backend import to_device, to_host
from ..network import flat, name_of
from ..training import Trainer
from . import quantities


def missing(content):
    """Names of the arrays that a replay needs and the file does not have."""
    return [q.name for q in content.quantities if q.is_input and q.name not in content.arrays]


def replay(content, dtype=np.float64, setting=(), noise=1, xp=np):
    """{name: NumPy array} of every quantity, computed by the steps that training takes.

    Starts from the file's own initial parameters; each further step from our own parameters.
    setting  options to change;  noise  a factor for it;  xp  the module to compute with
    """
    arrays = {q.name: content.arrays[q.name].astype(dtype)
              for q in content.quantities if q.is_input}
    net, rule = content.net, rules.get(content.rule)
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
    ours = dict(arrays)
    with np.errstate(all="ignore"):  # what overflows here is reported as a difference
        for t, phase in content.phases.items():
            x, y = (xp.asarray(arrays[f"step_{t}/{name}"]) for name in "xy")
            eps = {l: arrays[f"step_{t}/eps_{l}"] for l in range(content.net.L)
                   if f"step_{t}/eps_{l}" in arrays}
            eps = {l: dtype(noise) * e for l, e in eps.items()}
            drawn = {symbol: {l: xp.asarray(arrays[f"step_{t}/{name_of(symbol, l)}"])
                              for l in net.maps_of(symbol)} for symbol in anew}
            out = trainer.step(x, y, phase, to_device(eps, xp), drawn)
            ours |= outputs(t, out, params)
    return ours


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


def outputs(t, out, params):
    """{name: a copy of the array} of what a step computed and of the parameters after it."""
    after = flat(params)
    nested = {key: value for key, value in out.items() if isinstance(value, dict)}
    single = {key: value for key, value in out.items() if not isinstance(value, dict)}
    found = {f"step_{t}/{name}": array
             for name, array in (flat(nested) | single).items()}
    found |= {f"step_{t}/after/{name}": array for name, array in after.items()}
    return {name: np.array(to_host(array)) for name, array in found.items()}
