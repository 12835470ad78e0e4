"""ref.evaluate: agrees with the run and with plain NumPy; damaged runs are one line, status 2."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import noise_images

import ref.evaluate
from ref import rules

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "dense 8, dense 8, softmax 10"


@pytest.fixture
def trained(command, here, tiny):
    """trained(rule, ...) trains a small network in the folder `run`; gives its last metrics row."""

    def run(*arguments):
        result = command("ref.train", "--data", tiny, "--arch", NETWORK, "--epochs", 2,
                         "--lr", "0.01", "--out", "run", *arguments)
        assert result.status == 0
        with open("run/metrics.csv") as file:
            return {key: float(v) for key, v in list(csv.DictReader(file))[-1].items()}

    return run


@pytest.fixture
def broken(trained, command, here):
    """Damage the folder of a run, then: broken(names=...) expects that to be refused."""
    trained("--rule", "bp")
    return lambda *more, names=(): command.refused("ref.evaluate", "run", *more, names=names)


def shown(out, part):
    """(error, loss, number of examples), as text, on one part."""
    found = re.search(rf"^{part} +error (\S+) .*loss (\S+) .*\((\d+) examples\)", out, re.M)
    return found.groups()


@pytest.mark.parametrize("arguments", [
    *(["--rule", rule] for rule in rules.NAMES),
    ["--rule", "dtp", "--convention", "meulemans2020"],
    ["--rule", "sdtp", "--inverse", "wide", "--arch", "conv 3x3x2/2, local 3x3x2/2, softmax 10"],
    ["--rule", "bp", "--dtype", "float64"],
    ["--rule", "bp", "--validation", "50"],
], ids=" ".join)
def test_agrees_with_the_runs_last_row(trained, command, arguments):
    row = trained(*arguments)
    result = command("ref.evaluate", "run")
    assert (result.status, result.err) == (0, "")
    assert shown(result.out, "test") == (
        f"{row['test_error']:.2f}", f"{row['test_loss']:.4f}", "100")
    # Ten test images in each of the ten classes, so the mean over classes is the error.
    by_class = re.findall(r"(c\d) (\S+) %", result.out.splitlines()[-1])
    assert [name for name, _ in by_class] == [f"c{k}" for k in range(10)]
    assert np.isclose(np.mean([float(e) for _, e in by_class]), row["test_error"])


def test_autoencoder(trained, command):
    row = trained("--rule", "sdtp", "--arch", "dense 8, reconstruction")
    result = command("ref.evaluate", "run")
    assert (result.status, result.err) == (0, "")
    assert shown(result.out, "test") == (
        f"{row['test_error']:.5f}", f"{row['test_loss']:.4f}", "100")
    assert "class" not in result.out


def by_hand(path, part):
    """(error, loss) of the network in `run` on a part of a data set: tanh, tanh, softmax."""
    with h5py.File("run/parameters.h5") as p, h5py.File(path) as data:
        h = data[f"{part}/images"][:].reshape(-1, 784) / 255
        y = data[f"{part}/labels"][:].astype(int)
        for l in (1, 2):
            h = np.tanh(h @ p[f"W_{l}"][:].T + p[f"b_{l}"][:])
        o = np.exp(h @ p["W_3"][:].T + p["b_3"][:])
        o /= o.sum(axis=1, keepdims=True)
    return 100 * (o.argmax(axis=1) != y).mean(), -np.log(o[np.arange(len(y)), y]).mean()


@pytest.mark.parametrize("named", [True, False])
def test_another_data_set(trained, command, here, tiny, named):
    """By name or as a file; both data sets agree with a calculation by hand."""
    trained("--rule", "fa")
    other = noise_images(here / "data" / "other.h5", seed=1)
    for path, option in ((tiny, []), (other, ["--data", "other" if named else other])):
        result = command("ref.evaluate", "run", *option)
        assert (result.status, result.err) == (0, "")
        for part, n in (("train", "200"), ("test", "100")):
            error, loss, examples = shown(result.out, part)
            expected_error, expected_loss = by_hand(path, part)
            assert examples == n and float(error) == pytest.approx(expected_error)
            assert float(loss) == pytest.approx(expected_loss, abs=1e-4)


def test_a_run_is_only_read(trained, command, here):
    trained("--rule", "dfa")
    before = {path: path.read_bytes() for path in (here / "run").iterdir()}
    assert command("ref.evaluate", "run").status == 0
    assert before == {path: path.read_bytes() for path in (here / "run").iterdir()}


def test_the_run_may_be_evaluated_from_elsewhere(trained, command, here, monkeypatch):
    """The data are looked for beside the folders above the run."""
    noise_images(here / "data" / "mine.h5")
    trained("--rule", "bp", "--data", "mine")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert command("ref.evaluate", here / "run").status == 0


# ---- bad input -----------------------------------------------------------------------------------


def test_no_run(command, here):
    (here / "empty").mkdir()
    (here / "file").write_text("")
    for run in ("nosuch", "empty", "file", "a" * 300):
        command.refused("ref.evaluate", run, names=[run])
    command.refused("ref.evaluate", names=["RUN"])


@pytest.mark.parametrize("text", [
    "", "not JSON", "{", "{}", "[]", "null", '{"arguments": {}}', "\udcff",
])
def test_a_config_that_is_none(broken, here, text):
    (here / "run" / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    broken(names=["run"])


@pytest.mark.parametrize(("section", "key"), [
    ("arguments", "arch"), ("arguments", "rule"), ("arguments", "dtype"), ("data", "name"),
    ("data", "digest"),
])
@pytest.mark.parametrize("value", ["missing", "nosuch"])
def test_a_damaged_config(broken, here, section, key, value):
    path = here / "run" / "config.json"
    config = json.loads(path.read_text())
    if key == "name" and value == "nosuch":
        pytest.skip("the digest alone finds the data")
    if value == "missing":
        del config[section][key]
    else:
        config[section][key] = value
    path.write_text(json.dumps(config))
    broken()


@pytest.mark.parametrize("cut", [0, 100, -100, None])
def test_damaged_parameters(broken, here, cut):
    """Empty, truncated, not HDF5, not there."""
    path = here / "run" / "parameters.h5"
    path.write_bytes(path.read_bytes()[:cut] if cut is not None else b"not HDF5" * 1000)
    broken(names=["parameters.h5"])
    path.unlink()
    broken(names=["parameters.h5"])


@pytest.mark.parametrize(("name", "value"), [
    ("W_2", None), ("b_3", None), ("W_1", np.zeros((8, 783))), ("b_1", np.zeros(())),
    ("b_2", np.array([b"text"] * 8)), ("W_3", "a group"),
])
def test_an_array_that_is_missing_or_of_another_kind(broken, here, name, value):
    with h5py.File(here / "run" / "parameters.h5", "a") as file:
        del file[name], file.attrs["digest"]
        if isinstance(value, str):
            file.create_group(name)
        elif value is not None:
            file[name] = value
    broken(names=["run", name])


def test_parameters_of_another_run(broken, command, here, tiny):
    assert command("ref.train", "--data", tiny, "--rule", "bp", "--arch", "dense 9, softmax 10",
                   "--epochs", 1, "--out", "other").status == 0
    shutil.copy("other/parameters.h5", "run/parameters.h5")
    broken(names=["W_1", "(9, 784)", "(8, 784)"])


def test_data_that_do_not_fit(broken, here):
    """Missing, of another shape, with other classes, and not a data set."""
    noise_images(here / "small.h5", shape=(8, 8, 1))
    noise_images(here / "seven.h5", n_classes=7)
    (here / "text.h5").write_text("not HDF5")
    broken("--data", "small.h5", names=["(8, 64)"])
    broken("--data", "seven.h5", names=["7 classes"])
    broken("--data", "text.h5", names=["text.h5"])
    broken("--data", "missing.h5", names=["missing.h5"])
    broken("--data", "nosuch", names=["nosuch", "digits", "mnist"])


def test_data_that_have_gone(command, trained, here):
    path = noise_images(here / "mine.h5")
    trained("--rule", "bp", "--data", path)
    path.unlink()
    command.refused("ref.evaluate", "run", names=[path])


def test_exit_status(here):
    process = subprocess.run(
        [sys.executable, "-m", "ref.evaluate", "nosuch"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: nosuch") and process.stderr.count("\n") == 1


def test_restore_names_what_is_missing():
    net = ref.evaluate.architectures.build(NETWORK, (28, 28, 1))
    with pytest.raises(ref.evaluate.folder.FolderError, match="here: W_1 is missing"):
        ref.evaluate.restore(net, "here", {})
