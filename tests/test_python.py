"""ref from Python: the numbers of the command line, errors of one line, and no side effects."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from checks import assert_same_bits
from write_reference import FOLDER

import ref
from ref import settings
from ref.begin import DEFAULTS
from ref.common.command import UserError
from ref.train import parser

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "dense 12, softmax 10"


@pytest.fixture
def arrays(tiny):
    """(x, y), (x, y) of the tiny data set."""
    with h5py.File(tiny) as file:
        return [(file[f"{part}/images"][:], file[f"{part}/labels"][:])
                for part in ("train", "test")]


def rows_of(path):
    with open(path) as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"}
                for row in csv.DictReader(file)]


def columns_as_rows(metrics):
    names = [name for name in metrics if name != "seconds"]
    return [dict(zip(names, row, strict=True))
            for row in zip(*(metrics[name] for name in names), strict=True)]


@pytest.mark.parametrize(("rule", "more"), [
    ("bp", {}), ("dtp", {"schedule": "alternating", "alpha": 0.2}), ("ao-sdtp", {"aux": 5}),
    ("weight-mirror", {"angles": True, "validation": 40}),
])
def test_the_numbers_of_the_command_line(command, here, tiny, rule, more):
    run = ref.fit(rule, NETWORK, tiny, epochs=2, batch_size=50, seed=3, **more)
    words = [word for key, value in more.items() for word in
             ((f"--{key}",) if value is True else (f"--{key}", value))]
    done = command("ref.train", "--rule", rule, "--arch", NETWORK, "--data", tiny, "--epochs", 2,
                   "--batch-size", 50, "--seed", 3, "--out", "run", *words)
    assert done.status == 0, done.err
    assert columns_as_rows(run.metrics) == rows_of("run/metrics.csv")
    again = ref.load("run")
    assert_same_bits(run.params, again.params)
    assert run.metrics.keys() == again.metrics.keys()


def test_arrays_are_the_file_with_the_same_numbers(tiny, arrays):
    train, test = arrays
    of_file = ref.fit("fa", NETWORK, tiny, epochs=1, batch_size=50)
    of_arrays = ref.fit("fa", NETWORK, data=train, test=test, epochs=1, batch_size=50)
    assert_same_bits(of_file.params, of_arrays.params)
    assert of_file.metrics["test_error"] == of_arrays.metrics["test_error"]


def test_floats_are_taken_as_they_are(arrays):
    (x, y), _ = arrays
    bytes_ = ref.fit("bp", NETWORK, data=(x, y), epochs=1, dtype="float64", batch_size=50)
    floats = ref.fit("bp", NETWORK, data=(x / 255, y), epochs=1, dtype="float64", batch_size=50)
    assert_same_bits(bytes_.params, floats.params)
    flat = ref.fit("bp", NETWORK, data=(x.reshape(len(x), -1) / 255, y), epochs=1,
                   dtype="float64", batch_size=50)
    assert_same_bits(bytes_.params, flat.params)


def test_save_load_predict(here, arrays):
    (x, y), test = arrays
    run = ref.fit("bp", NETWORK, data=(x, y), test=test, epochs=3, lr=0.01, batch_size=20)
    found = run.predict(test[0])
    assert found.shape == (len(test[1]),)
    assert 100 * (found != test[1]).mean() == pytest.approx(run.metrics["test_error"][-1])
    run.save("saved")
    again = ref.load("saved")
    assert (again.predict(test[0]) == found).all() and again.metrics == run.metrics
    with pytest.raises(UserError, match="already holds a run"):
        run.save("saved")


def test_autoencoder_reconstructs(arrays):
    (x, y), _ = arrays
    run = ref.fit("bp", "dense 8, reconstruction", data=(x, y), epochs=1)
    assert run.predict(x[:3]).shape == x[:3].shape


def test_a_step_by_name():
    trainer = ref.Trainer("dtp", "dense 5, dense 4, softmax 3", in_shape=(2, 3, 1), dtype="float64")
    x, y = np.random.default_rng(0).random((4, 2, 3, 1)), np.eye(3)[[0, 1, 2, 0]]
    out = trainer.step(x, y)
    assert {"h", "h_hat", "delta", "dW", "db", "dV", "dc", "loss", "inverse_loss"} <= out.keys()
    assert out["h"][3].shape == (4, 3) and trainer.t == 1


@pytest.mark.parametrize(("given", "words"), [
    ({"seed": -1}, "seed: -1 is not an integer"), ({"dtype": "int8"}, "dtype: 'int8' is none of"),
    ({"nosuch": 1}, "nosuch: no such option"), ({"mu": 0.1}, "--mu: the rule fa has no"),
])
def test_a_trainers_errors(given, words):
    with pytest.raises(UserError, match=words):
        ref.Trainer("fa", NETWORK, in_shape=(2, 2, 1), **given)


def test_verify():
    assert ref.verify(FOLDER / "fa_dense.h5").agrees


@pytest.mark.parametrize(("given", "words"), [
    ({"rule": "nosuch"}, "nosuch"),
    ({"nosuch": 1}, "nosuch: no such option"),
    ({"alpha": 0.1}, "--alpha: the rule bp has no such option"),
    ({"lr": -1}, "--lr: -1 is not a number above 0"),
    ({"lr": "fast"}, "--lr: 'fast' is not a number"),
    ({"arch": "dense 5"}, "layer 1"),
    ({"data": "nosuch.h5"}, "nosuch.h5 is not there"),
    ({"data": (np.zeros((3, 4)), np.zeros(2, int))}, "x has 3 examples, but y 2 labels"),
    ({"data": (np.zeros((30, 4), int), np.zeros(30, int))}, "x is int64, expected uint8"),
    ({"data": (np.zeros((1, 4)), np.zeros(1, int))}, "one example"),
    ({"data": (np.zeros((3, 4)), np.zeros(3, int)), "test": (np.zeros((3, 5)), np.zeros(3, int))},
     "examples of shape 5, those of train have 4"),
    ({"data": np.zeros((3, 4))}, "expected a pair of arrays"),
    ({"data": (np.full((30, 4), np.nan), np.zeros(30, int))}, "example 0 of x holds nan"),
    ({"data": (np.zeros((30, 4)), np.zeros(30))}, "expected integers"),
    ({"epochs": 0}, "epochs"), ({"epochs": 1.5}, "epochs"), ({"seed": -1}, "seed"),
    ({"dtype": "int8"}, "dtype"), ({"backend": "nosuch"}, "backend"), ({"flip": "up"}, "flip"),
    ({"batch_size": 0}, "batch-size"), ({"resume": "run"}, "resume"),
])
def test_errors_are_the_command_lines(here, given, words):
    with pytest.raises(UserError, match=words) as error:
        ref.fit(**{"rule": "bp", "arch": NETWORK, "data": "digits", **given})
    assert "\n" not in str(error.value)
    assert not list(here.glob("runs*"))


def test_every_option_is_a_keyword():
    args = vars(parser().parse_args([]))
    assert args.pop("show") is False  # it ends the command
    assert args == {**dict.fromkeys(settings.every()), **DEFAULTS, "rule": None}


def test_importing_does_nothing(tmp_path):
    code = "import os, ref; print(sorted(os.listdir())); ref.fit; print(sorted(os.listdir()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True,
                          capture_output=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


@pytest.mark.slow
def test_the_readmes_example(tmp_path):
    """As written; the numbers that it prints are ref.train's."""
    found = re.search(r"<!-- example: from Python -->\n```python\n(.*?)```",
                      (ROOT / "README.md").read_text(), re.S).group(1)
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", found], cwd=tmp_path, text=True,
                          capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "-m", "ref.train", "--rule", "dtp", "--arch",
                    "dense 64, softmax 10", "--epochs", "2", "--out", "run"], cwd=tmp_path,
                   check=True, capture_output=True, env=environment)
    errors = [row["test_error"] for row in rows_of(tmp_path / "run" / "metrics.csv")]
    assert done.stdout.splitlines()[-2] == str(errors)
