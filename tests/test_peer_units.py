"""A true training step of AlexNet, ResNet-18 and ResNet-20 against PyTorch: every δ, gradient and
running statistic, in float64."""

import numpy as np
import pytest
from checks import assert_close

from ref import architectures, rules
from ref.network import initial_parameters
from ref.training import initial_stream

torch = pytest.importorskip("torch", reason="the independent implementation is PyTorch's")

import peer_units  # noqa: E402

TOL = 1e-9
N = 4


def start(arch, rule, **options):
    """(net, params, x, labels): γ, β and running statistics too are numbers that tell."""
    declared = rules.get(rule)
    net = declared.build(architectures.build(arch), options)
    params = initial_parameters(net, initial_stream(0), np.float64)
    rng = np.random.default_rng(1)
    for symbol in ("gamma", "beta", "running_mean", "b"):
        for array in params[symbol].values():
            array += rng.normal(0, 0.1, array.shape)
    return net, params, rng.random((N, *net.shape(0))), rng.integers(0, 10, N)


def compare(arch, rule, feedback, **options):
    """feedback(l, net, params) gives a function of PyTorch's W of layer l, or None for BP's own."""
    net, params, x, labels = start(arch, rule, **options)
    y = np.eye(*net.shape(net.L))[labels]
    ours = rules.get(rule).step(net, params, x, y, **options)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        model = peer_units.NETS[arch]()
        peer_units.load(model, net, params)
        for l, layer in enumerate(model.all, 1):
            layer.feedback = feedback(l, net, params)
        loss, theirs = peer_units.step(model, net, x, labels)
    finally:
        torch.set_default_dtype(torch.float32)
    assert abs(ours["loss"].mean() - loss) < TOL * loss
    for name, arrays in theirs.items():
        assert_close(ours[name], arrays, TOL)


@pytest.mark.parametrize("arch", peer_units.NETS)
def test_backpropagation_is_autograd(arch):
    compare(arch, "bp", lambda l, net, params: None)


@pytest.mark.parametrize("arch", peer_units.NETS)
def test_feedback_alignment(arch):
    def fixed(l, net, params):
        B = params["B"].get(l, params["W"][l])  # the first layer sends nothing down
        B = peer_units.to_torch(B, net.map[l].in_shape)
        return lambda W: B

    compare(arch, "fa", fixed)


@pytest.mark.parametrize("arch", peer_units.NETS)
def test_sign_symmetry(arch):
    def signs(l, net, params):
        m = net.map[l]
        return lambda W: (2 / (m.fan_in + m.fan_out)) ** 0.5 * W.sign()

    compare(arch, "sign-symmetry", signs, magnitude="uniform")
