"""data_prep/cifar10.py: the binary layout, from a folder and from an archive, good and hostile."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep import cifar10, download, hdf5
from data_prep.hdf5 import DataError

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("REF_SHARED", ROOT.parent / "shared"))
RECORDS = 20  # in each file here, instead of 10,000
NAMES = [*cifar10.TRAIN_FILES, *cifar10.TEST_FILES]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)


@pytest.fixture
def records():
    """Name of the file -> its records, (RECORDS, 3073) uint8."""
    rng = np.random.default_rng(3)
    files = {}
    for name in NAMES:
        files[name] = rng.integers(0, 256, (RECORDS, 3073), np.uint8)
        files[name][:, 0] %= 10
    return files


@pytest.fixture
def folder(tmp_path, records):
    folder = tmp_path / "somewhere" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, content in records.items():
        (folder / name).write_bytes(content.tobytes())
    (folder / "readme.html").write_text("official, too")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def member(name, content=b"", kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def members(records, prefix="cifar-10-batches-bin/"):
    return [member(prefix + name, content.tobytes()) for name, content in records.items()]


def archive(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for info, content in contents:
            tar.addfile(info, io.BytesIO(content))
    return path


def believe(path, monkeypatch):
    """Take this archive for the published one."""
    monkeypatch.setattr(cifar10, "CHECKSUM", "sha256:" + download.digest(path))


def check_content(path, records):
    with h5py.File(path) as file:
        for k, (part, names) in enumerate((("train", cifar10.TRAIN_FILES),
                                           ("test", cifar10.TEST_FILES))):
            rows = np.concatenate([records[name] for name in names])
            rows = rows[hdf5.shuffled_order(len(rows), 0, k)]
            assert np.array_equal(file[part]["labels"], rows[:, 0])
            images = file[part]["images"][:]
            assert images.shape == (len(rows), 32, 32, 3)
            for i, row, column, channel in [(0, 0, 0, 0), (3, 0, 31, 1), (7, 31, 0, 2),
                                            (19, 12, 21, 0)]:
                byte = 1 + 1024 * channel + 32 * row + column  # the published layout
                assert images[i, row, column, channel] == rows[i, byte]
            assert np.array_equal(images.transpose(0, 3, 1, 2).reshape(len(rows), -1), rows[:, 1:])


@pytest.mark.parametrize("parent", [False, True])
def test_from_a_folder(folder, here, records, parent, capsys):
    cifar10.main(["--source", str(folder.parent if parent else folder)])
    check_content(here / "data" / "cifar10.h5", records)
    assert capsys.readouterr().out == (
        "wrote data/cifar10.h5: 100 train and 20 test images of 32x32x3, 10 classes; "
        "train on it: python -m ref.train --data cifar10\n")
    with h5py.File(here / "data" / "cifar10.h5") as file:
        assert file.attrs["classes"].startswith('["airplane", "automobile", "bird"')


@pytest.mark.parametrize("prefix", ["cifar-10-batches-bin/", "./cifar-10-batches-bin/"])
def test_from_an_archive(here, records, monkeypatch, prefix):
    contents = members(records, prefix)
    contents.insert(0, member(prefix, kind=tarfile.DIRTYPE))
    contents.append(member(prefix + "readme.html", b"official, too"))
    path = archive(here / "a.tar.gz", contents)
    believe(path, monkeypatch)
    cifar10.main(["--source", str(path), "--out", "x.h5"])
    check_content(here / "x.h5", records)
    assert sorted(path.name for path in here.iterdir()) == ["a.tar.gz", "x.h5"]  # nothing unpacked


def test_an_archive_is_checked(here, records):
    path = archive(here / "a.tar.gz", members(records))
    with pytest.raises(DataError, match="sha256 checksum is .*, expected c4a38c50a1bc5f3a"):
        cifar10.main(["--source", str(path)])
    assert not (here / "data").exists()


def test_an_archive_that_is_unzipped_already(here, records, capsys):
    """As browsers and file managers leave it, under either name."""
    zipped = archive(here / "a.tar.gz", members(records))
    for name in ("cifar-10-binary.tar", "cifar-10-binary.tar.gz"):
        (here / name).write_bytes(gzip.decompress(zipped.read_bytes()))
        cifar10.main(["--source", name, "--out", "x.h5"])
        check_content(here / "x.h5", records)
        assert capsys.readouterr().out.startswith(
            f"note: {name} is unzipped, so the checksum of cifar-10-binary.tar.gz can't be che")
    (here / "short.tar").write_bytes(gzip.decompress(zipped.read_bytes())[:200_000])
    with pytest.raises(DataError, match="short.tar: damaged or truncated"):
        cifar10.main(["--source", "short.tar"])


@pytest.mark.parametrize("content, kind", [
    (b"PK\x03\x04", "a zip archive"), (b"<html>", "a web page"), (b"BZh9", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"), (b"\x80\x04\x95", "a Python pickle"),
    (b"\x89HDF\r\n", "an HDF5 file")])
def test_other_kinds_of_file_are_named(here, content, kind):
    (here / "a").write_bytes(content)
    with pytest.raises(DataError, match=f"a: {kind}, expected cifar-10-binary.tar.gz or "):
        cifar10.main(["--source", "a"])


@pytest.mark.parametrize("extra, message", [
    (member("../evil", b"x"), "leads out of its folder"),
    (member("cifar-10-batches-bin/../../evil", b"x"), "leads out of its folder"),
    (member("/tmp/evil", b"x"), "leads out of its folder"),
    (member("cifar-10-batches-bin/link", kind=tarfile.SYMTYPE, linkname="/etc/passwd"),
     "is a link or device"),
    (member("cifar-10-batches-bin/link", kind=tarfile.LNKTYPE, linkname="../../x"),
     "is a link or device"),
    (member("cifar-10-batches-bin/null", kind=tarfile.CHRTYPE), "is a link or device"),
    (member("cifar-10-batches-bin/fifo", kind=tarfile.FIFOTYPE), "is a link or device"),
    (member("cifar-10-batches-bin/test_batch.bin", b"x" * RECORDS * 3073), "is in it twice"),
    (member("cifar-10-batches-py/data_batch_1", b"pickle"), "get the binary version, cifar-10-bin"),
])
def test_hostile_archives_are_refused(here, records, monkeypatch, extra, message):
    path = archive(here / "a.tar.gz", [*members(records), extra])
    believe(path, monkeypatch)
    with pytest.raises(DataError) as caught:
        cifar10.main(["--source", str(path)])
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(here.iterdir()) == [path]


def test_damaged_archives_are_refused(here, records, monkeypatch):
    path = archive(here / "a.tar.gz", members(records))
    good = path.read_bytes()
    for content in (b"", b"<html>", good[:-4], good[:len(good) // 2], good[:1000] + b"\xff" * 50
                    + good[1050:], good + b"junk"):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            cifar10.read_archive(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(good)
    monkeypatch.setattr(cifar10, "MAX_BYTES", 100_000)
    with pytest.raises(DataError, match="at most 100000 are read"):
        cifar10.read_archive(path)


def test_wrong_contents_are_refused(folder, here, records, monkeypatch):
    short = {**records, "test_batch.bin": records["test_batch.bin"][:-1]}
    path = archive(here / "a.tar.gz", members(short))
    with pytest.raises(DataError, match=r"test_batch.bin: 58387 bytes, expected 61460"):
        cifar10.read_archive(path)
    del short["test_batch.bin"]
    path = archive(here / "a.tar.gz", members(short))
    with pytest.raises(DataError, match="no test_batch.bin in it"):
        cifar10.read_archive(path)
    records["data_batch_2.bin"][5, 0] = 10
    (folder / "data_batch_2.bin").write_bytes(records["data_batch_2.bin"].tobytes())
    with pytest.raises(DataError, match="data_batch_2.bin: a label of 10, expected 0 to 9"):
        cifar10.main(["--source", str(folder)])
    (folder / "data_batch_2.bin").write_bytes(b"x" * 3073)
    with pytest.raises(DataError, match="data_batch_2.bin: 3073 bytes"):
        cifar10.main(["--source", str(folder)])
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match="no file data_batch_2.bin"):
        cifar10.main(["--source", str(folder)])


def test_the_python_version_is_recognised(here):
    (here / "cifar-10-batches-py").mkdir()
    (here / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"a pickle")
    for source in (here, here / "cifar-10-batches-py"):
        with pytest.raises(DataError, match="pickled.*get the binary version, cifar-10-binary.tar"):
            cifar10.main(["--source", str(source)])


def test_bad_commands_are_one_line_and_write_nothing(here):
    for arguments, message in [
        (["--source", "nowhere"], "nowhere: no such file or folder"),
        (["--source", "."], "no file data_batch_1.bin"),
        (["--source", ".", "--mirror", "http://x"], "not both"),
        (["--mirror", "http://127.0.0.1:9/x.tar.gz", "--cache", "."],
         "cannot download cifar-10-binary.tar.gz: http://127.0.0.1:9/x.tar.gz: "),
    ]:
        failed = subprocess.run([sys.executable, "-m", "data_prep.cifar10", *arguments], cwd=here,
                                env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
                                text=True, check=False)
        assert (failed.returncode, failed.stdout) == (2, ""), arguments
        assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
        assert message in failed.stderr
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_the_real_shapes(here, monkeypatch):
    """The 60,000 images from shared/, JPEG copies in the official layout; about 15 s."""
    maker = SHARED / "data" / "make_cifar10.py"
    if not maker.is_file():
        pytest.skip(f"no {maker} (set REF_SHARED)")
    pytest.importorskip("PIL")
    monkeypatch.setattr(cifar10, "RECORDS", 10000)
    subprocess.run([sys.executable, maker, here], check=True)
    cifar10.main(["--source", str(here)])
    with h5py.File(here / "data" / "cifar10.h5") as file:
        assert file["train/images"].shape == (50000, 32, 32, 3)
        assert list(np.bincount(file["train/labels"])) == [5000] * 10
        assert list(np.bincount(file["test/labels"])) == [1000] * 10
        # As published: the mean of the training pixels, red, green and blue.
        mean = file["train/images"][:].mean(axis=(0, 1, 2)) / 255
        assert np.abs(mean - [0.4914, 0.4822, 0.4465]).max() < 2e-3
