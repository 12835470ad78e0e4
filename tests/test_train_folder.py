"""The folder of a run: nobody's files are written over, one process at a time, names that fit."""

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from conftest import content, noise_images

from ref import checkpoint, folder, settings, train
from ref.common import files
from ref.common.command import UserError
from ref.config import read as read_config

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
NETWORK = "dense 8, softmax 10"


@pytest.fixture
def base(tiny):
    return ["--data", tiny, "--rule", "bp", "--arch", NETWORK, "--epochs", 1]


# ---- folders that are taken ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metrics.csv", "parameters.h5", "checkpoint.h5", "notes.txt",
                                  ".hidden", "config.json", "folder/x"])
def test_a_folder_with_something_of_somebodys(command, base, here, name):
    (here / "out" / name).parent.mkdir(parents=True)
    (here / "out" / name).write_text("mine")
    command.refused("ref.train", *base, "--out", "out",
                    names=["--out out", name.split("/")[0] if name != "config.json" else "a run"])


@pytest.mark.parametrize("left", [[], [".lock"], ["log.txt"], [".ref-1-0.tmp"]])
def test_an_empty_folder_or_one_where_a_run_never_began(command, base, here, left):
    (here / "out").mkdir()
    for name in left:
        (here / "out" / name).write_text("")
    assert command("ref.train", *base, "--out", "out").status == 0
    assert not list((here / "out").glob(files.TEMPORARY))


def test_two_jobs_at_once_in_one_folder(base, here):
    """One trains; what it recorded is its own, whatever the others were told."""
    seeds = range(4)
    processes = [subprocess.Popen(
        [sys.executable, "-m", "ref.train", *map(str, base), "--epochs", "30", "--out", "out",
         "--seed", str(seed)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True) for seed in seeds]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    won = [seed for seed, (_, _, status) in zip(seeds, ended, strict=True) if status == 0]
    assert len(won) == 1, ended
    assert json.loads((here / "out/config.json").read_text())["arguments"]["seed"] == won[0]
    for seed, (_, err, status) in zip(seeds, ended, strict=True):
        if seed not in won:
            assert status == 2 and err.count("\n") == 1, err
            assert "another process" in err or "already holds a run" in err


def test_the_lock_is_held_before_anything_is_written(command, base, here):
    """The moment between two looks at the folder: held by another, it stays as it is."""
    (here / "out").mkdir()
    held = folder.lock("out")
    command.refused("ref.train", *base, "--out", "out", names=["out", "another process"])
    held.close()


# ---- locks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
@pytest.mark.parametrize("lockf_too", [False, True])
def test_a_file_system_without_flock(command, base, here, monkeypatch, number, lockf_too):
    """Runs start there: with POSIX's lock, or else with one line of warning."""

    def cannot(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", cannot)
    if lockf_too:
        monkeypatch.setattr(fcntl, "lockf", cannot)
    result = command("ref.train", *base, "--out", "out")
    assert result.status == 0
    if lockf_too:
        assert result.err.count("\n") == 1 and result.err.startswith("warning: out/.lock: ")
        assert "no locks" in result.err
    else:
        assert result.err == ""


def test_posix_locks_hold_too(here, monkeypatch):
    def cannot(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", cannot)
    held = folder.lock(here)
    code = ("import errno, fcntl\ndef no(*_): raise OSError(errno.ENOSYS, 'no')\n"
            "fcntl.flock = no\nfrom ref import folder\nfolder.lock('.')")
    other = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True,
                           text=True)
    assert "another process is training" in other.stderr
    held.close()
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


def test_another_reason_is_given_as_it_is(here, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(folder.FolderError, match="Input/output error"):
        folder.lock(here)


def test_a_system_without_fcntl(base, here):
    """As Windows: everything can be imported and a run trains, with a word about it."""
    code = ("import sys; sys.modules['fcntl'] = None\n"
            "import ref.train, ref.evaluate, ref.watch, ref.architectures, ref.reference.cli\n"
            "import ref.train as t; t.main()")
    done = subprocess.run([sys.executable, "-c", code, *map(str, base), "--out", "out"],
                          env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1 and "no file locks" in done.stderr


def test_a_link_in_the_place_of_the_lock(here):
    (here / "victim").write_text("mine")
    (here / "out").mkdir()
    (here / "out" / ".lock").symlink_to(here / "victim")
    with pytest.raises(folder.FolderError):
        folder.lock(here / "out")
    assert (here / "victim").read_text() == "mine"


# ---- files that are whole or not there -----------------------------------------------------------


def test_the_longest_names(here):
    for name in ("n" * 255, "ä" * 127):
        files.write(here / name, lambda path: path.write_text("whole"))
        assert (here / name).read_text() == "whole"
    assert len(list(here.iterdir())) == 2


def test_each_writer_has_a_name_of_its_own(here):
    """Also where a killed one with our number left a file, or somebody laid a link."""
    first = files.temporary_name(here / "a")
    number = int(first.stem.split("-")[-1])
    (here / "victim").write_text("mine")
    for k in (1, 2, 3):
        name = f".ref-{files.machine()}-{os.getpid()}-{number + k}.tmp"
        (here / name).symlink_to(here / "victim")
    second = files.temporary_name(here / "a")
    assert second != first and not second.is_symlink() and second.parent == here
    assert (here / "victim").read_text() == "mine"
    assert second.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_device_or_a_pipe_is_never_replaced(here, command):
    """Root could otherwise rename a file over /dev/null."""
    os.mkfifo("pipe")
    with pytest.raises(UserError, match="pipe: not a file"):
        files.write("pipe", lambda path: path.write_text("x"))
    result = command("ref.reference.cli", "write", "pipe", "--rule", "bp", "--arch", "softmax 4",
                     "--in-shape", "4x4x1")
    assert result.status == 2 and "pipe is there and holds something else" in result.err
    assert stat.S_ISFIFO(os.stat("pipe").st_mode) and os.listdir() == ["pipe"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_however_it_ends(here, error):
    def fill(path):
        path.write_text("half")
        raise error

    (here / "file").write_text("old")
    with pytest.raises(type(error)):
        files.write(here / "file", fill)
    assert content(here) == {here / "file": b"old"}


def test_the_longest_names_of_data_and_runs(command, base, here):
    """A data file's name may be as long as names can be; so may the run's folder."""
    path = noise_images(here / "short.h5").rename(here / ("n" * 252 + ".h5"))
    assert command("ref.train", *base, "--data", path).status == 0
    assert command("ref.train", *base, "--data", path, "--out", "r" * 255).status == 0
    assert command("ref.train", "--resume", "r" * 255, "--epochs", 2).status == 0
    assert command("ref.evaluate", "r" * 255).status == 0


def test_the_folders_name_has_the_schedule(command, base, here):
    """With it, two schedules of one rule are told from each other."""
    for rule, schedule in (("sdtp", "alternating"), ("sdtp", "parallel"), ("bp", None)):
        more = ["--schedule", schedule] if schedule else []
        assert command("ref.train", *base, "--arch", "mnist-fc", "--rule", rule, *more).status == 0
    assert sorted(path.name for path in (here / "runs/out").iterdir()) == [
        "mnist-fc_bp_tiny_seed0", "mnist-fc_sdtp-alternating_tiny_seed0",
        "mnist-fc_sdtp-parallel_tiny_seed0"]


# ---- files that can't be read --------------------------------------------------------------------


def test_a_checkpoint_that_is_open_elsewhere_is_not_damaged(command, base, here):
    """HDF5's lock: not an older checkpoint is taken without a word, but the reason given."""
    assert command("ref.train", *base, "--epochs", 2, "--out", "run").status == 0
    code = ("import h5py, sys; f = h5py.File('run/checkpoint.h5', 'a'); print(1, flush=True);"
            "sys.stdin.read()")
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    other.stdout.readline()
    result = command("ref.train", "--resume", "run", "--epochs", 3)
    other.communicate()
    assert result.status == 2 and "another program has it open" in result.err, result
    assert command("ref.train", "--resume", "run", "--epochs", 3).status == 0


def test_a_folder_in_the_place_of_a_checkpoint(command, base, here):
    assert command("ref.train", *base, "--out", "run").status == 0
    os.unlink(here / "run" / checkpoint.NAME)
    (here / "run" / checkpoint.NAME).mkdir()
    result = command("ref.train", "--resume", "run", "--epochs", 2)
    assert result.status == 2 and result.err.count("\n") == 1
    assert "it is a folder, not a file" in result.err


# ---- data by name and digest ---------------------------------------------------------------------


@pytest.fixture
def moved(command, here, monkeypatch):
    """A run and its data, copied to another machine's folder, which is then the current one."""
    noise_images(here / "a/data/mine.h5")
    monkeypatch.chdir(here / "a")
    assert command("ref.train", "--rule", "bp", "--arch", NETWORK, "--epochs", 1, "--data", "mine",
                   "--out", "run").status == 0
    (here / "b").mkdir()
    shutil.copytree("run", here / "b/run")
    (here / "b/data").mkdir()
    os.rename("data/mine.h5", here / "b/data/mine.h5")
    monkeypatch.chdir(here / "b")
    return here / "b"


def test_no_file_of_a_run_holds_an_absolute_path(moved, here):
    for path in (moved / "run").iterdir():
        assert str(here).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("name", ["mine.h5", "called-otherwise.h5"])
@pytest.mark.parametrize("again", [["ref.evaluate", "run"],
                                   ["ref.train", "--resume", "run", "--epochs", 2]])
def test_a_run_that_was_moved_finds_its_data(command, moved, name, again):
    """By name; else any file in data/ with its digest, though others lie there."""
    os.rename("data/mine.h5", f"data/{name}")
    noise_images(moved / "data/another.h5", seed=1)
    (moved / "data/broken.h5").write_text("not HDF5")
    assert command(*again).status == 0


@pytest.mark.parametrize("again", [["ref.evaluate", "run"],
                                   ["ref.train", "--resume", "run", "--epochs", 2]])
def test_data_of_another_digest_or_none(command, moved, again):
    os.rename("data/mine.h5", "elsewhere.h5")
    command.refused(*again, names=["data set mine", "data/mine.h5", "--data"])
    noise_images(moved / "data/mine.h5", seed=1)
    command.refused(*again, names=["data/mine.h5", "digest", "--data"])
    assert command(*again, "--data", "elsewhere.h5").status == 0


def test_digits_are_made_again(command, here, monkeypatch):
    made = []
    monkeypatch.setattr("data_prep.digits.make", lambda path: made.append(noise_images(path)))
    assert command("ref.train", "--rule", "bp", "--epochs", 1, "--out", "run").status == 0
    config = json.loads((here / "run/config.json").read_text())
    config["data"]["name"] = "digits"
    (here / "run/config.json").write_text(json.dumps(config))
    shutil.rmtree("data")
    assert command("ref.evaluate", "run").status == 0
    assert len(made) == 2


def test_a_recorded_run_has_no_parameters(command, here):
    run = ROOT / "runs/results/mnist-fc_bp"
    command.refused("ref.evaluate", run, names=[run, "no parameters.h5", "recorded"])


def test_one_that_was_killed_can_go_on(command, base, here):
    assert command("ref.train", *base, "--out", "run").status == 0
    os.unlink("run/parameters.h5")
    command.refused("ref.evaluate", "run", names=["--resume run"])


def test_what_is_read_of_a_run_is_the_same_object(here):
    """What is not named is not made up."""
    setting, _ = settings.resolve("bp", "mnist-fc")
    config = {"arguments": {"arch": "x", "rule": "bp", "dtype": "float32", "seed": 0,
                            "epochs": None},
              "data": {"name": "mine", "digest": "0"}, "hyperparameters": setting}
    (here / "config.json").write_text(json.dumps(config))
    assert read_config(here) == config
    with pytest.raises(UserError, match="data set mine"):
        train.find_recorded(config, here)


def test_parameters_open_elsewhere(here):
    with h5py.File(here / "parameters.h5", "w") as file:
        file["W_1"] = [1.0]
        code = "from ref import folder; folder.read_parameters('.')"
        other = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True,
                               text=True)
    assert "another program has it open" in other.stderr
