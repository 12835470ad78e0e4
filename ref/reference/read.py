"""Read a file of reference outputs that a stranger wrote.

Nothing in it is trusted: the declared type and shape of every array are held against the file's
own architecture, and their sum against a limit, before any is read. Nothing in it is executed,
and nothing outside it is opened.
"""

import json
from math import prod

import numpy as np

from .. import options, rules
from ..common import hdf5
from ..common.command import UsageError, UserError
from ..common.untrusted import check_claims
from ..training import phase_of_step
from . import untrusted
from .file import FORMAT, VERSION, Content, FileError, check_steps, resolve
from .read_net import network

LIMIT = 4 << 30  # bytes that the arrays of a file, and our own, may take in float64
MAX_CONFIG = 1 << 16  # characters of JSON

def read(path, limit=LIMIT):
    """The Content of a file. Raises FileError.

    limit  in bytes, of the file's arrays and the ones to compare with them, all in float64
    """
    file = hdf5.open_file(path, FileError)
    try:
        with file:
            content = _header(file)
            datasets = _declared(file, content, limit)
            for name, dataset in datasets.items():
                content.arrays[name] = untrusted.numbers(name, dataset)
        _check_labels(content)
    except UserError as error:
        raise FileError(f"{path}: {error}") from None
    return content


def _header(file):
    """The Content of an opened file, without its arrays."""
    found = hdf5.attribute(file, "format")
    if found != FORMAT:
        raise FileError(f"not a file of reference outputs: its attribute format is "
                        f"{untrusted.shown(found)}, expected {FORMAT!r}")
    version = hdf5.attribute(file, "version")
    if hdf5.whole(version) != VERSION:
        raise FileError(f"its attribute version is {untrusted.shown(version)}, this program reads "
                        f"version {VERSION}")
    rule = untrusted.text(file, "rule")
    if rule not in rules.ALL:
        raise FileError(f"rule {rule[:40]!r} is none of {', '.join(rules.ALL)}")
    arch = untrusted.text(file, "arch", "custom")
    setting, given = _setting(file, rule, arch)
    net = network(file, rules.get(rule), setting)
    if net.loss.argmin is None and rules.get(rule).argmin_target:
        raise FileError(f"the rule {rule} has no first target with the loss {net.loss.name}")
    return Content(rule, arch, setting, net, _phases(file, rule, setting, net.L), given=given,
                   without=_without(file, net))


def _setting(file, rule, arch):
    """(the resolved setting, what the file gives of it): config, a JSON object of options."""
    text = untrusted.text(file, "config", "{}")
    try:
        if len(text) > MAX_CONFIG:
            raise ValueError
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise FileError("its attribute config is not a JSON object of options") from None
    schedule = untrusted.text(file, "schedule", "none")
    if schedule != "none" and config.setdefault("schedule", schedule) != schedule:
        raise FileError(f"schedule is {schedule!r}, but {config['schedule']!r} in config")
    known = options.names(of_step=True)
    for key, value in config.items():
        if key not in known:
            raise FileError(f"config: there is no option {key[:40]!r}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise FileError(f"config: {key} is neither a number nor a word")
    try:
        return resolve(rule, arch, config), config
    except UsageError as error:
        raise FileError(f"config: {error}") from None


def _without(file, net):
    """Names of the biases that the file's layers declare not to have: {"b_1", "c_2", ...}."""
    found = set()
    for l in net.map:
        layer = untrusted.group_at(file, f"net/layer_{l}")
        for symbol, name, maps in (("b", "bias", net.map), ("c", "inverse_bias", net.maps_of("V"))):
            value = hdf5.attribute(layer, name, 1)
            if value not in (0, 1):
                raise FileError(f"net/layer_{l}: its attribute {name} is "
                                f"{untrusted.shown(value)}, expected 1 or, for none, 0")
            if l in maps and not value and not (symbol == "b" and l in net.unbiased):
                found.add(f"{symbol}_{l}")
    return frozenset(found)


def _phases(file, rule, setting, layers):
    """{t: phase} of the steps in the file, which must be step_1, step_2, ..."""
    declared, schedule = rules.get(rule), setting.get("schedule")
    steps = {name for name in untrusted.names(file, "the file") if name.startswith("step_")}
    T = len(steps)
    if T == 0 or steps != {f"step_{t}" for t in range(1, T + 1)}:
        raise FileError("its steps must be step_1, step_2, ...; it has "
                        + (", ".join(sorted(steps)[:5]) or "none"))
    check_steps(layers, T)
    phases = {}
    for t in range(1, T + 1):
        step = untrusted.group_at(file, f"step_{t}")
        phase = untrusted.text(step, "phase", phase_of_step(declared, schedule, t))
        if phase not in declared.phases:
            raise FileError(
                f"step_{t}: phase {phase[:40]!r} is none of {', '.join(declared.phases)}")
        phases[t] = phase if len(declared.trains) > 1 else phase_of_step(declared, schedule, t)
    return phases


def _declared(file, content, limit):
    """{name: dataset} of every array in the file; none is read. Raises FileError."""
    expected = {q.name: q for q in content.quantities}
    found, sizes, total = {}, {}, 0
    there = untrusted.names(file, "the file")
    for group_name in ("init", *(f"step_{t}" for t in content.phases)):
        for name in _leaves(file, group_name) if group_name in there else ():
            if name not in expected:
                raise FileError(f"{name[:80]}: {content.rule} on this network has no such array; "
                                f"it has {_like(name, expected)}")
            found[name] = untrusted.dataset_at(file, name)
    for q in expected.values():  # in order of computation, so that x comes before what follows
        if q.name in found:
            with untrusted.told(q.name):
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
    for m in (*content.net.map.values(), *content.net.maps_of("V").values()):
        if m.kind != "dense":  # the patches that a layer gathers
            total = max(total, total + N * prod(m.patches.out_size) * m.patches.size)
    if 8 * total > limit:
        raise FileError(f"its arrays and ours would take {8 * total / 2**30:.3g} GiB, "
                        f"the limit is {limit / 2**30:.3g} (--limit)")
    check_claims(file, found.values())
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
    group = untrusted.group_at(file, group_name)
    names = [f"{group_name}/{name}" for name in untrusted.names(group, group_name)]
    after = f"{group_name}/after"
    if group_name != "init" and after in names:
        names.remove(after)
        group = untrusted.group_at(file, after)
        names += [f"{after}/{name}" for name in untrusted.names(group, after)]
    return names


def _check_labels(content):
    """Raise FileError for labels that are no distributions: δ_L = h_L - y holds only for these.

    (For others dL/da_L is h_L Σy - y, so that a right δ_L would seem wrong.)
    """
    if not content.net.loss.name.startswith("cross-entropy"):
        return
    tolerance = {4: 1e-5, 8: 1e-10}[content.dtype.itemsize]  # a tenth of verify's
    for t in content.phases:
        name = f"step_{t}/y"
        sums = content.arrays[name].sum(axis=1, dtype=np.float64) if name in content.arrays else 1.0
        wrong = np.flatnonzero(np.abs(sums - 1) > tolerance)
        if len(wrong):
            raise FileError(
                f"{name}: row {wrong[0]} sums to {sums[wrong[0]]:.12g}, not to 1: with the loss "
                f"{content.net.loss.name} each row is a distribution over the classes (one-hot, or "
                "several labels divided by their number), and δ = h - y holds for nothing else")
