"""Eq. (1), initial parameters, and dL/dθ_l from δ_l."""

import naive
import numpy as np
import pytest
from checks import METHODS, NETS, assert_close, assert_same_bits, cast, gradient, make_case

from ref import rules
from ref.linear import Convolution, Dense, LocallyConnected
from ref.network import f, forward, glorot, gradients, initial_parameters, preactivation, sum_to
from ref.training import initial_stream

every_net = pytest.mark.parametrize("name", NETS)


@every_net
def test_forward_is_eq_1(name):
    net, params, x, _ = make_case(name)[1:5]
    h, a_L = forward(net, params, x)
    assert h.keys() == set(range(net.L + 1))
    assert_same_bits(h[0], x)
    for n in range(len(x)):
        h_n, a_n = naive.activities(net, params, x[n])
        assert_close({l: h[l][n] for l in h}, h_n)
        assert_close(a_L[n], a_n[net.L])


@every_net
def test_one_layer_at_a_time(name):
    """f(h; θ_l) is what forward computes for layer l."""
    net, params, x, _ = make_case(name)[1:5]
    h, _ = forward(net, params, x)
    for l in range(1, net.L + 1):
        assert_same_bits(f(net, params, l, h[l - 1]), h[l])


@pytest.mark.parametrize("method", METHODS)
@every_net
def test_gradients_from_delta(name, method):
    """dW_l, db_l are the gradients of the batch mean of ⟨δ_l, a_l⟩, for any δ."""
    net, params, x, _ = make_case(name)[1:5]
    h, _ = forward(net, params, x)
    rng = np.random.default_rng(1)
    delta = {l: rng.normal(size=h[l].shape) for l in range(1, net.L + 1)}
    got = gradients(net, h, delta)
    for l in delta:

        def linear(params, l=l):
            a = preactivation(net, params, l, cast(h[l - 1], params))
            return (delta[l] * a).sum() / len(x)

        assert_close(got["dW"][l], gradient(linear, params, "W", l, method), METHODS[method])
        assert_close(got["db"][l], gradient(linear, params, "b", l, method), METHODS[method])


def test_gradients_of_the_layers_that_have_a_delta():
    net, params, x, _ = make_case("dense")[1:5]
    h, _ = forward(net, params, x)
    assert gradients(net, h, {2: h[2]})["dW"].keys() == {2}


def test_sum_to():
    """A bias takes the sum over the batch, and over the positions that share it."""
    v = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    assert_close(sum_to(v, (2, 4, 5)), v[0] + v[1] + v[2])
    assert_close(sum_to(v, (5,)), sum(v[n, i, j] for n, i, j in np.ndindex(3, 2, 4)))


# ---- initial parameters --------------------------------------------------------------------------


def initial(rule, seed=0, dtype=np.float32, net="dense"):
    return initial_parameters(rules.get(rule).extend(NETS[net]), initial_stream(seed), dtype)


@pytest.mark.parametrize("m", [
    Dense((300,), (100,)),
    Dense((10, 10, 3), (4, 5, 5)),
    LocallyConnected((8, 9, 4), 8, (3, 3), 1),
    Convolution((28, 28, 20), 60, (5, 3), 2),
], ids=str)
def test_glorot(m):
    """Uniform in ±√(6 / (fan_in + fan_out)): bounds, mean and variance."""
    W = glorot(np.random.default_rng(0), m, np.float64)
    limit = np.sqrt(6 / (m.fan_in + m.fan_out))
    assert W.shape == m.weight_shape
    assert 0.999 * limit < np.abs(W).max() <= limit
    assert abs(W.mean()) < 5 * limit / np.sqrt(3 * W.size)  # five standard errors
    assert abs(W.var() - limit**2 / 3) < 5 * np.sqrt(4 / 45 / W.size) * limit**2


@pytest.mark.parametrize("rule", rules.NAMES)
@every_net
def test_initial_biases_are_zero(name, rule):
    params = initial(rule, net=name)
    assert params["b"]
    for symbol in ("b", "c", "b_z"):
        assert not any(array.any() for array in params[symbol].values())


@pytest.mark.parametrize("rule", rules.NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_seed_gives_the_same_weights_whatever_the_rule(rule, dtype):
    assert_same_bits(initial(rule, dtype=dtype)["W"], initial("bp", dtype=dtype)["W"])


@pytest.mark.parametrize("rule", rules.NAMES)
def test_every_kind_of_parameter_has_a_stream_of_its_own(rule):
    """No purpose is asked for twice, and what is asked for by two is never the same numbers."""
    asked = []

    def spy(purpose):
        asked.append(purpose)
        return initial_stream(0)(purpose)

    net = rules.get(rule).extend(NETS["dense"])
    initial_parameters(net, spy, np.float32)
    assert len(set(asked)) == len(asked)
    first = {initial_stream(seed)(purpose).random() for purpose in asked for seed in (0, 1)}
    assert len(first) == 2 * len(asked)


def test_layers_do_not_share_numbers():
    W = initial("bp", net="autoencoder")["W"]
    firsts = [(W[l] / np.abs(W[l]).max()).ravel()[:4].tolist() for l in W]
    assert all(first != second for i, first in enumerate(firsts) for second in firsts[:i])
