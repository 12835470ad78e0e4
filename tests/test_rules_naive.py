"""Every rule agrees with the naive second implementation, and changes nothing that it reads."""

import copy

import naive
import numpy as np
import pytest
from checks import assert_close, assert_same_bits, every_case, make_case, map_leaves, nets_for

from ref import rules
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
    for symbol in ("W", "b", "V", "c"):
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

RATE = {"lr": 0.1, "inverse_lr": 0.03}
WITH_INVERSES = [name for name in rules.NAMES if rules.has_inverses(rules.get(name))]


def train(case, phase="both", order="targets-first"):
    """A copy of the parameters after one training step of plain gradient descent."""
    setting = case.options | RATE | {"optimizer": "sgd", "epsilon_form": "hat", "order": order}
    params = copy.deepcopy(case.params)
    trainer = Trainer(case.net, rules.get(case.rule), params, setting | {"sigma": 0.1}, seed=0)
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
    expected = descended(case.params, out, ("W", "b"), RATE["lr"])
    expected = descended(expected, out, ("V", "c"), RATE["inverse_lr"])
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
