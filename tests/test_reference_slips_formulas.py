"""Planted errors in formulas: the output, δ, the inverse's own loss, images flattened, biases."""

import numpy as np
import pytest
from planted import Slip, backpropagated, check, replaced, replaced_deltas
from seldom import slow_but
from test_reference import run
from write_reference import arguments

from ref import activations, network, rules
from ref.linear import Dense
from ref.network import f, forward, sum_to
from ref.rules import algorithm_1, feedback, inverses, tp
from ref.rules.rule import Rule

KINDS = ("dense", "local", "conv")
softmax = activations.softmax


def twice_in_forward(net, params, x, **kept):
    h, a_L = forward(net, params, x, **kept)
    return {**h, net.L: softmax.value(h[net.L].copy())}, a_L


def probabilities_for_logits(net, params, x, **kept):
    h, a_L = forward(net, params, x, **kept)
    return h, h[net.L]


def gradient_through_both(net, params, h, e, right=backpropagated):
    p, y = h[net.L], h[net.L] - e
    return right(net, params, h, softmax.times_derivative(p, softmax.value(p.copy()) - y))


def softmax_derivative_twice(net, params, h, e, right=backpropagated):
    return right(net, params, h, softmax.times_derivative(h[net.L], e))


def through(derivative):
    """fa.deltas with another derivative of tanh, derivative(h), in the hidden layers."""

    def deltas(net, params, h, e):
        delta = {net.L: e}
        for l in range(net.L - 1, 0, -1):
            delta[l] = derivative(h[l]) * net.map[l + 1].transpose(params["B"][l + 1], delta[l + 1])
        return delta

    return replaced_deltas(deltas)


def local_through(derivative):
    """sdtp.local_deltas with another derivative."""
    return replaced(algorithm_1, "local_deltas", lambda net, h, h_hat, reduction: {
        l: derivative(h[l]) * 2 * (h[l] - h_hat[l]) for l in h_hat if l < net.L})


def inverse_through(derivative):
    """inverse_gradients with derivative(x, h, h̃, d) for σ'(x) ∘ d, in sdtp and ao_sdtp."""

    def gradients(net, params, h, eps, inverse_loss, reduction, f=f):
        out = {"inverse_loss": {}, "dV": {}, "dc": {}}
        for l in net.maps_of("V"):
            noisy = h[l - 1] + eps[l - 1]
            u = f(net, params, l, noisy)
            x = inverses.g(net, params, l, u)
            d = x - h[l - 1]
            out["inverse_loss"][l] = inverses.squared_norm(d)
            delta = derivative(x, h[l - 1], noisy, 2 * d / len(d))
            out["dV"][l] = net.maps["V"][l].outer(delta, u)
            out["dc"][l] = sum_to(delta, net.maps["V"][l].in_bias_shape)
        return out

    return replaced(algorithm_1, "inverse_gradients", gradients)


def noise(k):
    def wrong(net, params, h, eps, *more, right=inverses.inverse_gradients):
        return right(net, params, h, {l: k * e for l, e in eps.items()}, *more)

    return replaced(algorithm_1, "inverse_gradients", wrong)


def flattened(image):
    """(N, H, W, C) -> the same numbers in the order C, H, W, in that shape."""
    return np.ascontiguousarray(np.moveaxis(image, 3, 1)).reshape(image.shape)


def channels_first(self, W, x, right=Dense.forward):
    return right(self, W, flattened(x) if x.ndim == 4 else x)


def channels_first_outer(self, x, y, right=Dense.outer):
    return right(self, flattened(x) if x.ndim == 4 else x, y)


def channels_first_feedback(net, params, h, e):
    delta = {net.L: e}
    for l in range(net.L - 1, 0, -1):
        dh = (e @ params["B"][l].T).reshape(len(e), *np.roll(net.shape(l), 1))
        delta[l] = net.act[l].times_derivative(h[l], np.moveaxis(dh, 1, 3))
    return delta


def random_biases(rule, net, stream, dtype, setting):
    params = network.initial_parameters(net, stream, dtype)
    rng = np.random.default_rng(0)
    for symbol in "bc":
        for array in params[symbol].values():
            array += rng.normal(0, 0.3, array.shape).astype(array.dtype)
    return params


def without(module, name, function):
    """A function without its bias, in a network whose biases are not zero."""

    def plant(monkeypatch):
        monkeypatch.setattr(Rule, "initial_parameters", random_biases)
        monkeypatch.setattr(module, name, function)

    return plant


def g_without_bias(net, params, l, u):
    return net.act[l - 1].value(net.maps["V"][l].transpose(params["V"][l], u))


def after_update(content, arrays):
    """δ_2 by W_3 as it is after the step."""
    net = content.net
    dh = net.map[3].transpose(arrays["step_1/after/W_3"], arrays["step_1/delta_3"])
    return {"step_1/delta_2": net.act[2].times_derivative(arrays["step_1/h_2"], dh)}


def inverse_after_update(anew):
    """The inverse's loss and gradients with W, b after the step: in f_l, or from h_1 on (anew)."""

    def plant(content, arrays):
        net, rule = content.net, rules.get(content.rule)
        params = {s: {l: arrays[f"step_1/after/{s}_{l}"] for l in net.map} for s in "Wb"}
        params |= {s: {l: arrays[f"init/{s}_{l}"] for l in net.maps_of("V")} for s in "Vc"}
        if net.maps_of("W_z"):
            params |= {s: {net.L: arrays[f"init/{s}"]} for s in ("W_z", "b_z")}
        eps = {l - 1: arrays[f"step_1/eps_{l - 1}"] for l in net.maps_of("V")}
        h = {l: arrays[f"step_1/h_{l}"] for l in range(net.L + 1)}
        if anew:
            h = forward(net, params, h[0])[0]
        out = inverses.inverse_gradients(net, params, h, eps, "de-noising",
                                         f=rule.inverted)
        return {f"step_1/{key}_{l}": out[key][l] for key in out for l in net.maps_of("V")}

    return plant


SLIPS = {
    "softmax twice": Slip("bp", replaced(feedback, "forward", twice_in_forward), "step_1/h_3",
                          "softmax is applied twice"),
    "softmax in the loss": Slip("bp", replaced(feedback, "forward", probabilities_for_logits),
                                "step_1/loss", "is given probabilities for logits"),
    "softmax in the loss, its gradient": Slip(
        "bp", replaced_deltas(gradient_through_both), "step_1/delta_3",
        "is given probabilities for logits"),
    "softmax's derivative twice": Slip(
        "bp", replaced_deltas(softmax_derivative_twice), "step_1/delta_3",
        "the derivative of softmax is there twice"),
    "noise not scaled": Slip("sdtp", noise(0.2), "step_1/inverse_loss_3",
                             "eps_2 is multiplied by sigma 0.2"),
    "noise twice": Slip("sdtp", noise(2), "step_1/inverse_loss_3", "twice eps_2 is added", "local"),
    "noise subtracted": Slip("sdtp", noise(-1), "step_1/inverse_loss_3", "eps_2 is subtracted",
                             "conv"),
    "C, H, W, above local": Slip("bp", replaced(Dense, "forward", channels_first), "step_1/h_3",
                                 "W_3 as for an image that is flattened as C, H, W", "local"),
    "C, H, W, of the input": Slip(
        "fa", replaced(Dense, "forward", channels_first), "step_1/h_1",
        "W_1 as for an image that is flattened as C, H, W", given=("--in-shape", "3x2x2")),
    "C, H, W, in dW": Slip("bp", replaced(Dense, "outer", channels_first_outer), "step_1/dW_3",
                           "ours as for an image that is flattened as C, H, W", "conv"),
    "C, H, W, in DFA's feedback": Slip(
        "dfa", replaced_deltas(channels_first_feedback), "step_1/delta_2",
        "B_2 as for an image that is flattened as C, H, W", "local"),
}
for kind in KINDS:
    SLIPS |= {
        f"tanh' of the output, {kind}": Slip(
            "fa", through(lambda h: 1 - np.tanh(h) ** 2), "step_1/delta_2",
            "σ'_2 is tanh' of the output h_2, where a_2 belongs", kind),
        f"1 - a², {kind}": Slip("fa", through(lambda h: 1 - np.arctanh(h) ** 2),
                                "step_1/delta_2", "σ'_2 is 1 - a_2², where 1 - h_2²", kind),
        f"divided, {kind}": Slip("sdtp", local_through(lambda h: 1 / (1 - h * h)),
                                 "step_1/delta_2", "σ'_2 is divided by", kind),
        f"twice, {kind}": Slip("sdtp", local_through(lambda h: (1 - h * h) ** 2),
                               "step_1/delta_2", "σ'_2 is there twice", kind),
        f"derivative of g at h, {kind}": Slip(
            "sdtp", inverse_through(lambda x, h, noisy, d: (1 - h * h) * d), "step_1/dV_3",
            "σ'_2 of g_3 is taken at h_2, where g_3's own result belongs", kind),
        f"derivative of g at the noisy h, {kind}": Slip(
            "ao-sdtp", inverse_through(lambda x, h, noisy, d: (1 - noisy * noisy) * d),
            "step_1/dV_3", "σ'_2 of g_3 is taken at h_2 + ε_2", kind),
        f"no derivative of g, {kind}": Slip(
            "sdtp", inverse_through(lambda x, h, noisy, d: d), "step_1/dV_3",
            "σ'_2 of g is left out", kind),
        f"tanh' of g's output, {kind}": Slip(
            "sdtp", inverse_through(lambda x, h, noisy, d: (1 - np.tanh(x) ** 2) * d),
            "step_1/dV_3", "σ'_2 is tanh' of the output g_3(u)", kind),
        f"no bias, {kind}": Slip(
            "bp", without(network, "preactivation", lambda net, params, l, h: net.map[l].forward(
                params["W"][l], h)), "step_1/h_1",
            "the bias b_1 is not added (a network without it: bias 0 in net/layer_1)", kind),
        f"no bias in g, {kind}": Slip(
            "tp", without(inverses, "g", g_without_bias), "step_1/inverse_loss_3",
            "the inverse's bias c_3 is not added", kind),
        f"no bias in a target, {kind}": Slip(
            "tp", without(tp, "g", g_without_bias), "step_1/h_hat_2",
            "the inverse's bias c_3 is not added", kind),
        f"W updated before the backward pass, {kind}": Slip(
            "bp", after_update, "step_1/delta_2", "computed with W_3 after its update", kind),
        f"W updated before the inverse, {kind}": Slip(
            "sdtp", inverse_after_update(False), "step_1/inverse_loss_3",
            "computed with W and b after their update", kind),
        f"W updated before the inverse's pass, {kind}": Slip(
            "ao-sdtp", inverse_after_update(True), "step_1/inverse_loss_3",
            "computed with W and b after their update", kind),
    }


@pytest.mark.parametrize("dtype", [
    "float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", slow_but(  # local is as conv, but for shared weights
    [name for name in SLIPS if not name.endswith(", local")], SLIPS))
def test_slip(name, dtype, tmp_path, capsys, monkeypatch):
    check(SLIPS[name], dtype, tmp_path, capsys, monkeypatch)


def test_logits_that_are_probabilities(tmp_path, capsys, monkeypatch):
    """A file whose last layer is said to be linear, and has the softmax in it."""
    slip = Slip("dtp", replaced(algorithm_1, "forward", twice_in_forward), "step_1/h_3",
                "softmax is applied, but the network's last layer is declared as identity",
                given=("--convention", "meulemans2020"))
    check(slip, "float64", tmp_path, capsys, monkeypatch)


def test_noise_of_another_size_is_told(tmp_path, capsys):
    """By a line beside the verdict; the file's own noise is right, whatever seed it has."""
    import json

    import h5py
    path = tmp_path / "out.h5"
    for seed in range(8):
        given = arguments("sdtp", "dense", "--batch-size", "40", "--seed", seed)
        assert run(capsys, "write", path, *given)[0] == 0
        assert "noise of another size" not in run(capsys, "verify", path)[1]
    for config, words in ((0.25, "the noise eps has root mean square 0.19"), (0.2, None)):
        with h5py.File(path, "a") as file:
            file.attrs["config"] = json.dumps(json.loads(file.attrs["config"]) | {"sigma": config})
        status, out, _ = run(capsys, "verify", path)
        assert status == 0
        assert (words or "config says sigma") in out or words is None
        assert ("noise of another size" in out) == (words is not None)
    with h5py.File(path, "a") as file:
        file["step_1/eps_1"][...] *= 2
        file["step_2/eps_1"][...] *= 2
        file["step_1/eps_2"][...] /= 2
        file["step_2/eps_2"][...] /= 2
    assert "noise of another size" in run(capsys, "verify", path)[1]
