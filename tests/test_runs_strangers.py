"""Runs and data from strangers: their names, and what lies in their folders, lead nowhere; what
asks for too much is refused before it is begun."""

import os
import time

import h5py
import numpy as np
import pytest
from conftest import content, noise_images
from run_folders import make

from ref import train
from ref.common import files
from runs import figure4, jobs, output, records

EVIL = ["x/../../../E", "../E", "/tmp/E", "..", "a\0b", "\x1b]0;owned\x07", "E\n"]
every_name = pytest.mark.parametrize("name", EVIL)


@pytest.fixture
def deep(here, monkeypatch):
    """The current folder, with those above it empty."""
    (here / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(here / "a" / "b")
    return here / "a" / "b"


def outside(deep, *folders):
    """Everything that was written elsewhere than in these folders of `deep`."""
    mine = [deep.parent, deep, *(deep / folder for folder in folders)]
    return [path for path in content(deep.parents[1])
            if path not in mine and not any(folder in path.parents for folder in mine[2:])]


@every_name
def test_a_run_is_collected_into_the_folder_named(command, deep, name):
    """Whatever its data are called, and whatever its learning rate and seed say."""
    make(deep / "given" / "a", data=name)
    assert command("runs.collect", "given/a", "--out", "results").status == 0
    assert len(os.listdir("results")) == 1 and not outside(deep, "given", "results")


@pytest.mark.parametrize("place", ["arch", "rule", "schedule", "seed", "variant"])
@every_name
def test_each_word_of_a_name(name, place):
    words = {"arch": "mnist-fc", "rule": "bp", "schedule": None, "data": "mnist", "seed": 0,
             "variant": ()} | {place: (name,) if place == "variant" else name}
    made = records.name_of(**words)
    assert "/" not in made and made.isprintable() and made not in (".", "..")


@every_name
def test_tables_and_figures_of_such_data(command, deep, name, monkeypatch):
    """table1 and the search take the name for their files' and their runs' folders."""
    data = noise_images(deep / "given" / "d.h5")
    with h5py.File(data, "a") as file:
        file.attrs["name"] = np.bytes_(name.encode())
    monkeypatch.setattr(jobs, "run", lambda todo, *_, **__: {job: jobs.Outcome("failed", "")
                                                       for job in todo})
    line = ["--data", data, "--out", "results", "--work", "work"]
    assert command("runs.table1", *line, "--rows", "bp").status == 1
    assert command("runs.search", "--rule", "bp", "--configs", 1, "--validation", 10,
                   *line).status == 1
    figure4.write(deep / "results", name, name, "parallel", 1,
                  [figure4.row_of(0, 0, 1, "yours", [])])
    assert not outside(deep, "given", "results", "work")
    assert "/" not in output.suffix(name, "mnist")


@every_name
def test_a_runs_own_folder(name):
    args = type("Arguments", (), {"arch": "mnist-fc", "rule": "bp", "data": name, "seed": 0})
    assert "/" not in train.name_of(args, {})


def test_a_log_that_is_a_link_is_not_followed(here, tiny):
    """Nor one that is a pipe, which would be waited for."""
    (here / "ours").write_text("ours")
    (here / "job").mkdir()
    for lay in (lambda: os.symlink("../ours", "job/log.txt"), lambda: os.mkfifo("job/log.txt")):
        lay()
        with pytest.raises(OSError):
            jobs.Process(jobs.Job(here / "job", ("--rule", "bp", "--data", tiny), 1))
        os.unlink("job/log.txt")
    assert (here / "ours").read_text() == "ours"


def test_a_lock_that_is_none_is_not_waited_for(here):
    (here / "job").mkdir()
    os.mkfifo("job/.lock")
    begun = time.monotonic()
    with pytest.raises(OSError, match="pipe"):
        jobs.wait_for(jobs.Job(here / "job", (), 1), tell=str)
    assert time.monotonic() - begun < 5


# ---- collecting ----------------------------------------------------------------------------------


def test_a_full_disk_leaves_what_is_recorded(command, here, monkeypatch):
    make(here / "results" / "mnist-fc_bp", test=[3, 2])
    make(here / "new", test=[3, 2, 1])
    before, right = content(here / "results"), files.flush_to_disk

    def full(path, count=[]):  # noqa: B006 - the second file does not fit
        count.append(path)
        if len(count) == 2:
            raise OSError(28, "No space left on device")
        right(path)

    monkeypatch.setattr(files, "flush_to_disk", full)
    result = command("runs.collect", "new", "--out", "results")
    assert result.status == 2 and "No space left" in result.err
    assert content(here / "results") == before
    monkeypatch.setattr(files, "flush_to_disk", right)
    assert command("runs.collect", "new", "--out", "results").status == 0
    assert len(records.read(here / "results" / "mnist-fc_bp").rows) == 3


# ---- too much ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, words", [
    (["runs.search", "--rule", "bp", "--configs", 10**9], "at most 10000"),
    (["ref.reference.cli", "write", "o.h5", "--rule", "bp", "--arch", "softmax 3", "--in-shape",
      "2x2x1", "--steps", 10**9], "here 10000 steps"),
])
def test_numbers_that_nothing_could_do(command, here, line, words):
    begun = time.monotonic()
    command.refused(*line, names=[words])
    assert time.monotonic() - begun < 5


def test_a_file_of_many_layers_and_empty_steps(command, here):
    """282 KB that would be gone through for a minute before it is refused."""
    with h5py.File("r.h5", "w") as file:
        file.attrs.update(format="ref-outputs", version=1, rule="dtp", arch="x")
        for l in range(1, 301):
            file.create_group(f"net/layer_{l}").attrs.update(
                kind="dense", activation="tanh" if l < 300 else "softmax", in_shape=[4],
                out_shape=[4])
        for t in range(1, 1001):
            file.create_group(f"step_{t}")
    begun = time.monotonic()
    command.refused("ref.reference.cli", "verify", "r.h5", names=["at most 10000", "33 steps"])
    assert time.monotonic() - begun < 5
