"""Bugs that users of other implementations reported, as tests: the right behaviour of each.

1   reproducibility-challenge/iclr_2019 #125     2   willwx/sign-symmetry (ac44639)
3   jordan-g/PyTorch-Feedback-Alignment-Layers #1
4   jsalbert/biotorch d7784c7, 95690b7           5   jsalbert/biotorch e181fd0, 95690b7
6   pytorch/pytorch #51430                       7   pytorch/pytorch #13008
8   hpc-ulisboa/posit-neuralnet PR #2, flagos-ai/FlagGems PR #1576, fhvilshoj/TorchLRP #5
9   NervanaSystems/neon #111                     10  PaddlePaddle/Paddle #1805
11  pytorch/pytorch #3122, #60528, #1410         12  ml-explore/mlx PR #3817
"""

import os

import h5py
import numpy as np
import pytest
from checks import assert_close, assert_same_bits, gradient, random_parameters
from test_reference import run

import ref
from ref import rules
from ref.common.command import UserError
from ref.graph import coming_down
from ref.layers import read
from ref.linear import Convolution
from ref.network import forward
from ref.rules import sign_symmetry
from ref.units import BatchNorm

RNG = np.random.default_rng(0)
LINE = "conv 3x3x4/2 pad 1 bn relu, block 6/2, mean, dense 5 bn relu, softmax 3"
SHAPE = (9, 7, 2)


def step_of(rule, line, x, y, change=lambda params: None, **options):
    """(net, params, what a step gives) with random numbers in every parameter."""
    declared = rules.get(rule)
    net = declared.build(read(line, x.shape[1:]), options)
    params = random_parameters(net, np.random.default_rng(1))
    change(params)
    return net, params, declared.step(net, params, x, y, **options)


def batch(N=3, shape=SHAPE, K=3):
    return RNG.normal(size=(N, *shape)), np.eye(K)[RNG.integers(0, K, N)]


def test_1_what_comes_down_is_summed_over_outputs():
    """δx_i = Σ_j B_ij f'(a_j) δy_j: with B = W it is the gradient, for two sizes."""
    x, y = batch(shape=(1, 1, 4))

    def transport(params):
        params["B"][2] = params["W"][2]

    net, params, out = step_of("fa", "dense 5, softmax 3", x, y, transport)

    def loss(params):
        return net.loss.value(forward(net, params, x.astype(complex))[1], y).mean()

    assert_close(out["dW"][1], gradient(loss, params, "W", 1))
    by_hand = np.einsum("ji,nj->ni", params["B"][2], out["delta"][2])
    assert_close(out["delta"][1], by_hand * (1 - out["h"][1] ** 2))


def test_2_checkpoints_are_in_the_runs_folder_wherever_it_is_resumed(command, tiny, tmp_path,
                                                                    monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    out = tmp_path / "runs" / "mine"
    assert command("ref.train", "--data", tiny, "--rule", "fa", "--arch", "dense 4, softmax 10",
                   "--epochs", 1, "--out", os.path.relpath(out)).status == 0
    monkeypatch.chdir(tmp_path / "b")
    assert command("ref.train", "--resume", out, "--epochs", 2).status == 0
    assert {"checkpoint.h5", "parameters.h5"} <= set(os.listdir(out))
    assert not os.listdir(tmp_path / "a") and not os.listdir(tmp_path / "b")


@pytest.mark.parametrize("rule", ["bp", "fa", "sign-symmetry", "kolen-pollack", "dfa"])
def test_3_without_a_bias_the_other_gradients_are_the_same(rule):
    x, y = batch()
    options = {"magnitude": "uniform"} if rule == "sign-symmetry" else {}
    options = {"decay": 0.1} if rule == "kolen-pollack" else options
    line = "conv 3x3x4/2 pad 1{}, dense 5{}, softmax 3"

    def same(params):
        rng = np.random.default_rng(2)
        for symbol in ("W", "B"):
            for l, array in sorted(params[symbol].items()):
                params[symbol][l] = rng.normal(size=array.shape)
        for b in params["b"].values():
            b[...] = 0

    _, _, biased = step_of(rule, line.format("", ""), x, y, same, **options)
    _, _, out = step_of(rule, line.format(" nobias", " nobias"), x, y, same, **options)
    for name in ("delta", "dW"):
        assert_same_bits(out[name], biased[name])
    assert out["db"].keys() == {3} and biased["db"].keys() == {1, 2, 3}


@pytest.mark.parametrize("scale", ["biotorch2021", "biotorch2021-fan-in", "xiao2018", "liao2016"])
@pytest.mark.parametrize("magnitude", ["uniform", "fixed", "batch"])
def test_4_feedback_has_the_signs_of_the_weights_at_every_step(magnitude, scale):
    trainer = ref.Trainer("sign-symmetry", LINE, in_shape=SHAPE, magnitude=magnitude, scale=scale,
                          dtype="float64", optimizer="sgd", lr=20.0)
    x, y = batch()
    start = {l: array.copy() for l, array in trainer.params["W"].items()}
    for _ in range(4):
        W = {l: array.copy() for l, array in trainer.params["W"].items()}
        V = sign_symmetry.carried_by(trainer.net, trainer.params, magnitude, scale)
        assert V.keys() == set(range(2, 7))
        assert all((np.sign(V[l]) == np.sign(W[l])).all() for l in V)
        trainer.step(x, y)
    assert any((np.sign(W[l]) != np.sign(start[l])).any() for l in W)  # some have turned


def test_4_a_weight_of_zero_sends_nothing():
    net = read("dense 3, softmax 2", (1, 1, 2))
    params = {"W": {1: np.ones((3, 2)), 2: np.array([[0.0, 2, -1], [1, 0, 0]])}}
    assert (sign_symmetry.carried_by(net, params, "uniform", "liao2016")[2]
            == [[0, 1, -1], [1, 0, 0]]).all()


def test_4_the_signs_are_those_of_the_forward_pass():
    """Not of the W after the step's own update, though it turns many signs."""
    x, y = batch()
    trainer = ref.Trainer("sign-symmetry", LINE, in_shape=SHAPE, dtype="float64",
                          optimizer="sgd", lr=50.0)
    params = {s: {l: a.copy() for l, a in layers.items()} for s, layers in trainer.params.items()}
    want = rules.get("sign-symmetry").step(trainer.net, params, x, y, magnitude="uniform")
    got = trainer.step(x, y)
    assert (np.sign(trainer.params["W"][6]) != np.sign(params["W"][6])).any()
    assert_same_bits(got["delta"], want["delta"])


def test_5_the_stored_magnitudes_never_change():
    trainer = ref.Trainer("sign-symmetry", LINE, in_shape=SHAPE, magnitude="fixed",
                          dtype="float64", optimizer="sgd", lr=0.5)
    x, y = batch()
    M = {l: array.copy() for l, array in trainer.params["B"].items()}
    first = sign_symmetry.carried_by(trainer.net, trainer.params, "fixed")
    assert_same_bits(sign_symmetry.carried_by(trainer.net, trainer.params, "fixed"), first)
    for _ in range(3):
        trainer.step(x, y)
    assert_same_bits(trainer.params["B"], M)


@pytest.mark.parametrize("name", ["groups", "dilation"])
def test_6_and_7_groups_and_dilation_are_refused(name, tmp_path, capsys):
    path = tmp_path / "theirs.h5"
    assert run(capsys, "write", path, "--rule", "bp", "--arch", LINE, "--in-shape", "9x7x2",
               "--steps", 1)[0] == 0
    with h5py.File(path, "a") as file:
        file["net/layer_2"].attrs[name] = 2
    status, _, err = run(capsys, "verify", path)
    assert status == 2 and f"net/layer_2: {name} other than 1" in err and err.count("\n") == 1
    with pytest.raises(UserError, match="can't stand|behind a layer"):
        read(f"conv 3x3x4 {name} 2, softmax 3", SHAPE)


@pytest.mark.parametrize("m", [
    Convolution((28, 28, 2), 3, (3, 3), 2, 1), Convolution((14, 13, 2), 3, (3, 3), 2, 1),
    Convolution((7, 8, 3), 2, (3, 3), 2, 1), Convolution((23, 20, 1), 2, (11, 11), 4, 2),
    Convolution((15, 16, 2), 2, (7, 7), 2, 3), Convolution((6, 7, 2), 3, (1, 1), 2, 0),
    Convolution((6, 5, 2), 3, (3, 3), 1, 1), Convolution((6, 5, 2), 3, (5, 5), 1, 1),
    Convolution((6, 5, 2), 3, (2, 2), 1, 0), Convolution((9, 8, 2), 3, (3, 5), 3, 2),
    Convolution((4, 4, 2), 3, (2, 2), 1, 3),
], ids=str)
def test_8_backward_has_the_inputs_shape_where_the_stride_does_not_divide(m):
    """⟨y, W x⟩ = ⟨Wᵀ y, x⟩ = ⟨outer(x, y), W⟩, against a loop over every connection."""
    W, x, y = (RNG.normal(size=shape) for shape in (m.weight_shape, (2, *m.in_shape),
                                                    (2, *m.out_shape)))
    (H, W_, _), (kh, kw), p = m.in_shape, m.kernel, m.pad
    assert m.out_shape[:2] == ((H + 2 * p - kh) // m.stride + 1, (W_ + 2 * p - kw) // m.stride + 1)
    forward_, down, outer = np.zeros(y.shape), np.zeros(x.shape), np.zeros(W.shape)
    for i, j, a, b in np.ndindex(*m.out_shape[:2], kh, kw):
        r, c = m.stride * i + a - p, m.stride * j + b - p
        if 0 <= r < H and 0 <= c < W_:
            forward_[:, i, j] += x[:, r, c] @ W[:, a, b].T
            down[:, r, c] += y[:, i, j] @ W[:, a, b]
            outer[:, a, b] += y[:, i, j].T @ x[:, r, c]
    assert_close([m.forward(W, x), m.transpose(W, y), m.outer(x, y)], [forward_, down, outer])


def test_8_rows_that_no_window_touches_get_nothing():
    m = Convolution((6, 6, 1), 2, (3, 3), 2, 0)  # the last row and column are in no window
    down = m.transpose(np.ones(m.weight_shape), np.ones((1, *m.out_shape)))
    assert down.shape == (1, 6, 6, 1) and not down[:, 5].any() and not down[:, :, 5].any()


def test_9_every_index_of_the_input_gradient():
    """C_in ≠ C_out, H ≠ W, kh ≠ kw, an entry at a time."""
    m = Convolution((5, 7, 2), 3, (2, 3), 2, 1)
    W, x, y = (RNG.normal(size=shape) for shape in (m.weight_shape, (1, *m.in_shape),
                                                    (1, *m.out_shape)))
    down = m.transpose(W, y)
    for k in np.ndindex(x.shape):
        one = np.zeros(x.shape)
        one[k] = 1
        assert abs((y * m.forward(W, one)).sum() - down[k]) < 1e-12


def test_10_a_layer_that_feeds_two_branches_gets_their_sum():
    x, y = batch()
    net, params, out = step_of("bp", "conv 3x3x4 pad 1 tanh, block 4 a, mean, softmax 3", x, y)
    own = {3: {"skip": RNG.normal(size=out["h"][1].shape)}}
    both = coming_down(net, 1, params["W"], out["delta"], own)
    branch = net.map[2].transpose(params["W"][2], out["delta"][2])
    assert_close(both, branch + own[3]["skip"])


def test_11_biased_to_normalise_unbiased_in_the_running_estimate():
    norm, a = BatchNorm(1), np.array([1.0, 2.0, 6.0]).reshape(3, 1)
    theta = {"gamma": np.ones(1), "beta": np.zeros(1), "running_mean": np.zeros(1),
             "running_var": np.ones(1)}
    y, kept = norm.value(a.copy(), theta)
    assert_close(y, (a - 3) / np.sqrt(14 / 3 + 1e-5))
    assert_close(norm.running(kept, theta)["running_var"], np.array([0.9 + 0.1 * 7]))


def test_12_one_value_a_channel_is_refused():
    trainer = ref.Trainer("bp", "dense 4 bn relu, softmax 3", in_shape=(1, 1, 2))
    with pytest.raises(UserError, match="more than one value a channel") as error:
        trainer.step(np.ones((1, 1, 1, 2), np.float32), np.eye(3, dtype=np.float32)[:1])
    assert "\n" not in str(error.value)
