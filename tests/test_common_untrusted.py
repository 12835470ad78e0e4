"""HDF5 files that lie about what they hold, or lead elsewhere: one line, and no memory taken.

Each is spoilt alike in a data file, a checkpoint, a run's parameters and a reference file.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import noise_images
from write_reference import FOLDER

from ref import checkpoint, folder
from ref.common import hdf5, untrusted
from ref.common.command import UserError
from ref.data import open_data
from ref.reference.read import read

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1024  # of ru_maxrss


def data(path):
    noise_images(path / "d.h5", shape=(8, 8, 3), n_classes=2)
    return path / "d.h5", "train/images", lambda: open_data(path / "d.h5")


def saved(path):
    checkpoint.save(path, {"W_1": np.ones((200, 8))}, {"t": 1})
    return path / checkpoint.NAME, "arrays/W_1", lambda: checkpoint.load(path)


def parameters(path):
    folder.write_parameters(path, {"W_1": np.ones((200, 8))})
    return path / "parameters.h5", "W_1", lambda: folder.read_parameters(path)


def reference(path):
    shutil.copy(FOLDER / "bp_dense.h5", path / "r.h5")
    return path / "r.h5", "step_1/dW_2", lambda: read(path / "r.h5")


READERS = (data, saved, parameters, reference)
every_reader = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)


def spoil(path, name, change):
    """Call change(file, name, shape, dtype) on the opened file, after the array was removed."""
    with h5py.File(path, "a") as file:
        shape, dtype = file[name].shape, file[name].dtype
        held = file[name][()]
        del file[name]
        change(file, name, shape, dtype, held)


def soft(file, name, shape, dtype, held):
    file["elsewhere"] = held
    file[name] = h5py.SoftLink("/elsewhere")


def external(file, name, shape, dtype, held):
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = held
    file[name] = h5py.ExternalLink("other.h5", "/x")


def a_group_elsewhere(file, name, shape, dtype, held):
    """Not the array but what it is in is linked."""
    above = name.rpartition("/")[0]
    if above:
        file.move(above, "moved")
        file[above] = h5py.SoftLink("/moved")
    else:
        soft(file, name, shape, dtype, held)


def storage(file, name, shape, dtype, held):
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(held.tobytes())
    file.create_dataset(name, shape, dtype, external=[(str(secret), 0, held.nbytes)])


def references(file, name, shape, dtype, held):
    file[name] = np.full(shape, file.ref, h5py.ref_dtype)


def texts(file, name, shape, dtype, held):
    file.create_dataset(name, shape, h5py.string_dtype())


def never_written(file, name, shape, dtype, held):
    """4 KB that claim 2^31 of what is there."""
    file.create_dataset(name, (1 << 31, *shape[1:]), dtype)


def never_written_chunks(file, name, shape, dtype, held):
    file.create_dataset(name, (1 << 31, *shape[1:]), dtype, chunks=(100, *shape[1:]),
                        compression="gzip")


def one_large_chunk(file, name, shape, dtype, held):
    """A megabyte of gzip that is 2.35 GB of zeros."""
    n = int(2.35e9) // (int(np.prod(shape[1:])) * dtype.itemsize)
    packed(file, name, (n, *shape[1:]), dtype, n, bomb(2.35e9))


def a_chunk_that_grows(file, name, shape, dtype, held):
    """Its chunk is small, and what gzip makes of it is not: HDF5 would take room for all of it."""
    packed(file, name, shape, dtype, shape[0], bomb(2.35e9))


def a_large_chunk_that_grows(file, name, shape, dtype, held):
    """As large as it may be, packed not at all, and then 2.35 GB of zeros."""
    n = 8_000_000 // (int(np.prod(shape[1:])) * dtype.itemsize)
    packed(file, name, (n, *shape[1:]), dtype, n, bomb(2.35e9))


def twice(file, name, shape, dtype, held):
    """Each of two gzips may unpack to a thousand times as much."""
    packed(file, name, shape, dtype, shape[0], b"x", filters=(1, 1))


def a_plugin(file, name, shape, dtype, held):
    packed(file, name, shape, dtype, shape[0], b"x", filters=(32015,))


def packed(file, name, shape, dtype, rows, content, filters=(1,)):
    """A dataset of one chunk with the given bytes."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((rows, *shape[1:]))
    for number in filters:
        plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (6,))
    group = file.require_group(name.rpartition("/")[0] or "/")
    made = h5py.h5d.create(group.id, name.rpartition("/")[2].encode(), h5py.h5t.py_create(dtype),
                           h5py.h5s.create_simple(shape), plist)
    made.write_direct_chunk((0,) * len(shape), content, 0)


def bomb(size):
    """A zlib stream of so many zeros, but for its end: blocks that do not look back repeat."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (int(size) >> 24)


SPOILT = {  # what is done: words of the refusal, or None where the reader's own form refuses it
    soft: "is a soft or external link", external: "is a soft or external link",
    a_group_elsewhere: "is a soft or external link", storage: "lie in another file",
    references: "is of type object", texts: "is of type object", never_written: None,
    never_written_chunks: None, one_large_chunk: None, a_chunk_that_grows: None,
    a_large_chunk_that_grows: None, twice: "compressed more than once",
    a_plugin: "not read here",
}


@every_reader
@pytest.mark.parametrize("change", SPOILT, ids=lambda change: change.__name__)
def test_a_spoilt_array(reader, change, tmp_path):
    path, name, again = reader(tmp_path)
    again()
    spoil(path, name, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    not_followed = reader is saved and "Link" in str(change.__code__.co_names)  # so it is missing
    with pytest.raises(UserError, match=None if not_followed else SPOILT[change]) as caught:
        again()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * MEGABYTE


@pytest.mark.parametrize("change, words", [
    (never_written, "claim"), (never_written_chunks, "claim"), (one_large_chunk, "in chunks of 23"),
    (a_chunk_that_grows, "takes .* bytes, more than it holds"),
    (a_large_chunk_that_grows, "unpacks to more than"),
], ids=lambda given: getattr(given, "__name__", None))
def test_each_guard_of_size(change, words, tmp_path):
    """By itself, whatever else the readers look at; each is what refuses its kind."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((200, 8))
    spoil(path, "x", change)
    with hdf5.open_file(path) as file, pytest.raises(UserError, match=words):
        found = untrusted.dataset(file, "x")
        untrusted.check_claims(file, [found])
        hdf5.array(found)


@pytest.mark.parametrize("options", [
    {}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"compression": "lzf"}, {"chunks": (7, 30), "compression": "gzip", "fletcher32": True},
    {"chunks": (400, 500), "compression": "gzip"},
])
def test_honest_arrays_are_read(options, tmp_path):
    """Also in chunks that are so large that they are unpacked here first."""
    numbers = np.random.default_rng(0).normal(size=(400, 500))
    numbers = numbers if options.get("chunks") == (400, 500) else numbers[:100, :50]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=numbers, **options)
    with hdf5.open_file(tmp_path / "a.h5") as file:
        found = untrusted.dataset(file, "x")
        untrusted.check_claims(file, [found])
        assert np.array_equal(hdf5.array(found, slice(3, 90)), numbers[3:90])
        assert np.array_equal(hdf5.array(found), numbers)


@every_reader
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "absent"])
def test_what_is_no_file(reader, kind, tmp_path):
    path, _, again = reader(tmp_path)
    path.unlink()
    make = {"pipe": os.mkfifo, "device": lambda path: os.symlink("/dev/zero", path),
            "folder": os.mkdir, "absent": lambda path: None}[kind]
    make(path)
    with contextlib.suppress(UserError):  # a checkpoint that is not there yet is none
        assert again() is None
        assert (kind, reader) == ("absent", saved)


def test_attributes_do_not_fill_the_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["padding"] = np.ones(1 << 20)
        file.attrs["many"] = ["a"] * 1000
        file.attrs["few"] = ["a"] * 10
        file.attrs["long"] = np.zeros(1 << 22)
        file.attrs["reference"] = file["padding"].ref
    with hdf5.open_file(tmp_path / "a.h5") as file:
        assert hdf5.attribute(file, "few") == ["a"] * 10
        for name, words in (("many", "1000 texts"), ("long", "33554432 bytes"),
                            ("reference", "is of type object")):
            with pytest.raises(UserError, match=f"its attribute {name} .*{words}"):
                hdf5.attribute(file, name)


# ---- virtual datasets, which data may be made of -------------------------------------------------


@pytest.fixture
def index(tmp_path):
    """Makes data whose training images are those of the file of that name, and opens it."""
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), np.uint8)
    (tmp_path / "in").mkdir()
    for place in ("in/x.h5", "out.h5"):
        with h5py.File(tmp_path / place, "w") as file:
            file["x"] = images

    def open_index(name, times=1):
        path = noise_images(tmp_path / "in" / "d.h5", shape=(8, 8, 3), n_classes=2)
        layout = h5py.VirtualLayout((200 * times, 8, 8, 3), "u1")
        for k in range(times):
            layout[200 * k:200 * (k + 1)] = h5py.VirtualSource(str(name), "x", (200, 8, 8, 3), "u1")
        with h5py.File(path, "a", libver="latest") as file:
            del file["train/images"], file["train/labels"]
            file["train/labels"] = np.arange(200 * times) % 2
            file.create_virtual_dataset("train/images", layout)
        return open_data(path)

    return open_index


def test_rows_of_files_beside_or_below(index, tmp_path):
    assert len(index("x.h5").train) == len(index(tmp_path / "in/x.h5").train) == 200


@pytest.mark.parametrize("name", ["../out.h5", "/etc/passwd", "deeper/../../out.h5"])
def test_rows_of_files_elsewhere(index, name, tmp_path):
    with pytest.raises(UserError, match="not in its folder|there is no such file"):
        index(name)


def test_the_same_rows_a_thousand_times(index):
    """A small file would make data of gigabytes."""
    with pytest.raises(UserError, match="does not fit"):
        index("x.h5", 101)


# ---- plugins -------------------------------------------------------------------------------------


def test_no_plugin_is_loaded(tmp_path):
    """HDF5 looks for one as soon as it meets a filter that it does not know, also in a group."""
    (tmp_path / "plugins").mkdir()
    path, name, _ = data(tmp_path)
    code = ("import h5py, sys\nfrom ref.common import hdf5\n"
            "before = h5py.h5pl.size()\n"
            "hdf5.open_file(sys.argv[1])\nprint(before, h5py.h5pl.size())")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT),
                               "HDF5_PLUGIN_PATH": str(tmp_path / "plugins")})
    assert done.stdout == "1 0\n", done
