"""Parameters from elsewhere (imported.py) put into a network: what fits where, and what does not

Layouts are turned from channels first (layouts.py). Names as ref.export's go where they say. Any
other state dict has one weight a layer, in order, each with its bias; nothing of the network may be
left over. What the file has no array for (feedback, inverses) begins as it would without it, and
what another rule would need is left out: `apply` says both.
"""

import re

from . import architectures
from .backend import get_xp
from .common.command import UserError
from .imported import InitialError
from .layouts import NAMES, inward, shape_there
from .network import FORWARD, STATE, SYMBOLS, name_of

MUST = {"W": "weight", "b": "bias (write nobias behind it)", "gamma": "batch norm's weight",
        "beta": "batch norm's bias", "running_mean": "running mean",
        "running_var": "running variance"}


def apply(initial, trainer, args):
    """Put the parameters, and an optimiser's moments, into a training.Trainer at its first step.

    args  with the run's arch, rule and seed
    Returns words for a person: what the file has no array for, what is left out, what differs.
    Raises InitialError, before anything is changed, where an array has no place or another shape,
    or a layer finds none.
    """
    net, params, found, moments = trainer.net, trainer.params, {}, {}
    if net.own_forward:
        raise InitialError(f"--init {initial.path}: this rule trains a network of its own kind")
    places, unused = _places(initial, net, params, args.arch)
    for name, (symbol, l) in sorted(places.items(), key=lambda place: _order(*place[1])):
        found[symbol, l] = _turned(initial, name, initial.arrays[name], net, symbol, l, args.arch)
        if name in initial.moments:
            moments[symbol, l] = {
                key: _turned(initial, name, array, net, symbol, l, args.arch)
                for key, array in initial.moments[name].items()}
    for symbol, what in MUST.items():
        if missing := [l for l in params[symbol] if (symbol, l) not in found]:
            raise InitialError(
                f"--init {initial.path}: layer {missing[0]} of {args.arch} finds no {what} in it; "
                f"it has {', '.join(initial.arrays)}{_own_network(initial, args.arch)}")
    for (symbol, l), array in found.items():
        params[symbol][l][...] = _like(array, params[symbol][l])
    state = trainer.state["forward"]
    for (symbol, l), arrays in moments.items():
        for key, array in arrays.items():
            kept = state[key][name_of(symbol, l)]
            kept[...] = _like(array, kept)
    state["t"] = initial.steps
    return _said(initial, net, params, found, moments, unused, args)


def _said(initial, net, params, found, moments, unused, args):
    """The lines that `apply` returns."""
    said = [f"begins with the parameters of {initial.path}; the optimiser "
            + ("goes on from its state" if moments else "begins anew")]
    if drawn := [symbol for symbol in params if any((symbol, l) not in found
                                                    for l in params[symbol])]:
        said.append(f"{_are(drawn)} not in it: drawn from seed {args.seed}")
    if unused:
        said.append(f"{_are(unused)} left out: {args.rule} has no place for "
                    f"{'it' if len(unused) == 1 else 'them'}")
    if differ := _differing(initial, net):
        l, theirs, ours = differ
        said.append(f"warning: layer {l} is {ours} here, and was {theirs} where they were trained "
                    f"(--arch \"{initial.arch}\")")
    return said


def _are(symbols):
    return f"{', '.join(symbols)} {'is' if len(symbols) == 1 else 'are'}"


def _differing(initial, net):
    """(l, words there, words here) of the first layer that computes something else there."""
    try:
        there = initial.arch and architectures.build(initial.arch, net.shape(0))
    except UserError:  # its input had another shape
        there = None
    if not there or there.L != net.L:
        return None
    for l in range(1, net.L + 1):
        theirs, ours = (architectures.words(n, l) for n in (there, net))
        if l < net.L and theirs != ours:
            return l, theirs, ours
    return None


def _own_network(initial, arch):
    """What to give for --arch, where it is known and is not what was given."""
    if initial.arch in (None, arch):
        return ""
    return f"; it was trained with --arch \"{initial.arch}\""


def _order(symbol, l):
    return tuple(SYMBOLS).index(symbol), l


def _turned(initial, name, array, net, symbol, l, arch):
    """An array of the file as the network has it. Raises InitialError."""
    m, shape = net.maps_of(symbol)[l], SYMBOLS[symbol][1]
    expected = shape_there(m, shape) if initial.there else getattr(m, shape)
    if array.shape != expected or array.dtype.kind != "f":
        raise InitialError(f"--init {initial.path}: {name} is {array.dtype} {array.shape}; layer "
                           f"{l} of {arch} takes floats {expected}{_own_network(initial, arch)}")
    return inward(m, shape, array) if initial.there else array


def _like(array, kept):
    """An array on the device of another, of its type."""
    return get_xp(kept).asarray(array, dtype=kept.dtype)


def _places(initial, net, params, arch):
    """({name in the file: (symbol, l)}, the symbols of what only another rule needs).

    Raises InitialError where an array of the network has no place.
    """
    here = [(symbol, l) for symbol in params for l in params[symbol]]
    if initial.there:
        own = {NAMES[symbol].format(l=l): (symbol, l) for symbol, l in here}
    else:
        own = {name_of(symbol, l): (symbol, l) for symbol, l in here}
    if not initial.there or any(re.fullmatch(r"layer\d+\.weight", name) for name in initial.arrays):
        places = {name: own[name] for name in initial.arrays if name in own}
    else:
        weights = [name for name, array in initial.arrays.items()
                   if name.rpartition(".")[2] == "weight" and array.ndim > 1]
        places = {}
        for l, name in zip(sorted(net.map), weights, strict=False):
            places[name] = ("W", l)
            bias = f"{name.removesuffix('weight')}bias"
            if bias in initial.arrays and l in params["b"]:
                places[bias] = ("b", l)
        norms = [name.removesuffix("running_mean") for name in initial.arrays
                 if name.endswith("running_mean")]
        for l, stem in zip(sorted(net.norms), norms, strict=False):
            for symbol in ("gamma", "beta", "running_mean", "running_var"):
                places[stem + NAMES[symbol].rpartition(".")[2]] = (symbol, l)
    places = {name: place for name, place in places.items() if name in initial.arrays}
    others = {name: _of_a_rule(initial, name) for name in initial.arrays
              if name not in places and not name.endswith("num_batches_tracked")}
    if spare := [name for name, symbol in others.items() if symbol is None]:
        raise InitialError(f"--init {initial.path}: no place in {arch} for {', '.join(spare)}"
                           f"{_own_network(initial, arch)}")
    return places, sorted(set(others.values()))


def _of_a_rule(initial, name):
    """The symbol of an array that belongs to a rule, not to the network; else None."""
    for symbol in SYMBOLS:
        pattern = NAMES[symbol] if initial.there else name_of(symbol, "{l}")
        if re.fullmatch(re.escape(pattern).replace(r"\{l\}", r"\d+"), name):
            return None if symbol in (*FORWARD, *STATE) else symbol
    return None
