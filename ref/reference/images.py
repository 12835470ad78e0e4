"""Recompute a file of a rule that has a trainer of its own (rules/rule.py): image by image.

The rule's module `recompute` has, all pure but for the parameters, which change in place:

    check(net, setting, given)                    raises UsageError where inputs can't be
    at_rest(net, setting, dtype)                  what an image leaves to the next, at first
    image(net, setting, params, state, given)     ({name: array}, what it leaves to the next)
    change(net, setting, params, out)             {name: array}: how parameters differ after it
    drawn(trainer, x, y)                          inputs of the trainer's next image
    unlike_rates(net, arrays, t)                  sentences about inputs that can hardly be
    SLIPS                                         {slip: words}, for image(..., slip=slip)
"""

import numpy as np

from .. import rules
from ..common.command import UsageError
from ..network import flat, name_of
from . import quantities
from .allowance import moved
from .file import FileError


def given_of(content, t):
    """{name: array} of the inputs of step t."""
    return {q.name.split("/", 1)[1]: content.arrays[q.name] for q in content.quantities
            if q.given and q.step == t}


def replay(content, dtype=np.float64, setting=(), allowances=None, slip=None):
    """{name: array} of every quantity; arguments as in replay.replay."""
    net, own = content.net, rules.get(content.rule).recompute
    setting = {**content.setting, **dict(setting)}
    ours = {q.name: content.arrays[q.name].astype(dtype)
            for q in content.quantities if q.is_input}
    params = quantities.by_layer(net, {name.removeprefix("init/"): array.copy()
                                       for name, array in ours.items()
                                       if name.startswith("init/")})
    state, off, rng = own.at_rest(net, setting, dtype), {}, np.random.default_rng(0)
    for t in content.phases:
        given = given_of(content, t)
        try:
            own.check(net, setting, given)
        except UsageError as error:
            raise FileError(f"step_{t}: {error}") from None
        before = _mapped(params, lambda name, a: a.copy())
        out, after = own.image(net, setting, params, state, given, slip)
        ours |= _named(t, out, params)
        if allowances:
            single = _mapped(before, lambda name, a: a.astype(np.float32))
            found = {"single": _other(own, net, setting, single, before, state, given, t)}
            if off:
                carried = _mapped(before, lambda name, a, off=off: moved(a, off[name], rng))
                found["carried"] = _other(own, net, setting, carried, before, state, given, t)
            allowances.learn(found["single"], ours, found.get("carried"), {})
            off = {name: allowances.allowed(allowances.by_name[f"step_{t}/after/{name}"], ours)[0]
                   for name in flat(params)}
        state = after
    return ours


def _other(own, net, setting, start, before, state, given, t):
    """The image from parameters a little other than `before`, and what it makes of `before`."""
    dtype = start["W"][1].dtype
    state = type(state)(**{name: _cast(value, dtype) for name, value in vars(state).items()})
    out, _ = own.image(net, setting, start, state, given)
    return _named(t, out, own.change(net, setting, before, out))


def _cast(value, dtype):
    if isinstance(value, dict):
        return {l: a.astype(dtype) for l, a in value.items()}
    return value.astype(dtype)


def _mapped(params, change):
    """{"W": {1: change("W_1", array)}, ...}"""
    return {s: {l: change(name_of(s, l), a) for l, a in layers.items()}
            for s, layers in params.items()}


def _named(t, out, params):
    """{name in a file: a copy of the array} of an image and of the parameters after it."""
    found = {f"step_{t}/{name}": array for name, array in out.items()}
    found |= {f"step_{t}/after/{name}": array for name, array in flat(params).items()}
    return {name: np.array(array) for name, array in found.items()}


def write(content, trainer, batches):
    """Fill content.arrays with the steps of a trainer on batches of one image."""
    own = trainer.rule.recompute
    content.arrays = {f"init/{name}": array.copy() for name, array in flat(trainer.params).items()}
    for t, (x, y) in zip(content.phases, batches, strict=False):
        given = own.drawn(trainer, x.reshape(-1), y[0])
        own.check(content.net, content.setting, given)
        content.arrays |= {f"step_{t}/{name}": array for name, array in given.items()}
        trainer.step(x, y)
    found = replay(content, trainer.params["W"][1].dtype.type)
    for name, array in flat(trainer.params).items():  # what is written is what trains
        last = found[f"step_{t}/after/{name}"]
        limit = 1e-4 if array.dtype == np.float32 else 1e-10
        if np.abs(last - array).max() > limit * np.abs(array).max():
            raise AssertionError(f"{name} differs between the trainer and its replay")
    content.arrays |= found
