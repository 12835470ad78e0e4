"""Momentum, weight decay and Batch Manhattan: by hand, against PyTorch, and what a setting does."""

import numpy as np
import pytest
import strict_xp
from checks import assert_close, assert_same_bits, make_case
from test_optim import BLOCK, LARGE, normal

from ref import backend, parallel, rules, settings
from ref.common.command import UsageError
from ref.momentum import momentum_sgd
from ref.optim import new_state, sgd
from ref.training import Trainer
from ref.update import update

GIVEN = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}


def trained(grads, params, step=momentum_sgd, **setting):
    """(the parameters after all the gradients, the state)."""
    params = {name: p.copy() for name, p in params.items()}
    state = new_state(params)
    for g in grads:
        step(params, g, state, **setting)
    return params, state


@pytest.mark.parametrize("manhattan, velocities, thetas", [
    # d = 2 + 0.1 · 1 = 2.1; d = -1 + 0.1 · 0.79 = -0.921, v = 0.5 · 2.1 - 0.921
    (False, [2.1, 0.129], [0.79, 0.7771]),
    # d = 1 + 0.1 · 1 = 1.1; d = -1 + 0.1 · 0.89 = -0.911, v = 0.5 · 1.1 - 0.911
    (True, [1.1, -0.361], [0.89, 0.9261]),
])
def test_by_hand(manhattan, velocities, thetas):
    grads = [{"w": np.array([2.0])}, {"w": np.array([-1.0])}]
    for k in (1, 2):
        params, state = trained(grads[:k], {"w": np.ones(1)}, **GIVEN, manhattan=manhattan)
        assert state["t"] == k
        assert_close(state["v"]["w"], np.array([velocities[k - 1]]))
        assert_close(params["w"], np.array([thetas[k - 1]]))


def test_a_gradient_of_zero_has_no_sign():
    params, _ = trained([{"w": np.zeros(1)}], {"w": np.ones(1)}, lr=0.1, manhattan=True)
    assert params["w"] == 1


def test_without_momentum_and_decay_it_is_gradient_descent():
    params, grads = normal(0), [normal(1), normal(2)]
    assert_same_bits(trained(grads, params, lr=0.1)[0],
                     trained(grads, params, step=sgd, lr=0.1)[0])


@pytest.mark.parametrize("manhattan", [False, True])
@pytest.mark.parametrize("dtype, tol", [("float32", 1e-6), ("float64", 1e-14)])
def test_as_torch(manhattan, dtype, tol):
    """torch.optim.SGD with momentum and weight decay, 20 steps."""
    torch = pytest.importorskip("torch", reason="compared with PyTorch's optimiser")
    start = normal(0, dtype=dtype)
    grads = [normal(1 + t, dtype=dtype) for t in range(20)]
    theirs = {name: torch.tensor(p, requires_grad=True) for name, p in start.items()}
    optimiser = torch.optim.SGD(theirs.values(), **GIVEN)
    for g in grads:
        for name, p in theirs.items():
            p.grad = torch.tensor(np.sign(g[name]) if manhattan else g[name])
        optimiser.step()
    params, state = trained(grads, start, **GIVEN, manhattan=manhattan)
    assert_close(params, {name: p.detach().numpy() for name, p in theirs.items()}, tol)
    assert_close(state["v"], {name: optimiser.state[p]["momentum_buffer"].numpy()
                              for name, p in theirs.items()}, tol)


def test_decay_with_adam_as_torch():
    """torch.optim.Adam's weight_decay: coupled, not AdamW's."""
    torch = pytest.importorskip("torch", reason="compared with PyTorch's optimiser")
    start, grads = normal(0), [normal(1 + t) for t in range(20)]
    theirs = {name: torch.tensor(p, requires_grad=True) for name, p in start.items()}
    optimiser = torch.optim.Adam(theirs.values(), lr=0.01, betas=(0.9, 0.95), eps=1e-2,
                                 weight_decay=0.1)
    setting = {"optimizer": "adam", "epsilon_form": "kingma", "lr": 0.01, "beta1": 0.9,
               "beta2": 0.95, "epsilon": 1e-2, "weight_decay": 0.1}
    params, state = {name: p.copy() for name, p in start.items()}, new_state(start)
    for g in grads:
        for name, p in theirs.items():
            p.grad = torch.tensor(g[name])
        optimiser.step()
        update(setting, "", params, g, state)
    assert_close(params, {name: p.detach().numpy() for name, p in theirs.items()})


@pytest.mark.parametrize("manhattan", [False, True])
@pytest.mark.parametrize("threads, block", [(2, BLOCK), (3, BLOCK), (1, 1000)])
def test_threads_and_blocks_change_no_bit(monkeypatch, threads, block, manhattan):
    params, grads = normal(0, LARGE, np.float32), [normal(t, LARGE, np.float32) for t in (1, 2)]
    results = []
    for limit, size in ((1, 10**9), (threads, block)):
        monkeypatch.setattr(parallel, "threads", lambda limit=limit: limit)
        monkeypatch.setattr(parallel, "BLOCK", size)
        monkeypatch.setattr(parallel, "_pool", None)
        results.append(trained(grads, params, **GIVEN, manhattan=manhattan))
    assert_same_bits(results[1], results[0])
    assert {array.dtype for array in results[1][1]["v"].values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("manhattan", [False, True])
def test_on_a_device(manhattan, monkeypatch):
    """The kernel is the formula of the NumPy update."""
    monkeypatch.setattr("ref.backend.cupy", strict_xp)
    params, grads = normal(0), [normal(1), normal(2)]
    ours = trained(grads, params, **GIVEN, manhattan=manhattan)
    moved = trained(backend.to_device(dict(enumerate(grads)), strict_xp).values(),
                    backend.to_device(params, strict_xp), **GIVEN, manhattan=manhattan)
    for k, part in ((0, ours[0]), (1, ours[1]["v"])):
        theirs = moved[0] if k == 0 else moved[1]["v"]
        assert_close({name: backend.to_host(a) for name, a in theirs.items()}, part, 1e-14)


@pytest.mark.parametrize("spoil", [lambda g: g.pop("b_1"), lambda g: g.update(W_1=np.ones(()))])
def test_a_gradient_that_does_not_fit_raises(spoil):
    params, grads, state = normal(0), normal(1), new_state(normal(0))
    spoil(grads)
    with pytest.raises(ValueError, match="_1"):
        momentum_sgd(params, grads, state, lr=0.1)
    assert_same_bits(params, normal(0))


# ---- what a setting makes of it ------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules.NAMES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "batch-manhattan"])
def test_every_trained_parameter_decays_and_no_other(rule, optimizer):
    """Without a gradient all that is left is the decay; feedback that is fixed does not move."""
    case = make_case("dense", rule)
    declared = rules.get(rule)
    prefixes = {group: "" if group == "forward" else f"{group}_" for group in declared.trains}
    setting = case.options | {"optimizer": optimizer, "epsilon_form": "hat"}
    for p in prefixes.values():
        setting |= {f"{p}lr": 0.1, f"{p}weight_decay": 0.5, f"{p}beta1": 0.0, f"{p}beta2": 0.0,
                    f"{p}epsilon": 1e-30}
    before = {s: {l: a.copy() for l, a in layers.items()} for s, layers in case.params.items()}
    trainer = Trainer(case.net, declared, case.params, setting, seed=0)
    for group, symbols in declared.trains.items():
        gradients = {f"d{s}": {l: 0 * a for l, a in case.params[s].items()} for s in symbols}
        trainer._update(group, gradients, len(case.x), len(case.x))
    for symbol, layers in before.items():
        for l, old in layers.items():
            change = case.params[symbol][l] - old
            if symbol not in declared.symbols:
                assert not change.any()
            elif optimizer == "adam":  # d/|d| with these betas
                assert_close(change, -0.1 * np.sign(old))
            else:
                assert_close(change, -0.1 * 0.5 * old)


@pytest.mark.parametrize("given, lr, source", [
    ({"optimizer": "sgd"}, 0.1, "rates generic for sgd"),
    ({"optimizer": "sgd", "momentum": 0.9}, 0.1 * (1 - 0.9), "for sgd, times 1 - momentum"),
    ({"optimizer": "sgd", "momentum": 0.9, "lr": 0.3}, 0.3, "generic"),
    ({"optimizer": "batch-manhattan"}, 3e-4, "rates generic for batch-manhattan"),
])
def test_default_rates(given, lr, source):
    setting, found = settings.resolve("bp", "dense 5, softmax 3", **given)
    assert setting["lr"] == lr and found.endswith(source)
    assert setting["momentum"] == given.get("momentum", 0) and setting["weight_decay"] == 0


@pytest.mark.parametrize("given, words", [
    ({"momentum": 0.9}, "--momentum: --optimizer adam has beta1"),
    ({"optimizer": "batch-manhattan", "beta1": 0.9}, "--beta1: of Adam, --optimizer batch-manh"),
    ({"momentum": 1}, "--momentum: 1 is not a number in [0, 1)"),
    ({"weight_decay": -1}, "--weight-decay: -1 is not a number of at least 0"),
    ({"inverse_momentum": 0.5}, "--inverse-momentum: the rule bp has no such option"),
    ({"optimizer": "batch-manhattan", "hyperparameters": "paper"}, "batch-manhattan its own: --lr"),
])
def test_refused(given, words):
    with pytest.raises(UsageError) as error:
        setting, _ = settings.resolve("bp", "mnist-fc", **given)
        settings.check_used(setting, given)
    assert words in str(error.value)


def test_a_run_says_its_momentum_and_decay(command, tiny, here):
    result = command("ref.train", "--rule", "dtp", "--arch", "dense 8, dense 8, softmax 10",
                     "--data", tiny, "--epochs", 1, "--optimizer", "sgd", "--momentum", 0.9,
                     "--inverse-weight-decay", "1e-4", "--inverse-lr", "1e-3")
    assert ("optimizer sgd, lr 0.01 (generic for sgd, times 1 - momentum), momentum 0.9, "
            "inverse lr 0.001 (given), inverse weight decay 0.0001" in result.out)
