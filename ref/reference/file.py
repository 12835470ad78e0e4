"""The file of reference outputs: what it holds, and writing it (reading: read.py).

    attributes     format, version, rule, arch, schedule, dtype, producer, config (JSON)
    net/layer_1    one group a layer, its attributes say what it is; no arrays
    init/..., step_1/..., step_1/after/...     the arrays (quantities.py)
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path

import h5py
import numpy as np

from .. import __version__, options, rules, settings
from ..common.command import UserError
from ..common.files import write
from ..common.hdf5 import attribute, open_file
from ..network import Network, name_of
from . import quantities

FORMAT, VERSION = "ref-outputs", 1
MOST = 10_000  # layers times steps: each has some ten quantities, which take a second to go through

LAYOUTS = {  # of W_l, and the way to other frameworks
    "dense": {
        "weight_axes": "n_out, n_in",
        "to_pytorch": "W  (F.linear(h, W, b); torch.nn.Linear.weight)",
        "to_jax": "W.T  (h @ W.T + b; flax Dense kernel)",
    },
    "local": {
        "weight_axes": "H', W', C_out, kh, kw, C_in",
        "to_pytorch": "W.transpose(0, 1, 2, 5, 3, 4).reshape(H' * W', C_out, C_in * kh * kw)  "
                      "(p, o, k of einsum('nkp,pok->nop', F.unfold(padded x), W))",
        "to_jax": "W.transpose(0, 1, 5, 3, 4, 2).reshape(H', W', C_in * kh * kw, C_out)  "
                  "(rhs of lax.conv_general_dilated_local, NHWC/HWIO/NHWC)",
    },
    "conv": {
        "weight_axes": "C_out, kh, kw, C_in",
        "to_pytorch": "W.transpose(0, 3, 1, 2)  (OIHW; F.conv2d on x padded by `pads`)",
        "to_jax": "W.transpose(1, 2, 3, 0)  (HWIO; lax.conv_general_dilated, NHWC/HWIO/NHWC)",
    },
}


class FileError(UserError):
    """A file that can't be used; the message says why, in one line."""


@dataclass
class Content:
    """What a file holds. `arrays` may be any subset of `quantities`."""

    rule: str
    arch: str
    setting: dict
    net: Network  # extended by the rule
    phases: dict  # {t: phase}, t = 1..
    arrays: dict = field(default_factory=dict)  # {name: array}
    given: dict = field(default_factory=dict)  # those of the setting that the file itself names
    without: frozenset = frozenset()  # biases that a file read says not to have: b_1, c_2

    @cached_property
    def quantities(self):
        """Every Quantity that a complete file of this kind holds, in order of computation."""
        rule = rules.get(self.rule)
        found = quantities.initial(self.net, rule, self.setting)
        for t, phase in self.phases.items():
            found += quantities.of_step(self.net, rule, self.setting, t, phase)
        unbiased = {name_of("b", l) for l in self.net.unbiased}
        return quantities.without(found, self.without | unbiased)

    def numbers(self, N):
        """How many numbers a complete file holds, for batches of N."""
        return sum(prod(q.full_shape(N)) for q in self.quantities)

    @property
    def dtype(self):
        """The least precise type among what it computed (not what it was given)."""
        types = {self.arrays[q.name].dtype for q in self.quantities
                 if q.name in self.arrays and not q.is_input}
        return min(types, key=lambda dtype: dtype.itemsize, default=np.dtype(np.float64))


def check_steps(layers, steps):
    """Raise FileError for more of both than there is any use in, before anything goes through
    them."""
    if layers * steps > MOST:
        raise FileError(f"{steps} steps of {layers} layers: at most {MOST} of both together, here "
                        f"{MOST // layers} steps")


def resolve(rule, arch, given):
    """A setting from keywords, without what a step does not depend on (the batch size).

    Raises UsageError.
    """
    setting, _ = settings.resolve(rule, arch, **given)
    known = options.names(of_step=True)
    return {key: value for key, value in setting.items() if key in known}


def save(path, content):
    """Write a file, whole or not at all, and the folder for it. Raises FileError."""
    path = Path(path)
    if path.exists() and not (path.is_file() and _is_ours(path)):  # a pipe would wait for ever
        raise FileError(f"{path} is there and holds something else; name another file")
    size = sum(array.nbytes for array in content.arrays.values())

    def fill(temporary):
        with h5py.File(temporary, "w", libver="v110") as file:
            _fill(file, content)

    try:
        write(path, fill, size)
    except (OSError, UserError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"can't write {path}: {reason}") from None


def _is_ours(path):
    """Whether the file at path is one of these, and so may be replaced."""
    try:
        with open_file(path) as file:
            return attribute(file, "format") == FORMAT
    except UserError:
        return False


def _fill(file, content):
    net = content.net
    file.attrs.update({
        "format": FORMAT, "version": VERSION, "rule": content.rule, "arch": content.arch,
        "schedule": content.setting.get("schedule", "none"), "dtype": str(content.dtype),
        "config": json.dumps(content.setting),
        "producer": f"bioprop-ref {__version__}, numpy {np.__version__}",
    })
    file.create_group("net").attrs["loss"] = net.loss.name
    for l, m in net.map.items():
        layer = file.create_group(f"net/layer_{l}")
        layer.attrs.update({
            "kind": m.kind, "activation": net.act[l].name, "in_shape": m.in_shape,
            "out_shape": m.out_shape, **LAYOUTS[m.kind],
        })
        if l in net.unbiased:
            layer.attrs["bias"] = 0
        if m.kind != "dense":
            layer.attrs.update({
                "kernel": m.kernel, "stride": m.stride,
                **({"padding": "SAME"} if m.pad is None else {"pad": m.pad}),
                "pads": m.patches.padding,  # ((above, below), (left, right))
            })
        if l in net.units:
            layer.attrs["unit"] = net.units[l].name
        if l in net.norms:
            layer.attrs.update({"bias": int(l not in net.unbiased),
                                "bn_epsilon": net.norms[l].epsilon,
                                "bn_momentum": net.norms[l].momentum})
        layer.attrs.update({name: of[l] for name, of in (("reads", net.sources), ("adds", net.adds))
                            if l in of})
    for t, phase in content.phases.items():
        file.create_group(f"step_{t}").attrs["phase"] = phase
    for q in content.quantities:
        dataset = file.create_dataset(q.name, data=content.arrays[q.name])
        dataset.attrs.update({"symbol": q.symbol, "equation": q.equation, "axes": q.axes})
