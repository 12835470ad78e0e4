"""Where two rules must agree: one is a special case of the other, or differs by a known amount."""

import copy

import numpy as np
import pytest
from checks import (
    NETS,
    REGRESSION,
    VARIANTS,
    assert_close,
    assert_same_bits,
    dense_net,
    every_case,
    make_case,
    nets_for,
    stack,
)

from ref import rules
from ref.network import forward
from ref.rules import ao_sdtp
from ref.rules.inverses import g, inverse_gradients, local_deltas
from ref.training import Trainer

TP_FAMILY = ("tp", "dtp", "sdtp", "ao-sdtp", "hybrid")

every_net = nets_for("bp")
nets_of_sdtp = nets_for("sdtp")
nets_of_ao_sdtp = nets_for("ao-sdtp")
nets_of_one_hidden_layer = pytest.mark.parametrize(
    "net", [name for name, net in NETS.items() if net.L == 2])

FORWARD = ("h", "loss", "delta", "dW", "db")
INVERSE = ("inverse_loss", "dV", "dc")


def some(out, *names):
    return {name: out[name] for name in names}


def below(L, layers):
    """The entries of {l: array} for the hidden layers."""
    return {l: array for l, array in layers.items() if l < L}


def scaled(factor, layers):
    return {l: factor * array for l, array in layers.items()}


# ---- feedback alignment --------------------------------------------------------------------------


@every_net
def test_fa_with_B_equal_to_W_is_bp(net):
    case = make_case(net, "fa")
    case = case.having(B={l: case.params["W"][l] for l in case.params["B"]})
    assert_same_bits(case.step(), case.having(rule="bp").step())


@every_net
def test_sign_symmetry_with_the_magnitudes_of_W_is_bp(net):
    case = make_case(net, "sign-symmetry", magnitude="fixed")
    case = case.having(B={l: -case.params["W"][l] for l in case.params["B"]})  # their sign is free
    assert_same_bits(case.step(), case.having(rule="bp").step())


@every_net
def test_sign_symmetry_is_fa_with_the_signs_of_W(net):
    """... and the standard deviation of Glorot's initial weights."""
    case = make_case(net, "fa")
    B = {}
    for l in case.params["B"]:
        m = case.net.map[l]
        B[l] = np.sqrt(2 / (m.fan_in + m.fan_out)) * np.sign(case.params["W"][l])
    ours = case.having(rule="sign-symmetry", magnitude="uniform").step()
    assert_close(ours, case.having(B=B).step())


@pytest.mark.parametrize("rule", ["fa", "dfa", "sign-symmetry"])
@every_net
def test_only_the_output_layer_of_fa_follows_the_gradient(net, rule):
    case = make_case(net, rule)
    ours, bp = case.step(), case.having(rule="bp").step()
    L = case.net.L
    assert_same_bits(ours["dW"][L], bp["dW"][L])
    for l in range(1, L):
        assert np.abs(ours["delta"][l] - bp["delta"][l]).max() > 0.01


@nets_of_one_hidden_layer
def test_dfa_with_one_hidden_layer_and_B_equal_to_W_transposed_is_bp(net):
    case = make_case(net, "dfa")
    case = case.having(B={1: case.params["W"][2].T})
    assert_close(case.step(), case.having(rule="bp").step())


@nets_of_one_hidden_layer
def test_dfa_with_one_hidden_layer_is_fa(net):
    dfa, fa = make_case(net, "dfa"), make_case(net, "fa")
    fa = fa.having(B={2: dfa.params["B"][1].T}, W=dfa.params["W"], b=dfa.params["b"],
                   x=dfa.x, y=dfa.y)
    assert_close(dfa.step(), fa.step())


# ---- targets equal to the activities -------------------------------------------------------------


@every_net
def test_dtp_with_alpha_0_has_the_activities_for_targets(net):
    """Exactly, whatever the inverses; so nothing below the output learns."""
    out = make_case(net, "dtp", alpha=0.0).step()
    L = max(out["h"])
    assert_close(out["h_hat"], {l: out["h"][l] for l in range(1, L)}, tol=0)
    for l in range(1, L):
        assert not out["dW"][l].any() and not out["db"][l].any()
    assert out["dW"][L].any()


@pytest.mark.parametrize("rule", ["sdtp", "ao-sdtp"])
@nets_of_ao_sdtp
def test_a_right_prediction_has_the_activities_for_targets(net, rule):
    """y = h_L: the brackets of (2) and (3) are exactly zero."""
    case = make_case(net, rule)
    h = case.step()["h"]
    out = case.having(y=h[case.net.L]).step()
    assert_close(out["h_hat"], {l: h[l] for l in range(1, case.net.L + 1)}, tol=0)


@nets_of_sdtp
def test_an_inverse_that_ignores_its_input_carries_no_target(net):
    """V = 0: differences vanish, and TP's targets are σ(c), the same for every example."""
    case = make_case(net, "sdtp")
    case = case.having(V={l: 0 * V for l, V in case.params["V"].items()})
    out, tp = case.step(), case.having(rule="tp").step()
    for l in range(1, case.net.L):
        assert_close(out["h_hat"][l], out["h"][l], tol=0)
        assert_close(tp["h_hat"][l][1:], tp["h_hat"][l][:-1], tol=0)


# ---- target propagation that is backpropagation --------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_net
def test_a_target_half_a_gradient_away_makes_the_update_bp(net, reduction):
    """ĥ_l = h_l - ½ dL/dh_l; where the loss is a mean over n units, n/2."""
    case = make_case(net, "bp")
    out, h_hat = case.step(), {}
    for l in range(1, case.net.L):
        dh = case.net.map[l + 1].transpose(case.params["W"][l + 1], out["delta"][l + 1])
        units = dh[0].size if reduction == "mean" else 1
        h_hat[l] = out["h"][l] - units / 2 * dh
    got = local_deltas(case.net, out["h"], h_hat, reduction)
    assert_close(got, below(case.net.L, out["delta"]))


@nets_of_one_hidden_layer
def test_dtp_with_one_hidden_layer_and_alpha_one_half_is_bp(net):
    case = make_case(net, "dtp", alpha=0.5)
    assert_close(some(case.step(), *FORWARD), some(case.having(rule="bp").step(), *FORWARD))


@pytest.mark.parametrize("output", [{}, REGRESSION], ids=["classifier", "regression"])
@pytest.mark.parametrize("net", ["dense", "autoencoder", "local", "conv"])
def test_dtp_of_a_linear_net_with_inverses_W_transposed_is_2_alpha_times_bp(net, output):
    """... at every hidden layer, whatever the biases c."""
    alpha, maps = 0.7, NETS[net].map.values()
    case = make_case(stack(list(maps), hidden="identity", **output), "dtp", alpha=alpha)
    case = case.having(V={l: case.params["W"][l] for l in case.params["V"]})
    ours, bp = case.step(), case.having(rule="bp").step()
    for name in ("delta", "dW", "db"):
        assert_close(below(case.net.L, ours[name]), scaled(2 * alpha, below(case.net.L, bp[name])))


@nets_of_sdtp
def test_hybrid_with_mu_1_is_bp(net):
    case = make_case(net, "hybrid", mu=1.0)
    assert_same_bits(some(case.step(), *FORWARD), some(case.having(rule="bp").step(), *FORWARD))


@nets_of_sdtp
def test_hybrid_with_mu_0_is_sdtp_with_half_the_step(net):
    """Its loss has a factor ½ that SDTP's has not; the output layer's is L in both."""
    case = make_case(net, "hybrid", mu=0.0)
    L = case.net.L
    ours, sdtp = case.step(), case.having(rule="sdtp").step()
    assert_close(ours["h_hat"], sdtp["h_hat"])
    assert_close(scaled(2, below(L, ours["dW"])), below(L, sdtp["dW"]))
    assert_close(ours["dW"][L], sdtp["dW"][L])
    assert_same_bits(some(ours, *INVERSE), some(sdtp, *INVERSE))


@pytest.mark.parametrize("rule", rules.NAMES)
def test_without_hidden_layers_every_rule_is_bp(rule):
    """There is only the output layer, which takes dL/dθ_L, and nothing to invert."""
    case = make_case(dense_net(4, 3), rule, decay=0)
    assert_close(some(case.step(), "dW", "db"), some(case.having(rule="bp").step(), "dW", "db"))


# ---- feedback that learns ------------------------------------------------------------------------


def descend(case, setting, steps, phase="both"):
    """The trainer's parameters after steps of plain gradient descent."""
    setting = case.options | {"optimizer": "sgd", "lr": 0.1, "mirror_lr": 0.1} | setting
    params = copy.deepcopy(case.params)
    trainer = Trainer(case.net, rules.get(case.rule), params, setting, seed=0)
    for _ in range(steps):
        trainer.step(case.x, case.y, phase)
    return params


@nets_for("kolen-pollack")
def test_kolen_pollack_shrinks_the_difference_of_w_and_b(net):
    """W - B is (1 - ηλ) times what it was, at every step and whatever the data."""
    case = make_case(net, "kolen-pollack", decay=0.3)
    params = descend(case, {}, steps=7)
    for l in case.params["B"]:
        before = case.params["W"][l] - case.params["B"][l]
        assert_close(params["W"][l] - params["B"][l], (1 - 0.1 * 0.3)**7 * before)


@nets_for("kolen-pollack", "weight-mirror", "fa")
def test_without_decay_their_deltas_are_feedback_alignments(net):
    fa = make_case(net, "fa").step()
    for rule in ("kolen-pollack", "weight-mirror"):
        out = make_case(net, rule, decay=0).step()
        assert_same_bits(some(out, "h", "loss", "delta", "dW", "db"),
                         some(fa, "h", "loss", "delta", "dW", "db"))


def test_a_mirror_of_linear_layers_ends_at_w():
    """Where σ' is 1, B comes to W but for the noise of its average."""
    net = dense_net(6, 5, 4, hidden="identity")
    case = make_case(net, "weight-mirror", N=400, decay=1.0, sigma=1.0)
    params = descend(case, {"mirror_lr": 0.02}, steps=500, phase="mirror")
    off = np.linalg.norm(params["B"][2] - case.params["W"][2])
    assert off < 0.05 * np.linalg.norm(case.params["W"][2])
    assert_same_bits(params["W"], case.params["W"])


# ---- between the rules of the family -------------------------------------------------------------


@nets_of_sdtp
def test_tp_target_less_difference_target_is_the_error_of_the_inverse(net):
    """g(ĥ_{l+1}) - ĥ_l = g(h_{l+1}) - h_l at every l, with ĥ from SDTP."""
    case = make_case(net, "sdtp")
    out, (net, params) = case.step(), case[1:3]
    for l in range(1, net.L):
        tp = g(net, params, l + 1, out["h_hat"][l + 1])
        error = g(net, params, l + 1, out["h"][l + 1]) - out["h"][l]
        assert_close(tp - out["h_hat"][l], error)


@nets_of_sdtp
def test_tp_less_sdtp_at_the_penultimate_layer(net):
    """The same between the two rules, which have ĥ_L in common."""
    case = make_case(net, "sdtp")
    L = case.net.L
    sdtp, tp = case.step(), case.having(rule="tp").step()
    error = g(case.net, case.params, L, sdtp["h"][L]) - sdtp["h"][L - 1]
    assert_close(tp["h_hat"][L - 1] - sdtp["h_hat"][L - 1], error)


@nets_of_ao_sdtp
def test_ao_sdtp_without_auxiliary_units_is_sdtp(net):
    case = make_case(net, "ao-sdtp", aux=0)
    ours, sdtp = case.step(), case.having(rule="sdtp", net=sdtp_net(net)).step()
    assert ours.pop("z").shape == (len(case.x), 0)
    assert_close(ours, sdtp)


@nets_of_ao_sdtp
def test_ao_sdtp_whose_inverse_does_not_read_z_is_sdtp(net):
    case = make_case(net, "ao-sdtp")
    n, V = case.y.shape[1], dict(case.params["V"])
    o_part = V[case.net.L][:n]
    V[case.net.L] = np.concatenate([o_part, np.zeros((4, o_part.shape[1]))])
    ours = case.having(V=V).step()
    sdtp = case.having(rule="sdtp", net=sdtp_net(net), V=V | {case.net.L: o_part}).step()
    assert_close(ours["h_hat"], sdtp["h_hat"])
    assert_close(ours["inverse_loss"], sdtp["inverse_loss"])


def sdtp_net(net):
    return make_case(net, "sdtp").net


@nets_of_ao_sdtp
def test_z_is_a_function_of_the_penultimate_layer_alone(net):
    """Labels and the forward output do not change it."""
    case = make_case(net, "ao-sdtp")
    out = case.step()
    expected = ao_sdtp.auxiliary(case.net, case.params, out["h"][case.net.L - 1])
    other = case.having(y=case.y[::-1]).step()
    assert_same_bits(out["z"], expected)
    assert_same_bits(other["z"], expected)


@every_net
def test_first_targets_of_the_mean_loss(net):
    """"hidden-mean" with α is "hidden" with α / N."""
    case = make_case(net, "dtp", alpha=0.3)
    mean = case.having(first_target="hidden-mean", alpha=0.3 * len(case.x))
    assert_close(mean.step(), case.step())


@nets_of_sdtp
def test_dtp_from_the_output_with_a_whole_step_is_sdtp(net):
    """ĥ_L = h_L - α e / N is y for e = h_L - y and α = N, for e = 2 (h_L - y) and α = N/2."""
    case = make_case(net, "dtp", first_target="output-mean", inverse_loss="de-noising")
    whole = len(case.x) / (2 if NETS[net].loss.name == "squared-error" else 1)
    assert_close(case.having(alpha=whole).step(), case.having(rule="sdtp").step())


@pytest.mark.parametrize("rule", TP_FAMILY)
@nets_of_ao_sdtp
def test_mean_reduction_divides_by_the_units(net, rule):
    case = make_case(net, rule)
    total, mean = case.step(), case.having(reduction="mean").step()
    L = case.net.L
    units = {l: total["h"][l][0].size for l in total["h"]}
    for l in range(1, L):
        assert_close(units[l] * mean["delta"][l], total["delta"][l])
    for l in total["dV"]:
        assert_close(units[l - 1] * mean["dV"][l], total["dV"][l])
    assert_same_bits(mean["delta"][L], total["delta"][L])


# ---- the inverse losses --------------------------------------------------------------------------


def invertible():
    """A linear net of square layers whose inverses are exact: V_l laid out like W_l."""
    net = dense_net(4, 4, 4, 4, hidden="identity", **REGRESSION)
    case = make_case(net, "sdtp")
    W, b = case.params["W"], case.params["b"]
    inverse = {l: np.linalg.inv(W[l]) for l in case.params["V"]}
    return case.having(V={l: M.T for l, M in inverse.items()},
                       c={l: -M @ b[l] for l, M in inverse.items()})


def test_exact_inverses_make_tp_and_sdtp_the_same():
    case = invertible()
    assert_close(case.having(rule="tp").step()["h_hat"], case.step()["h_hat"])


def test_an_exact_inverse_preserves_noise_and_does_not_remove_it():
    """g(f(h̃)) = h̃: no loss where h̃ must come out, ‖ε‖² where h must."""
    case = invertible()
    loss = case.step()["inverse_loss"]
    assert_close(loss, {l: (case.eps[l - 1] ** 2).sum(axis=1) for l in loss})
    preserved = case.having(inverse_loss="noise-preserving").step()["inverse_loss"]
    for l in loss:
        assert (preserved[l] < 1e-20 * loss[l]).all()


@every_net
def test_without_noise_the_inverse_losses_are_one(net):
    case = make_case(net, "dtp")
    h, _ = forward(*case[1:4])
    quiet = {l: 0 * eps for l, eps in case.eps.items()}
    preserved, removed = (
        inverse_gradients(case.net, case.params, h, quiet, kind)
        for kind in ("noise-preserving", "de-noising")
    )
    assert_same_bits(preserved, removed)


# ---- batches and phases --------------------------------------------------------------------------


@every_case([variant for variant in VARIANTS if "first_target" not in variant[1]])
def test_the_gradient_of_a_batch_is_the_mean_of_its_examples(net, rule, options):
    """... except where DTP's first target is set by the mean loss, which knows the batch."""
    case = make_case(net, rule, **options)
    together, N = case.step(), len(case.x)
    alone = [
        case.having(x=case.x[n:n + 1], y=case.y[n:n + 1],
                    eps={l: eps[n:n + 1] for l, eps in case.eps.items()}).step()
        for n in range(N)
    ]
    for name in {"dW", "db", "dV", "dc"} & together.keys():
        mean = {l: sum(out[name][l] for out in alone) / N for l in together[name]}
        assert_close(together[name], mean)


@pytest.mark.parametrize("rule", TP_FAMILY)
@nets_of_ao_sdtp
def test_the_two_phases_make_the_whole(net, rule):
    case = make_case(net, rule)
    forward, inverse = case.step("forward"), case.step("inverse")
    assert not set(INVERSE) & forward.keys()
    assert not {"h_hat", "delta", "dW", "db"} & inverse.keys()
    assert_same_bits(forward | inverse, case.step())
