"""Units: every part's way down against its way up, by complex step and central differences; what
each computes, against plain loops. Images have H != W, odd sizes, ties, one example."""

from math import prod

import numpy as np
import pytest
from checks import METHODS, assert_close, assert_same_bits

from ref.activations import relu, tanh
from ref.common.command import UserError
from ref.units import Add, AveragePool, BatchNorm, GlobalAverage, MaxPool, Sigma, Unit

RNG = np.random.default_rng(0)


def theta_of(C):
    return {"gamma": RNG.normal(1, 0.3, C), "beta": RNG.normal(size=C),
            "running_mean": RNG.normal(size=C), "running_var": RNG.uniform(0.5, 2, C)}


# name: (unit, shape of a, shape of the skip or None)
UNITS = {
    "bn": (Unit((BatchNorm(3),)), (5, 4, 3), None),
    "bn of a dense layer": (Unit((BatchNorm(6),)), (6,), None),
    "relu": (Unit((Sigma(relu),)), (5, 4, 3), None),
    "add": (Unit((Add((5, 4, 3), (5, 4, 3)),)), (5, 4, 3), (5, 4, 3)),
    "add, option A": (Unit((Add((5, 7, 2), (3, 4, 6)),)), (3, 4, 6), (5, 7, 2)),
    "add, option A, stride 1": (Unit((Add((3, 4, 2), (3, 4, 4)),)), (3, 4, 4), (3, 4, 2)),
    "maxpool": (Unit((MaxPool(3, 2),)), (7, 6, 2), None),
    "maxpool, padded": (Unit((MaxPool(3, 2, 1),)), (5, 6, 2), None),
    "meanpool": (Unit((AveragePool(2, 2),)), (5, 4, 2), None),
    "meanpool, overlapping": (Unit((AveragePool(3, 2),)), (7, 5, 2), None),
    "mean": (Unit((GlobalAverage(),)), (5, 3, 2), None),
    "all": (Unit((BatchNorm(4), Add((5, 6, 2), (5, 6, 4)), Sigma(relu), MaxPool(2, 2),
                  AveragePool(2, 1), GlobalAverage())), (5, 6, 4), (5, 6, 2)),
    "a residual block's": (Unit((BatchNorm(2), Add((3, 4, 2), (3, 4, 2)), Sigma(tanh))),
                           (3, 4, 2), (3, 4, 2)),
}


def case(name, N):
    """(unit, a, theta, skip). The entries of a are apart, and off 0, by more than a difference's
    step: it would see a kink that the derivative does not."""
    unit, shape, skip = UNITS[name]
    n = N * prod(shape)
    a = RNG.permutation(np.linspace(-2, 2.1, n)).reshape(N, *shape)
    skip = None if skip is None else RNG.normal(size=(N, *skip))
    return unit, a, theta_of(shape[-1]), skip


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
@pytest.mark.parametrize("train", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("N", [3, 1])
@pytest.mark.parametrize("name", UNITS)
def test_the_way_down_is_the_derivative(name, N, train, method):
    if N == 1 and train and name == "bn of a dense layer":
        N = 2
    unit, a, theta, skip = case(name, N)
    h, kept = unit.value(a.copy(), theta, skip, train)
    assert h.shape == (N, *unit.out_shape(a.shape[1:]))
    v = RNG.normal(size=h.shape)
    down, own = unit.pull(kept, v)

    def loss(**changed):
        given = {"a": a, "skip": skip, **theta, **changed}
        dtype = np.result_type(*changed.values())
        given = {key: None if x is None else x.astype(dtype) for key, x in given.items()}
        a_, skip_ = given.pop("a"), given.pop("skip")
        return (v * unit.value(a_.copy(), given, skip_, train)[0]).sum()

    tol = METHODS[method]
    assert_close(down, method(lambda x: loss(a=x), a), tol)
    if skip is not None:
        assert_close(own["skip"], method(lambda x: loss(skip=x), skip), tol)
    if unit.find(BatchNorm) and train:
        for symbol in ("gamma", "beta"):
            assert_close(own[symbol], method(lambda x, s=symbol: loss(**{s: x}), theta[symbol]),
                         tol)


def test_batch_norm_has_two_variances():
    """Biased to normalise, unbiased in the running estimate; ε inside the root; evaluation by the
    running ones alone."""
    norm, theta = BatchNorm(2), theta_of(2)
    a = RNG.normal(3, 2, (3, 2, 1, 2))
    y, kept = norm.value(a.copy(), theta, train=True)
    for c in range(2):
        column, m = a[..., c].ravel(), 6
        mu = sum(column) / m
        var = sum((x - mu) ** 2 for x in column) / m
        x_hat = (a[..., c] - mu) / np.sqrt(var + 1e-5)
        assert_close(kept.x_hat[..., c], x_hat)
        assert_close(y[..., c], theta["gamma"][c] * x_hat + theta["beta"][c])
        after = norm.running(kept, theta)
        assert_close(after["running_mean"][c], 0.9 * theta["running_mean"][c] + 0.1 * mu)
        unbiased = var * m / (m - 1)
        assert_close(after["running_var"][c], 0.9 * theta["running_var"][c] + 0.1 * unbiased)
    y, _ = norm.value(a.copy(), theta, train=False)
    x_hat = (a - theta["running_mean"]) / np.sqrt(theta["running_var"] + 1e-5)
    assert_close(y, theta["gamma"] * x_hat + theta["beta"])
    one = norm.value(a[:1].copy(), theta, train=False)[0]
    assert_close(one, y[:1])


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_one_value_a_channel_has_no_variance(shape):
    with pytest.raises(UserError, match="more than one value a channel"):
        BatchNorm(3).value(np.ones(shape), theta_of(3), train=True)
    BatchNorm(3).value(np.ones(shape), theta_of(3), train=False)


def test_batch_norm_in_float32_keeps_its_digits():
    """A mean far from 0 over many values: sums row after row would lose three digits."""
    a = RNG.normal(10, 1, (64, 32, 32, 3))
    theta = theta_of(3)
    want, _ = BatchNorm(3).value(a.copy(), theta, train=True)
    single = {key: x.astype(np.float32) for key, x in theta.items()}
    got, _ = BatchNorm(3).value(a.astype(np.float32), single, train=True)
    assert got.dtype == np.float32
    assert_close(got, want, 2e-6)


@pytest.mark.parametrize("pad", [0, 1])
def test_max_pool_by_loops(pad):
    """The first in row-major order wins a tie; places outside lose against any number."""
    pool = MaxPool(3, 2, pad)
    a = RNG.integers(-3, -1, (2, 6, 5, 2)).astype(float)  # ties, all below the zero of padding
    h, kept = pool.value(a.copy())
    v = RNG.normal(size=h.shape)
    down, _ = pool.pull(kept, v)
    want, back = np.empty(h.shape), np.zeros(a.shape)
    for n, i, j, c in np.ndindex(h.shape):
        best, place = -np.inf, None
        for y in range(2 * i - pad, 2 * i - pad + 3):
            for x in range(2 * j - pad, 2 * j - pad + 3):
                if 0 <= y < 6 and 0 <= x < 5 and a[n, y, x, c] > best:
                    best, place = a[n, y, x, c], (n, y, x, c)
        want[n, i, j, c] = best
        back[place] += v[n, i, j, c]
    assert_same_bits(h, want)
    assert_close(down, back)
    assert h.shape[1:] == pool.out_shape((6, 5, 2)) == ((6 + 2 * pad - 3) // 2 + 1, 2 + pad, 2)


def test_option_a_by_loops():
    """Every second row and column; the same number of zero channels on both sides."""
    a, skip = RNG.normal(size=(2, 2, 3, 8)), RNG.normal(size=(2, 4, 5, 4))
    h, _ = Add((4, 5, 4), (2, 3, 8)).value(a.copy(), None, skip)
    want = a.copy()
    for n, i, j, c in np.ndindex(2, 2, 3, 4):
        want[n, i, j, c + 2] += skip[n, 2 * i, 2 * j, c]
    assert_same_bits(h, want)


@pytest.mark.parametrize("skip, shape, fits", [
    ((4, 4, 2), (4, 4, 2), True), ((8, 8, 2), (4, 4, 4), True), ((7, 5, 2), (4, 3, 4), True),
    ((8, 8, 2), (4, 4, 3), False), ((8, 8, 4), (4, 4, 2), False), ((8, 9, 2), (4, 4, 4), False),
    ((4, 4, 2), (8, 8, 2), False), ((32,), (4, 4, 2), False),
])
def test_which_skips_fit(skip, shape, fits):
    assert Add.fits(skip, shape) is fits


def test_the_order_of_parts():
    with pytest.raises(ValueError, match="order"):
        Unit((Sigma(relu), BatchNorm(3)))
    with pytest.raises(ValueError, match="order"):
        Unit((BatchNorm(3), BatchNorm(3)))
