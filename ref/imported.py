"""Parameters that a run begins with, from a file: ref.train --init theirs.pt

    .pt, .pth      a PyTorch state dict, or a checkpoint that holds one as "state_dict", "model" or
                   "model_state_dict", and its Adam's or SGD's as "optimizer" or
                   "optimizer_state_dict"
    .npz           arrays with a state dict's names (ref.export writes both)
    a run's folder

Layouts are turned from channels first (layouts.py). Names as ref.export's go where they say. Any
other state dict has one weight a layer, in order, each with its bias; nothing of the network may be
left over. What the file has no array for (feedback, inverses) begins as it would without it, and
what another rule would need is left out: `apply` says both. An optimiser's state brings its rates
and moments, so that the run goes on where PyTorch stopped.
"""

import pickle
import re
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import architectures, folder
from .backend import get_xp
from .common import schema
from .common.command import UserError, one_line
from .common.reading import size_of
from .common.untrusted import RATIO, SPARE
from .layouts import NAMES, inward, shape_there
from .network import FORWARD, STATE, SYMBOLS, name_of

SUFFIXES = {"torch": (".pt", ".pth"), "npz": (".npz",)}
STATE_DICTS = ("state_dict", "model", "model_state_dict")
MUST = {"W": "weight", "b": "bias (write nobias behind it)", "gamma": "batch norm's weight",
        "beta": "batch norm's bias", "running_mean": "running mean",
        "running_var": "running variance"}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # no parameters
OPTIMIZERS = ("optimizer", "optimizer_state_dict")


class InitialError(UserError):
    """Parameters that can't be begun with; the message says why."""


@dataclass
class Initial:
    """What a file holds.

    arrays     {name there: NumPy array}, in its order; of a run's folder {W_1: ...}
    there      whether the names and layouts are PyTorch's
    settings   {option of ref.train: value} of the optimiser
    moments    {name: {"m" or "v": array}} of its optimiser (optim.py, momentum.py), and steps, how
               many it has taken
    arch       the network that they were trained in, where a run or ref.export recorded it
    """

    path: str
    arrays: dict
    there: bool = True
    settings: dict = field(default_factory=dict)
    moments: dict = field(default_factory=dict)
    steps: int = 0
    arch: str | None = None


def read(path):
    """The Initial of a file or folder, or of a state dict in memory. Raises InitialError."""
    if isinstance(path, dict):
        return _of_dict("the state dict", path)
    path = Path(path)
    try:
        if path.is_dir():
            return Initial(str(path), folder.read_parameters(path), there=False, arch=_arch(path))
        if path.suffix not in sum(SUFFIXES.values(), ()):
            raise InitialError(f"--init {path}: a run's folder, .pt, .pth or .npz is expected")
        _check_packed(path)
        if path.suffix in SUFFIXES["npz"]:
            made = Initial(str(path), _load_npz(path))
        else:
            made = _of_dict(str(path), _load(path))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InitialError(f"--init {path}: can't be read ({one_line(error)})") from None
    made.arch = _arch(path)
    return made


def _arch(path):
    """--arch of the run whose folder or exported file it is; None where no such record is there."""
    recorded = schema.keys({"arch": schema.text})
    try:
        if path.is_dir():
            about = schema.read_json(path / "config.json", schema.keys({"arguments": recorded}),
                                     InitialError)
            return about["arguments"]["arch"]
        return schema.read_json(path.with_suffix(".json"), recorded, InitialError)["arch"]
    except (OSError, InitialError):  # somebody's own file of that name
        return None


def _check_packed(path):
    """Raise InitialError unless a file is of its kind, and what is packed in it plausible for its
    size."""
    size, packed = size_of(path, error=InitialError), zipfile.is_zipfile(path)
    with open(path, "rb") as file:
        pickled = file.read(1) == b"\x80"  # as torch.save wrote before PyTorch 1.6
    if not packed and (path.suffix in SUFFIXES["npz"] or not pickled):
        writer = "numpy.savez" if path.suffix in SUFFIXES["npz"] else "torch.save"
        raise InitialError(f"--init {path}: not a whole file of {writer}")
    if packed:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
        if unpacked > RATIO * size + SPARE:
            raise InitialError(f"--init {path}: {size} bytes that unpack to {unpacked}: save it "
                               "again without compression")


def _load_npz(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise InitialError(f"--init {path}: not a file of numpy.savez: not all of it is arrays")
    return arrays


def _load(path):
    try:
        import torch
    except ImportError:
        raise InitialError(f'--init {path}: reading it needs PyTorch: pip install -e ".[compare]", '
                           "or write an .npz") from None
    try:  # tensors and plain values alone: a file from elsewhere must not run code
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except pickle.UnpicklingError:
        raise InitialError(f"--init {path}: it holds more than tensors, or is damaged; save "
                           "model.state_dict() alone, or with the optimizer's in a dict") from None
    except Exception:  # of whatever kind: these say where in PyTorch, not what is wrong
        raise InitialError(f"--init {path}: not a whole file of torch.save") from None
    if not isinstance(found, dict):
        raise InitialError(f"--init {path}: it is a {type(found).__name__}, not a state dict")
    return found


def _of_dict(path, found):
    state = next((found[key] for key in STATE_DICTS if isinstance(found.get(key), dict)), found)
    optimizer = next((found[key] for key in OPTIMIZERS if isinstance(found.get(key), dict)), None)
    arrays = {}
    for name, tensor in state.items():
        if state is found and name in OPTIMIZERS:
            continue
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu().numpy()
        if not isinstance(tensor, np.ndarray):
            raise InitialError(f"--init {path}: {name} is no array")
        arrays[name] = tensor
    made = Initial(path, arrays)
    if optimizer is not None:
        _add_optimizer(made, optimizer)
    return made


def _add_optimizer(made, state):
    """The settings and moments of a torch.optim's state dict."""
    groups = state.get("param_groups") or [{}]
    kinds = {str({key: value for key, value in group.items() if key != "params"})
             for group in groups}
    if len(kinds) > 1:
        raise InitialError(f"--init {made.path}: the optimizer has groups of parameters with "
                           "different settings; here all forward parameters have the same")
    group = groups[0]
    for key in ("amsgrad", "nesterov", "dampening", "maximize", "decoupled_weight_decay"):
        if group.get(key):
            raise InitialError(f"--init {made.path}: the optimizer has {key} {group[key]!r}, which "
                               "is not taken over; save the model's state dict alone")
    made.settings |= {"lr": float(group["lr"]),
                      "weight_decay": float(group.get("weight_decay", 0))}
    if "betas" in group:
        kept = {"exp_avg": "m", "exp_avg_sq": "v"}
        made.settings |= {"optimizer": "adam", "epsilon_form": "kingma",
                          "beta1": float(group["betas"][0]), "beta2": float(group["betas"][1]),
                          "epsilon": float(group["eps"])}
    else:
        kept = {"momentum_buffer": "v"}
        made.settings |= {"optimizer": "sgd", "momentum": float(group.get("momentum", 0))}
    names = [name for name in made.arrays if name.rpartition(".")[2] not in BUFFERS]
    for number, entry in state.get("state", {}).items():
        made.moments[names[number]] = {mine: entry[key].cpu().numpy() for key, mine in kept.items()
                                       if entry.get(key) is not None}
        made.steps = int(entry.get("step", 0))


def without_optimizer(initial):
    """The same parameters, for another optimiser."""
    return replace(initial, settings={}, moments={}, steps=0)


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
