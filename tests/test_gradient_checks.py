"""Every gradient of every rule is the derivative of its loss, targets and noise frozen.

The loss of each layer is written out here as a function of the parameters; its derivative is
taken entry by entry, by complex step and by central differences.
"""

import naive
import numpy as np
import pytest
from checks import METHODS, assert_close, cast, complex_step, every_case, gradient, make_case
from seldom import slow_but

from ref import rules
from ref.network import f, forward, preactivation
from ref.rules import ao_sdtp
from ref.rules.inverses import g


def global_loss(case):
    """Mean L over the batch, as a function of all parameters."""

    def loss(params):
        _, a_L = forward(case.net, params, cast(case.x, params))
        return case.net.loss.value(a_L, case.y).mean()

    return loss


def output_loss(case, h):
    """Mean L as a function of θ_L alone: h_{L-1} is what it was."""
    net = case.net

    def loss(params):
        below = cast(h[net.L - 1], params)
        return net.loss.value(preactivation(net, params, net.L, below), case.y).mean()

    return loss


def feedback_loss(case, l, h, delta):
    """Mean ⟨h_l, what stands in for dL/dh_l⟩: the local loss that FA and its kin descend."""
    net, N = case.net, len(case.x)
    dh = np.stack([
        naive.FEEDBACK[case.rule](net, case.params, l, {k: delta[k][n] for k in delta},
                                  **case.step_options())
        for n in range(N)
    ])

    def loss(params):
        return (f(net, params, l, cast(h[l - 1], params)) * dh).sum() / N

    return loss


def target_loss(case, l, h, h_hat):
    """L_l = mean ‖f(h_{l-1}; θ_l) - ĥ_l‖²; the hybrid's has a factor ½."""
    share = units_share(case, h[l]) * (0.5 if case.rule == "hybrid" else 1)

    def loss(params):
        difference = f(case.net, params, l, cast(h[l - 1], params)) - h_hat[l]
        return share * (difference**2).sum() / len(case.x)

    return loss


def inverse_loss(case, l, h):
    """L_l^inv = mean ‖r - g(f(h_{l-1} + ε))‖² as a function of λ_l."""
    net, h_tilde = case.net, h[l - 1] + case.eps[l - 1]
    r = h[l - 1] if case.options["inverse_loss"] == "de-noising" else h_tilde
    share = units_share(case, r)
    u = f(net, case.params, l, h_tilde)
    if l in net.maps_of("W_z"):
        u = np.concatenate([u, ao_sdtp.auxiliary(net, case.params, h_tilde)], axis=-1)

    def loss(params):
        difference = g(net, params, l, cast(u, params)) - r
        return share * (difference**2).sum() / len(case.x)

    return loss


def units_share(case, v):
    return 1 / v[0].size if case.options["reduction"] == "mean" else 1


def forward_loss(case, l, out):
    """The loss whose derivative dW_l, db_l are."""
    if case.rule == "bp":
        return global_loss(case)
    if l == case.net.L:
        return output_loss(case, out["h"])
    if case.rule in naive.FEEDBACK:
        return feedback_loss(case, l, out["h"], out["delta"])
    return target_loss(case, l, out["h"], out["h_hat"])


def check(case, out, method=complex_step):
    """Every entry of every array that the rule trains."""
    for symbol in rules.get(case.rule).symbols:
        assert out[f"d{symbol}"].keys() == case.params[symbol].keys()
        for l, got in out[f"d{symbol}"].items():
            if symbol in "Vc":
                loss = inverse_loss(case, l, out["h"])
            elif symbol == "B":
                loss = feedback_weights_loss(case, l, out)
            else:
                loss = decaying(case, symbol, l, forward_loss(case, l, out))
            assert_close(got, gradient(loss, case.params, symbol, l, method), METHODS[method])


def decaying(case, symbol, l, loss):
    """A loss of W_l with Kolen-Pollack's λ/2 ‖W_l‖²."""
    if case.rule != "kolen-pollack" or symbol != "W":
        return loss
    return lambda params: loss(params) + case.options["decay"] / 2 * (params["W"][l]**2).sum()


def feedback_weights_loss(case, l, out):
    """λ/2 ‖B_l‖² less the mean of ⟨u, B_l ε_{l-1}⟩ / σ²; Kolen-Pollack's: plus that of
    ⟨δ_l, B_l h_{l-1}⟩. Neither reads W_l's numbers beside the layer's own result."""
    m, decay = case.net.map[l], case.options["decay"]
    if case.rule == "kolen-pollack":
        below, above = out["h"][l - 1], out["delta"][l]
    else:
        below = case.eps[l - 1]
        u = m.forward(case.params["W"][l], below)
        above = -(u if l == case.net.L else case.net.act[l].value(u)) / case.options["sigma"]**2
        above = above / (np.prod(m.out_shape[:2]) if m.kind == "conv" else 1)

    def loss(params):
        B = params["B"][l]
        product = (above * m.forward(B, cast(below, params))).sum() / len(case.x)
        return decay / 2 * (B**2).sum() + product

    return loss


@pytest.mark.parametrize("method", slow_but([complex_step], METHODS))  # the sharper of the two
@every_case()
def test_gradients(net, rule, options, method):
    case = make_case(net, rule, **options)
    check(case, case.step(), method)


@every_case()
def test_reported_losses_are_those_that_are_trained(net, rule, options):
    """The mean of "inverse_loss" and of "loss" over the batch."""
    case = make_case(net, rule, **options)
    out = case.step()
    assert_close(out["loss"].mean(), global_loss(case)(case.params))
    for l, value in out.get("inverse_loss", {}).items():
        assert_close(value.mean(), inverse_loss(case, l, out["h"])(case.params))


# ---- the checkers themselves ---------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symbol, l", [("W", 1), ("b", 4), ("V", 2), ("c", 4)])
def test_one_entry_wrong_by_a_thousandth_is_found(symbol, l, method):
    """... in any array, even where the entry is not the largest."""
    case = make_case("dense", "sdtp")
    out = case.step()
    wrong = out[f"d{symbol}"][l]
    entry = np.unravel_index(np.argsort(np.abs(wrong), axis=None)[wrong.size // 2], wrong.shape)
    wrong[entry] *= 1.001
    with pytest.raises(AssertionError, match="off by"):
        check(case, out, method)


def test_a_gradient_of_nothing_but_zeros_is_no_evidence():
    with pytest.raises(AssertionError, match="all zero"):
        assert_close(np.zeros(3), np.zeros(3))


def test_a_missing_array_is_found():
    with pytest.raises(AssertionError):
        assert_close({1: np.ones(2)}, {1: np.ones(2), 2: np.ones(2)})


@pytest.mark.parametrize("method", METHODS)
def test_checkers_on_a_function_with_a_known_derivative(method):
    theta = np.linspace(-1, 1, 6).reshape(2, 3)
    expected = np.exp(theta) * np.cos(theta) - np.exp(theta) * np.sin(theta)
    got = method(lambda t: (np.exp(t) * np.cos(t)).sum(), theta)
    assert_close(got, expected, METHODS[method])
