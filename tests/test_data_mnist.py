"""data_prep/mnist.py: IDX files, good and bad, from a folder and from a server."""

import functools
import gzip
import http.server
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep import hdf5, mnist
from data_prep.hdf5 import DataError

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("REF_SHARED", ROOT.parent / "shared")) / "data" / "mnist"
N_TRAIN, N_TEST = 40, 20
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array):
    """The array (unsigned bytes) as the bytes of an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def arrays():
    """Stem of the file -> what is in it."""
    rng = np.random.default_rng(2)
    labels = np.arange(60, dtype=np.uint8) % 10
    images = rng.integers(0, 256, (60, 6, 5), np.uint8)
    return {"train-images-idx3-ubyte": images[:N_TRAIN],
            "train-labels-idx1-ubyte": labels[:N_TRAIN],
            "t10k-images-idx3-ubyte": images[N_TRAIN:], "t10k-labels-idx1-ubyte": labels[N_TRAIN:]}


@pytest.fixture
def folder(tmp_path, arrays):
    folder = tmp_path / "raw"
    folder.mkdir()
    for stem, array in arrays.items():
        (folder / f"{stem}.gz").write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def check_content(path, arrays):
    with h5py.File(path) as file:
        for k, (part, stem) in enumerate((("train", "train"), ("test", "t10k"))):
            images = arrays[f"{stem}-images-idx3-ubyte"]
            order = hdf5.shuffled_order(len(images), 0, k)
            assert np.array_equal(file[part]["images"], images[order][..., None])
            assert np.array_equal(file[part]["labels"],
                                  arrays[f"{stem}-labels-idx1-ubyte"][order])


def run(*arguments, cwd):
    """The command as a user runs it."""
    return subprocess.run([sys.executable, "-m", "data_prep.mnist", *map(str, arguments)], cwd=cwd,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
                          text=True, check=False)


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_pixel_and_label_arrives(folder, here, arrays, dot, zipped, capsys):
    for stem, array in arrays.items():
        (folder / f"{stem}.gz").unlink()
        name = stem.replace("-idx", ".idx") if dot else stem
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    mnist.main(["--source", str(folder)])
    check_content(here / "data" / "mnist.h5", arrays)
    assert capsys.readouterr().out == (
        "wrote data/mnist.h5: 40 train and 20 test images of 6x5x1, 10 classes; "
        "train on it: python -m ref.train --data mnist\n")
    with h5py.File(here / "data" / "mnist.h5") as file:
        assert file.attrs["source"] == str(folder) and IMAGES[:12] in file.attrs["sha256"]


def test_another_name_and_place(folder, here, arrays, capsys):
    mnist.main(["--source", str(folder), "--name", "fashion-mnist", "--out", "a/b.h5"])
    check_content(here / "a" / "b.h5", arrays)
    assert capsys.readouterr().out.endswith("python -m ref.train --data a/b.h5\n")
    with h5py.File(here / "a" / "b.h5") as file:
        assert file.attrs["name"] == "fashion-mnist"


def test_a_zipped_file_without_the_ending_is_recognised(folder, here, arrays):
    (folder / f"{IMAGES}.gz").rename(folder / IMAGES)
    mnist.main(["--source", str(folder)])
    check_content(here / "data" / "mnist.h5", arrays)


GOOD = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
ZIPPED = gzip.compress(idx(GOOD))


@pytest.mark.parametrize("content, message", [
    (b"", "not an IDX file: it begins with nothing"),
    (b"<html>404", "not an IDX file but a web page: it begins with 3c68746d"),
    (b"PK\x03\x04 and so on", "not an IDX file but a zip archive: it begins with 504b0304"),
    (b"\0\0\x08", "not an IDX file"),
    (b"\0\0\x0d\x03" + idx(GOOD)[4:], "type 0x0d, expected 0x08"),
    (b"\0\0\x08\x01" + idx(GOOD)[4:], "1 dimensions, expected 3: are images and labels mixed up"),
    (idx(GOOD)[:10], "truncated: only 10 bytes, not even a whole header"),
    (idx(GOOD)[:16], "its header says (4, 3, 2), 24 bytes of data, but there are only 0"),
    (idx(GOOD)[:-1], "but there are only 23"),
    (idx(GOOD) + b"x", "bytes left over after the 24"),
    (idx(GOOD[:0]), "its header says (0, 3, 2): no data"),
    (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"x" * 50,
     "more than are read of a file of 66 bytes"),  # and 8e28 bytes were not asked for
    (ZIPPED[:-9], "the gzip data is truncated"),
    (ZIPPED[:2], "the gzip data is truncated"),
    (ZIPPED[:-8] + b"1234" + ZIPPED[-4:], "the gzip data is corrupt (CRC check failed"),
    (ZIPPED[:12] + b"\xff\xff\xff" + ZIPPED[15:], "the gzip data is corrupt"),
    (ZIPPED + b"junk", "the gzip data is corrupt"),
    (gzip.compress(idx(GOOD) + b"x"), "bytes left over"),
    (gzip.compress(idx(GOOD)[:-1]), "but there are only 23"),
])
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "bad-file"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        mnist.read_idx(path, 3)
    text = str(caught.value)
    assert message in text and str(path) in text and "\n" not in text


def test_a_bomb_is_not_unzipped_beyond_its_header(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb") as file:
        file.write(idx(GOOD))
        for _ in range(64):
            file.write(bytes(1024 * 1024))
    with pytest.raises(DataError, match="bytes left over after the 24"):
        mnist.read_idx(path, 3)


def test_bad_commands_are_one_line_and_write_nothing(folder, here, arrays):
    (folder / "empty").mkdir()
    mixed = folder / "mixed"
    mixed.mkdir()
    for stem, array in arrays.items():
        (mixed / stem).write_bytes(idx(array[1:] if stem == LABELS else array))
    for arguments, message in [
        (["--source", "nowhere"], "--source nowhere is not a folder"),
        (["--source", folder / "empty"], "no file train-images-idx3-ubyte.gz or"),
        (["--source", mixed], f"has 40 images, but {mixed / LABELS} has 39 labels"),
        (["--source", folder, "--out", here], "is a folder"),
        (["--source", folder, "--seed", "1.5"], "'1.5' is not an integer >= 0"),
        (["--source", folder, "--mirror", "http://x"], "--source or --mirror, not both"),
        (["--name", "fashion-mnist"], "no address and no checksum is known for fashion-mnist"),
        (["--name", "../x", "--source", folder], "--name '../x': use letters"),
        (["--mirror", "gopher://x"], "not an address to download from"),
        (["--sauce", folder], "unrecognized arguments"),
    ]:
        failed = run(*arguments, cwd=here)
        assert (failed.returncode, failed.stdout) == (2, ""), arguments
        assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
        assert message in failed.stderr
    assert list(here.iterdir()) == []


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; a file named in `stall` is never answered, but `stalled` is set."""

    stall, stalled, release = "", threading.Event(), threading.Event()

    def do_GET(self):
        if self.stall and self.stall in self.path:
            self.stalled.set()
            self.release.wait(100)
            return
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(folder):
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        QuietHandler.release.set()
        server.shutdown()
        thread.join()


def test_from_a_mirror(server, here, arrays):
    mnist.main(["--mirror", f"{server}nothing", "--mirror", server, "--name", "tiny"])
    check_content(here / "data" / "tiny.h5", arrays)
    assert len(list((here / "data" / "raw" / "tiny").iterdir())) == 4


def test_checksums_are_checked_for_mnist(server, here, monkeypatch):
    with pytest.raises(DataError, match="sha256 checksum is .*, expected 440fcabf73cc"):
        mnist.main(["--mirror", server])
    assert not (here / "data" / "mnist.h5").exists()
    assert list((here / "data" / "raw" / "mnist").iterdir()) == []


def test_ctrl_c_leaves_what_was_there(server, here, monkeypatch):
    monkeypatch.setattr(QuietHandler, "stall", "t10k-images")
    QuietHandler.stalled.clear()
    QuietHandler.release.clear()
    (here / "out.h5").write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.mnist", "--mirror", server, "--name", "tiny",
         "--out", "out.h5"], cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True)
    assert QuietHandler.stalled.wait(100)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert errors == "interrupted: no data set was written\n"
    assert (here / "out.h5").read_text() == "old"
    assert sorted(path.name for path in here.iterdir()) == ["data", "out.h5"]


def test_the_real_mnist(here):
    if not REAL.is_dir():
        pytest.skip(f"no MNIST files in {REAL} (set REF_SHARED)")
    mnist.main(["--source", str(REAL)])
    with h5py.File(here / "data" / "mnist.h5") as file:
        assert file["train/images"].shape == (60000, 28, 28, 1)
        assert file["test/images"].shape == (10000, 28, 28, 1)
        # As published: how often each digit occurs, and the mean of the training pixels.
        assert list(np.bincount(file["train/labels"])) == [5923, 6742, 5958, 6131, 5842, 5421, 5918,
                                                           6265, 5851, 5949]
        assert abs(file["train/images"][:].mean() / 255 - 0.1307) < 1e-4
