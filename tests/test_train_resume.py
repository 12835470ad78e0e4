"""Resuming: a run that has no checkpoint yet, one of another run, one that is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import content

from ref import begin, checkpoint, folder
from ref.run import IDENTITY
from runs import jobs

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
LINE = ["--rule", "fa", "--arch", "dense 8, softmax 10", "--epochs", "40"]


def result(out):
    rows = folder.read_metrics(out)
    return ([{**row, "seconds": 0} for row in rows],
            {name: array.tobytes() for name, array in folder.read_parameters(out).items()})


@pytest.fixture
def killed(here, tiny):
    """A run that was killed after some epochs and before its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ref.train", *LINE, "--data", str(tiny), "--checkpoint-every",
         "1000", "--out", "run"], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while not (here / "run/metrics.csv").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -9
    assert not checkpoint.exists("run") and checkpoint.can_go_on("run")
    return here / "run"


def test_a_run_killed_before_its_first_checkpoint_begins_again(killed, command, tiny):
    """It says what is trained again, and ends as the whole run."""
    n = len(folder.read_metrics(killed))
    done = command("ref.train", "--resume", "run")
    assert done.status == 0 and (f"run: no checkpoint yet, starting at the beginning; the {n} "
                                 "finished epochs are trained again") in done.out
    assert command("ref.train", *LINE, "--data", tiny, "--out", "whole").status == 0
    assert result("run") == result("whole")


def test_a_table_goes_on_with_it(killed, tiny):
    job = jobs.Job(killed, (*LINE[:4], "--data", tiny), 40)
    assert jobs.run([job], tell=str)[job] == jobs.Outcome("done")


@pytest.mark.parametrize("lacking", [folder.LOCK, "parameters.h5"])
def test_results_that_were_kept_alone_are_not_lost(command, here, tiny, lacking):
    """A recorded run, or one whose checkpoints somebody removed: nothing of it is written over."""
    assert command("ref.train", *LINE[:-1], "2", "--data", tiny, "--out", "run").status == 0
    for name in (checkpoint.NAME, checkpoint.PREVIOUS, *[lacking] * (lacking == folder.LOCK)):
        (here / "run" / name).unlink()
    assert not checkpoint.can_go_on("run")
    command.refused("ref.train", "--resume", "run", names=["no checkpoint to go on from"])


# ---- whose checkpoint it is ----------------------------------------------------------------------


def set_in(*keys, to):
    def change(config):
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = to

    return change


OTHER = {
    "lr": set_in("hyperparameters", "lr", to=0.5),
    "batch_size": set_in("hyperparameters", "batch_size", to=50),
    "epsilon": set_in("hyperparameters", "epsilon", to=1e-3),
    "seed": set_in("arguments", "seed", to=1),
    "validation": set_in("arguments", "validation", to=10),
    "normalise": set_in("arguments", "normalise", to="channels"),
    "crop_padding": set_in("augmentation", "crop_padding", to=2),
    "flip": set_in("augmentation", "flip", to="horizontal"),
}


@pytest.fixture
def run(command, here, tiny):
    assert command("ref.train", *LINE[:-1], "1", "--data", tiny, "--out", "run").status == 0
    return here / "run"


@pytest.mark.parametrize("key", OTHER)
def test_a_checkpoint_of_another_run(run, command, key):
    """As where a folder was used again: config.json is not what the checkpoint was trained with."""
    config = json.loads((run / "config.json").read_text())
    OTHER[key](config)
    (run / "config.json").write_text(json.dumps(config))
    command.refused("ref.train", "--resume", "run", "--epochs", 2,
                    names=[f"its checkpoint is of another run, with {key} "])


def test_every_argument_is_told_apart_or_changes_nothing():
    """A new one has to be put on either side. What is resolved of them is in the setting, the
    augmentation and the data."""
    changes_nothing = {"epochs", "angles", "out", "checkpoint_every", "checkpoint_minutes",
                       "resume", "allow_changed_data", "backend", "mpi", "patience"}
    resolved = {"data", "batch_size", "crop_padding", "flip", "resized_crop"}
    assert begin.DEFAULTS.keys() == (IDENTITY.keys() - {"rule"}) | changes_nothing | resolved


def test_a_checkpoint_of_other_data(run, command, here, tiny, monkeypatch):
    config = json.loads((run / "config.json").read_text())
    config["data"]["digest"] = "0" * 64
    (run / "config.json").write_text(json.dumps(config))
    command.refused("ref.train", "--resume", "run", "--data", tiny, "--allow-changed-data",
                    names=["its checkpoint is of another run, with data "])


def test_a_checkpoint_of_other_numbers(run, command, monkeypatch):
    monkeypatch.setattr(checkpoint, "NUMERICS", checkpoint.NUMERICS + 1)
    command.refused("ref.train", "--resume", "run", "--epochs", 2,
                    names=["a version of this code with other numbers"])


def test_a_checkpoint_of_an_earlier_day(run, command):
    """It tells fewer things apart, and is gone on with."""
    arrays, state = checkpoint.load(run)
    state["identity"] = {key: state["identity"][key] for key in
                         ("arch", "rule", "dtype", "seed", "schedule")}
    checkpoint.save(run, arrays, state)
    assert command("ref.train", "--resume", "run", "--epochs", 2).status == 0


def test_a_refused_resume_changes_nothing(run, command):
    """Not the number of epochs in config.json either."""
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (run / name).write_bytes(b"damaged")
    before = content(run)
    command.refused("ref.train", "--resume", "run", "--epochs", 5,
                    names=["no whole checkpoint is left"])
    assert content(run) == before


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "parameters.h5", checkpoint.NAME,
                                  checkpoint.PREVIOUS])
def test_a_link_in_a_strangers_folder_is_not_written_through(run, command, here, name):
    """The file that it names stays as it is; in the run's folder there is then a file."""
    ours = here / "ours"
    (run / name).rename(ours) if (run / name).exists() else ours.write_bytes(b"ours")
    (run / name).symlink_to(ours)
    before = ours.read_bytes()
    assert command("ref.train", "--resume", "run", "--epochs", 3).status == 0
    assert ours.read_bytes() == before
