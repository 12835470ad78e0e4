"""Every command of data_prep with closed and broken streams, odd names, locales and seeds."""

import gzip
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
from test_data_mnist import idx

from data_prep import cifar10, hdf5
from ref.common import files
from ref.common.command import STOPPING
from ref.data import open_data

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"} | {
    "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LOCALES = {"UTF-8": {"LC_ALL": "C.UTF-8"}, "ASCII": ASCII}
SMALL_CIFAR = (  # 20 records a file, where the real ones have 10,000
    "from data_prep import cifar10; from ref.common import command; cifar10.RECORDS = 20; "
    "command.run(cifar10.main, 'interrupted')")
NAMES = ["digits", "mnist", "cifar10", "imagenet"]
every_command = pytest.mark.parametrize("name", NAMES)
# all end by the same lines of ref/common/command.py: the suite tries one behind every stream
some_commands = pytest.mark.parametrize("name", slow_but(["digits"], NAMES))
ODD = [os.fsdecode(b"caf\xe9"), "schön 猫", "a b'c\"$d\nlines"]  # the first is no UTF-8


def make_sources(folder):
    """The raw files of each command, below folder/NAME."""
    for part, n in (("train", 20), ("t10k", 10)):
        (folder / "mnist").mkdir(parents=True, exist_ok=True)
        for what, array in (("images-idx3", np.zeros((n, 3, 2), np.uint8)),
                            ("labels-idx1", np.arange(n, dtype=np.uint8) % 3)):
            path = folder / "mnist" / f"{part}-{what}-ubyte.gz"
            path.write_bytes(gzip.compress(idx(array)))
    (folder / "cifar10").mkdir()
    for name in cifar10.TRAIN_FILES + cifar10.TEST_FILES:
        (folder / "cifar10" / name).write_bytes(bytes(20 * cifar10.RECORD_BYTES))
    for part in ("train", "val"):
        for label in ODD:
            place = folder / "imagenet" / part / label
            place.mkdir(parents=True)
            for k in range(3):
                image().save(place / f"{label}{k}.png")
            (place / f"{label}.jpg").write_bytes(b"no image")


def image():
    return pytest.importorskip("PIL.Image").new("RGB", (9, 8), (1, 2, 3))


def line(name, source, *more):
    """A command that prepares a data set."""
    given = {"digits": ["--n-train", 20, "--n-test", 10], "mnist": ["--source", source / "mnist"],
             "cifar10": ["--source", source / "cifar10"],
             "imagenet": ["--source", source / "imagenet", "--size", 8, "--resize", 8, "--workers",
                          1]}[name]
    begin = ["-c", SMALL_CIFAR] if name == "cifar10" else ["-m", f"data_prep.{name}"]
    return [sys.executable, *begin, *map(str, given), *map(str, more)]


def run(*arguments, **more):
    return subprocess.run(arguments, capture_output=True, timeout=300, check=False,
                          **{"env": ENVIRONMENT, **more})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    pytest.importorskip("PIL", reason='needs pillow: pip install ".[imagenet]"')
    folder = tmp_path_factory.mktemp("source")
    make_sources(folder)
    return folder


# ---- streams -------------------------------------------------------------------------------------


@some_commands
@pytest.mark.parametrize("streams", ["2>&-", ">&-", "<&- >&- 2>&-", "| head -1", "2>&- | head -1"])
def test_streams(here, source, name, streams):
    script = f'"$@" {streams}; exit ${{PIPESTATUS[0]}}'
    done = run("bash", "-c", script, "bash", *line(name, source))
    assert done.returncode in ((0, 141) if "head" in streams else (0,)) and done.stderr == b"", done
    if done.returncode == 0:
        assert open_data(f"data/{name}.h5").name == name


@some_commands
def test_nobody_reads(here, source, name):
    read, write = os.pipe()
    os.close(read)
    for what in (line(name, source), [*line(name, source)[:3], "--help"]):
        done = subprocess.run(what, stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT,
                              timeout=300)
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(write)


@some_commands
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_stdout(here, source, name):
    done = run("bash", "-c", '"$@" > /dev/full', "bash", *line(name, source))
    assert (done.returncode, done.stderr) == (2, b"error: stdout: No space left on device\n")


# ---- seeds ---------------------------------------------------------------------------------------


@pytest.mark.slow  # .ci/run runs it
@every_command
def test_seeds_of_128_bits(here, source, name):
    for seed in (2 ** 64 - 1, 2 ** 64, 2 ** 128 - 1):
        done = run(*line(name, source, "--seed", seed, "--out", f"{seed}.h5"))
        assert done.returncode == 0, done
        with h5py.File(f"{seed}.h5") as file:
            assert str(file.attrs["shuffle_seed"]) == str(seed)
        assert open_data(f"{seed}.h5").name == name
    done = run(*line(name, source, "--seed", 2 ** 128, "--out", "x.h5"))
    assert done.returncode == 2 and b"is not below 2^128" in done.stderr
    assert done.stderr.count(b"\n") == 1 and not Path("x.h5").exists()


# ---- names ---------------------------------------------------------------------------------------


@every_command
@pytest.mark.parametrize("locale", [
    "ASCII", pytest.param("UTF-8", marks=pytest.mark.slow)])
@pytest.mark.parametrize("odd", slow_but(ODD[:1], ODD), ids=ascii)
def test_odd_names_of_places(here, source, name, locale, odd):
    """Of the source, the file to write, and for ImageNet of classes and images."""
    (here / odd).symlink_to(source)
    environment = {**ENVIRONMENT, **LOCALES[locale]}
    done = run(*line(name, here / odd, "--out", f"{odd}.h5"), env=environment)
    assert done.returncode == 0 and done.stderr == b"", done
    data = open_data(f"{odd}.h5")
    assert len(data.train) == {"digits": 20, "mnist": 20, "cifar10": 100, "imagenet": 9}[name]
    with h5py.File(f"{odd}.h5") as file:
        for key in ("source", "command", "classes", "sha256"):
            file.attrs[key].encode()  # text that any program can read
        if name != "digits":
            assert hdf5.text(here / odd) in file.attrs["source"]
    if name != "imagenet":
        return
    arguments = ["--rule", "bp", "--arch", f"dense 4, softmax {len(data.classes)}", "--data",
                 f"{odd}.h5", "--epochs", "1", "--out", "run"]
    trained = run(sys.executable, "-m", "ref.train", *arguments, env=environment)
    assert trained.returncode == 0, trained
    told = run(sys.executable, "-m", "ref.evaluate", "run", env=environment)
    assert told.returncode == 0 and b"test error by class" in told.stdout, told


@pytest.mark.parametrize("locale", LOCALES)
def test_classes_of_odd_names(here, source, locale):
    """The same in every locale; what the terminal lacks is printed as \\x.."""
    done = run(*line("imagenet", source), env={**ENVIRONMENT, **LOCALES[locale]})
    assert done.returncode == 0, done
    with h5py.File("data/imagenet.h5") as file:
        classes = json.loads(file.attrs["classes"])
    assert sorted(classes) == sorted([r"caf\xe9", *ODD[1:]])
    assert b"left out 6 of 24 files" in done.stdout
    listed = Path("data/imagenet-left-out.txt").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 6 and any("schön" in entry for entry in listed)


def test_a_place_that_cannot_be_written_is_told_before_the_shards_are_made(here, source,
                                                                          monkeypatch):
    from data_prep import imagenet, shards, workers

    monkeypatch.setattr(workers, "run", lambda *_: pytest.fail("the shards were begun"))
    arguments = line("imagenet", source)[3:]

    def fail(*_, **__):
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "no such letter")

    monkeypatch.setattr(shards, "join", fail)
    with pytest.raises(UnicodeEncodeError):
        imagenet.main(arguments)
    assert not list(here.rglob("*.h5")) and not list(here.rglob("*.tmp"))


@pytest.mark.slow  # .ci/run runs it
@every_command
def test_long_names(here, source, name):
    """What a file may be called, 255 bytes, the commands can write; more is told at once."""
    for stem in ("n" * 246, "ä" * 123):  # 249 bytes with their ending
        done = run(*line(name, source, "--out", f"{stem}.h5"))
        assert done.returncode == 0, done
        assert open_data(f"{stem}.h5").name == name
    done = run(*line(name, source, "--out", "n" * 253 + ".h5"))
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    assert b"File name too long" in done.stderr


# ---- what killed processes leave -----------------------------------------------------------------


def temporaries(folder):
    return sorted(folder.rglob(files.TEMPORARY))


SLOW = """
import sys, time
import numpy as np
from data_prep import hdf5
from ref.common import command
hdf5.write_part = lambda *_: (print("writing", flush=True), time.sleep(100))
x, y = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4)
command.run(lambda: hdf5.write(sys.argv[1], (x, y), (x, y), name="x", classes=list("abcd"), seed=0,
                               source="", command=""), "interrupted")
"""


def begin(path):
    """A process in the middle of writing a data set."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(path)], env=ENVIRONMENT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "writing\n"
    return process


def write(path):
    x, y = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4)
    hdf5.write(path, (x, y), (x, y), name="x", classes=list("abcd"), seed=0, source="", command="")


@pytest.mark.parametrize("number", [*STOPPING, signal.SIGKILL], ids=lambda n: n.name)
def test_the_next_call_removes_what_a_killed_one_left(tmp_path, number):
    process, other = begin(tmp_path / "x.h5"), begin(tmp_path / "z.h5")
    assert len(temporaries(tmp_path)) == 2
    process.send_signal(number)
    process.communicate()
    killed = number == signal.SIGKILL
    assert process.returncode == (-number if killed else 128 + number)
    assert len(temporaries(tmp_path)) == 1 + killed
    write(tmp_path / "y.h5")
    left = temporaries(tmp_path)  # of the one that lives
    assert len(left) == 1 and f"-{other.pid}-" in left[0].name
    other.kill()
    other.communicate()
    write(tmp_path / "y.h5")
    assert not temporaries(tmp_path)


def test_files_of_other_machines_are_left_for_a_day(tmp_path):
    there = tmp_path / ".ref-00000000-1-0.tmp"
    theirs = tmp_path / ".ref-mine.tmp"
    for path in (there, theirs):
        path.write_bytes(b"x")
    files.remove_abandoned(tmp_path)
    assert there.exists()
    old = time.time() - files.LONG_AGO - 1
    os.utime(there, (old, old))
    files.remove_abandoned(tmp_path)
    assert not there.exists() and theirs.exists()  # no name of ours


def test_who_is_alive():
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert files.is_alive(os.getpid()) and files.is_alive(1)
    process.wait()
    assert not files.is_alive(process.pid) and not files.is_alive(10 ** 30)
