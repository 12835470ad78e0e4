"""Read a file of reference outputs that a stranger wrote.

Nothing in it is trusted: the declared type and shape of every array are held against the file's
own architecture, and their sum against a limit, before any is read. Nothing in it is executed,
and nothing outside it is opened.
"""

import contextlib
import json
from math import prod
from pathlib import Path

import h5py
import numpy as np

from .. import activations, losses, options, rules
from ..common.command import Parser
from ..linear import Convolution, Dense, LocallyConnected
from ..network import Network
from .file import (
    FORMAT,
    VERSION,
    Content,
    FileError,
    default_phase,
    option_names,
    resolve,
)

LIMIT = 4 << 30  # bytes that the arrays of a file, and our own, may take in float64
MAX_NAMES = 10_000  # in one group
MAX_CONFIG = 1 << 16  # characters of JSON

PHASES = ("both", "forward", "inverse")
OUTPUTS = {"cross-entropy": "softmax", "cross-entropy-logits": "identity",
           "squared-error": "identity"}  # loss: the activation of layer L that it goes with


@contextlib.contextmanager
def _told(what):
    """Turn whatever h5py raises on a broken or hostile file into one FileError."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "")
        raise FileError(f"{what}: can't be read ({reason.strip(chr(39) + chr(34))})") from None


def read(path, limit=LIMIT):
    """The Content of a file. Raises FileError.

    limit  in bytes, of the file's arrays and the ones to compare with them, all in float64
    """
    if not Path(path).exists():
        raise FileError(f"{path}: there is no such file")
    if Path(path).is_dir() or not _is_hdf5(path):
        raise FileError(f"{path}: not an HDF5 file")
    try:
        with _told("the file"):
            file = h5py.File(path, "r")
        with file:
            content = _header(file)
            datasets = _declared(file, content, limit)
            for name, dataset in datasets.items():
                content.arrays[name] = _array(name, dataset)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    return content


def _is_hdf5(path):
    try:
        return h5py.is_hdf5(path)
    except (OSError, RuntimeError):
        return False


def _header(file):
    """The Content of an opened file, without its arrays."""
    if _text(file, "format", "") != FORMAT:
        raise FileError(f"not a file of reference outputs (its attribute format is not {FORMAT!r})")
    version = _integers(file, "version", (1,))[0]
    if version != VERSION:
        raise FileError(f"its version is {version}, this program reads version {VERSION}")
    rule = _text(file, "rule")
    if rule not in rules.NAMES:
        raise FileError(f"rule {rule[:40]!r} is none of {', '.join(rules.NAMES)}")
    arch = _text(file, "arch", "custom")
    setting, given = _setting(file, rule, arch)
    net = _network(file, rules.get(rule), setting)
    if rules.has_inverses(rules.get(rule)):
        if net.loss.argmin is None and rule != "dtp":
            raise FileError(f"the rule {rule} has no first target with the loss {net.loss.name}")
    return Content(rule, arch, setting, net, _phases(file, rule, setting), given=given)


class _Options(Parser):
    """Reads the config of a file as ref.train reads its command line."""

    def error(self, message):
        raise FileError(f"config: {message}")


def _setting(file, rule, arch):
    """(the resolved setting, what the file gives of it): config, a JSON object of options."""
    text = _text(file, "config", "{}")
    try:
        if len(text) > MAX_CONFIG:
            raise ValueError
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise FileError("its attribute config is not a JSON object of options") from None
    schedule = _text(file, "schedule", "none")
    if schedule != "none" and config.setdefault("schedule", schedule) != schedule:
        raise FileError(f"schedule is {schedule!r}, but {config['schedule']!r} in config")
    reader = _Options(prog="config", add_help=False)
    options.add_setting_arguments(reader)
    known = option_names()
    for key, value in config.items():
        if key not in known:
            raise FileError(f"config: there is no option {key[:40]!r}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise FileError(f"config: {key} is neither a number nor a word")
    args = reader.parse_args(
        [f"--{key.replace('_', '-')}={value}" for key, value in config.items()])
    args.rule, args.arch = rule, arch
    try:
        return resolve(args), config
    except options.UsageError as error:
        raise FileError(f"config: {error}") from None


def _network(file, rule, setting):
    """The network that net/layer_1, net/layer_2, ... describe, extended by the rule."""
    group = _group(file, "net")
    names = _names(group, "net")
    L = len(names)
    if L == 0 or names != {f"layer_{l}" for l in range(1, L + 1)}:
        raise FileError("net must hold layer_1, layer_2, ... and nothing else")
    maps, act = {}, {}
    for l in range(1, L + 1):
        maps[l], act[l] = _layer(_group(file, f"net/layer_{l}"), f"net/layer_{l}")
        below = maps[l - 1].out_shape if l > 1 else maps[l].in_shape
        if maps[l].in_shape != below:
            raise FileError(f"net/layer_{l}: in_shape is {_x(maps[l].in_shape)}, "
                            f"but layer_{l - 1} gives {_x(below)}")
    top = act[L].name
    if top == "softmax":
        guess = "cross-entropy"
    else:
        logits = setting.get("output") == "logits"
        guess = "cross-entropy-logits" if logits else "squared-error"
    loss = _text(group, "loss", guess)
    if OUTPUTS.get(loss) != top:
        pairs = ", ".join(f"{name} ({output})" for name, output in OUTPUTS.items())
        raise FileError(f"net: loss {loss[:40]!r} over {top!r} is none of {pairs}")
    if loss.startswith("cross-entropy") and len(maps[L].out_shape) != 1:
        raise FileError(f"net: cross-entropy needs a vector, layer_{L} gives "
                        f"{_x(maps[L].out_shape)}")
    given = {key: setting[key] for key in rule.BUILD_OPTIONS}
    return rule.extend(Network(maps, act, losses.BY_NAME[loss]), **given)


def _layer(group, where):
    """(linear map, activation) of one layer."""
    kind, activation = _text(group, "kind"), _text(group, "activation")
    if activation not in activations.BY_NAME:
        raise FileError(f"{where}: activation {activation[:40]!r} is none of "
                        f"{', '.join(activations.BY_NAME)}")
    in_shape = _integers(group, "in_shape", (1, 3))
    out_shape = _integers(group, "out_shape", (1, 3))
    if kind == "dense":
        return Dense(in_shape, out_shape), activations.BY_NAME[activation]
    if kind not in ("local", "conv"):
        raise FileError(f"{where}: kind {kind[:40]!r} is none of dense, local, conv")
    if len(in_shape) != 3 or len(out_shape) != 3:
        raise FileError(f"{where}: a {kind} layer has shapes (H, W, C)")
    kernel = _integers(group, "kernel", (2,))
    stride = _integers(group, "stride", (1,))[0]
    made = LocallyConnected if kind == "local" else Convolution
    m = made(in_shape, out_shape[2], kernel, stride)
    padding = _text(group, "padding", "SAME")
    if padding != "SAME":
        raise FileError(f"{where}: padding is {padding[:40]!r}, only SAME (TensorFlow's) is known")
    if m.out_shape != out_shape:
        raise FileError(f"{where}: out_shape is {_x(out_shape)}, but {_x(in_shape)} at stride "
                        f"{stride} gives {_x(m.out_shape)}")
    return m, activations.BY_NAME[activation]


def _phases(file, rule, setting):
    """{t: phase} of the steps in the file, which must be step_1, step_2, ..."""
    steps = {name for name in _names(file, "the file") if name.startswith("step_")}
    T = len(steps)
    if T == 0 or steps != {f"step_{t}" for t in range(1, T + 1)}:
        raise FileError("its steps must be step_1, step_2, ...; it has "
                        + (", ".join(sorted(steps)[:5]) or "none"))
    phases = {}
    for t in range(1, T + 1):
        phase = _text(_group(file, f"step_{t}"), "phase", default_phase(rule, setting, t))
        if phase not in PHASES:
            raise FileError(f"step_{t}: phase {phase[:40]!r} is none of {', '.join(PHASES)}")
        if not rules.has_inverses(rules.get(rule)):
            phase = "forward"
        phases[t] = phase
    return phases


def _declared(file, content, limit):
    """{name: dataset} of every array in the file; none is read. Raises FileError."""
    expected = {q.name: q for q in content.quantities}
    found, sizes, total = {}, {}, 0
    for group_name in ("init", *(f"step_{t}" for t in content.phases)):
        for name in _leaves(file, group_name):
            if name not in expected:
                raise FileError(f"{name[:80]}: {content.rule} on this network has no such array; "
                                f"it has {_like(name, expected)}")
            found[name] = _dataset(file, name)
    for q in expected.values():  # in order of computation, so that x comes before what follows
        if q.name in found:
            with _told(q.name):
                shape = found[q.name].shape
            N = sizes.get(q.step, shape[0] if shape else 0)
            if shape != q.full_shape(N) or N == 0 and q.per_example:
                raise FileError(_contradiction(q, shape, sizes.get(q.step)))
            if q.per_example:
                sizes[q.step] = N
            total += prod(shape)
    for q in expected.values():
        total += prod(q.full_shape(sizes.get(q.step, 1)))
    N = max(sizes.values(), default=1)
    for m in (*content.net.map.values(), *content.net.g_map.values()):
        if m.kind != "dense":  # the patches that a layer gathers
            total = max(total, total + N * prod(m.patches.out_size) * m.patches.size)
    if 8 * total > limit:
        raise FileError(f"its arrays and ours would take {8 * total / 2**30:.3g} GiB, "
                        f"the limit is {limit / 2**30:.3g} (--limit)")
    return found


def _contradiction(q, shape, N):
    """What is wrong with the declared shape of an array; N where other arrays have settled it."""
    want = ", ".join(map(str, (N or "N", *q.shape) if q.per_example else q.shape))
    line = f"{q.name} is {shape}, the file's own architecture says ({want})"
    if q.per_example and shape == ():
        return line + ": a number for each example, not their mean"
    if len(shape) == 2 and shape == q.shape[::-1]:
        return line + ": transposed? W is (n_out, n_in), and V is laid out like W"
    return line


def _like(name, expected):
    """Names of the same group, for a message."""
    group = name.rpartition("/")[0]
    names = [other for other in expected if other.rpartition("/")[0] == group]
    return ", ".join(other.rpartition("/")[2] for other in names[:60]) or "none in this group"


def _leaves(file, group_name):
    """Names of the arrays of a group, and of `after` in a step."""
    if group_name not in _names(file, "the file"):
        return []
    group = _group(file, group_name)
    names = [f"{group_name}/{name}" for name in _names(group, group_name)]
    after = f"{group_name}/after"
    if group_name != "init" and after in names:
        names.remove(after)
        names += [f"{after}/{name}" for name in _names(_group(file, after), after)]
    return names


def _names(group, where):
    with _told(where):
        if len(group) > MAX_NAMES:
            raise FileError(f"{where}: holds {len(group)} names, more than {MAX_NAMES}")
        return set(group)


def _group(file, name):
    found = _object(file, name)
    if not isinstance(found, h5py.Group):
        raise FileError(f"{name} is not a group")
    return found


def _dataset(file, name):
    """A dataset whose type and storage are plain numbers in this very file."""
    found = _object(file, name)
    if not isinstance(found, h5py.Dataset):
        raise FileError(f"{name[:80]} is not an array")
    with _told(name):
        if found.is_virtual or found.external:
            raise FileError(f"{name}: its numbers lie in another file; copy them into this one")
        dtype, shape, chunks = found.dtype, found.shape, found.chunks
        if shape is None:
            raise FileError(f"{name} is empty")
        allowed = "iub" if name.endswith(("/x", "/y")) else ""
        if not (dtype.kind == "f" and dtype.itemsize in (4, 8)) and (
                dtype.kind == "" or dtype.kind not in allowed):
            raise FileError(f"{name} is of type {str(dtype)[:40]}, expected float32 or float64")
        if chunks and prod(chunks) > max(prod(shape), 1 << 17):
            raise FileError(f"{name}: its chunks are larger than the array")
    return found


def _object(file, name):
    """The object at a path, each part of which must be a hard link."""
    node = file
    for part in name.split("/"):
        with _told(name[:80]):
            if not isinstance(node, h5py.Group):
                raise FileError(f"{name[:80]}: {part} is not in a group")
            link = node.get(part, getlink=True)
            if link is None:
                raise FileError(f"{name[:80]} is missing")
            if not isinstance(link, h5py.HardLink):
                raise FileError(f"{name[:80]} is a soft or external link; only plain ones are read")
            node = node[part]
    return node


def _array(name, dataset):
    """The numbers of a dataset, in this machine's byte order. Raises FileError for NaN."""
    with _told(name):
        array = dataset[()]
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.dtype(np.float64)
    array = np.ascontiguousarray(array, dtype).reshape(array.shape)
    finite = np.isfinite(array)
    if not finite.all():
        where = np.unravel_index(np.argmin(finite), array.shape)
        raise FileError(f"{name} holds {array[where]} at {[int(k) for k in where]}")
    return array


def _text(group, name, default=None):
    """An attribute that is text."""
    with _told(f"attribute {name}"):
        value = group.attrs.get(name, default)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None:
        raise FileError(f"{_where(group)}its attribute {name} is missing")
    if not isinstance(value, str):
        raise FileError(f"{_where(group)}its attribute {name} is not text")
    return value


def _integers(group, name, lengths):
    """An attribute that is a tuple of positive integers, as many as one of `lengths`."""
    with _told(f"attribute {name}"):
        value = group.attrs.get(name)
    if value is None:
        raise FileError(f"{_where(group)}its attribute {name} is missing")
    value = np.asarray(value)
    if value.dtype.kind not in "iu" or value.size not in lengths or (
            value.min() < 1 or value.max() > 10**9):
        raise FileError(f"{_where(group)}its attribute {name} must be "
                        f"{' or '.join(map(str, lengths))} positive integers")
    return tuple(int(n) for n in value.ravel())


def _where(group):
    return "" if group.name == "/" else f"{group.name[1:]}: "


def _x(shape):
    return "x".join(map(str, shape))
