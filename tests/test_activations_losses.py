"""Nonlinearities and losses: derivatives by complex step, extreme inputs, minimisers."""

import naive
import numpy as np
import pytest
from checks import TOL, assert_close, complex_step

from ref.activations import BY_NAME as ACTIVATIONS
from ref.activations import softmax
from ref.losses import BY_NAME as LOSSES
from ref.losses import cross_entropy, cross_entropy_logits, squared_error

BIG = np.float32(1e4)

OUTPUT = {  # what h_L is under each loss
    "cross-entropy": softmax.value,
    "cross-entropy-logits": lambda a: a,
    "squared-error": lambda a: a,
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def distributions(rng, n, classes):
    """Label distributions with no zero in them."""
    q = rng.uniform(0.1, 1, (n, classes))
    return q / q.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value(rng, name):
    a = rng.normal(size=(4, 5))
    expected = np.stack([naive.sigma(name, row) for row in a])
    assert_close(ACTIVATIONS[name].value(a), expected)
    assert_close(ACTIVATIONS[name].value(a, out=a), expected)  # over its own input


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative(rng, name):
    """(dσ/da)ᵀ v is the derivative of ⟨v, σ(a)⟩."""
    act = ACTIVATIONS[name]
    a, v = rng.normal(size=(2, 4, 5))
    kept = v.copy()
    expected = complex_step(lambda a: (v * act.value(a)).sum(), a)
    h = act.value(a)
    assert_close(act.times_derivative(h, v), expected)
    assert_close(h, act.value(a), tol=0)  # neither argument is written to
    assert_close(v, kept, tol=0)


@pytest.mark.parametrize("name", ["tanh", "relu", "identity"])
def test_images(rng, name):
    """Elementwise nonlinearities take any shape."""
    a, v = rng.normal(size=(2, 2, 3, 2, 2))
    act = ACTIVATIONS[name]
    flat = act.times_derivative(act.value(a.ravel()), v.ravel())
    assert_close(act.times_derivative(act.value(a), v).ravel(), flat)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_stays_finite_at_large_inputs(name):
    a = np.array([[BIG, -BIG, 0], [-BIG, -BIG, BIG]], np.float32)
    act = ACTIVATIONS[name]
    h = act.value(a)
    d = act.times_derivative(h, np.ones_like(a))
    assert h.dtype == d.dtype == np.float32
    assert np.isfinite(h).all() and np.isfinite(d).all()


def test_softmax_at_large_inputs():
    a = np.array([[BIG, -BIG, 0], [BIG, BIG, -BIG], [-BIG, -BIG, -BIG]], np.float32)
    third = np.float32(1) / 3
    assert_close(softmax.value(a), np.array([[1, 0, 0], [0.5, 0.5, 0], [third] * 3]), tol=1e-7)


def test_softmax_is_a_distribution_that_no_shift_changes(rng):
    a = rng.normal(size=(4, 5))
    p = softmax.value(a)
    assert (p > 0).all()
    assert_close(p.sum(axis=1), np.ones(4))
    assert_close(softmax.value(a + 30), p)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_value(rng, name):
    a, y = rng.normal(size=(4, 5)), distributions(rng, 4, 5)
    h = OUTPUT[name](a)
    expected = [naive.loss(name, h[n], y[n]) for n in range(4)]
    assert_close(LOSSES[name].value(a, y), np.array(expected))  # one number for each example


@pytest.mark.parametrize("name", LOSSES)
def test_error_is_dL_da(rng, name):
    loss = LOSSES[name]
    a, y = rng.normal(size=(4, 5)), distributions(rng, 4, 5)
    expected = complex_step(lambda a: loss.value(a, y).sum(), a)
    assert_close(loss.error(OUTPUT[name](a), y), expected)


def test_squared_error_of_images(rng):
    a, y = rng.normal(size=(2, 3, 2, 2, 2))
    assert_close(squared_error.value(a, y), ((a - y) ** 2).sum(axis=(1, 2, 3)))
    expected = complex_step(lambda a: squared_error.value(a, y).sum(), a)
    assert_close(squared_error.error(a, y), expected)


@pytest.mark.parametrize("loss", [cross_entropy, cross_entropy_logits], ids=lambda loss: loss.name)
def test_cross_entropy_of_confident_predictions(loss):
    """-log softmax(a)_label = a_max - a_label where one entry is far above the others."""
    a = np.array([[BIG, -BIG, 0], [BIG, -BIG, 0], [BIG, -BIG, 0]], np.float32)
    y = np.eye(3, dtype=np.float32)
    value = loss.value(a, y)
    assert value.dtype == np.float32
    assert value.tolist() == [0, 2 * BIG, BIG]
    error = loss.error(OUTPUT[loss.name](a), y)
    assert error.tolist() == [[0, 0, 0], [1, -1, 0], [1, 0, -1]]


@pytest.mark.parametrize("loss", [cross_entropy, cross_entropy_logits], ids=lambda loss: loss.name)
def test_cross_entropy_of_examples_on_different_scales(loss):
    """What one example's activities are changes nothing for another's."""
    a = np.array([[BIG, BIG, BIG], [-BIG, -BIG, -BIG], [0, 0, 0]], np.float32)
    assert_close(loss.value(a, np.eye(3, dtype=np.float32)), np.full(3, np.log(3)), tol=1e-6)


def test_cross_entropy_argmin(rng):
    """Gibbs: -Σ q log p is smallest at p = q; every other distribution has a larger loss."""
    q = distributions(rng, 1, 4)
    best = cross_entropy.argmin(q)
    least = cross_entropy.value(np.log(best), q)
    assert_close(least, -(q * np.log(q)).sum(axis=1))
    for p in distributions(rng, 200, 4):
        assert cross_entropy.value(np.log(p[None]), q) > least
    assert np.abs(cross_entropy.error(best, q)).max() <= TOL


def test_squared_error_argmin(rng):
    y = rng.normal(size=(1, 4))
    best = squared_error.argmin(y)
    assert squared_error.value(best, y) == 0
    for step in rng.normal(0, 1e-3, (200, 1, 4)):
        assert squared_error.value(best + step, y) > 0


def test_cross_entropy_of_logits_has_no_minimiser():
    """The loss goes on falling as the logits grow."""
    y = np.eye(4)[:1]
    values = [cross_entropy_logits.value(scale * y, y)[0] for scale in (1, 4, 16)]
    assert values == sorted(values, reverse=True) and values[-1] > 0
    assert cross_entropy_logits.argmin is None
