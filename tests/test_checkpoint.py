"""Checkpoints: whole or not there, told from damaged ones, and a resumed run is the same run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from seldom import slow_but

import data_prep.digits
from ref import checkpoint, folder, train
from ref.common import files
from ref.common.command import STOPPING

ROOT = Path(__file__).resolve().parent.parent
ARRAYS = {"parameters/W_1": np.arange(6.0).reshape(2, 3), "forward/m/W_1": np.zeros((2, 3), "f4")}
RULES = [("bp", None), ("fa", None), ("dfa", None), ("sign-symmetry", None)] + [
    (rule, schedule) for rule in ("tp", "dtp", "sdtp", "ao-sdtp", "hybrid")
    for schedule in ("parallel", "alternating")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small.h5"
    data_prep.digits.make(path, n_train=130, n_test=40)
    return path


def options(data, out, rule, schedule=None, epochs=3):
    line = ["--rule", rule, "--arch", "dense 12, dense 9, softmax 10", "--data", str(data),
            "--epochs", str(epochs), "--batch-size", "16", "--out", str(out), "--flip", "vertical"]
    return line + (["--schedule", schedule] if schedule else []) + (
        ["--aux", "5"] if rule == "ao-sdtp" else []) + (
        ["--magnitude", "batch"] if rule == "sign-symmetry" else [])


def call(monkeypatch, *line):
    """ref.train's main on a command line; its exit status."""
    monkeypatch.setattr(sys, "argv", ["ref.train", *map(str, line)])
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        with pytest.raises(SystemExit) as end:
            train.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return end.value.code


def result(out):
    """What a run must have in common with another: parameters, and metrics without seconds."""
    rows = [line.rsplit(",", 1)[0] for line in (out / "metrics.csv").read_text().splitlines()]
    arrays = {name: a.tobytes() for name, a in folder.read_parameters(out).items()}
    return rows, arrays


class Killed(BaseException):
    """Stands for SIGKILL: nothing in ref catches it."""


def kill_after(monkeypatch, steps):
    """Make the trainer die after so many more steps, as if the process were killed there."""
    step, left = train.training.Trainer.step, [steps]

    def dying(self, *args, **kwargs):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return step(self, *args, **kwargs)

    monkeypatch.setattr(train.training.Trainer, "step", dying)


@pytest.mark.parametrize(("rule", "schedule"), slow_but(
    [("bp", None), ("fa", None), ("sign-symmetry", None), ("tp", "parallel"),
     ("dtp", "alternating"), ("sdtp", "parallel"), ("ao-sdtp", "alternating")], RULES))
def test_a_run_killed_anywhere_and_resumed_is_the_same_run(
        rule, schedule, data, tmp_path, monkeypatch):
    """Killed four times, with checkpoints within epochs, it ends bit for bit as the whole one."""
    assert call(monkeypatch, *options(data, tmp_path / "whole", rule, schedule)) == 0
    out = tmp_path / "killed"
    line = [*options(data, out, rule, schedule), "--checkpoint-minutes", "1e-9"]
    for steps in np.random.default_rng(len(rule)).integers(1, 6, 4):
        with monkeypatch.context() as patch:
            kill_after(patch, steps)
            with pytest.raises(Killed):
                call(patch, *line)
        line = ["--resume", out]
    assert call(monkeypatch, "--resume", out) == 0
    assert result(out) == result(tmp_path / "whole")


def test_more_epochs_on_resume(data, tmp_path, monkeypatch):
    """Raising --epochs gives the run that would have been; lowering it is refused."""
    assert call(monkeypatch, *options(data, tmp_path / "long", "dtp", epochs=3)) == 0
    out = tmp_path / "short"
    assert call(monkeypatch, *options(data, out, "dtp", epochs=2)) == 0
    assert call(monkeypatch, "--resume", out, "--epochs", 3) == 0
    assert result(out) == result(tmp_path / "long")
    assert call(monkeypatch, "--resume", out, "--epochs", 2) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_with_a_checkpoint(number, status, data, tmp_path):
    """A real process: finishes the batch, says how to resume, and resumes to the same end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ref.train"]
    line = options(data, tmp_path / "run", "sdtp", "alternating", epochs=400)
    process = subprocess.Popen([*command, *line], stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 100
    while not (tmp_path / "run/metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode == status
    assert len(said.splitlines()) == 1 and "--resume" in said
    assert checkpoint.load(tmp_path / "run") is not None


def test_what_is_saved_is_loaded(tmp_path):
    state = {"epoch": 3, "loss": 0.1 + 0.2}
    checkpoint.save(tmp_path, ARRAYS, state)
    arrays, loaded = checkpoint.load(tmp_path)
    assert loaded == state
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].tobytes() == array.tobytes()


def spoil_tail(path):
    path.write_bytes(path.read_bytes()[:-2000])


def spoil_byte(path):
    whole = bytearray(path.read_bytes())
    at = whole.index(np.arange(6.0).tobytes())
    whole[at + 9] ^= 1
    path.write_bytes(whole)


def spoil_state(path):
    with h5py.File(path, "a") as file:
        text = file["state"].asstr()[()].replace("2", "7")
        del file["state"]
        file["state"] = text


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_tail, spoil_byte, spoil_state, empty])
def test_a_damaged_checkpoint_is_passed_over(spoil, tmp_path):
    """The previous one is taken, with a word about it; without one that is an error."""
    checkpoint.save(tmp_path, ARRAYS, {"epoch": 1})
    checkpoint.save(tmp_path, ARRAYS, {"epoch": 2})
    spoil(tmp_path / checkpoint.NAME)
    said = []
    assert checkpoint.load(tmp_path, warn=said.append)[1] == {"epoch": 1}
    assert len(said) == 1 and "damaged" in said[0]
    (tmp_path / checkpoint.PREVIOUS).unlink()
    with pytest.raises(folder.FolderError, match="damaged"):
        checkpoint.load(tmp_path)


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    """As on a full disk: an OSError, no half-written file, and the old one whole."""
    checkpoint.save(tmp_path, ARRAYS, {"epoch": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "reserve", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, ARRAYS, {"epoch": 2})
    assert checkpoint.load(tmp_path)[1] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.NAME]


def change(out, **arguments):
    config = json.loads((out / "config.json").read_text())
    config["arguments"] |= arguments
    (out / "config.json").write_text(json.dumps(config))


def test_refusals(data, tmp_path, monkeypatch, capsys):
    """Another network's checkpoint, changed data, a second process, options that can't change."""
    out = tmp_path / "run"
    assert call(monkeypatch, *options(data, out, "fa", epochs=1)) == 0
    capsys.readouterr()

    def refused(*line):
        assert call(monkeypatch, *line) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and len(said.splitlines()) == 1
        return said

    assert "--lr" in refused("--resume", out, "--lr", "0.1")
    held = folder.lock(out)
    assert "another process" in refused("--resume", out)
    held.close()
    change(out, arch="dense 12, dense 8, softmax 10")
    assert "arch" in refused("--resume", out)
    change(out, arch="dense 12, dense 9, softmax 10", dtype="float64")
    assert "dtype" in refused("--resume", out)
    change(out, dtype="float32")
    data_prep.digits.make(data.with_name("other.h5"), seed=5, n_train=130, n_test=40)
    original = data.read_bytes()
    data.write_bytes(data.with_name("other.h5").read_bytes())
    assert "digest" in refused("--resume", out)
    assert call(monkeypatch, "--resume", out, "--allow-changed-data") == 0
    data.write_bytes(original)
    assert "not a run's folder" in refused("--resume", tmp_path / "none")
