"""Rows of shards that can't be read: one line and status 1 in every command, never black images."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import shards_of
from shards_of import IN_SHARD, SHAPE, N
from test_common_hdf5 import lacking_filter

import ref.rows
from ref.data import open_data
from ref.parts import DataFormatError, UnreadableError
from ref.rows import Rows, RowsError

ROOT = Path(__file__).resolve().parents[1]
CLASSIFIER = ["--arch", "dense 8, softmax 2"]
# Every command here takes all parts for too large for the memory.
STREAMING = "import ref.data\nref.data.open_data.__defaults__ = (0, None, 0, 1)\n"


@pytest.fixture
def path(tmp_path):
    return shards_of.make(tmp_path)


@pytest.fixture
def run(tmp_path):
    """A command in a process, which streams."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(STREAMING)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'hook'}:{ROOT}",
                   "OPENBLAS_NUM_THREADS": "1"}
    return lambda module, *arguments: subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("start, end", [(0, N), (0, 1), (5, 30), (7, 8), (8, 16), (63, 64), (9, 9)])
def test_rows_are_those_of_the_shards(path, start, end):
    with h5py.File(path) as file:
        images, labels = Rows(file["train/images"]), Rows(file["train/labels"])
        assert np.array_equal(images[start:end], shards_of.images_of(N, 0)[start:end])
        assert np.array_equal(labels[start:end], np.arange(start, end) % 2)
        assert images.shape == (N, *SHAPE) and len(labels) == N


def test_few_files_are_open_at_a_time(path, monkeypatch):
    monkeypatch.setattr(ref.rows, "MOST_OPEN", 2)
    with h5py.File(path) as file:
        rows = Rows(file["train/images"])
        for _ in range(2):
            assert np.array_equal(rows[:], shards_of.images_of(N, 0))
            assert len(rows.opened) == 2


# ---- what can be wrong ---------------------------------------------------------------------------


def gone(shard):
    shard.unlink()


def cut_short(shard):
    shard.write_bytes(shard.read_bytes()[:-100])


def with_other_images(shard):
    with h5py.File(shard, "a") as file:
        del file["images"]
        file["images"] = np.zeros((IN_SHARD - 1, *SHAPE), np.uint8)


def without_images(shard):
    with h5py.File(shard, "a") as file:
        del file["images"]


def compressed_otherwise(shard):
    lacking_filter(shard, "images", (IN_SHARD, *SHAPE))


PROBLEMS = {
    gone: "there is no such file", cut_short: "truncated",
    with_other_images: "its images is (7, 28, 28, 1), which does not fit",
    without_images: "images is missing",
    compressed_otherwise: "Zstandard (HDF5's filter 32015)",
}


@pytest.mark.parametrize("spoil", PROBLEMS)
@pytest.mark.parametrize("way", ["an epoch", "evaluation"])
def test_a_shard_spoilt_after_opening(path, spoil, way, monkeypatch):
    monkeypatch.setattr(ref.rows, "MOST_OPEN", 1)
    part = open_data(path, memory_limit=0, window=1).train
    spoil(path.parent / "s-shards" / "train-3.h5")
    with pytest.raises(UnreadableError) as caught:
        list(part.epoch(16, seed=0, epoch=1) if way == "an epoch" else part.in_order(16))
    said = str(caught.value)
    assert PROBLEMS[spoil] in said and "s-shards/train-3.h5" in said and "\n" not in said
    assert f"{path}: rows 2" in said and " to 31 of train/images" in said


@pytest.mark.parametrize("spoil", PROBLEMS)
def test_a_shard_spoilt_before(path, spoil):
    """Told on opening, where the digest looks at every shard here."""
    spoil(path.parent / "s-shards" / "test-0.h5")
    for limit in (0, 1 << 30):
        with pytest.raises(DataFormatError) as caught:
            open_data(path, memory_limit=limit)
        assert "s-shards/test-0.h5" in str(caught.value) and PROBLEMS[spoil] in str(caught.value)


def test_too_many_open_files(path):
    resource = pytest.importorskip("resource")  # not on Windows
    part = open_data(path, memory_limit=0, window=1).train
    part.images.opened.clear()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    handle = os.open(os.devnull, os.O_RDONLY)
    os.close(handle)
    resource.setrlimit(resource.RLIMIT_NOFILE, (handle, before[1]))
    try:
        with pytest.raises(UnreadableError, match="train-0.h5: Too many open files"):
            list(part.in_order(16))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert sum(len(labels) for _, labels in part.in_order(16)) == N


def test_rows_that_are_in_no_file(tmp_path):
    layout = h5py.VirtualLayout((8, 3), "u1")
    layout[0:3] = h5py.VirtualSource("a.h5", "x", (3, 3), "u1")
    layout[5:8] = h5py.VirtualSource("a.h5", "x", (3, 3), "u1")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones((3, 3), "u1")
    with h5py.File(tmp_path / "index.h5", "w", libver="latest") as file:
        rows = Rows(file.create_virtual_dataset("y", layout, fillvalue=0))
        assert rows[1:3].all() and rows[6:8].all()
        with pytest.raises(RowsError, match="rows 3 to 7 of y are in none of the files"):
            rows[:]


@pytest.mark.parametrize("own, theirs", [
    ((slice(0, 4, 2),), (slice(0, 2),)), ((slice(0, 4), slice(0, 2)), (slice(0, 4), slice(0, 2))),
    ((slice(0, 4),), (slice(0, 4), slice(2, 5)))])
def test_other_virtual_datasets_are_refused(tmp_path, own, theirs):
    layout = h5py.VirtualLayout((4, 3), "u1")
    layout[own] = h5py.VirtualSource("a.h5", "x", (4, 6), "u1")[theirs] if len(own) > 1 or len(
        theirs) > 1 else h5py.VirtualSource("a.h5", "x", (4, 3), "u1")[theirs]
    with h5py.File(tmp_path / "index.h5", "w", libver="latest") as file:
        with pytest.raises(RowsError, match="not made of blocks of rows"):
            Rows(file.create_virtual_dataset("y", layout, fillvalue=0))


def test_a_part_of_another_array_is_read_from_its_row(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(10)
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(tmp_path / "a.h5", "x", (10,), "i8")[3:7]
    with h5py.File(tmp_path / "index.h5", "w", libver="latest") as file:
        assert Rows(file.create_virtual_dataset("y", layout))[1:].tolist() == [4, 5, 6]


# ---- the commands --------------------------------------------------------------------------------


def check(done, path):
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    assert f"{path}: rows " in done.stderr and "s-shards/train-0.h5: rows " in done.stderr
    assert "of images can't be read" in done.stderr


@pytest.mark.parametrize("net", [CLASSIFIER, ["--arch", "mnist-autoencoder"]],
                         ids=["classifier", "autoencoder"])
def test_training_stops(path, run, net):
    shards_of.damage(path.parent / "s-shards" / "train-0.h5", 2)
    check(run("ref.train", "--rule", "bp", *net, "--data", path, "--epochs", 1, "--out", "run"),
          path)


@pytest.mark.parametrize("net", [CLASSIFIER, ["--arch", "mnist-autoencoder"]],
                         ids=["classifier", "autoencoder"])
def test_evaluation_stops(path, run, net):
    done = run("ref.train", "--rule", "bp", *net, "--data", path, "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done
    shards_of.damage(path.parent / "s-shards" / "train-0.h5", 2)
    check(run("ref.evaluate", "run"), path)


def test_a_search_fails(path, run):
    shards_of.damage(path.parent / "s-shards" / "train-0.h5", 2)
    done = run("runs.search", "--rule", "bp", *CLASSIFIER, "--data", path, "--configs", 1,
               "--epochs", 1, "--validation", 8)
    assert done.returncode == 1, done
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and f"{path}: rows " in said[0] and "Traceback" not in done.stderr
