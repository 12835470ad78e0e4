"""Parameters that a run begins with, from a file: ref.train --init theirs.pt

    .pt, .pth      a PyTorch state dict, or a checkpoint that holds one as "state_dict", "model" or
                   "model_state_dict", and its Adam's or SGD's as "optimizer" or
                   "optimizer_state_dict"
    .npz           arrays with a state dict's names (ref.export writes both)
    a run's folder

An optimiser's state brings its rates and moments, so that the run goes on where PyTorch stopped.
transplant.py puts all of it into a network.
"""

import pickle
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import folder
from .common import schema
from .common.command import UserError, one_line
from .common.reading import size_of
from .common.untrusted import RATIO, SPARE

SUFFIXES = {"torch": (".pt", ".pth"), "npz": (".npz",)}
STATE_DICTS = ("state_dict", "model", "model_state_dict")
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
