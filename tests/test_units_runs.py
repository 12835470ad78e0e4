"""Runs of networks with batch norm, through ref.train, checkpoints, evaluation and Python."""


import h5py
import numpy as np
import pytest
from checks import assert_same_bits

import ref
from ref import evaluation
from ref.checkpoint import load, save
from ref.common.command import UserError
from ref.folder import read_parameters
from ref.network import forward

LINE = "conv 3x3x3/2 pad 1 bn relu, maxpool 3/2 pad 1, block 4/2, mean, dense 6 bn tanh, softmax 10"


def arguments(data, rule, *more):
    return ["--data", data, "--rule", rule, "--arch", LINE, "--batch-size", 40, "--lr", "0.01",
            "--optimizer", "sgd", "--momentum", "0.9", *more]


RULES = [("bp", ()), ("fa", ("--last-layer", "bp")), ("dfa", ("--broadcast", "inputs")),
         ("sign-symmetry", ("--magnitude", "batch", "--scale", "xiao2018")), ("kolen-pollack", ()),
         ("weight-mirror", ("--schedule", "alternating"))]


@pytest.mark.parametrize("rule, more", RULES, ids=str)
def test_a_resumed_run_ends_as_the_uninterrupted_one(command, tiny, here, rule, more):
    """Running statistics too, bit for bit."""
    assert command("ref.train", *arguments(tiny, rule, "--epochs", 3, "--out", "whole",
                                           *more)).status == 0
    assert command("ref.train", *arguments(tiny, rule, "--epochs", 1, "--out", "parts",
                                           *more)).status == 0
    assert command("ref.train", "--resume", "parts", "--epochs", 3).status == 0
    whole, parts = read_parameters("whole"), read_parameters("parts")
    assert {"gamma_1", "beta_3", "running_mean_2", "running_var_5"} <= whole.keys()
    assert_same_bits(parts, whole)
    assert np.abs(whole["running_mean_1"]).max() > 0


def test_evaluation_and_python_take_the_running_statistics(command, tiny, here):
    result = command("ref.train", *arguments(tiny, "bp", "--epochs", 2, "--out", "run"))
    assert result.status == 0
    with open("run/metrics.csv") as file:
        last = file.read().splitlines()[-1].split(",")
    header = open("run/metrics.csv").readline().strip().split(",")
    error = float(dict(zip(header, last, strict=True))["test_error"])
    evaluated = command("ref.evaluate", "run", "--data", tiny)
    assert f"test  error {error:.2f} %" in evaluated.out
    run = ref.load("run")
    with h5py.File(tiny) as file:
        x, y = file["test/images"][:], file["test/labels"][:]
    assert 100 * (run.predict(x) != y).mean() == pytest.approx(error)
    assert (run.predict(x[:1]) == run.predict(x)[:1]).all()
    run.save("again")
    assert_same_bits(read_parameters("again"), read_parameters("run"))


def test_a_checkpoint_without_running_statistics(command, tiny, here):
    assert command("ref.train", *arguments(tiny, "bp", "--epochs", 1, "--out", "run")).status == 0
    arrays, state = load("run")
    for name in ("parameters/running_var_2",):
        del arrays[name]
    save("run", arrays, state)
    before = read_parameters("run")
    result = command("ref.train", "--resume", "run", "--epochs", 2)
    assert result.status == 2 and result.err.count("\n") == 1
    assert "running_var_2 is missing" in result.err
    assert_same_bits(read_parameters("run"), before)
    with h5py.File("run/parameters.h5", "a") as file:
        del file["running_mean_1"], file.attrs["digest"]
    command.refused("ref.evaluate", "run", "--data", tiny, names=["running_mean_1 is missing"])


def test_one_value_a_channel_while_training(command, tiny, here):
    """A dense layer and a batch of one; said in one line, and what was reached is kept."""
    result = command("ref.train", "--data", tiny, "--rule", "bp", "--arch",
                     "dense 4 bn relu, softmax 10", "--batch-size", 1, "--epochs", 1, "--out",
                     "run")
    assert result.status == 2 and result.err.count("\n") == 1
    assert "more than one value a channel" in result.err
    trainer = ref.Trainer("bp", "dense 4 bn, softmax 3", in_shape=(1, 1, 5))
    with pytest.raises(UserError, match="at least 2 examples"):
        trainer.step(np.ones((1, 1, 1, 5), np.float32), np.eye(3, dtype=np.float32)[:1])


@pytest.mark.parametrize("rule", ["tp", "dtp", "sdtp", "ao-sdtp", "hybrid"])
def test_rules_with_inverses_refuse_it(command, tiny, here, rule):
    command.refused("ref.train", "--data", tiny, "--rule", rule, "--arch", LINE,
                    names=["layer 1 (bn relu maxpool 3/2 pad 1) has no inverse"])


def test_an_image_too_small_for_the_network(command, tiny, here):
    line = "conv 5x5x3/4 pad 0, conv 9x9x3 pad 0, softmax 10"
    command.refused("ref.train", "--data", tiny, "--rule", "bp", "--arch", line,
                    names=["layer 2", "6x6x3, is too small"])
    command.refused("ref.train", "--data", tiny, "--rule", "bp", "--arch", "resnet18",
                    names=["224x224x3", "28x28x1"])


def test_options_that_belong_to_other_rules(command, tiny, here):
    for rule, option, value in (("bp", "--last-layer", "bp"), ("fa", "--scale", "xiao2018"),
                                ("sign-symmetry", "--broadcast", "units")):
        command.refused("ref.train", "--data", tiny, "--rule", rule, option, value, names=[option])


def test_a_step_is_the_same_numbers_whatever_else_was_evaluated():
    """Evaluation changes no running statistic; a training step changes each of them once."""
    rng = np.random.default_rng(0)
    x, y = rng.random((4, 9, 8, 2)), np.eye(10)[[0, 1, 2, 3]]
    trainer = ref.Trainer("bp", LINE, in_shape=(9, 8, 2), dtype="float64")
    kept = {l: v.copy() for l, v in trainer.params["running_var"].items()}
    forward(trainer.net, trainer.params, x)
    evaluation.evaluate(trainer.net, trainer.params, Part(x), np, np.dtype("float64"))
    assert_same_bits(trainer.params["running_var"], kept)
    out = trainer.step(x, y)
    assert_same_bits(trainer.params["running_var"], out["running_var"])
    assert all((v != kept[l]).all() for l, v in trainer.params["running_var"].items())


class Part:
    def __init__(self, x):
        self.x = x

    def in_order(self, size, share):
        yield self.x, np.arange(len(self.x))


def test_how_feedback_alignment_draws_its_feedback():
    """The law's deviation and range, times feedback_scale; W is drawn as without them."""
    usual = ref.Trainer("fa", "mnist-fc").params
    for options, deviation, most in (
            ({}, np.sqrt(2 / 512), np.sqrt(6 / 512)),
            ({"feedback_law": "normal"}, np.sqrt(2 / 512), 1),
            ({"feedback_law": "liao2016"}, 1 / np.sqrt(3), 1),
            ({"feedback_law": "normal", "feedback_scale": 4.0}, 4 * np.sqrt(2 / 512), 4),
            ({"feedback_scale": 0.5}, np.sqrt(2 / 512) / 2, np.sqrt(6 / 512) / 2)):
        params = ref.Trainer("fa", "mnist-fc", **options).params
        B = params["B"][3]
        assert B.std() == pytest.approx(deviation, rel=0.02) and abs(B).max() <= most
        assert (abs(B).max() > 3 * deviation) == (options.get("feedback_law") == "normal")
        assert_same_bits(params["W"], usual["W"])
    assert_same_bits(ref.Trainer("fa", "mnist-fc", feedback_scale=2.0).params["B"][3],
                     2 * usual["B"][3])


def test_signed_feedback_has_the_signs_of_the_first_weights(command, tiny, here):
    """... and one size for each layer, and stays."""
    trainer = ref.Trainer("fa", "resnet18-cifar", feedback_law="xiao2018-signed")
    W, B = trainer.params["W"], trainer.params["B"]
    for l in (2, 7, 21):
        m = trainer.net.map[l]
        s = 1 / np.sqrt(512) if l == 21 else np.sqrt(2 / (np.prod(m.kernel) * m.channels))
        np.testing.assert_allclose(B[l], s * np.sign(W[l]), rtol=1e-6)
    assert 1 not in B
