"""Adam and SGD against one number at a time; nothing is left out; threads change no bit."""

import naive
import numpy as np
import pytest
from checks import TOL, assert_close, assert_same_bits

from ref import parallel
from ref.optim import adam, new_state, sgd

SETTING = {"lr": 0.01, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-2}
SHAPES = {"W_1": (3, 2), "b_1": (3,)}
NAIVE = {"hat": naive.adam_hat, "kingma": naive.adam_kingma}
STEPS = 20


def normal(seed, shapes=SHAPES, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def trained(step, grads, params, **setting):
    """The parameters after each of the gradients."""
    params = {name: p.copy() for name, p in params.items()}
    state, path = new_state(params), []
    for g in grads:
        step(params, g, state, **setting)
        path.append({name: p.copy() for name, p in params.items()})
    return path, state


@pytest.mark.parametrize("form", NAIVE)
def test_adam(form):
    """20 steps, every entry on its own."""
    params, grads = normal(0), [normal(1 + t) for t in range(STEPS)]
    path, state = trained(adam, grads, params, **SETTING, epsilon_form=form)
    assert state["t"] == STEPS
    for name, p in params.items():
        for k in np.ndindex(p.shape):
            expected = NAIVE[form](p[k], [g[name][k] for g in grads], **SETTING)
            assert_close(np.array([step[name][k] for step in path]), np.array(expected))


def test_epsilon_hat_is_the_default():
    params, grads = normal(0), [normal(1)]
    assert_same_bits(trained(adam, grads, params, **SETTING)[0],
                     trained(adam, grads, params, **SETTING, epsilon_form="hat")[0])


def test_where_the_two_epsilons_differ():
    """At t = 1 Kingma's step is lr g / (|g| + ε), the hat's lr g / (|g| + ε / √(1 - β2))."""
    theta, g = np.zeros(1), np.array([0.02])
    moved = {
        form: trained(adam, [{"w": g}], {"w": theta}, **SETTING, epsilon_form=form)[0][0]["w"]
        for form in NAIVE
    }
    lr, epsilon = SETTING["lr"], SETTING["epsilon"]
    assert_close(moved["kingma"], -lr * g / (g + epsilon))
    assert_close(moved["hat"], -lr * g / (g + epsilon / np.sqrt(1 - SETTING["beta2"])))
    assert moved["hat"] > moved["kingma"]  # the hat's step is the shorter


def test_the_two_epsilons_agree_late():
    """√(1 - β2ᵗ) goes to 1."""
    start = new_state({"w": np.zeros(1)})
    late = {form: start | {"t": 10_000, "m": {"w": np.ones(1)}, "v": {"w": np.ones(1)}}
            for form in NAIVE}
    params = {form: {"w": np.zeros(1)} for form in NAIVE}
    for form in NAIVE:
        adam(params[form], {"w": np.ones(1)}, late[form], **SETTING, epsilon_form=form)
    assert_close(params["hat"], params["kingma"])


def test_adam_steps_by_lr_whatever_the_scale_of_the_gradient():
    """Of a gradient that stays the same, however small, as ε goes to 0."""
    setting = SETTING | {"epsilon": 1e-30}
    path, _ = trained(adam, [{"w": np.array([1e-8, -1e8])}] * 3, {"w": np.zeros(2)}, **setting)
    for t, params in enumerate(path, 1):
        assert_close(params["w"], t * SETTING["lr"] * np.array([-1, 1]))


def test_sgd():
    params, grads = normal(0), [normal(1), normal(2)]
    path, state = trained(sgd, grads, params, lr=0.1)
    assert state["t"] == 2
    for name in params:
        assert_close(path[1][name], params[name] - 0.1 * (grads[0][name] + grads[1][name]))


@pytest.mark.parametrize("step", [adam, sgd])
@pytest.mark.parametrize("spoil", [
    lambda grads: grads.pop("b_1"),
    lambda grads: grads.update(W_2=np.ones(2)),
    lambda grads: grads.update(W_1=np.ones((2, 3))),
    lambda grads: grads.update(b_1=np.ones(())),
], ids=["missing", "extra", "transposed", "would broadcast"])
def test_a_gradient_that_does_not_fit_raises(step, spoil):
    """... and nothing has changed by then."""
    params, grads = normal(0), normal(1)
    state = new_state(params)
    spoil(grads)
    setting = SETTING if step is adam else {"lr": 0.1}
    with pytest.raises(ValueError, match="_[12]"):
        step(params, grads, state, **setting)
    assert_same_bits(params, normal(0))
    assert_same_bits(state, new_state(params))


def test_parameters_that_can_not_be_changed_in_place_raise():
    params = {"w": np.ones((4, 3)).T}
    with pytest.raises(ValueError, match="w is not contiguous"):
        sgd(params, {"w": np.ones((3, 4))}, new_state(params), lr=1)


def test_gradients_may_lie_in_memory_in_any_order():
    params, grads = normal(0), normal(1)
    turned = {name: np.asfortranarray(g) for name, g in grads.items()}
    assert_same_bits(trained(adam, [turned], params, **SETTING),
                     trained(adam, [grads], params, **SETTING))


@pytest.mark.parametrize("step, setting", [(adam, SETTING), (sgd, {"lr": 0.1})])
def test_nothing_to_train_is_no_error(step, setting):
    """DTP on a network with one hidden layer has no inverses."""
    state = new_state({})
    step({}, {}, state, **setting)
    assert state["t"] == 1


BLOCK = parallel.BLOCK
LARGE = {"W_1": (3, BLOCK + 7), "b_1": (11,), "W_2": (2 * BLOCK,), "b_2": (1,)}


@pytest.mark.parametrize("step, setting", [(adam, SETTING), (sgd, {"lr": 0.1})])
@pytest.mark.parametrize("threads, block", [(2, BLOCK), (3, BLOCK), (1, 1000), (2, 4096)])
def test_threads_and_blocks_change_no_bit(monkeypatch, step, setting, threads, block):
    """float32 arrays of several blocks, against all of them in one piece."""
    params, grads = normal(0, LARGE, np.float32), [normal(t, LARGE, np.float32) for t in (1, 2)]
    results = []
    for limit, size in ((1, 10**9), (threads, block)):
        monkeypatch.setattr(parallel, "threads", lambda limit=limit: limit)
        monkeypatch.setattr(parallel, "BLOCK", size)
        monkeypatch.setattr(parallel, "_pool", None)
        results.append(trained(step, grads, params, **setting))
    assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("step, setting", [(adam, SETTING), (sgd, {"lr": 0.1})])
def test_large_arrays_are_trained_to_the_last_entry(step, setting):
    params, grads = normal(0, LARGE, np.float32), normal(1, LARGE, np.float32)
    after = trained(step, [grads], params, **setting)[0][0]
    for name in params:
        change = after[name] - params[name]
        assert (np.sign(change) == -np.sign(grads[name])).mean() > 0.99, name
        assert np.abs(change.ravel()[-1]) > TOL


def test_float32_state():
    params = normal(0, dtype=np.float32)
    path, state = trained(adam, [normal(1, dtype=np.float32)] * 3, params, **SETTING)
    for arrays in (path[-1], state["m"], state["v"]):
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
