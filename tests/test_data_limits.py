"""Raw files that are none, or hold more than they should: refused at once, no memory taken."""

import gzip
import io
import os
import resource
import struct
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_data_download import BODY, SHA256, fetch, server, target  # noqa: F401 - fixtures

from data_prep import cifar10, download, jpeg, mnist, shards
from data_prep.hdf5 import DataError
from data_prep.imagenet_labels import read_lines
from ref import imported
from ref.common import files
from ref.common.command import UserError
from ref.data import open_data
from ref.parts import DataFormatError

MEGABYTE = 1024  # of ru_maxrss


@pytest.fixture
def cheap():
    """The test takes less than 100 MB more than before and less than 5 s."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * MEGABYTE
    assert time.monotonic() - begun < 5


# ---- what is downloaded --------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["good", "nolength", "noranges"])
def test_a_mirror_that_sends_more(server, target, manner):  # noqa: F811
    """Whether it says how much or not; the next one is tried, and nothing of it is kept."""
    words = ("more than the 999999 bytes" if manner == "nolength" else
             "1000000 bytes, at most 999999")
    with pytest.raises(DataError, match=f"it sends {words}"):
        fetch(server, target, manner, limit=len(BODY) - 1)
    assert list(target.parent.iterdir()) == []
    fetch(server, target, manner, limit=len(BODY))
    assert target.read_bytes() == BODY


def test_no_more_than_the_limit_is_written(server, target, monkeypatch):  # noqa: F811
    most = []
    monkeypatch.setattr(Path, "unlink", lambda path, **_: most.append(path.stat().st_size))
    with pytest.raises(DataError):
        fetch(server, target, "nolength", limit=300_000)
    assert max(most, default=0) <= 300_000


@pytest.mark.slow  # .ci/run runs it
def test_two_downloads_into_one_folder(server, target):  # noqa: F811
    """The second does not write into the first one's file; it says so, and may be given again."""
    thread = threading.Thread(target=lambda: pytest.raises(
        DataError, fetch, server, target, "stalls", timeout=2))
    thread.start()
    while not target.with_name("file.gz.part").exists():
        time.sleep(0.01)
    with pytest.raises(UserError, match="another process is downloading into it"):
        fetch(server, target, "good")
    thread.join()
    fetch(server, target, "good")
    assert target.read_bytes() == BODY and list(target.parent.iterdir()) == [target]


def test_a_lock_that_was_just_removed_is_none(here, monkeypatch):
    """Another one waited for it, and holds a file that nobody else would find."""
    right, opened = files.lock, []

    def late(path, taken):
        opened.append(right(path, taken))
        if len(opened) == 1:
            os.unlink(path)  # by who held it, between our opening and our locking it
        return opened[-1]

    monkeypatch.setattr(files, "lock", late)
    with files.passing_lock("lock", "taken"):
        assert len(opened) == 2 and os.path.samestat(os.stat("lock"),
                                                     os.fstat(opened[1].fileno()))
    assert os.listdir() == []


def test_a_part_that_is_a_link_is_not_followed(server, target):  # noqa: F811
    target.parent.mkdir()
    (target.parent / "ours").write_text("ours")
    target.with_name("file.gz.part").symlink_to("ours")
    fetch(server, target, "good")
    assert target.read_bytes() == BODY and (target.parent / "ours").read_text() == "ours"


def test_what_the_mirrors_are():
    """Encrypted, and checked by SHA-256, with a size."""
    assert all(url.startswith("https://") for url in (*mnist.MIRRORS, *cifar10.MIRRORS))
    assert cifar10.CHECKSUM.startswith("sha256:") and len(cifar10.CHECKSUM) == 7 + 64
    assert mnist.SIZES.keys() == mnist.CHECKSUMS.keys()
    assert SHA256.startswith("sha256:")


# ---- IDX -----------------------------------------------------------------------------------------


def header(*shape):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def bomb(path, *shape):
    """An honest gzip file of zeros."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header(*shape))
        for _ in range(0, int(np.prod(shape)), 1 << 24):
            file.write(bytes(1 << 24))
    return path


def test_a_gzip_of_far_more_than_images_are(here, cheap):
    path = bomb(here / "a.gz", 200_000, 28, 28)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match="more than are read of a file of"):
        mnist.read_idx(path, 3)


def test_an_array_beyond_the_limit(here, cheap):
    """However large the file: 3 GB without a byte on the disk."""
    with open("a", "wb") as file:
        file.write(header(4_000_000, 28, 28))
        file.truncate(16 + 4_000_000 * 784)
    with pytest.raises(DataError, match="more than are read of a file of 3136000016 bytes"):
        mnist.read_idx(here / "a", 3)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir])
def test_what_is_no_file(here, cheap, make):
    make("a")
    for read in (lambda path: mnist.read_idx(path, 3), read_lines, cifar10.read_archive,
                 lambda path: cifar10.read_source(path)):
        if make is not os.mkdir or read is not cifar10.read_source:
            with pytest.raises(DataError):
                read(here / "a")


# ---- CIFAR-10 and ImageNet -----------------------------------------------------------------------


def test_an_archive_of_very_many_files(here):
    with tarfile.open("a.tar", "w") as archive:
        for k in range(cifar10.MAX_MEMBERS + 1):
            archive.addfile(tarfile.TarInfo(f"cifar-10-batches-bin/{k}"), io.BytesIO())
    with pytest.raises(DataError, match="more than 1000 files"):
        cifar10.read_archive(here / "a.tar")


def test_an_archive_that_is_sparse(here, cheap):
    with open("a.tar", "wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(DataError, match="3221225472 bytes"):
        cifar10.read_archive(here / "a.tar")


def test_a_jpeg_of_gigabytes(here, cheap):
    """It is left out, as one that can't be decoded."""
    with open("a.JPEG", "wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(jpeg.Undecodable, match="3221225472 bytes, where at most 67108864"):
        shards.read(here, "a.JPEG")
    os.mkfifo("b.JPEG")
    with pytest.raises(jpeg.Undecodable, match="pipe"):
        shards.read(here, "b.JPEG")


def test_labels_of_gigabytes(here, cheap):
    with open("labels.txt", "wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(DataError, match="3221225472 bytes, where at most"):
        read_lines(here / "labels.txt")


def test_a_digest_is_of_a_file(here):
    (here / "a").write_bytes(b"abc")
    assert download.digest("a").startswith("ba7816bf")


# ---- prepared data -------------------------------------------------------------------------------


def test_four_kilobytes_of_two_billion_images(here, cheap):
    """Never written, so that HDF5 would make zeros of them: also the labels, all of which are
    looked at."""
    with h5py.File("d.h5", "w") as file:
        file.attrs.update(format="ref-data", version=1, name="d", classes='["a", "b"]')
        for part in ("train", "test"):
            file.create_dataset(f"{part}/images", (1 << 31, 8, 8, 3), "u1")
            file.create_dataset(f"{part}/labels", (1 << 31,), "u1")
    with pytest.raises(DataFormatError, match=r"claim 414464344064 bytes, which a file of \d{4} "):
        open_data("d.h5")


# ---- parameters to begin with --------------------------------------------------------------------


def test_parameters_that_unpack_to_gigabytes(here, cheap):
    with zipfile.ZipFile("w.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open(
            "W_1.npy", "w", force_zip64=True) as array:
        np.lib.format.write_array_header_1_0(array, {"descr": "<f8", "fortran_order": False,
                                                     "shape": (1 << 24,)})
        for _ in range(8):
            array.write(bytes(1 << 24))
    with pytest.raises(UserError, match="w.npz: .* bytes that unpack to 134217856"):
        imported.read("w.npz")
    os.mkfifo("pipe.npz")
    with pytest.raises(UserError, match="pipe"):
        imported.read("pipe.npz")
