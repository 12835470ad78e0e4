"""Planted errors in the optimiser, factors that mean something, and hints that are none."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from planted import Slip, check, edit, replaced
from seldom import slow_but
from test_reference import run, verified
from write_reference import arguments

from ref import optim
from ref.reference.slips import evidence

KINGMA = ("--epsilon-form", "kingma", "--epsilon", "1e-8")  # steps of one size, whatever the betas


def adam_with(change):
    """optim.adam, after change(state, options) has changed the two in place."""

    def adam(params, grads, state, right=optim.adam, **options):
        change(state, options)
        right(params, grads, state, **options)

    return replaced(optim, "adam", adam)


def t_at_two(state, options):
    state["t"] += state["t"] == 0


def t_stands_still(state, options):
    state["t"] = 0


def swap(state, options):
    options["beta1"], options["beta2"] = options["beta2"], options["beta1"]


def forget(state, options):
    state["t"] = 0
    for moment in (*state["m"].values(), *state["v"].values()):
        moment[...] = 0


def decay(coupled, rate=0.01):
    def adam(params, grads, state, right=optim.adam, **options):
        before = {name: p.copy() for name, p in params.items()}
        if coupled:
            grads = {name: g + rate * params[name] for name, g in grads.items()}
        right(params, grads, state, **options)
        if not coupled:
            for name, p in params.items():
                p -= options["lr"] * rate * before[name]

    return replaced(optim, "adam", adam)


def forward_setting(*keys):
    """The inverses are updated with the forward parameters' hyperparameters."""

    def adam(params, grads, state, right=optim.adam, **options):
        if "V_2" in params:
            options |= {key: {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}[key]
                        for key in keys}
        right(params, grads, state, **options)

    return replaced(optim, "adam", adam)


def decayed_gradient(content, arrays):
    return {"step_1/dW_2": arrays["step_1/dW_2"] + 0.02 * arrays["init/W_2"]}


OTHER = ("--inverse-beta1", "0.8", "--inverse-beta2", "0.95", "--inverse-epsilon", "1e-5")
SLIPS = {
    "no lr of its own": Slip("sdtp", forward_setting("lr"), "step_1/after/V_2",
                             "updated with the learning rate of the forward parameters",
                             given=OTHER),
}
for kind in ("dense", "local", "conv"):
    SLIPS |= {
        f"t begins at 2, {kind}": Slip("bp", adam_with(t_at_two), "step_1/after/W_1",
                                       "Adam's t begins at 2", kind),
        f"t stands still, {kind}": Slip("bp", adam_with(t_stands_still), "step_2/after/W_1",
                                        "Adam's t stands still at 1", kind),
        f"betas swapped, {kind}": Slip("bp", adam_with(swap), "step_2/after/W_1",
                                       "Adam's betas are swapped", kind, KINGMA),
        f"begins anew, {kind}": Slip("bp", adam_with(forget), "step_2/after/W_1",
                                     "Adam begins anew at this step", kind),
        f"weight decay, {kind}": Slip("bp", decay(True), "step_1/after/W_1",
                                      "0.01 W_1 is added to the gradient (L2)", kind),
        f"weight decay, decoupled, {kind}": Slip("bp", decay(False), "step_1/after/W_1",
                                                 "0.01 lr W_1 is subtracted", kind),
        f"weight decay, in dW, {kind}": Slip("fa", decayed_gradient, "step_1/dW_2",
                                             "0.02 W_2 is added to the gradient", kind),
        f"forward hyperparameters, {kind}": Slip(
            "sdtp", forward_setting("lr", "beta1", "beta2", "epsilon"), "step_1/after/V_2",
            "updated with the hyperparameters of the forward parameters", kind, OTHER),
    }


@pytest.mark.parametrize("dtype", [
    "float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", slow_but(  # local is as conv, but for shared weights
    [name for name in SLIPS if not name.endswith(", local")], SLIPS))
def test_slip(name, dtype, tmp_path, capsys, monkeypatch):
    check(SLIPS[name], dtype, tmp_path, capsys, monkeypatch)


# ---- factors -------------------------------------------------------------------------------------


@pytest.fixture
def sentences(tmp_path, capsys):
    """A function: what is said of the first quantity where one array is changed."""
    path = tmp_path / "out.h5"

    def said(rule, name, change, *given, remove=()):
        assert run(capsys, "write", path, *arguments(rule, "dense", *given))[0] == 0
        edit(path, lambda content, arrays: {name: change(arrays)})
        with h5py.File(path, "a") as file:
            for other in remove:
                del file[other]
        result = verified(capsys, path)[1]
        assert result["first"]["name"] == name
        return result["first"]["slips"]

    return said


def scaled_update(k, symbol="W_2"):
    return lambda arrays: arrays[f"init/{symbol}"] + k * (
        arrays[f"step_1/after/{symbol}"] - arrays[f"init/{symbol}"])


def test_half_an_update_is_about_the_learning_rate(sentences):
    assert sentences("bp", "step_1/after/W_2", scaled_update(0.5)) == [
        "the change is half of ours: a learning rate of 0.005 where config has lr 0.01"]
    assert sentences("sdtp", "step_1/after/V_2", scaled_update(0.7, "V_2")) == [
        "the change is 0.7 times ours everywhere: a learning rate of 0.014 where config has "
        "inverse_lr 0.02"]


def test_an_update_whose_gradient_nobody_gives(sentences):
    said, = sentences("bp", "step_1/after/W_2", scaled_update(3), "--optimizer", "sgd",
                      remove=("step_1/dW_2",))
    assert said.startswith("the change is N = 3 times ours: a learning rate of 0.03")
    assert "or a gradient of another size (dW_2 is not in the file)" in said


def test_a_half_of_what_is_no_square(sentences):
    half, square = "half of ours: a factor of 2 is missing", " (a loss with ½ has none)"
    assert sentences("bp", "step_1/delta_2", lambda a: a["step_1/delta_2"] / 2) == [f"it is {half}"]
    assert sentences("sdtp", "step_1/delta_2", lambda a: a["step_1/delta_2"] / 2) == [
        f"it is {half}{square}"]


def test_one_example_has_no_one_over_n(sentences):
    for k, words in ((-1, "the sign is wrong"), (2, "it is twice ours: a factor of 2 too many")):
        said = sentences("bp", "step_1/dW_2", lambda a, k=k: k * a["step_1/dW_2"],
                         "--batch-size", "1")
        assert said == [words]


# ---- what is no hint -----------------------------------------------------------------------------


def test_a_wide_allowance_gives_no_hint():
    """A candidate within it must fit much better than ours does."""
    ours = np.ones(50)
    theirs = ours + 0.01 * np.random.default_rng(0).normal(size=50)
    theirs[3] += 1.2
    quantity = SimpleNamespace(name="step_1/dW_2", stem=("dW", 2), step=1, inputs=())
    start = SimpleNamespace(net=None, rule="bp", setting={})
    limit = np.full(50, 1.0)
    measure = SimpleNamespace(allowed=lambda q, arrays: (limit, 1.0))
    e = evidence.Evidence(start, quantity, {quantity.name: theirs}, {quantity.name: ours}, measure)
    assert not e.explains(ours * 1.3)  # within the allowance everywhere, and no nearer to theirs
    assert e.explains(theirs) and not e.explains(np.where(ours, np.nan, 0))
    limit[:] = 0  # zeros must be zero
    assert e.explains(theirs) and not e.explains(theirs + 1e-9)


def stems(rule, kind):
    names = ["h_2", "loss", "delta_3", "delta_1", "dW_2", "db_2", "after/W_2"]
    return names + (["h_hat_1", "inverse_loss_2", "dV_2", "dc_2", "after/V_2"]
                    if rule == "sdtp" else [])


@pytest.mark.parametrize("dtype", [
    "float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", slow_but(["dense"], ["dense", "local", "conv"]))
@pytest.mark.parametrize("rule", ["fa", "sdtp"])
def test_an_unrelated_error_gets_no_sentence(rule, kind, dtype, tmp_path, capsys):
    """Every entry off by a number of its own."""
    path, rng = tmp_path / "out.h5", np.random.default_rng(1)
    given = arguments(rule, kind, "--steps", "1", "--dtype", dtype)
    assert run(capsys, "write", path, *given)[0] == 0
    right = path.read_bytes()
    for stem in stems(rule, kind):
        path.write_bytes(right)
        name = f"step_1/{stem}"
        before = f"init/{stem[6:]}" if stem.startswith("after/") else None

        def spoilt(content, arrays, name=name, before=before):
            base = arrays[before] if before else 0
            change = arrays[name] - base
            return {name: base + change * (1 + 0.1 * rng.normal(size=change.shape))}

        edit(path, spoilt)
        status, result = verified(capsys, path)
        assert status == 1
        found = [r for r in [result["first"], *result["others"]] if r["name"] == name]
        assert found and found[0]["slips"] == [], (name, found)
