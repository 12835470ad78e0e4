"""Reference files with momentum, decay and signs: what they hold, and the slips that are named."""

import json

import h5py
import numpy as np
import pytest
from planted import Slip, check, replaced
from test_reference import run, verified
from write_reference import arguments

from ref import update
from ref.reference.read import read

SGD = ("--optimizer", "sgd", "--lr", "0.1")
MOMENTUM = (*SGD, "--momentum", "0.75")
DECAY = ("--weight-decay", "0.05")
MANHATTAN = ("--optimizer", "batch-manhattan", "--lr", "0.02")


def stepping(change):
    """update.momentum_sgd with change(params, grads, state, lr, m, decay, sign, before)."""

    def wrong(params, grads, state, *, lr, momentum, weight_decay, manhattan):
        state["t"] += 1
        for name, theta in params.items():
            sign = np.sign if manhattan else lambda g: g
            change(theta, grads[name], state["v"][name], lr, momentum, weight_decay, sign,
                   state["t"])

    return replaced(update, "momentum_sgd", wrong)


def not_kept(theta, g, v, lr, m, decay, sign, t):
    v[...] = sign(g) + decay * theta
    theta -= lr * v


def damped(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + (1 - m) * (g + decay * theta)
    theta -= lr * v


def damped_as_torch(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + (1 - m if t > 1 else 1) * (g + decay * theta)
    theta -= lr * v


def nesterov(theta, g, v, lr, m, decay, sign, t):
    d = g + decay * theta
    v[...] = m * v + d
    theta -= lr * (d + m * v)


def rate_inside(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + lr * g
    theta -= v


def no_decay(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + sign(g)
    theta -= lr * v


def weights_alone_decay(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + g + (decay * theta if theta.ndim > 1 else 0)
    theta -= lr * v


def decoupled(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + g
    theta -= lr * (v + decay * theta)


def no_sign(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + g + decay * theta
    theta -= lr * v


def late_sign(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + np.sign(g + decay * theta)
    theta -= lr * v


def sign_of_v(theta, g, v, lr, m, decay, sign, t):
    v[...] = m * v + g
    theta -= lr * np.sign(v)


SLIPS = {
    "not kept": (not_kept, "step_2/after/v_W_1", "the velocity is not kept", MOMENTUM),
    "damped": (damped, "step_1/after/v_W_1", "v takes (1 - 0.75) d", MOMENTUM),
    "damped, torch": (damped_as_torch, "step_2/after/v_W_1", "but for the first step", MOMENTUM),
    "nesterov": (nesterov, "step_1/after/W_1", "Nesterov's step", MOMENTUM),
    "TensorFlow": (rate_inside, "step_1/after/v_W_1", "v holds the learning rate", MOMENTUM),
    "no decay": (no_decay, "step_1/after/v_W_1", "decay is not in v: 0.05 W_1 belongs to dW_1",
                 (*MOMENTUM, *DECAY)),
    "no decay, plain": (no_decay, "step_1/after/W_1", "0.05 W_1 is not added", (*SGD, *DECAY)),
    "no decay of biases": (weights_alone_decay, "step_2/after/v_b_1", "0.05 b_1 belongs to db_1",
                           (*MOMENTUM, *DECAY)),
    "no sign": (no_sign, "step_1/after/W_1", "the sign of dW_1 is not taken", MANHATTAN),
    "sign after decay": (late_sign, "step_1/after/W_1", "taken after weight decay",
                         (*MANHATTAN, "--weight-decay", "0.9")),
    "sign of v": (sign_of_v, "step_1/after/v_W_1", "the sign of dW_1 is not taken",
                  (*MANHATTAN, "--momentum", "0.5")),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SLIPS)
def test_slip(name, dtype, tmp_path, capsys, monkeypatch):
    change, first, words, given = SLIPS[name]
    check(Slip("bp", stepping(change), first, words, given=given), dtype, tmp_path, capsys,
          monkeypatch)


@pytest.mark.parametrize("change, first, words", [
    (no_decay, "step_1/after/W_1", "weight decay is left out: 0.05 W_1"),
    (decoupled, "step_2/after/W_1", "weight decay is not in v: 0.05 W_1")])  # the same for v = 0
def test_a_file_without_velocities(change, first, words, tmp_path, capsys, monkeypatch):
    """The step of the parameter tells one mistake from the other."""
    path = tmp_path / "out.h5"
    with monkeypatch.context() as patched:
        stepping(change)(patched)
        run(capsys, "write", path, *arguments("bp", "dense", *MOMENTUM, *DECAY))
    with h5py.File(path, "a") as file:
        for step in set(file) - {"init", "net"}:
            for v in [name for name in file[f"{step}/after"] if name.startswith("v_")]:
                del file[f"{step}/after/{v}"]
    found = verified(capsys, path)[1]["first"]
    assert found["name"] == first and words in found["slips"][0]


# ---- what a file holds ---------------------------------------------------------------------------

CASES = [("bp", MOMENTUM), ("dtp", (*MOMENTUM, *DECAY, "--schedule", "alternating")),
         ("sdtp", (*MANHATTAN, "--inverse-momentum", "0.5", "--inverse-lr", "0.01")),
         ("kolen-pollack", (*SGD, *DECAY)), ("fa", DECAY), ("weight-mirror", MOMENTUM)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule, given", CASES, ids=lambda c: c if isinstance(c, str) else c[1])
def test_right_files_agree(rule, given, dtype, tmp_path, capsys):
    path = tmp_path / "out.h5"
    assert run(capsys, "write", path, "--dtype", dtype, *arguments(rule, "conv", *given))[0] == 0
    status, result = verified(capsys, path)
    assert status == 0, result["first"]
    held = {row["name"] for row in result["quantities"]}
    assert ("step_2/after/v_W_1" in held) == ("--momentum" in given)
    assert ("step_2/after/v_V_2" in held) == ("--inverse-momentum" in given)


def test_what_is_written(tmp_path, capsys):
    """v_1 = d_1, v_2 = m v_1 + d_2 and θ = θ - lr v, from the file's own arrays."""
    path = tmp_path / "out.h5"
    run(capsys, "write", path, *arguments("bp", "dense", *MOMENTUM, *DECAY))
    a = read(path).arrays
    d1 = a["step_1/dW_1"] + 0.05 * a["init/W_1"]
    d2 = a["step_2/dW_1"] + 0.05 * a["step_1/after/W_1"]
    np.testing.assert_allclose(a["step_1/after/v_W_1"], d1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(a["step_2/after/v_W_1"], 0.75 * d1 + d2, rtol=0, atol=1e-15)
    np.testing.assert_allclose(a["step_2/after/W_1"], a["step_1/after/W_1"]
                               - 0.1 * a["step_2/after/v_W_1"], rtol=0, atol=1e-15)


def test_a_file_need_not_say_that_it_has_no_momentum(tmp_path, capsys):
    path = tmp_path / "out.h5"
    run(capsys, "write", path, *arguments("bp", "dense", *SGD))
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["config"])
        del config["momentum"], config["weight_decay"]
        file.attrs["config"] = json.dumps(config)
    status, result = verified(capsys, path)
    assert status == 0 and not result["notes"]
