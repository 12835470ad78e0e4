"""Every rule agrees with the naive second implementation, and changes nothing that it reads.

Then what a training step makes of a rule: the order of Algorithm 1, and the noise.
"""

import copy

import naive
import numpy as np
import pytest
from checks import assert_close, assert_same_bits, every_case, make_case, map_leaves, nets_for

from ref import rules
from ref.rules.rule import prefix
from ref.seeds import PURPOSES, normals, stream
from ref.training import Trainer


@every_case()
def test_agrees_with_naive(net, rule, options):
    case = make_case(net, rule, **options)
    got = case.step()
    got.pop("z", None)
    want = naive.step(*case[:6], **case.step_options())
    assert_close(got, want)


@every_case()
def test_is_pure(net, rule, options):
    """Two calls with the same input give the same bits, and leave the input as it was."""
    case = make_case(net, rule, **options)
    before = copy.deepcopy(case)
    assert_same_bits(case.step(), case.step())
    for field in ("params", "x", "y", "eps"):
        assert_same_bits(getattr(case, field), getattr(before, field))


@every_case()
def test_every_trained_array_has_its_gradient(net, rule, options):
    """Same names and shapes, so that no layer can go without training."""
    case = make_case(net, rule, **options)
    out = case.step()
    for symbol in rules.get(rule).symbols:
        shapes = map_leaves(np.shape, case.params.get(symbol, {}))
        assert map_leaves(np.shape, out.get(f"d{symbol}", {})) == shapes


@every_case()
def test_float32_stays_float32(net, rule, options):
    """No float64 scalar or array gets in on the way."""
    case = make_case(net, rule, **options)
    single = {
        field: map_leaves(lambda v: v.astype(np.float32), getattr(case, field))
        for field in ("params", "x", "y", "eps")
    }
    out = case.having(**single).step()
    map_leaves(lambda v: assert_type(v, np.float32), out)
    assert_close(out, case.step(), tol=1e-4)


def assert_type(array, dtype):
    assert array.dtype == dtype


# ---- the order of a training step, Algorithm 1 ---------------------------------------------------

RATE = {"lr": 0.1, "inverse_lr": 0.03, "mirror_lr": 0.05}
WITH_INVERSES = [name for name in rules.NAMES if ("V" in rules.get(name).symbols)]


def train(case, phase="both", order="targets-first"):
    """A copy of the parameters after one training step of plain gradient descent."""
    setting = case.options | RATE | {"optimizer": "sgd", "epsilon_form": "hat", "order": order}
    params = copy.deepcopy(case.params)
    trainer = Trainer(case.net, rules.get(case.rule), params, setting, seed=0)
    trainer.step(case.x, case.y, phase, case.eps)
    return params


def descended(params, gradients, symbols, lr):
    """θ - lr dθ for the symbols, all else as it is."""
    moved = {s: {l: p - lr * gradients[f"d{s}"][l] for l, p in params[s].items()}
             for s in symbols if s in params}
    return params | moved


@pytest.mark.parametrize("rule", rules.NAMES)
@nets_for(*rules.NAMES)
def test_a_step_trains_both_with_the_inverses_of_before(net, rule):
    """Algorithm 1: targets with today's λ; then λ; then θ. Nothing else changes."""
    case = make_case(net, rule)
    out = case.step()
    expected = case.params
    for group, symbols in rules.get(rule).trains.items():
        expected = descended(expected, out, symbols, RATE[f"{prefix(group)}lr"])
    assert_close(train(case), expected)


@pytest.mark.parametrize("rule", WITH_INVERSES)
@nets_for(*rules.NAMES)
def test_inverse_first_sets_targets_with_the_trained_inverses(net, rule):
    case = make_case(net, rule)
    trained = case.having(**descended(case.params, case.step(), ("V", "c"), RATE["inverse_lr"]))
    expected = descended(trained.params, trained.step(), ("W", "b"), RATE["lr"])
    assert_close(train(case, order="inverse-first"), expected)


@pytest.mark.parametrize("phase, symbols", [("forward", ("W", "b")), ("inverse", ("V", "c"))])
@pytest.mark.parametrize("rule", WITH_INVERSES)
@nets_for(*rules.NAMES)
def test_a_phase_trains_its_own_parameters_alone(net, rule, phase, symbols):
    case = make_case(net, rule)
    lr = RATE["lr" if phase == "forward" else "inverse_lr"]
    expected = descended(case.params, case.step(), symbols, lr)
    assert_close(train(case, phase), expected)


def test_magnitudes_drawn_for_every_step():
    """Sign-symmetry's B under "batch": new at each step, |B| what the step used."""
    case = make_case("dense", "sign-symmetry", magnitude="batch")
    params = train(case)
    for l, B in params["B"].items():
        assert np.abs(np.corrcoef(B.ravel(), case.params["B"][l].ravel())[0, 1]) < 0.7
    used = case.having(B=params["B"])
    assert_close(params, descended(used.params, used.step(), ("W", "b"), RATE["lr"]))


# ---- the noise that trains the inverses ----------------------------------------------------------


def noise(case, N=2000, sigma=0.3, seed=0, steps=1):
    """What the trainer draws at its first steps: a list of {l: ε_l}."""
    setting = case.options | {"sigma": sigma}
    trainer = Trainer(case.net, rules.get(case.rule), case.params, setting, seed)
    drawn = []
    for trainer.t in range(steps):
        drawn.append(trainer.noise(N, np, np.dtype(np.float32)))
    return drawn


@pytest.mark.parametrize("rule", WITH_INVERSES)
@nets_for(*rules.NAMES)
def test_noise_reaches_what_the_inverses_reconstruct(net, rule):
    case = make_case(net, rule)
    shapes = map_leaves(np.shape, noise(case, N=5)[0])
    assert shapes == {l - 1: (5, *case.net.shape(l - 1)) for l in case.net.maps_of("V")}


@pytest.mark.parametrize("net", ["dense", "local"])
def test_noise_is_normal_with_standard_deviation_sigma(net):
    """Mean, variance, fourth moment; no layer, unit, step or seed repeats another's numbers."""
    case = make_case(net, "sdtp")
    (first, second), (other,) = noise(case, steps=2), noise(case, seed=1)
    columns = np.concatenate([eps.reshape(2000, -1) for eps in
                              (*first.values(), *second.values(), *other.values())], axis=1) / 0.3
    assert columns.dtype == np.float32
    n = columns.size
    assert abs(columns.mean()) < 5 / np.sqrt(n)
    assert abs((columns**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((columns**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert np.abs(np.corrcoef(columns.T) - np.eye(columns.shape[1])).max() < 5.5 / np.sqrt(2000)


def test_noise_is_a_function_of_seed_and_step():
    case = make_case("dense", "sdtp")
    assert_same_bits(noise(case, steps=2), noise(case, steps=2))


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_normal_numbers(shape, dtype):
    """Odd numbers too, although they are made in pairs."""
    v = normals(np.random.default_rng(0), {1: shape}, np.dtype(dtype))[1]
    assert v.shape == shape and v.dtype == dtype
    assert np.isfinite(v).all() and len(np.unique(v)) == v.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_numbers_of_several_arrays(dtype):
    """They are those that one array after another would draw, by the formula, bit for bit."""
    shapes, dtype = {3: (128, 33), 1: (5, 7), 2: (3, 3, 3)}, np.dtype(dtype)
    together = normals(stream(0, "noise", 1), shapes, dtype)
    rng = stream(0, "noise", 1)
    for key, shape in shapes.items():
        n = int(np.prod(shape))
        radius = np.sqrt(-2 * np.log(1 - rng.random((n + 1) // 2, dtype=dtype)))
        angle = 2 * np.pi * rng.random((n + 1) // 2, dtype=dtype)
        expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
        assert np.array_equal(together[key], expected.reshape(shape)), key


def test_streams_stay_where_they_are():
    """A purpose that moves would change every number of every run recorded so far."""
    assert PURPOSES[:8] == ("weights", "inverse", "feedback", "auxiliary", "noise", "order",
                            "augmentation", "magnitude")
