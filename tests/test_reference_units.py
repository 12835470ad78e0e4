"""Reference files of networks with batch norm, pooling and skips: written, verified, refused; and
mistakes from public bug reports, each named."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_reference import run, verified

from ref.initial import WEIGHTS, glorot
from ref.rules import feedback, sign_symmetry
from ref.units import Add, BatchNorm, MaxPool
from ref.units.norm import Normalised

ROOT = Path(__file__).resolve().parents[1]
LINE = ("conv 3x3x4/2 pad 1 bn relu, maxpool 3/2 pad 1, block 4, block 6/2, block 8/2 a, mean, "
        "dense 6 bn tanh, softmax 3")
TRAINING = ("--in-shape", "21x17x2", "--lr", "0.01", "--optimizer", "sgd", "--momentum", "0.9")


def write(capsys, path, rule, *more):
    status, _, err = run(capsys, "write", path, "--rule", rule, "--arch", LINE, "--steps", 2,
                         *TRAINING, *more)
    assert status == 0, err


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule, more", [
    ("bp", ()), ("fa", ("--last-layer", "bp")), ("dfa", ("--broadcast", "inputs")),
    ("dfa", ("--broadcast", "channels")), ("sign-symmetry", ("--magnitude", "batch")),
    ("sign-symmetry", ("--scale", "xiao2018", "--magnitude", "fixed")), ("kolen-pollack", ()),
    ("weight-mirror", ("--schedule", "alternating")), ("fa", ("--feedback-law", "xiao2018-signed")),
], ids=str)
def test_what_is_written_verifies(tmp_path, capsys, rule, more, dtype):
    path = tmp_path / "out.h5"
    write(capsys, path, rule, "--dtype", dtype, *more)
    status, result = verified(capsys, path)
    assert status == 0, result["first"]
    names = {q["name"] for q in result["quantities"]}
    assert {"step_1/x_hat_1", "step_1/winner_1", "step_2/after/running_var_4"} <= names
    if rule != "weight-mirror":
        assert {"step_1/dgamma_9", "step_2/dbeta_1", "step_2/after/v_gamma_3"} <= names


# ---- mistakes ------------------------------------------------------------------------------------


def method(kind, name):
    """A decorator: plant a function (right, self, *args) in the place of a part's method."""

    def planting(function):
        right = getattr(kind, name)

        def plant(monkeypatch):
            monkeypatch.setattr(kind, name, lambda self, *args: function(right, self, *args))

        return plant

    return planting


def moments(a, ddof):
    axes = tuple(range(a.ndim - 1))
    return a.mean(axes), a.var(axes, ddof=ddof)


@method(BatchNorm, "value")
def unbiased_inside(right, self, a, theta, skip=None, train=True):
    mean, var = moments(a, 1)
    inverse = 1 / np.sqrt(var + self.epsilon)
    x_hat = (a - mean) * inverse
    return theta["gamma"] * x_hat + theta["beta"], Normalised(
        x_hat, theta["gamma"] * inverse, mean, var)


@method(BatchNorm, "value")
def epsilon_outside(right, self, a, theta, skip=None, train=True):
    mean, var = moments(a, 0)
    inverse = 1 / (np.sqrt(var) + self.epsilon)
    x_hat = (a - mean) * inverse
    return theta["gamma"] * x_hat + theta["beta"], Normalised(
        x_hat, theta["gamma"] * inverse, mean, moments(a, 1)[1])


@method(BatchNorm, "running")
def biased_running(right, self, kept, theta):
    m = kept.x_hat.size // self.channels
    return right(self, kept._replace(var=kept.var * (m - 1) / m), theta)


@method(BatchNorm, "pull")
def frozen(right, self, kept, v):
    return v * kept.scale, right(self, kept, v)[1]


@method(Add, "value")
def no_skip(right, self, a, theta, skip, train=True):
    return a, None


def channels_behind(monkeypatch):
    monkeypatch.setattr(Add, "channels", property(lambda self: slice(0, self.skip_shape[-1])))


@method(MaxPool, "padded")
def zeros_around(right, self, a, value):
    return right(self, a, 0)


@method(MaxPool, "places")
def last_wins(right, self, padded):
    return reversed(list(right(self, padded)))


def overwritten(monkeypatch):
    def coming_down(net, l, F, delta, own):
        parts = [net.map[k].transpose(F[k], delta[k]) for k in net.readers[l]]
        return (parts + [own[k]["skip"] for k in net.adders[l]])[-1]

    monkeypatch.setattr(feedback, "coming_down", coming_down)


def momentum_swapped(monkeypatch):
    def running(self, kept, theta):
        return {"running_mean": 0.1 * theta["running_mean"] + 0.9 * kept.mean,
                "running_var": 0.1 * theta["running_var"] + 0.9 * kept.var}

    monkeypatch.setattr(BatchNorm, "running", running)


def magnitudes(change):
    """sign-symmetry with another F_l = change(B_l, W_l)."""

    def plant(monkeypatch):
        def carried_by(net, params, *options):
            return {l: change(params["B"][l], params["W"][l]) for l in params["B"]}

        monkeypatch.setattr(sign_symmetry, "carried_by", carried_by)

    return plant


def overwrites_magnitudes(monkeypatch):
    def carried_by(net, params, *options):
        F = {l: abs(B) * np.sign(params["W"][l]) for l, B in params["B"].items()}
        if hasattr(carried_by, "signs"):
            F = {l: F[l] * carried_by.signs[l] for l in F}
        else:
            carried_by.signs = {l: np.sign(params["W"][l]) for l in F}
        return F

    monkeypatch.setattr(sign_symmetry, "carried_by", carried_by)


def last_layer_forgotten(monkeypatch):
    def carried_by(net, params, last_layer="rule"):
        return {**params["B"], net.L: params["W"][net.L]}

    monkeypatch.setattr("ref.rules.fa.carried_by", carried_by)


FIXED = ("--magnitude", "fixed")
MISTAKES = {
    "unbiased inside": ("bp", unbiased_inside, "step_1/x_hat_1",
                        "divides by the unbiased variance"),
    "epsilon": ("bp", epsilon_outside, "step_1/x_hat_1", "outside the root"),
    "biased running": ("bp", biased_running, "step_1/after/running_var_1",
                       "takes the biased variance"),
    "momentum": ("bp", momentum_swapped, "step_1/after/running_mean_1", "the part that is kept"),
    "frozen": ("bp", frozen, "step_1/delta_9", "taken for constants"),
    "option A": ("bp", channels_behind, "step_1/h_8", "half belong before them"),
    "no skip": ("bp", no_skip, "step_1/h_3", "the skip is not added"),
    "fork": ("bp", overwritten, "step_1/delta_6", "only what comes from layer"),
    "signs": ("sign-symmetry", magnitudes(lambda B, W: B * np.sign(W)), "step_1/delta_9",
              "have signs of their own", *FIXED),
    "no signs": ("sign-symmetry", magnitudes(lambda B, W: abs(B)), "step_1/delta_9",
                 "signs of W_10 are left out", *FIXED),
    "overwritten": ("sign-symmetry", overwrites_magnitudes, "step_2/delta_9",
                    "overwritten by M ∘ sign W", *FIXED),
    "last layer": ("fa", last_layer_forgotten, "step_1/delta_9", "backpropagation's W_10"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name, tmp_path, capsys, monkeypatch):
    rule, plant, first, words, *more = MISTAKES[name]
    path = tmp_path / "theirs.h5"
    with monkeypatch.context() as patched:
        plant(patched)
        write(capsys, path, rule, *more)
    status, result = verified(capsys, path)
    assert status == 1
    assert result["first"]["name"] == first
    assert words in "; ".join(result["first"]["slips"]), result["first"]["slips"]


@pytest.mark.parametrize("mistaken, first, words", [
    (zeros_around, "step_1/winner_1", "pads with zeros"),
    (last_wins, "step_1/delta_1", "the last of equal places"),
])
def test_mistakes_of_pooling(mistaken, first, words, tmp_path, capsys, monkeypatch):
    """A pool of negative numbers; of ties, where all weights of the convolution are zero."""
    line = "conv 3x3x4 pad 1 identity, maxpool 3/2 pad 1, softmax 3"
    if mistaken is last_wins:
        monkeypatch.setitem(WEIGHTS, "glorot", lambda rng, m, dtype: (
            glorot(rng, m, dtype) * (m.kind == "dense")))
    path = tmp_path / "theirs.h5"
    arguments = ("write", path, "--rule", "bp", "--arch", line, "--steps", 1, *TRAINING)
    with monkeypatch.context() as patched:
        mistaken(patched)
        assert run(capsys, *arguments)[0] == 0
    if mistaken is last_wins:  # the winners themselves tell it first, where they are given
        with h5py.File(path, "a") as file:
            del file["step_1/winner_1"]
    status, result = verified(capsys, path)
    assert status == 1
    assert result["first"]["name"] == first
    assert words in "; ".join(result["first"]["slips"]), result["first"]["slips"]


# ---- files of strangers --------------------------------------------------------------------------


def attribute(layer, name, value):
    return lambda file: file[f"net/layer_{layer}"].attrs.__setitem__(name, value)


@pytest.mark.parametrize("change, named", [
    (attribute(1, "unit", "bn selu"), "unit is 'bn selu'"),
    (attribute(1, "unit", "relu bn"), "the order is bn, add"),
    (attribute(1, "unit", "bn tanh"), "with its activation, relu"),
    (attribute(1, "unit", "bn relu maxpool 99/1"), "too small"),
    (attribute(1, "unit", "bn relu maxpool 0/1"), "pad at most half"),
    (attribute(1, "pad", -1), "pad"),
    (attribute(1, "pad", 2), "out_shape is"),
    (attribute(1, "groups", 2), "groups other than 1"),
    (attribute(1, "dilation", 2), "dilation other than 1"),
    (attribute(2, "reads", 2), "expected a layer below it"),
    (attribute(2, "reads", 0), "but the input gives"),
    (attribute(2, "adds", 1), "go together"),
    (attribute(1, "bn_epsilon", -1.0), "bn_epsilon is -1"),
    (attribute(1, "bn_momentum", 1), "bn_momentum is 1"),
    (lambda file: file.__delitem__("init/running_var_2"), "needs init/running_var_2"),
], ids=str)
def test_files_that_are_refused(tmp_path, capsys, change, named):
    path = tmp_path / "theirs.h5"
    write(capsys, path, "bp")
    with h5py.File(path, "a") as file:
        change(file)
    status, _, err = run(capsys, "verify", path)
    assert status == 2 and named in err and err.count("\n") == 1, err


def test_a_bias_before_batch_norm_may_be_there(tmp_path, capsys):
    """As in PyTorch's convolutions that do not say bias=False: its gradient is zero."""
    path = tmp_path / "theirs.h5"
    write(capsys, path, "bp", "--steps", 1)
    with h5py.File(path, "a") as file:
        file["net/layer_2"].attrs["bias"] = 1
        file["init/b_2"] = np.full(4, 0.5)
        for name in ("x_hat_2", "h_2"):
            del file[f"step_1/{name}"]
        del file["step_1/after/running_mean_2"]
    status, result = verified(capsys, path)
    assert status == 0, result["first"]


# ---- the example ---------------------------------------------------------------------------------


def test_the_example_of_a_residual_block(tmp_path):
    pytest.importorskip("torch", reason="the example is in PyTorch")
    page = (ROOT / "ref/reference/residual.md").read_text()
    code = re.search(r"<!-- example: .*? -->\n```python\n(.*?)```", page, re.S).group(1)
    said = int(re.search(r"all (\d+) quantities agree", page).group(1))

    def ends(code):
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True,
                              capture_output=True, env={"PYTHONPATH": str(ROOT), "PATH": "/bin"})

    right = ends(code)
    assert right.returncode == 0, right.stderr
    assert right.stdout.endswith(f"all {said} quantities agree\n")
    wrong = ends(code.replace("a[4] = Linear.apply(h[3], W[4], b[4], B[4])",
                              "a[4] = Linear.apply(h[3], W[4], b[4], W[4].detach().clone())"))
    assert wrong.returncode == 1 and "backpropagation's W_4" in wrong.stdout
