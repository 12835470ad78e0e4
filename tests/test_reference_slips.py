"""Planted errors: each is found, the right quantity is named first, and the slip by its name.

More of them: test_reference_slips_formulas.py, test_reference_slips_optimizer.py.
"""

from math import sqrt

import numpy as np
import pytest
from planted import Slip, backpropagated, changed, check, only, replaced, replaced_deltas
from seldom import slow_but
from test_reference import run
from write_reference import arguments

from ref import optim, rules
from ref.linear import Convolution
from ref.linear.patches import Patches
from ref.reference.read import read
from ref.reference.replay import replay
from ref.reference.verify import Measure, compare, first
from ref.rules import algorithm_1, dtp, feedback, inverses
from ref.training import Trainer

SQUARE = ("--arch", "dense 6, dense 6, softmax 4")  # W_2 is square, so transposing it fits


# ---- errors to plant -----------------------------------------------------------------------------


def one_entry(array):
    array = array.copy()
    array.flat[7] += 0.01 * abs(array).max()
    return array


def bp_without_transpose(net, params, h, e):
    W = params["W"]
    delta = {3: e, 2: net.act[2].times_derivative(h[2], net.map[3].transpose(W[3], e))}
    delta[1] = net.act[1].times_derivative(h[1], net.map[2].forward(W[2], delta[2]))
    return delta


def fa_without_derivative(net, params, h, e):
    B, delta = params["B"], {net.L: e}
    for l in (2, 1):
        delta[l] = net.map[l + 1].transpose(B[l + 1], delta[l + 1])
    return delta


def extra_mean(net, params, h, e, right=backpropagated):
    return right(net, params, h, e / len(e))


def tp_targets_for_dtp(net, params, h, e, alpha, first_target, examples):
    t = {2: h[2] - alpha * net.map[3].transpose(params["W"][3], e)}
    t[1] = inverses.g(net, params, 2, t[2])
    return t


def transposed_inverse(net, params, l, u, right=inverses.g):
    V = {k: v.T if v.shape[0] == v.shape[1] else v for k, v in params["V"].items()}
    return right(net, {**params, "V": V}, l, u)


def without_noise(net, params, h, eps, *more, right=inverses.inverse_gradients):
    return right(net, params, h, {l: 0 * e for l, e in eps.items()}, *more)


def true_convolution(self, W, x, right=Convolution.forward):
    return right(self, np.ascontiguousarray(W[:, ::-1, ::-1]), x)


def padding_before(self, right=Patches.padding.fget):
    return tuple((after, before) for before, after in right(self))


def one_layer_left_out(params, grads, state, right=optim.adam, **options):
    before = {name: p.copy() for name, p in params.items()}
    right(params, grads, state, **options)
    if "W_2" in params:
        params["W_2"][...] = before["W_2"]


def uncorrected_adam(params, grads, state, *, lr, beta1, beta2, right=optim.adam, **options):
    t = state["t"] + 1
    lr *= (1 - beta1 ** t) / sqrt(1 - beta2 ** t)
    right(params, grads, state, lr=lr, beta1=beta1, beta2=beta2, **options)


def feedback_that_trains(self, x, y, phase="both", eps=None, right=Trainer.step):
    out = right(self, x, y, phase, eps)
    for l, B in self.params["B"].items():
        B -= 0.01 * out["dW"][l]
    return out


SLIPS = {
    "twice": Slip("sdtp", changed(algorithm_1, "inverse_gradients", lambda v, l: 2 * v, "dV", "dc"),
                  "step_1/dV_3", "twice ours: a factor of 2 too many"),
    "half": Slip("sdtp", changed(algorithm_1, "local_deltas", lambda v, l: v / 2),
                 "step_1/delta_2", "half of ours: a factor of 2 is missing"),
    "sum over the batch": Slip("bp", changed(feedback, "gradients", lambda v, l: 3 * v, "dW", "db"),
                               "step_1/dW_3", "N = 3 times ours: 1/N is missing"),
    "one more 1/N": Slip("bp", replaced_deltas(extra_mean),
                         "step_1/delta_3", "an extra 1/N"),
    "sign": Slip("fa", changed(feedback, "gradients", only(2, np.negative), "dW"),
                 "step_1/dW_2", "the sign is wrong"),
    "no transpose": Slip("bp", replaced_deltas(bp_without_transpose),
                         "step_1/delta_1", "W_2 itself where W_2ᵀ belongs", given=SQUARE),
    "gradient transposed": Slip("bp", changed(feedback, "gradients", only(2, np.transpose), "dW"),
                                "step_1/dW_2", "ours transposed", given=SQUARE),
    "inverse transposed": Slip("sdtp", replaced(inverses, "g", transposed_inverse),
                               "step_1/h_hat_1", "V_2 transposed", given=SQUARE),
    "W for B": Slip("fa", replaced_deltas(backpropagated),
                    "step_1/delta_2", "backpropagation's W_3 where the fixed B_3 belongs"),
    "W for B, conv": Slip("fa", replaced_deltas(backpropagated), "step_1/delta_2",
                          "backpropagation's W_3 where the fixed B_3 belongs", "conv"),
    "W for its sign": Slip("sign-symmetry", replaced_deltas(backpropagated),
                           "step_1/delta_2", "only the sign of W_3 belongs"),
    "de-noising": Slip("dtp", {"inverse_loss": "noise-preserving"},
                       "step_1/inverse_loss_2", "inverse_loss de-noising",
                       given=("--inverse-loss", "de-noising")),
    "de-noising, local, alternating": Slip(
        "ao-sdtp", {"inverse_loss": "noise-preserving"}, "step_1/inverse_loss_3",
        "inverse_loss de-noising", "local", ("--schedule", "alternating")),
    "all zero": Slip("fa", changed(feedback, "deltas", only(1, np.zeros_like), 0),
                     "step_1/delta_1", "all zero"),
    "layer left out": Slip("bp", replaced(optim, "adam", one_layer_left_out), "step_1/after/W_2",
                           "W_2 did not change: it is left out"),
    "layer left out, in its first step": Slip(
        "tp", replaced(optim, "adam", one_layer_left_out), "step_2/after/W_2",
        "W_2 did not change: it is left out", "conv", ("--schedule", "alternating")),
    "one entry": Slip("bp", changed(feedback, "gradients", only(2, one_entry), "dW"),
                      "step_1/dW_2", "only 1 of 42 entries wrong, at [1, 0]"),
    "no derivative": Slip("fa", replaced_deltas(fa_without_derivative),
                          "step_1/delta_2", "σ'_2 is left out", "local"),
    "no correction": Slip("dtp", replaced(dtp, "targets", tp_targets_for_dtp),
                          "step_1/h_hat_1", "the correction h_1 - g_2(h_2) is left out", "conv"),
    "convolution": Slip("bp", replaced(Convolution, "forward", true_convolution),
                        "step_1/h_1", "W_1 turned by 180 degrees", "conv"),
    "padding": Slip("bp", replaced(Patches, "padding", property(padding_before)),
                    "step_1/h_1", "before the image (PyTorch's padding=k//2)", "local"),
    "padding, conv": Slip("bp", replaced(Patches, "padding", property(padding_before)),
                          "step_1/h_1", "before the image (PyTorch's padding=k//2)", "conv"),
    "epsilon": Slip("bp", {"epsilon_form": "hat"}, "step_1/after/W_1", "epsilon_form kingma",
                    given=("--epsilon-form", "kingma", "--epsilon", "1e-3")),
    "no bias correction": Slip("bp", replaced(optim, "adam", uncorrected_adam),
                               "step_1/after/W_1", "Adam's bias correction"),
    "learning rate": Slip("bp", {"lr": 0.005}, "step_1/after/W_1", "the change is twice ours"),
    "plain gradient descent": Slip("bp", {"optimizer": "adam"}, "step_1/after/W_1",
                                   "optimizer sgd", given=("--optimizer", "sgd")),
    "inverses trained first": Slip("sdtp", {"order": "targets-first"}, "step_1/h_hat_2",
                                   "order inverse-first", given=("--order", "inverse-first")),
    "no noise": Slip("sdtp", replaced(algorithm_1, "inverse_gradients", without_noise),
                     "step_1/inverse_loss_3", "the noise eps_2 is not added"),
    "mean over units": Slip("sdtp", {"reduction": "sum"}, "step_1/inverse_loss_3",
                            "reduction mean", given=("--reduction", "mean")),
    "target of the mean loss": Slip("dtp", {"first_target": "hidden"}, "step_1/h_hat_2",
                                    "first_target hidden-mean",
                                    given=("--first-target", "hidden-mean")),
    "feedback that trains": Slip("fa", replaced(Trainer, "step", feedback_that_trains),
                                 "step_1/after/B_2", "B_2 changed, but it is fixed"),
}


KINDS = ("dense", "local", "conv")


# ---- each is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [
    "float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SLIPS)
def test_slip(name, dtype, tmp_path, capsys, monkeypatch):
    check(SLIPS[name], dtype, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("rule, kind", slow_but(
    [(rule, kind) for rule in rules.NAMES for kind in KINDS
     if kind == "dense" or rule in ("bp", "sdtp")],
    [(rule, kind) for rule in rules.NAMES for kind in KINDS]))
def test_any_one_entry_of_any_array_comes_first(rule, kind, tmp_path, capsys):
    """A dozen entries of each array, in turn, are off by a thousandth of the largest."""
    path = tmp_path / "theirs.h5"
    assert run(capsys, "write", path, *arguments(rule, kind, "--steps", "1"))[0] == 0
    theirs = read(path)
    order, ours = theirs.quantities, replay(theirs)
    measure = Measure(1e-9, 0.0, np.dtype(np.float64))
    given = {q.name for q in order if q.is_input}
    compared = compare(order, theirs.arrays, ours, measure, given)
    assert len(compared) >= 20 and all(row.agrees for row in compared)
    for row in compared:
        right = theirs.arrays[name := row.quantity.name]
        for k in range(0, right.size, 1 + right.size // 12):
            wrong = right.copy()
            wrong.flat[k] += 1e-3 * (abs(right).max() or 1)
            found = first(compare(order, {**theirs.arrays, name: wrong}, ours, measure, given))
            assert (found.quantity.name, found.wrong) == (name, 1)
            assert found.worst == np.unravel_index(k, right.shape)
