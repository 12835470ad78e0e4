"""ref.train, the command: the same run from the same seed, and what it leaves and prints."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_images
from training_runs import assert_no_halves, assert_same_parameters, config, metrics, parameters

from ref import hyperparameters, rules

WITH_INVERSES = [name for name in rules.NAMES if "V" in rules.get(name).symbols]
REPEATED = [
    ["--rule", "bp", "--crop-padding", 2, "--flip", "horizontal"],
    ["--rule", "fa"],
    ["--rule", "dfa", "--optimizer", "sgd"],
    ["--rule", "sign-symmetry", "--magnitude", "batch"],
    ["--rule", "tp", "--dtype", "float64"],
    ["--rule", "dtp"],
    ["--rule", "sdtp", "--schedule", "alternating"],
    ["--rule", "ao-sdtp", "--aux", 8, "--order", "inverse-first"],
    ["--rule", "hybrid"],
]


@pytest.mark.parametrize("arguments", REPEATED, ids=lambda a: a[1])
def test_the_same_seed_gives_the_same_run(train, arguments):
    """Metrics but for the seconds, and every bit of the parameters; another seed does not."""
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        more = ["--angles", "--validation", 50, "--epochs", 2, "--seed", seed, "--out", out]
        assert train(*arguments, *more).status == 0
    a, b, c = ([{k: v for k, v in row.items() if k != "seconds"} for row in metrics(out)]
               for out in "abc")
    assert a == b
    assert all(a[0][k] != c[0][k] for k in a[0] if k.endswith("_loss") or "inverse_loss" in k)
    assert_same_parameters("a", "b")
    first, other = parameters("a"), parameters("c")
    assert all((first[name] != other[name]).any() for name in first if name != "b_z")


@pytest.mark.parametrize("arguments", [
    ["--rule", "sdtp"], ["--rule", "sign-symmetry", "--magnitude", "batch"]], ids=lambda a: a[1])
def test_angles_are_only_looked_at(train, arguments):
    assert train(*arguments, "--epochs", 2, "--out", "a").status == 0
    assert train(*arguments, "--epochs", 2, "--angles", "--out", "b").status == 0
    assert_same_parameters("a", "b")


def test_every_rule_starts_from_the_same_weights(train):
    """A learning rate too small to change a float32, so that what is kept is what it began with."""
    for rule in rules.NAMES:
        schedule = ["--schedule", "alternating"] if rule == "sdtp" else []
        assert train("--rule", rule, "--optimizer", "sgd", "--lr", "1e-30", *schedule,
                     "--out", rule).status == 0
    for rule in rules.NAMES:
        assert_same_parameters("bp", rule, symbols=["W_1", "W_2", "W_3"])
    for rule in WITH_INVERSES:
        assert (parameters(rule)["V_2"] != parameters("bp")["W_2"]).all()
    train("--optimizer", "sgd", "--lr", "1e-30", "--seed", 1, "--out", "other")
    assert (parameters("other")["W_1"] != parameters("bp")["W_1"]).mean() > 0.99


def test_config(train, base, monkeypatch):
    """The command, everything it resolved to, versions; the command can be given again."""
    assert train("--rule", "dtp", "--lr", "0.25", "--out", "run").status == 0
    stored = config("run")
    words = shlex.split(stored["command"])
    assert words[:3] == ["python", "-m", "ref.train"]
    arguments = [str(a) for a in base] + ["--rule", "dtp", "--lr", "0.25", "--out", "run"]
    assert words[3:] == arguments
    assert stored["arguments"] | {"seed": 0, "dtype": "float32"} == stored["arguments"]
    assert stored["versions"]["numpy"] == np.__version__
    assert stored["versions"].keys() >= {"ref", "python", "h5py"}
    generic, found = hyperparameters.GENERIC, stored["hyperparameters"]
    assert found == {
        **generic, "lr": 0.25, "batch_size": 50, "optimizer": "adam", "epsilon_form": "hat",
        "schedule": "parallel", "convention": "bartunov2018", "first_target": "hidden",
        "output": "probabilities", "inverse_loss": "noise-preserving", "reduction": "sum",
        "order": "targets-first", "inverse": "same", "momentum": 0, "weight_decay": 0,
        "inverse_momentum": 0, "inverse_weight_decay": 0,
        "inverse_steps": 1, "inverse_pretraining": 0,
        **{f"{p}{key}": value for p in ("", "inverse_") for key, value in
           {"lr_step": 0, "lr_milestones": "", "lr_factor": 0.1}.items()},
    }


@pytest.mark.parametrize("rule", WITH_INVERSES)
def test_the_default_inverse_loss_is_section_5_1s(train, rule):
    assert train("--rule", rule, "--out", "run").status == 0
    expected = "noise-preserving" if rule == "dtp" else "de-noising"
    assert config("run")["hyperparameters"]["inverse_loss"] == expected


INVERSES = {"dtp": [2], "tp": [2, 3], "sdtp": [2, 3], "ao-sdtp": [2, 3], "hybrid": [2, 3]}


@pytest.mark.parametrize("extra", [[], ["--angles"], ["--validation", 50], ["alternating"]],
                         ids=lambda e: e[0] if e else "plain")
@pytest.mark.parametrize("rule", rules.NAMES)
def test_columns(train, rule, extra):
    """metrics.csv has a row an epoch and these columns, all of them filled in."""
    if extra == ["alternating"]:
        if rule not in WITH_INVERSES:
            pytest.skip("no schedule")
        extra = ["--schedule", "alternating"]
    assert train("--rule", rule, *extra, "--epochs", 2, "--out", "run").status == 0
    expected = {"epoch", "seconds", "train_error", "train_loss", "test_error", "test_loss"}
    expected |= {f"inverse_loss_{l}" for l in INVERSES.get(rule, ())}
    if "--angles" in extra:
        layers = {"": (1, 2, 3), "inverse_": INVERSES.get(rule, ())}
        if rule == "ao-sdtp":  # V_3 inverts the auxiliary outputs too: it has another shape
            layers["inverse_"] = [2]
        if rules.get(rule).feedback:
            layers["feedback_"] = (2, 3)
        expected |= {f"{of}{what}_{l}" for of, ls in layers.items() for l in ls
                     for what in ("angle", "norm_ratio")}
    if "--validation" in extra:
        expected |= {"validation_error", "validation_loss"}
    rows = metrics("run")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert row.keys() == expected
        values = {key: float(value) for key, value in row.items()}
        assert all(np.isfinite(v) and v >= 0 for v in values.values())
        assert all(v <= 100 for key, v in values.items() if key.endswith("_error"))
    assert_no_halves("run")


def test_what_is_printed(train):
    """One line an epoch, then best and final error, as metrics.csv has them."""
    result = train("--arch", "softmax 10", "--epochs", 6, "--lr", "0.01", "--out", "run")
    errors = [float(row["test_error"]) for row in metrics("run")]
    lines = result.out.splitlines()
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 6 and result.err == ""
    for k, line in enumerate(epochs):
        assert re.match(rf"epoch +{k + 1} ", line) and f"test error {errors[k]:.2f} %" in line
    assert lines[-1] == (f"best test error {min(errors):.2f} % (epoch "
                         f"{1 + errors.index(min(errors))}), final {errors[-1]:.2f} %")
    assert len(set(errors)) > 1


def test_an_autoencoder_has_no_percents(train):
    result = train("--rule", "sdtp", "--arch", "dense 8, reconstruction", "--epochs", 2,
                   "--out", "run")
    assert result.status == 0 and "%" not in result.out
    rows = metrics("run")
    assert 0 < float(rows[1]["test_error"]) < 1
    # the loss is summed over the 784 pixels, the error a mean
    assert np.isclose(float(rows[1]["test_loss"]), 784 * float(rows[1]["test_error"]), rtol=1e-5)
    last = result.out.splitlines()[-1]
    assert last.startswith("best test error 0.") and "mean squared error" in last


def test_the_same_command_twice(train, here):
    """Without --out each run has a new folder under runs/out, named after what it is."""
    assert [train("--rule", "fa", "--arch", "mnist-fc").status for _ in range(2)] == [0, 0]
    names = sorted(path.name for path in (here / "runs" / "out").iterdir())
    assert len(names) == 2
    assert all(re.match("mnist-fc_fa_tiny_seed0", name) for name in names)
    assert_same_parameters(*((here / "runs" / "out" / name) for name in names))


def test_data_given_by_name(command, base, here):
    noise_images(here / "data" / "mine.h5")
    assert command("ref.train", *base, "--data", "mine", "--out", "run").status == 0
    assert config("run")["data"]["name"] == "mine"


def test_digits_are_the_default_and_made_once(command, here, monkeypatch):
    made = []
    monkeypatch.setattr("data_prep.digits.make", lambda path: made.append(noise_images(path)))
    for out in ("a", "b"):
        assert command("ref.train", "--rule", "bp", "--epochs", 1, "--out", out).status == 0
        assert config(out)["data"]["path"] == "data/digits.h5"  # not an absolute one
    assert made == [Path("data/digits.h5")]
