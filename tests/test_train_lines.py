"""The first lines of a run, and the rates of an optimiser: said where they come from, and right."""

import json
import re

import pytest
from seldom import slow_but

import ref.begin
import ref.train
from ref import lines, rules

# % test error after 5 epochs of 2,000 digits on mnist-fc with --optimizer sgd: reached, and limit.
# tp is left out: no pair of rates tried took it below 50 % (runs/results/discussion.md)
SGD = {"bp": (17.4, 30), "fa": (30.8, 45), "dfa": (27.4, 42), "sign-symmetry": (16.2, 30),
       "dtp": (40.2, 55), "sdtp": (31.4, 45), "ao-sdtp": (42.4, 57), "hybrid": (40.4, 55)}


def resolved(*arguments):
    return ref.begin.resolve(ref.train.parser().parse_args(list(arguments)))


@pytest.mark.parametrize(("arguments", "line"), [
    (["bp", "mnist-fc"], "optimizer adam, lr 0.000152 (Table 5), batch size 100"),
    (["fa", "mnist-fc"], "optimizer adam, lr 0.0006 (found), batch size 100"),
    (["sign-symmetry", "mnist-fc"],
     "optimizer adam, lr 0.0006 (found for fa on mnist-fc), batch size 100"),
    (["bp", "softmax 10", "--lr", "0.5", "--batch-size", "50"],
     "optimizer adam, lr 0.5 (given), batch size 50"),
    (["dtp", "mnist-fc", "--inverse-lr", "0.25"],
     "optimizer adam, lr 0.000757 (Table 5), inverse lr 0.25 (given), batch size 100, "
     "schedule parallel"),
    (["dtp", "mnist-fc", "--optimizer", "sgd", "--schedule", "alternating"],
     "optimizer sgd, lr 0.1 (generic for sgd), inverse lr 0.001 (generic for sgd), batch size 100, "
     "schedule alternating"),
    (["bp", "dense 8, softmax 10", "--optimizer", "sgd", "--lr", "0.2"],
     "optimizer sgd, lr 0.2 (given), batch size 100"),
], ids=str)
def test_the_first_lines(command, here, tiny, arguments, line):
    """Rule, network, data; optimiser, each rate and its source. On --resume the same."""
    rule, arch, *more = arguments
    result = command("ref.train", "--data", tiny, "--rule", rule, "--arch", arch, "--epochs", 1,
                     "--out", "run", *more)
    lines = [f"{rule} on {arch}: {line}", "tiny: 200 train and 100 test examples; results in run"]
    assert result.out.splitlines()[:2] == lines
    again = command("ref.train", "--resume", "run", "--epochs", 2)
    assert again.out.splitlines()[:2] == lines


def test_changes_that_never_come_are_said(command, here, tiny):
    """Of the milestones those alone that lie behind the end; on going on with more epochs none."""
    line = ["ref.train", "--rule", "dtp", "--arch", "softmax 10", "--data", tiny, "--epochs", 2]
    out = command(*line, "--lr-milestones", "1,2,50", "--inverse-lr-step", 2, "--out", "run").out
    assert re.findall("^warning.*", out, re.M) == [
        "warning: --lr-milestones 2,50: never reached, the run has 2 epochs",
        "warning: --inverse-lr-step 2: never reached, the run has 2 epochs"]
    assert "warning" not in command("ref.train", "--resume", "run", "--epochs", 51).out


def test_one_layer_is_no_range():
    row = {"epoch": 1, "seconds": 0, "inverse_loss_2": 0.5, "angle_1": 3.0, "angle_2": 4.0}
    assert lines.epoch_line(row, lines.percent) == (
        "epoch   1   inverse loss 2: 0.5   angles 1-2: 3 4   0.0 s")


@pytest.mark.parametrize("rule", rules.NAMES)
def test_sgd_has_rates_of_its_own(rule):
    """And says so; what is given wins, and nothing of the source is then made up."""
    setting, source = resolved("--rule", rule, "--optimizer", "sgd")
    assert setting["lr"] == 0.1 and source.endswith("rates generic for sgd")
    assert setting.get("inverse_lr") in (None, 1e-3)
    given = [word for key in setting if key.endswith("lr") and key != "lr"
             for word in (f"--{key.replace('_', '-')}", "0.25")] + ["--lr", "0.5"]
    setting, source = resolved("--rule", rule, "--optimizer", "sgd", *given)
    assert setting["lr"] == 0.5 and setting.get("inverse_lr") in (None, 0.25)
    assert "sgd" not in source


@pytest.mark.parametrize("arch", ["mnist-autoencoder", "dense 8, reconstruction"])
def test_a_sum_over_pixels_takes_a_smaller_rate(arch):
    setting, _ = resolved("--rule", "bp", "--optimizer", "sgd", "--arch", arch)
    assert setting["lr"] == 0.003


def test_table_5_has_no_rates_for_sgd(command, here):
    line = ["ref.train", "--rule", "bp", "--hyperparameters", "paper", "--optimizer", "sgd"]
    command.refused(*line, names=["Table 5", "--lr"])


@pytest.mark.parametrize("rule", slow_but(["bp", "dfa", "sdtp"], SGD))
def test_sgd_learns_with_its_defaults(command, here, digits, rule):
    result = command("ref.train", "--rule", rule, "--data", digits, "--optimizer", "sgd",
                     "--epochs", 5, "--out", "run")
    assert result.status == 0
    with open("run/metrics.csv") as file:
        header, *_, last = (line.split(",") for line in file)
    assert float(dict(zip(header, last, strict=True))["test_error"]) < SGD[rule][1]
    config = json.loads((here / "run/config.json").read_text())
    assert config["hyperparameters_from"].endswith("rates generic for sgd")
