"""data_prep/hdf5.py: the form on disk, the order, and all or nothing."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep import hdf5
from data_prep.hdf5 import DataError
from ref.common.command import UserError

ROOT = Path(__file__).resolve().parents[1]
N_TRAIN, N_TEST, CLASSES = 700, 30, ["a", "b", "c"]


def examples(n, rng):
    return rng.integers(0, 256, (n, 5, 4, 3), np.uint8), rng.integers(0, 3, n).astype(np.uint8)


@pytest.fixture
def parts():
    rng = np.random.default_rng(1)
    return examples(N_TRAIN, rng), examples(N_TEST, rng)


def write(path, train, test, **changes):
    options = {"name": "tiny", "classes": CLASSES, "seed": 3, "source": "here", "command": "test",
               "sha256": {"raw": "00"}}
    hdf5.write(path, train, test, **{**options, **changes})


def read(path):
    with h5py.File(path) as file:
        return {f"{part}/{key}": file[part][key][:] for part in ("train", "test")
                for key in ("images", "labels")}


def test_the_form(tmp_path, parts):
    path = tmp_path / "new" / "folders" / "tiny.h5"
    write(path, *parts)
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert attributes.pop("created").endswith("Z")
        assert attributes == {
            "format": "ref-data", "version": 1, "name": "tiny", "classes": json.dumps(CLASSES),
            "shuffle_seed": 3, "source": "here", "command": "test", "numpy": np.__version__,
            "sha256": json.dumps({"raw": "00"})}
        assert file["train/images"].dtype == np.uint8 == file["train/labels"].dtype
        assert file["train/images"].shape == (N_TRAIN, 5, 4, 3)
        assert file["test/labels"].shape == (N_TEST,)
        assert file["train/images"].compression is None


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (224, 224, 3)])
def test_chunks_hold_whole_images_and_64_kib_to_1_mib(tmp_path, shape):
    n = 400
    train = np.zeros((n, *shape), np.uint8), np.zeros(n, np.uint8)
    write(tmp_path / "x.h5", train, train, compression="lzf")
    with h5py.File(tmp_path / "x.h5") as file:
        chunks = file["train/images"].chunks
    assert chunks[1:] == shape
    assert 64 * 1024 <= np.prod(chunks) <= 1024 * 1024


def test_every_example_is_there_once_with_its_own_label(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 600)  # many chunks, the last one not full,
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 2000)  # written in many blocks
    write(tmp_path / "x.h5", *parts)
    got = read(tmp_path / "x.h5")
    for k, part in enumerate(("train", "test")):
        images, labels = parts[k]
        order = hdf5.shuffled_order(len(images), 3, k)
        assert sorted(order) == list(range(len(images)))
        assert np.array_equal(got[f"{part}/images"], images[order])
        assert np.array_equal(got[f"{part}/labels"], labels[order])


def test_the_order_is_the_seeds(tmp_path, parts):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write(tmp_path / name, *parts, seed=seed)
    a, b, c = (read(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["train/images"], c["train/images"])
    # Pinned: the same order on every machine and with every version of NumPy.
    assert list(hdf5.shuffled_order(10, 0, 0)) == [6, 3, 8, 1, 4, 5, 9, 2, 7, 0]
    assert list(hdf5.shuffled_order(10, 0, 1)) != list(hdf5.shuffled_order(10, 0, 0))


def test_more_than_256_classes_need_two_bytes(tmp_path, parts):
    (images, _), test = parts
    labels = np.arange(N_TRAIN) % 300
    write(tmp_path / "x.h5", (images, labels), test, classes=[str(k) for k in range(300)])
    got = read(tmp_path / "x.h5")
    assert got["train/labels"].dtype == np.uint16 == got["test/labels"].dtype
    assert got["train/labels"].max() == 299


@pytest.mark.parametrize("break_it, message", [
    (lambda x, y: (x.astype(float), y), "images are float64"),
    (lambda x, y: (x[:, :, :, 0], y), "images are uint8 (700, 5, 4)"),
    (lambda x, y: (x[:0], y[:0]), "none of them 0"),
    (lambda x, y: (x, y[:-1]), "one for each of 700 images"),
    (lambda x, y: (x, y.astype(float)), "expected integers"),
    (lambda x, y: (x, y + 1), "labels run from 1 to 3, expected 0 to 2"),
    (lambda x, y: (x, y.astype(int) - 1), "labels run from -1"),
    (lambda x, y: (x[:, :4], y), "the same height, width and channels"),
])
def test_arrays_that_do_not_fit_are_refused(tmp_path, parts, break_it, message):
    train, test = parts
    with pytest.raises(DataError) as caught:
        write(tmp_path / "x.h5", break_it(*train), test)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"),
                                     RuntimeError("h5py's way\nof saying it"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path, parts, monkeypatch, failure):
    path = tmp_path / "x.h5"
    write(path, *parts)
    before = path.read_bytes()
    write_part = hdf5.write_part

    def fail_at_the_test_part(group, *rest):
        if group.name == "/test":
            raise failure
        write_part(group, *rest)

    monkeypatch.setattr(hdf5, "write_part", fail_at_the_test_part)
    with pytest.raises((DataError, KeyboardInterrupt)) as caught:
        write(path, *parts, seed=4)
    if not isinstance(failure, KeyboardInterrupt):
        assert caught.type is DataError and "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_too_large_for_the_disk_is_one_line(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    size = 1024 * 1024
    run = subprocess.run(
        [sys.executable, "-m", "data_prep.digits", "--out", tmp_path / "x.h5", "--n-train", "3000",
         "--n-test", "10"], capture_output=True, text=True, check=False, cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"error: cannot write {tmp_path / 'x.h5'}: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_or_a_file_in_the_way(tmp_path, parts):
    with pytest.raises(DataError, match="is a folder"):
        write(tmp_path, *parts)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="a file is in its place"):
        write(tmp_path / "file" / "x.h5", *parts)
