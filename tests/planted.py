"""Errors planted in ref's own code, or in a file that it wrote, and what verify says of them.

An error in the code goes on to everything downstream and to the next step, as it would in a user's
program. One that is put into the file afterwards stays where it is.
"""

import inspect
import json
from typing import NamedTuple

import h5py
from test_reference import run, verified
from write_reference import arguments

from ref.network import forward
from ref.reference.read import read
from ref.rules import feedback


class Slip(NamedTuple):
    """One planted error, the quantity that it shows in first, and words of the explanation."""

    rule: str
    plant: object  # function of monkeypatch, or of (content, arrays), or {option: config's claim}
    first: str
    words: str
    kind: str = "dense"
    given: tuple = ()


def check(slip, dtype, tmp_path, capsys, monkeypatch):
    """Write a file with the slip in it: verify names the quantity first, and the slip."""
    path = tmp_path / "theirs.h5"
    in_code = callable(slip.plant) and "monkeypatch" in inspect.signature(slip.plant).parameters
    with monkeypatch.context() as patched:
        if in_code:
            slip.plant(patched)
        status, _, err = run(capsys, "write", path, "--dtype", dtype,
                             *arguments(slip.rule, slip.kind, *slip.given))
        assert status == 0, err
    if callable(slip.plant) and not in_code:
        edit(path, slip.plant)
    elif not callable(slip.plant):
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["config"])
            file.attrs["config"] = json.dumps(config | slip.plant)
    status, result = verified(capsys, path)
    assert status == 1
    assert result["first"]["name"] == slip.first
    assert slip.words in "; ".join(result["first"]["slips"]), result["first"]["slips"]
    return result


def edit(path, plant):
    """Replace the arrays {name: array} that plant(content, arrays) gives."""
    content = read(path)
    with h5py.File(path, "a") as file:
        for name, array in plant(content, content.arrays).items():
            file[name][...] = array


def changed(module, name, change, *keys):
    """Have module.name's result, or those of its dicts, changed: change(array, layer)."""
    right = getattr(module, name)

    def wrong(*args, **kwargs):
        out = right(*args, **kwargs)
        for found in [out[key] for key in keys] or [out]:
            for l in found:
                found[l] = change(found[l], l)
        return out

    return lambda monkeypatch: monkeypatch.setattr(module, name, wrong)


def only(layer, change):
    return lambda array, l: change(array) if l == layer else array


def replaced(module, name, function):
    return lambda monkeypatch: monkeypatch.setattr(module, name, function)


def backpropagated(net, params, h, e):
    """Backpropagation's δ."""
    kept = {l: [h[l]] for l in range(1, net.L)}  # of a chain of nonlinearities
    return feedback.deltas(net, kept, e, params["W"])[0]


def replaced_deltas(deltas):
    """δ by deltas(net, params, h, e) in every rule that carries δ down."""

    def step(net, params, x, y, _, right=feedback.step):
        h, _ = forward(net, params, x)
        return right(net, params, x, y, lambda kept, e: (deltas(net, params, h, e), {}))

    return replaced(feedback, "step", step)
