"""Small data sets, and the commands ref.train and ref.evaluate called within this process.

Matrix products of these tests are small: on a busy machine, threads that wait for each other make
the short training runs twenty times slower. So BLAS gets one thread, before NumPy is loaded.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from training_runs import NETWORK  # noqa: E402

import data_prep.digits  # noqa: E402
import data_prep.hdf5  # noqa: E402
from ref.common.command import STOPPING  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


class Result(NamedTuple):
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


class Commands:
    """Calls a module's main() as `python -m module ...` would; an exception is the test's own."""

    def __init__(self, monkeypatch, capsys):
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, module, *arguments):
        arguments = [str(a) for a in arguments]
        self.monkeypatch.setattr(sys, "argv", [module, *arguments])
        self.monkeypatch.setattr("ref.common.version.commit", lambda: "test")  # spare many gits
        self.capsys.readouterr()
        handlers = {number: signal.getsignal(number) for number in STOPPING}
        try:
            status = importlib.import_module(module).main()
        except SystemExit as end:
            status = end.code
        finally:  # a run leaves its own behind
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Result(status or 0, *self.capsys.readouterr())

    def refused(self, module, *arguments, names=()):
        """The command ends with status 2 and one line with `names` in it, and changes no file."""
        assert Path.cwd() != ROOT  # where others may write at any time: take the fixture `here`
        before = content(Path.cwd())
        result = self(module, *arguments)
        assert result.status == 2, result
        assert result.err.startswith("error: ") and result.err.count("\n") == 1, result.err
        assert result.err.endswith("\n")
        for name in names:
            assert str(name) in result.err, f"{name!r} is not in {result.err!r}"
        after = content(Path.cwd())
        assert after.keys() == before.keys()
        assert after == before


def content(folder):
    """{path: bytes, or None for a folder} of everything in the folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def signals():
    """A command that is called in this process, and stopped, leaves its handlers behind."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def command(monkeypatch, capsys):
    return Commands(monkeypatch, capsys)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noise_images(path, seed=0, shape=(28, 28, 1), n_classes=10):
    """A data set of 200 and 100 images of noise at path: there to be read, not to be learnt."""
    rng = np.random.default_rng(seed)
    train, test = (
        (rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % n_classes) for n in (200, 100)
    )
    data_prep.hdf5.write(path, train, test, name=path.stem, classes=[f"c{k}" for k in
                         range(n_classes)], seed=seed, source="noise", command="none")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """200 and 100 28x28 images of noise, ten classes."""
    return noise_images(tmp_path_factory.mktemp("data") / "tiny.h5")


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The data set `digits` with 2,000 examples to train and 500 to test."""
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    data_prep.digits.make(path, n_train=2000, n_test=500)
    return path


@pytest.fixture
def base(tiny):
    """Arguments for a short run of 4 steps; those that follow take the place of any of them."""
    return ["--data", tiny, "--rule", "bp", "--arch", NETWORK, "--epochs", 1, "--batch-size", 50]


@pytest.fixture
def train(command, base, here):
    """train(*arguments) -> Result, in an empty folder."""
    return lambda *arguments: command("ref.train", *base, *arguments)


@pytest.fixture
def refused(command, base, here):
    return lambda *arguments, names=(): command.refused(
        "ref.train", *base, *arguments, names=names)
