"""The networks that have names: how many parameters, their shapes, what they begin with."""

from math import prod, sqrt

import numpy as np
import pytest

from ref import architectures
from ref.architectures import NAMED, build
from ref.initial import WEIGHTS
from ref.linear import Convolution, Dense
from ref.network import FORWARD, initial_parameters
from ref.training import initial_stream

COUNTS = {  # of their references
    "alexnet": 61_110_184, "resnet18": 11_689_512, "resnet18-cifar": 11_173_962,
    "resnet20": 269_722, "resnet56": 853_018, "lenet-mnist": 61_706, "lenet-cifar": 128_842,
}


def size(net, l=None):
    return sum(prod(shape) for s in FORWARD for k, shape in net.shapes_of(s).items()
               if l in (None, k))


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name, capsys, monkeypatch):
    net = build(name)
    assert size(net) == COUNTS[name]
    monkeypatch.setattr("sys.argv", ["ref.architectures", "--arch", name])
    architectures.work()
    assert f"forward parameters {COUNTS[name]:,}," in capsys.readouterr().out


def test_alexnet_layer_by_layer():
    net = build("alexnet")
    assert [size(net, l) for l in net.map] == [
        23_232 + 128, 307_200 + 384, 663_552 + 768, 884_736 + 512, 589_824 + 512,
        37_748_736 + 8192, 16_777_216 + 8192, 4_096_000 + 1000]
    assert [net.map[l].out_shape for l in (1, 2, 3, 5)] == [
        (55, 55, 64), (27, 27, 192), (13, 13, 384), (13, 13, 256)]
    assert [net.shape(l) for l in (1, 2, 5)] == [(27, 27, 64), (13, 13, 192), (6, 6, 256)]
    assert net.unbiased == set(range(1, 8))


def test_resnet18_stage_by_stage():
    net = build("resnet18")
    ends = {1: 9_536, 5: 157_504, 10: 683_072, 15: 2_782_784, 20: 11_176_512, 21: 11_689_512}
    for last, total in ends.items():
        assert sum(size(net, l) for l in range(1, last + 1)) == total
    assert net.map[1].out_shape == (112, 112, 64) and net.shape(1) == (56, 56, 64)
    shortcuts = [l for l, m in net.map.items() if m.kind == "conv" and m.kernel == (1, 1)]
    assert shortcuts == [6, 11, 16]
    assert net.shape(20) == (512,)


def test_resnet20_shortcuts_have_no_parameters():
    net = build("resnet20")
    assert net.L == 20 and all(m.kernel == (3, 3) for l, m in net.map.items() if l < 20)
    assert net.adds == {l: l - 2 for l in range(3, 20, 2)}
    assert build("resnet56").L == 56


@pytest.mark.parametrize("name", NAMED)
def test_every_name_can_be_built(name):
    net = build(name)
    assert net.map[net.L].kind == "dense"


def drawn(law, m):
    return WEIGHTS[law](np.random.default_rng(0), m, np.float64)


@pytest.mark.parametrize("m", [Convolution((9, 8, 20), 30, (3, 5), 1, 1), Dense((400,), (300,))],
                         ids=["conv", "dense"])
def test_initial_laws(m):
    """Ranges and standard deviations, fans with kernels of two sizes."""
    n_in, n_out = m.fan_in, m.fan_out
    for law, limit in (("glorot", sqrt(6 / (n_in + n_out))), ("fan-in", 1 / sqrt(n_in)),
                       ("unit", 1)):
        W = drawn(law, m)
        assert 0.99 * limit < np.abs(W).max() <= limit
        assert abs(W.std() / (limit / sqrt(3)) - 1) < 0.02
    W = drawn("he-fan-out", m)
    if m.kind == "conv":
        assert n_out == 3 * 5 * 30 and np.abs(W).max() > 3 * sqrt(2 / n_out)
        assert abs(W.std() / sqrt(2 / n_out) - 1) < 0.02
    else:
        assert np.abs(W).max() <= 1 / sqrt(400)


def test_initial_parameters_of_the_references():
    """Biases beside the weights' limits; γ = 1, β = 0; running statistics of N(0, 1)."""
    params = initial_parameters(build("resnet18-cifar"), initial_stream(0), np.float32)
    assert params["b"].keys() == {21}
    assert 0 < np.abs(params["b"][21]).max() <= 1 / sqrt(512)
    for symbol, value in (("gamma", 1), ("beta", 0), ("running_mean", 0), ("running_var", 1)):
        assert params[symbol].keys() == set(range(1, 21))
        assert all((array == value).all() for array in params[symbol].values())
    params = initial_parameters(build("lenet-cifar"), initial_stream(0), np.float32)
    assert params["b"].keys() == set(range(1, 6)) and not any(b.any() for b in params["b"].values())
