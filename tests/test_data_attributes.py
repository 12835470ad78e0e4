"""Attributes of a data file of whatever kind, written by whatever program; HDF5's own reasons."""

import errno
import json
import shutil

import h5py
import numpy as np
import pytest
import shards_of
from conftest import noise_images

from data_prep import shards
from ref.data import open_data
from ref.parts import DataFormatError

CLASSES = json.dumps(["a", "b"])


def fixed(text):
    """A string of fixed length, padded with NULs as C has it."""
    return np.array(text.encode(), f"S{len(text.encode()) + 3}")


KINDS = {  # of text
    "variable length": str, "fixed length": fixed, "np.bytes_": lambda text: np.bytes_(text),
    "an array of one": lambda text: np.array([text.encode()]),
    "ASCII": lambda text: np.array(text, h5py.string_dtype("ascii")),
    "padded with blanks": lambda text: np.bytes_(f"{text}   "),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def path(tmp_path):
    return noise_images(tmp_path / "cifar10.h5", shape=(8, 8, 3), n_classes=2)


def rewrite(path, **attributes):
    with h5py.File(path, "a") as file:
        for name, value in attributes.items():
            del file.attrs[name]
            file.attrs[name] = value


@every_kind
@pytest.mark.parametrize("version", [1, 1.0, "1", np.uint8(1), np.array([1.0]), np.bytes_("1")])
def test_every_attribute_is_read(path, kind, version):
    rewrite(path, version=version, format=KINDS[kind]("ref-data"), name=KINDS[kind]("cifar10"),
            classes=KINDS[kind](CLASSES))
    data = open_data(path)
    assert (data.name, data.classes) == ("cifar10", ["a", "b"])


@every_kind
def test_crops_and_flips_are_on_for_cifar10(path, kind, command, here):
    """By its name, in which they were silently off."""
    rewrite(path, name=KINDS[kind]("cifar10"))
    result = command("ref.train", "--rule", "bp", "--arch", "dense 8, softmax 2", "--data", path,
                     "--epochs", 1, "--out", "run")
    assert result.status == 0, result
    assert ("cifar10: 200 train and 100 test examples, trained on with crops moved by up to 4 and "
            "horizontal flips;") in result.out
    assert json.loads((here / "run/config.json").read_text())["augmentation"] == {
        "crop_padding": 4, "flip": "horizontal", "resized_crop": None}


def test_classes_may_be_an_array(path):
    rewrite(path, classes=np.array([b"a", b"b"]))
    assert open_data(path).classes == ["a", "b"]


BAD = {  # attributes: what is said, of them as they were found
    "classes, no JSON": ({"classes": "cat, dog"}, "'classes' is no JSON: 'cat, dog'; expected a "),
    "classes, a number": ({"classes": 3}, "'classes' is '3'; expected a JSON list"),
    "classes, an object": ({"classes": '{"cat": 0}'}, "expected a JSON list"),
    "classes, one": ({"classes": '["cat"]'}, "'classes' names 1 class: a classifier needs at"),
    "classes, none": ({"classes": "[]"}, "'classes' names 0 classes"),
    "format": ({"format": np.bytes_("other")}, "its format is 'other' and its version 1, expected"),
    "version": ({"version": 2.5}, "its format is 'ref-data' and its version 2.5"),
    "version, text": ({"version": "two"}, "and its version 'two', expected 'ref-data' and 1"),
    "version, no number": ({"version": 1j}, "its attribute version is of type complex128"),
    "name": ({"name": 1j}, "its attribute name is of type complex128"),
}


@pytest.mark.parametrize("problem", BAD)
def test_what_was_found_is_said(path, problem):
    attributes, words = BAD[problem]
    rewrite(path, **attributes)
    with pytest.raises(DataFormatError) as caught:
        open_data(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and words in said and "missing" not in said
    assert "\n" not in said


def test_classes_that_are_missing(path):
    with h5py.File(path, "a") as file:
        del file.attrs["classes"]
    with pytest.raises(DataFormatError, match="it has no attribute 'classes'; expected a"):
        open_data(path)


@every_kind
def test_a_shard_of_another_writer_is_finished_too(tmp_path, kind):
    path = shards_of.make(tmp_path).parent / "s-shards" / "train-0.h5"
    shard = shards.Shard(path, "digest", tmp_path, ["x"] * shards_of.IN_SHARD, None, 28, 28, None)
    with h5py.File(path, "a") as file:
        file.attrs.update(preparation=KINDS[kind]("digest"), name=KINDS[kind](path.name))
        del file["images"]
        file["images"] = np.zeros((shards_of.IN_SHARD, 28, 28, 3), np.uint8)
        file.create_dataset("left_out", (0, 2), h5py.string_dtype())
    assert shards.check(shard) == shards_of.IN_SHARD
    with h5py.File(path, "a") as file:
        file.attrs["preparation"] = 1j
    assert shards.check(shard) is None


# ---- HDF5's own reasons --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize("array", ["train/images", "test/labels"])
def test_a_missing_filter(path, array, limit):
    with h5py.File(path, "a") as file:
        shape = file[array].shape
        del file[array]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(shape)
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
        group, _, name = array.rpartition("/")
        made = h5py.h5d.create(file[group].id, name.encode(), h5py.h5t.STD_U8LE,
                               h5py.h5s.create_simple(shape), plist)
        made.write_direct_chunk((0,) * len(shape), b"compressed", 0)
    with pytest.raises(DataFormatError) as caught:
        open_data(path, memory_limit=limit)
    assert f"{array} is compressed with Blosc (HDF5's filter 32001)" in str(caught.value)
    assert "write the file again with gzip" in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("number, words, said", [
    (errno.EAGAIN, "unable to lock file", "another program has it open for writing"),
    (errno.ENOSYS, "unable to lock file", "its file system has no locks: set HDF5_USE_FILE"),
    (errno.EACCES, "Permission denied", "Permission denied"),
    (errno.EIO, "x", "Input/output error"),
])
def test_what_is_no_fault_of_the_file(path, number, words, said, monkeypatch, command, here):
    def fail(*_):
        raise OSError(number, words)

    monkeypatch.setattr(h5py, "File", fail)
    command.refused("ref.train", "--rule", "bp", "--data", path, names=[path, said])


def test_left_open_and_cut_short(path, tmp_path):
    with h5py.File(path, "a", libver="latest") as file:
        file.attrs["more"] = 1
        file.flush()
        shutil.copy(path, tmp_path / "left.h5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:-100])
    for name, said in (("left.h5", "left open for writing by a program that crashed"),
                       ("cut.h5", "truncated: copy or write it again")):
        with pytest.raises(DataFormatError, match=said):
            open_data(tmp_path / name)
