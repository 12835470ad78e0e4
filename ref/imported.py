"""Parameters that a run begins with, from a file: ref.train --init theirs.pt

    .pt, .pth      a PyTorch state dict, or a checkpoint that holds one as "state_dict", "model" or
                   "model_state_dict", and its Adam's or SGD's as "optimizer" or
                   "optimizer_state_dict"
    .npz           arrays with a state dict's names (ref.export writes both)
    a run's folder

Layouts are turned from channels first (layouts.py). Names as ref.export's go where they say. Any
other state dict has one weight a layer, in order, each with its bias; nothing may be left over.
What the file has no array for (feedback, inverses) begins as it would without it. An optimiser's
state brings its rates and moments, so that the run goes on where PyTorch stopped.
"""

import pickle
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import folder
from .backend import get_xp
from .common.command import UserError, one_line
from .common.reading import size_of
from .common.untrusted import RATIO, SPARE
from .layouts import NAMES, inward, shape_there
from .network import SYMBOLS, name_of

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
    """

    path: str
    arrays: dict
    there: bool = True
    settings: dict = field(default_factory=dict)
    moments: dict = field(default_factory=dict)
    steps: int = 0


def read(path):
    """The Initial of a file or folder, or of a state dict in memory. Raises InitialError."""
    if isinstance(path, dict):
        return _of_dict("the state dict", path)
    path = Path(path)
    try:
        if path.is_dir():
            return Initial(str(path), folder.read_parameters(path), there=False)
        _check_size(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return Initial(str(path), {name: file[name] for name in file.files})
        if path.suffix not in (".pt", ".pth"):
            raise InitialError(f"--init {path}: a run's folder, .pt, .pth or .npz is expected")
        return _of_dict(str(path), _load(path))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InitialError(f"--init {path}: can't be read ({one_line(error)})") from None


def _check_size(path):
    """Raise InitialError unless a file is one, and what is packed in it plausible for its size."""
    size = size_of(path, error=InitialError)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
        if unpacked > RATIO * size + SPARE:
            raise InitialError(f"--init {path}: {size} bytes that unpack to {unpacked}: save it "
                               "again without compression")


def _load(path):
    try:
        import torch
    except ImportError:
        raise InitialError(f'--init {path}: reading it needs PyTorch: pip install -e ".[compare]", '
                           "or write an .npz") from None
    try:  # tensors and plain values alone: a file from elsewhere must not run code
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError) as error:
        raise InitialError(f"--init {path}: can't be read ({one_line(error)})") from None
    except pickle.UnpicklingError:
        raise InitialError(f"--init {path}: it holds more than tensors; save model.state_dict() "
                           "alone, or with the optimizer's in a dict") from None
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
    return Initial(initial.path, initial.arrays, initial.there)


def apply(initial, trainer):
    """Put the parameters, and an optimiser's moments, into a training.Trainer at its first step.

    Raises InitialError, before anything is changed, where an array has no place or another shape,
    or a layer finds none.
    """
    net, params, found, moments = trainer.net, trainer.params, {}, {}
    if net.own_forward:
        raise InitialError(f"--init {initial.path}: this rule trains a network of its own kind")
    for name, (symbol, l) in _places(initial, net, params).items():
        found[symbol, l] = _turned(initial, name, initial.arrays[name], net, symbol, l)
        if name in initial.moments:
            moments[symbol, l] = {key: _turned(initial, name, array, net, symbol, l)
                                  for key, array in initial.moments[name].items()}
    for symbol, what in MUST.items():
        if missing := [l for l in params[symbol] if (symbol, l) not in found]:
            raise InitialError(f"--init {initial.path}: layer {missing[0]} of the network finds no "
                               f"{what} in it; it has {', '.join(initial.arrays)}")
    for (symbol, l), array in found.items():
        params[symbol][l][...] = _like(array, params[symbol][l])
    state = trainer.state["forward"]
    for (symbol, l), arrays in moments.items():
        for key, array in arrays.items():
            kept = state[key][name_of(symbol, l)]
            kept[...] = _like(array, kept)
    state["t"] = initial.steps


def _turned(initial, name, array, net, symbol, l):
    """An array of the file as the network has it. Raises InitialError."""
    m, shape = net.maps_of(symbol)[l], SYMBOLS[symbol][1]
    expected = shape_there(m, shape) if initial.there else getattr(m, shape)
    if array.shape != expected or array.dtype.kind != "f":
        raise InitialError(f"--init {initial.path}: {name} is {array.dtype} {array.shape}; layer "
                           f"{l} of the network takes floats {expected}")
    return inward(m, shape, array) if initial.there else array


def _like(array, kept):
    """An array on the device of another, of its type."""
    return get_xp(kept).asarray(array, dtype=kept.dtype)


def _places(initial, net, params):
    """{name in the file: (symbol, l)}. Raises InitialError where one has no place."""
    if not initial.there:
        own = {name_of(symbol, l): (symbol, l) for symbol in params for l in params[symbol]}
        return {name: own[name] for name in initial.arrays if name in own}
    own = {NAMES[symbol].format(l=l): (symbol, l) for symbol in params for l in params[symbol]}
    if any(re.fullmatch(r"layer\d+\.weight", name) for name in initial.arrays):
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
    spare = [name for name in initial.arrays if name not in places
             and not re.match("(inverse|feedback|auxiliary)|.*num_batches_tracked$", name)]
    if spare:
        raise InitialError(f"--init {initial.path}: no place in the network for {', '.join(spare)}")
    return places
