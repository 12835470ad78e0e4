"""data_prep/imagenet.py on made-up trees: odd files, kills and resumes, labels files, refusals.

Every image of class k is a noisy grey of level 40 + 50 k, whatever its kind: so a label can be
checked against the pixels beside it.
"""

import contextlib
import functools
import io
import os
import re
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest
from seldom import slow_but

from data_prep import hdf5, imagenet, imagenet_files, jpeg, shards
from data_prep.hdf5 import DataError
from ref.common.command import UserError
from ref.data import open_data
from ref.parts import DataFormatError, Streamed

Image = pytest.importorskip("PIL.Image", reason='needs pillow: pip install ".[imagenet]"')

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ["n00000001", "n00000002", "n00000010", "n99999999"]
SIZE, RESIZE, SHARD = 16, 18, 12


def saved(pixels, kind="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    """A PNG that says it is so large, and holds next to nothing."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0,
                                                              0))
            + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def turned():
    """EXIF data that say: turn by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GOOD = {
    "plain": lambda x: saved(x, quality=95),
    "plain, again": lambda x: saved(x, quality=60),
    "progressive": lambda x: saved(x, progressive=True),
    "grey": lambda x: saved(x, mode="L"),
    "CMYK": lambda x: saved(x, mode="CMYK"),
    "turned by EXIF": lambda x: saved(x, exif=turned()),
    "damaged EXIF": lambda x: saved(x, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "PNG": lambda x: saved(x, "PNG"),
    "PNG, transparent": lambda x: saved(x, "PNG", "RGBA"),
    "PNG, palette": lambda x: saved(x, "PNG", "P"),
    "PNG, grey and alpha": lambda x: saved(x, "PNG", "LA"),
    "one pixel": lambda x: saved(x[:1, :1], "PNG"),
    "long": lambda x: saved(np.tile(x[:2], (1, 40, 1))),
    "bytes after the end": lambda x: saved(x) + b"and more",
}
BAD = {
    "truncated": (lambda x: saved(x)[:-60], "truncated"),
    "cut in the header": (lambda x: saved(x)[:100], ""),
    "empty": (lambda x: b"", "empty file"),
    "text": (lambda x: b"<html>404</html>", "not a JPEG or PNG image"),
    "GIF": (lambda x: saved(x, "GIF"), "not a JPEG or PNG image"),
    "16 bits": (lambda x: saved(x[..., 0].astype(np.uint16) * 256, "PNG", "I;16"),
                "more than 8 bits a pixel"),
    "huge": (lambda x: png_header(10_000, 9_000), "more than 89478485 pixels"),
    "bomb": (lambda x: png_header(60_000, 60_000), "more than 89478485 pixels"),
    "PNG cut short": (lambda x: saved(x, "PNG")[:-200], ""),
}


def pixels(rng, label, sides=(20, 60)):
    shape = (*rng.integers(*sides, 2), 1)
    return np.repeat(rng.integers(-12, 13, shape) + 40 + 50 * label, 3, axis=2).astype(np.uint8)


def make_tree(folder, n_train, n_val, seed=0, classes=CLASSES, flat=False, bad=True,
              sides=(20, 60)):
    """A tree of n_train and n_val files, of all kinds in turn; {file of val: label}."""
    rng, labels = np.random.default_rng(seed), {}
    kinds = [*GOOD.values(), *(make for make, _ in BAD.values() if bad)]
    for part, n in (("train", n_train), ("val", n_val)):
        for i in range(n):
            label = int(rng.integers(len(classes)))
            name = f"ILSVRC2012_val_{i:08d}.JPEG" if part == "val" else f"{i}.JPEG"
            inside = folder / part if flat and part == "val" else folder / part / classes[label]
            inside.mkdir(parents=True, exist_ok=True)
            (inside / name).write_bytes(kinds[i % len(kinds)](pixels(rng, label % 4, sides)))
            if part == "val":
                labels[name] = label
    return labels


Ended = namedtuple("Ended", "status out err")


def arguments_for(source, *more):
    return ["--source", str(source), "--size", str(SIZE), "--resize", str(RESIZE),
            "--shard-images", str(SHARD), *map(str, more)]


def start(folder, arguments):
    """The command in a process, and group, of its own, with `folder` as its current one."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-m", "data_prep.imagenet", *arguments], cwd=folder,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True)


def end(process):
    try:
        out, err = process.communicate(timeout=120)
    except BaseException:  # nothing of it outlives a test that fails
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return Ended(process.returncode, out, err)


def interrupt(folder, arguments, interfere, shards_done=2):
    """Start, call interfere(process) once so many shards are there: (how it ended, its workers)."""
    for _ in range(5):  # it may be too quick for us
        process = start(folder, arguments)
        workers = []
        while process.poll() is None and len(files_of(folder)) < shards_done:
            time.sleep(0.002)
            workers = children(process.pid) or workers
        interfere(process)
        ended = end(process)
        if not (folder / "data/imagenet.h5").exists():
            return ended, workers
        shutil.rmtree(folder)
    raise AssertionError("it always got through before it was stopped")


def children(pid):
    try:
        return [int(k) for k in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def gone(pids):
    """Whether these processes end, within ten seconds."""
    def alive(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(map(alive, pids))


def files_of(folder):
    """{name: bytes} of the finished shards."""
    return {path.name: path.read_bytes() for path in (folder / "data/imagenet-shards").glob("*.h5")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    make_tree(folder, 240, 50)
    (folder / "train" / "readme.txt").write_text("no image")
    (folder / "train" / CLASSES[0] / "._0.JPEG").write_text("no image")
    (folder / "train" / CLASSES[1] / "deeper").mkdir()
    shutil.rmtree(folder / "val" / CLASSES[2])  # a class without test images
    return folder


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """The folder in which the command ran, uninterrupted, and how it ended."""
    folder = tmp_path_factory.mktemp("prepared")
    ended = end(start(folder, arguments_for(tree, "--workers", 2)))
    assert ended.status == 0, ended
    return folder, ended


def expected(tree, part, seed=0):
    """Images, labels and left out paths of a part in the documented order, by a plain loop."""
    files = sorted((str(path.relative_to(tree)), CLASSES.index(path.parent.name))
                   for path in tree.glob(f"{part}/*/[!.]*.JPEG"))
    images, labels, left_out = [], [], []
    for i in hdf5.shuffled_order(len(files), seed, ("train", "val").index(part)):
        path, label = files[i]
        try:
            images.append(jpeg.decode((tree / path).read_bytes(), SIZE, RESIZE))
            labels.append(label)
        except jpeg.Undecodable:
            left_out.append(path)
    return np.array(images), np.array(labels), left_out


def test_images_labels_and_order_are_as_documented(tree, prepared):
    folder, ended = prepared
    left_out = []
    with h5py.File(folder / "data/imagenet.h5") as file:
        for part, inside in (("train", "train"), ("test", "val")):
            images, labels, bad = expected(tree, inside)
            left_out += bad
            assert file[part]["images"].is_virtual and file[part]["labels"].is_virtual
            assert np.array_equal(file[part]["labels"][:], labels)
            assert np.array_equal(file[part]["images"][:], images)
            level = np.rint((images.mean(axis=(1, 2, 3)) - 40) / 50)  # see this file's docstring
            assert np.array_equal(level, labels)
        assert file.attrs["classes"] == '["n00000001", "n00000002", "n00000010", "n99999999"]'
        assert (file.attrs["name"], file.attrs["shuffle_seed"]) == ("imagenet", 0)
    n_train = 240 - sum(path.startswith("train") for path in left_out)
    assert 80 < len(left_out) < 120
    rows = [line.split("\t") for line in
            (folder / "data/imagenet-left-out.txt").read_text().splitlines()]
    assert [path for path, _, _ in rows] == sorted(left_out)
    assert {"empty file", "not a JPEG or PNG image"} < {reason for _, reason, _ in rows}
    for path, _, name in rows[:5]:  # the shard that each is missing from
        with h5py.File(folder / "data/imagenet-shards" / name) as file:
            assert path in file["left_out"].asstr()[:, 0]
    lines = ended.out.splitlines()
    assert ended.err == ""
    assert lines[1] == f"240 train and {len(list(tree.glob('val/*/*')))} test files, 4 classes"
    assert lines[2] == "note: 1 of 4 classes have no image in val, e.g. n00000010"
    assert lines[3] == ("note: 3 other files and folders are passed over, e.g. "
                        "train/n00000001/._0.JPEG")
    assert re.fullmatch(r"to write: 24 of 24 shards, 0\.2 MB uncompressed, in "
                        r"data/imagenet-shards; [\d.]+ GB free there", lines[4])
    assert lines[5].startswith(f"left out {len(left_out)} of ")
    assert lines[6].startswith(f"wrote data/imagenet.h5: {n_train} train and ")
    assert lines[6].endswith("train on it: python -m ref.train --data imagenet")


@pytest.mark.parametrize("kind", GOOD)
def test_every_readable_kind_is_decoded(kind):
    x = pixels(np.random.default_rng(1), 2)
    image = jpeg.decode(GOOD[kind](x), SIZE, RESIZE)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    assert abs(image.mean() - 140) < (13 if kind == "one pixel" else 5)


@pytest.mark.parametrize("kind", BAD)
def test_every_unreadable_kind_is_told_in_a_line(kind):
    make, message = BAD[kind]
    with pytest.raises(jpeg.Undecodable) as caught:
        jpeg.decode(make(pixels(np.random.default_rng(1), 2)), SIZE, RESIZE)
    assert message in str(caught.value) and str(caught.value)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_the_crop_is_the_middle_of_the_resized_image():
    y, x = np.mgrid[:300, :500]
    picture = np.stack([x / 2, y / 2, (x + y) / 4], axis=2).astype(np.uint8)
    whole = Image.fromarray(picture).resize((round(500 * 64 / 300), 64), Image.Resampling.BILINEAR)
    left, top = (whole.width - 56) / 2, (64 - 56) / 2
    plain = np.asarray(whole.crop((round(left), round(top), round(left) + 56, round(top) + 56)))
    ours = jpeg.decode(saved(picture, "PNG"), 56, 64)
    # A slope of 1/2 a pixel is 2.3 a resized one, and the plain crop is off by up to half of one.
    assert np.abs(ours.astype(int) - plain).max() <= 2
    assert np.array_equal(jpeg.decode(saved(picture[:, :300], "PNG"), 300, 300), picture[:, :300])
    turned_picture = jpeg.decode(saved(picture, exif=turned()), 56, 64)
    assert np.array_equal(turned_picture, jpeg.decode(saved(picture), 56, 64))  # EXIF ignored


@pytest.mark.parametrize("shards_done", slow_but([12], [0, 12]))
def test_killed_and_run_again_it_ends_as_if_uninterrupted(tree, prepared, tmp_path, shards_done):
    arguments = arguments_for(tree, "--workers", 2)
    ended, workers = interrupt(tmp_path / "x", arguments, lambda process: process.kill(),
                               shards_done)
    assert ended.status == -signal.SIGKILL and gone(workers)
    kept = files_of(tmp_path / "x")
    assert len(kept) < 24
    again = end(start(tmp_path / "x", arguments))
    assert again.status == 0, again
    assert f"to write: {24 - len(kept)} of 24 shards" in again.out
    compare(tmp_path / "x", prepared[0])
    third = end(start(tmp_path / "x", arguments))
    assert third.status == 0 and "to write: 0 of 24 shards" in third.out
    compare(tmp_path / "x", prepared[0])


def compare(folder, other):
    """Both hold the same shards, byte for byte, the same arrays and list, and nothing else."""
    assert files_of(folder) == files_of(other)
    for part in ("train", "test"):
        for key in ("images", "labels"):
            with h5py.File(folder / "data/imagenet.h5") as a, h5py.File(
                    other / "data/imagenet.h5") as b:
                assert np.array_equal(a[part][key][:], b[part][key][:])
    name = "data/imagenet-left-out.txt"
    assert (folder / name).read_text() == (other / name).read_text()
    names = [{str(path.relative_to(top)) for path in top.rglob("*")} for top in (folder, other)]
    assert names[0] == names[1] and not any(".tmp" in path for path in names[0])


@pytest.mark.parametrize("number", slow_but(
    [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
def test_a_signal_ends_the_workers_and_says_how_to_go_on(tree, prepared, tmp_path, number):
    """Sent to all of them, as a terminal or a scheduler does."""
    arguments = arguments_for(tree, "--workers", 2)
    ended, workers = interrupt(tmp_path / "x", arguments,
                               lambda process: os.killpg(process.pid, number))
    assert ended.status == 128 + number
    assert ended.err == ("interrupted: finished shards are kept; run the same command again to go "
                         "on\n")
    assert workers and gone(workers)
    assert not list((tmp_path / "x").rglob("*.tmp"))
    assert end(start(tmp_path / "x", arguments)).status == 0
    compare(tmp_path / "x", prepared[0])


def test_a_worker_that_is_killed_is_told(tree, tmp_path):
    def kill_workers(process):
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)
    ended, _ = interrupt(tmp_path / "x", arguments_for(tree, "--workers", 2), kill_workers)
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert "a worker process ended by itself" in ended.err and "run the same command" in ended.err


def test_workers_are_ended_by_their_parent_alone(tree, prepared, tmp_path):
    """So that the parent, which gets the same signal, is the one to say why."""
    process = start(tmp_path / "x", arguments_for(tree, "--workers", 2))
    while process.poll() is None:
        if files_of(tmp_path / "x"):  # they have begun
            for pid in children(process.pid):
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGTERM)
            break
        time.sleep(0.002)
    assert end(process).status == 0
    compare(tmp_path / "x", prepared[0])


def test_damaged_shards_are_done_again_and_changes_refused(tree, prepared, tmp_path):
    source, folder = tmp_path / "source", tmp_path / "x"
    shutil.copytree(tree, source)
    shutil.copytree(prepared[0], folder)
    arguments = arguments_for(source, "--workers", 1)
    where = folder / "data/imagenet-shards"
    (where / "train-0003.h5").write_bytes((where / "train-0003.h5").read_bytes()[:-100])
    (where / "train-0005.h5").write_bytes(b"")
    (where / "train-0007.h5").unlink()
    shutil.copy(where / "train-0001.h5", where / "test-0001.h5")
    (where / ".ref-00000000-1-0.tmp").write_bytes(b"left by a process that was killed")
    again = end(start(folder, arguments))
    assert again.status == 0 and "to write: 4 of 24 shards" in again.out, again
    compare(folder, prepared[0])

    def refused(*more):
        failed = call(folder, arguments_for(source, *more))
        assert "imagenet-shards was begun with another" in failed
        assert files_of(folder) == files_of(prepared[0])
        return failed
    assert "--seed, 0 then, 1 now" in refused("--seed", 1)
    assert "--size, 16 then, 8 now" in refused("--size", 8)
    assert "--compression, none then, lzf now" in refused("--compression", "lzf")
    assert "--shard-images, 12 then, 13 now" in refused("--shard-images", 13)
    with open(next(source.glob("train/*/5.JPEG")), "ab") as file:
        file.write(b"x")
    assert "--source (names and sizes of its files)" in refused()
    (where / "parameters.json").unlink()
    assert "not empty, and not begun by this command" in call(folder, arguments_for(source))


def call(folder, arguments):
    """Call main in this process, in `folder`; the text of the DataError that it raises."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        with pytest.raises(DataError) as caught:
            imagenet.main([str(argument) for argument in arguments])
    finally:
        os.chdir(before)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_at_once_are_refused(tree, tmp_path):
    folder = tmp_path / "imagenet-shards"
    with imagenet.claim(folder, {}):
        with pytest.raises(UserError, match="another process is writing there"):
            with imagenet.claim(folder, {}):
                pass


def test_it_is_read_and_trained_on_as_a_stream(prepared, command, monkeypatch, tmp_path):
    path = prepared[0] / "data/imagenet.h5"
    data = open_data(path, memory_limit=0, window=20_000)  # several windows
    assert isinstance(data.train, Streamed) and data.in_shape == (SIZE, SIZE, 3)
    batches = list(data.train.epoch(batch_size=16, seed=0, epoch=1))
    seen = np.concatenate([images for images, _ in batches])
    whole = open_data(path)
    assert sorted(row.tobytes() for row in seen) == sorted(
        row.tobytes() for row in whole.train.images)
    for images, labels in batches:
        assert np.array_equal(np.rint((images.mean(axis=(1, 2, 3)) - 40) / 50), labels)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ref.train.open_data", functools.partial(open_data, memory_limit=0))
    result = command("ref.train", "--rule", "bp", "--arch", "conv 5x5x8/4, softmax 4", "--data",
                     path, "--epochs", 1, "--batch-size", 16, "--out", "run")
    assert result.status == 0, result
    assert re.search(r"epoch +1   train error [\d.]+ % .* test error [\d.]+ %", result.out)


def test_many_shards_are_read_as_a_stream(tmp_path):
    make_tree(tmp_path / "s", 60, 4, bad=False)
    out = tmp_path / "many.h5"
    imagenet.main(arguments_for(tmp_path / "s", "--shard-images", 1, "--out", out, "--workers", 1))
    data = open_data(out, memory_limit=0)
    assert sum(len(labels) for _, labels in data.train.epoch(16, seed=0, epoch=1)) == 60


def test_moved_it_is_read_and_a_missing_shard_is_refused(prepared, tmp_path):
    shutil.copytree(prepared[0] / "data", tmp_path / "elsewhere")
    path = tmp_path / "elsewhere/imagenet.h5"
    assert open_data(path).digest == open_data(prepared[0] / "data/imagenet.h5").digest
    shard = tmp_path / "elsewhere/imagenet-shards/train-0004.h5"
    shard.rename(tmp_path / "aside.h5")
    with pytest.raises(DataFormatError):  # and not images and labels of zeros
        open_data(path, memory_limit=0)
    shard.write_bytes(b"damaged")
    with pytest.raises(DataFormatError):
        open_data(path, memory_limit=0)


def test_other_choices(tmp_path):
    """Compressed, another name and seed, a % in the path, a shard with nothing left in it."""
    make_tree(tmp_path / "s", 30, 8, bad=False)
    for i in range(30):
        if i not in hdf5.shuffled_order(30, 5, 0)[10:20]:
            continue
        sorted((tmp_path / "s").glob("train/*/*.JPEG"))[i].write_bytes(b"")
    out = tmp_path / "50%b.h5"
    imagenet.main(arguments_for(tmp_path / "s", "--shard-images", 10, "--compression", "gzip",
                                "--seed", 5, "--name", "tiny", "--out", out, "--workers", 1))
    data = open_data(out)
    assert (data.name, len(data.train), len(data.test)) == ("tiny", 20, 8)
    level = np.rint((data.train.images.mean(axis=(1, 2, 3)) - 40) / 50)
    assert np.array_equal(level, data.train.labels)
    with h5py.File(tmp_path / "50%b-shards/train-0001.h5") as file:
        assert file["images"].shape == (0, SIZE, SIZE, 3) and file["images"].compression == "gzip"
    assert (tmp_path / "50%b-left-out.txt").read_text().count("empty file") == 10


@pytest.fixture
def flat(tmp_path):
    """A tree whose val/ is flat, and the labels of its files in order of name."""
    labels = make_tree(tmp_path / "s", 8, 12, flat=True, bad=False)
    for name in CLASSES:
        (tmp_path / "s/train" / name).mkdir(exist_ok=True)
    return tmp_path, labels


KIT = ["n99999999", "n00000001", "n00000010", "n00000002"]  # an order of the classes


@pytest.mark.parametrize("form", ["wnid", "number", "name wnid", "name number", "kaggle",
                                  "name number, synsets"])
def test_labels_files(flat, form):
    folder, labels = flat
    file, synsets, lines = folder / "labels", None, []
    (folder / "map.txt").write_text("".join(f"{name} {k} kit_fox\n" for k, name in
                                            enumerate(KIT, 1)))
    if form in ("number", "name number, synsets"):
        synsets = folder / "map.txt"
    for name, label in labels.items():
        wnid, stem = CLASSES[label], name.removesuffix(".JPEG")
        lines.append({"wnid": wnid, "number": KIT.index(wnid) + 1, "name wnid": f"{name} {wnid}",
                      "name number": f"val/{name}  {label}",
                      "name number, synsets": f"{name}\t{KIT.index(wnid)}",
                      "kaggle": f"{stem},{wnid} 1 2 3 4 {wnid} 5 6 7 8 "}[form])
    if form.startswith("name") or form == "kaggle":
        lines.reverse()  # their order must not matter
    if form == "kaggle":
        lines.insert(0, "ImageId,PredictionString")
    file.write_text("\r\n".join(map(str, lines)) + "\n\n")
    tree = imagenet_files.read_tree(folder / "s", file, synsets)
    assert [Path(path).name for path in tree.test.paths] == sorted(labels)
    assert tree.test.labels.tolist() == [labels[name] for name in sorted(labels)]


@pytest.mark.parametrize("text, synsets, message", [
    (None, None, "cannot read"),
    ("", None, "empty"),
    ("\xff\xfe", None, "not a text file"),
    ("1\n" * 12, None, "give its list of wnids with --synsets FILE (map_clsloc.txt)"),
    ("1\n" * 11, KIT, "11 lines of one label each, but there are 12 image files in val"),
    ("1\n" * 11 + "0", KIT, "line 12: 0, expected 1 to 4"),
    ("1\n" * 11 + "5", KIT, "line 12: 5, expected 1 to 4"),
    ("n00000001\n" * 11 + "n5", None, "line 12: n5 is no folder of train"),
    ("a n00000001", None, "no label for val/ILSVRC2012_val_00000000.JPEG (12 such)"),
    ("a n00000001\nb", None, "line 2: no label"),
    ("a n00000001\na.JPEG n00000002", None, "line 2: a second, other label for a.JPEG"),
    ("1\n" * 12, [*KIT, KIT[0]], "a wnid is in it twice"),
    ("1\n" * 12, ["n01440764", "n02119789"], "the development kit's order begins with n02119789"),
])
def test_bad_labels_files_are_refused(flat, text, synsets, message):
    folder, labels = flat
    arguments = ["--source", folder / "s", "--labels", folder / "labels"]
    if text is not None:
        (folder / "labels").write_text(text, encoding="latin-1")
    if synsets:
        (folder / "synsets").write_text("\n".join(synsets))
        arguments += ["--synsets", folder / "synsets"]
    assert message in call(folder, arguments)
    assert not (folder / "data").exists()


def test_bad_trees_are_refused(flat):
    folder, _ = flat
    source = folder / "s"

    def refused(message, *more):
        assert message in call(folder, ["--source", source, *more])
        assert not (folder / "data").exists()
    refused("give their labels with --labels FILE")
    refused("is more than --resize 100", "--resize", 100)
    refused("only together with --labels", "--synsets", "x")
    refused("--name 'a/b'", "--name", "a/b")
    (source / "val" / CLASSES[0]).mkdir()
    refused("both image files and folders")
    for path in (source / "val").glob("*.JPEG"):
        path.unlink()
    refused("val: no image files")
    (source / "val" / CLASSES[0] / "a.png").write_bytes(GOOD["PNG"](pixels(
        np.random.default_rng(0), 0)))
    refused("with folders of classes there, leave it out", "--labels", "x")
    (source / "val" / "n12345678").mkdir()
    refused("n12345678: no such class in")
    (source / "val" / "n12345678").rmdir()
    for path in (source / "train").glob("*/*"):
        path.write_bytes(b"")
    out = folder / "y.h5"
    message = call(folder, arguments_for(source, "--out", out))
    assert "not one file of the train part can be decoded" in message and not out.exists()
    shutil.rmtree(source / "train")
    refused("no folder train in it")
    (source / "train").mkdir()
    (source / "train" / "n00000001.tar").write_bytes(b"")
    refused("0 folders of classes, expected at least two (unpack each of its 1 .tar files")
    source = folder / "nowhere"
    refused("no folder train in it")


def test_what_does_not_fit_is_refused(tree, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10 ** 9, 0, 10 ** 7))
    message = call(tmp_path, arguments_for(tree))
    assert "0.2 MB do not fit into the 10.0 MB that are free" in message  # 1 MiB a shard for HDF5
    monkeypatch.setattr(imagenet.resource, "getrlimit", lambda _: (60, 60))
    assert "makes 24 shards, but a process may open only 60" in call(tmp_path, arguments_for(tree))
    assert not list(tmp_path.iterdir())


def test_a_file_that_vanishes_stops_it_and_an_unreadable_one_does_not(tmp_path, monkeypatch):
    paths = [f"{k}.png" for k in range(3)]
    for path in paths:
        (tmp_path / path).write_bytes(GOOD["PNG"](pixels(np.random.default_rng(0), 0)))
    shard = shards.Shard(tmp_path / "x.h5", "0", tmp_path, paths, np.arange(3, dtype=np.uint8),
                         SIZE, RESIZE, None)
    read_bytes, failure = Path.read_bytes, PermissionError(13, "Permission denied")

    def failing(path):
        if path.name == "1.png":
            raise failure
        return read_bytes(path)
    monkeypatch.setattr(Path, "read_bytes", failing)
    shards.write(shard, lambda: None)
    assert shards.check(shard) == 2
    assert shards.left_out([shard]) == [("1.png", "Permission denied", "x.h5")]
    shard.path.unlink()
    failure = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(DataError, match="cannot read .*1.png: No such file"):
        shards.write(shard, lambda: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == paths


def test_a_shard_is_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 3 * SIZE * SIZE * 3)
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 6 * SIZE * SIZE * 3)
    rng, good = np.random.default_rng(2), [k for k in range(33) if k % 5]
    for k in range(33):
        (tmp_path / str(k)).write_bytes(saved(pixels(rng, 1), "PNG") if k % 5 else b"")
    shard = shards.Shard(tmp_path / "x.h5", "0", tmp_path, [str(k) for k in range(33)],
                         np.arange(33, dtype=np.uint8), SIZE, RESIZE, None)
    shards.write(shard, lambda: None)
    with h5py.File(shard.path) as file:
        assert file["images"].chunks == (3, SIZE, SIZE, 3)
        assert file["labels"][:].tolist() == good
        for image, k in zip(file["images"], good, strict=True):
            data = (tmp_path / str(k)).read_bytes()
            assert np.array_equal(image, jpeg.decode(data, SIZE, RESIZE))


def test_a_full_disk_is_told_in_a_line(tree, tmp_path):
    """The nearest to it that a test can make: no file may grow beyond 500 kB."""
    limit = "ulimit -f 500 && exec "  # in KiB
    ended = subprocess.run(
        ["bash", "-c", f'{limit}"$@"', "bash", sys.executable, "-m", "data_prep.imagenet",
         *arguments_for(tree, "--workers", 2)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert re.fullmatch(r"error: cannot write data/imagenet-shards/train-000[01]\.h5: File too "
                        r"large; finished shards are kept.*\n", ended.stderr)
    assert not list(tmp_path.rglob("*.tmp")) and not (tmp_path / "data/imagenet.h5").exists()


def test_without_pillow_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("PIL", "data_prep"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setattr(sys, "argv", ["imagenet", "--source", "nowhere"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("data_prep.imagenet", run_name="__main__")
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'error: this needs pillow: pip install ".[imagenet]"\n'


@pytest.mark.soak
def test_two_thousand_files_of_full_size(tmp_path):
    """Killed half-way and run again; then an epoch of training. About 3 minutes, 1 GB of disk."""
    classes = [f"n{k:08d}" for k in range(10)]
    make_tree(tmp_path / "s", 1600, 400, classes=classes, sides=(200, 500))
    arguments = ["--source", str(tmp_path / "s"), "--shard-images", "100", "--workers", "2"]
    began = time.perf_counter()
    whole = end(start(tmp_path / "whole", arguments))
    print(whole.out, whole.err, f"{time.perf_counter() - began:.1f} s", sep="")
    assert whole.status == 0
    killed, workers = interrupt(tmp_path / "x", arguments, lambda process: process.kill(), 10)
    assert killed.status == -signal.SIGKILL and gone(workers)
    print(f"killed: {len(files_of(tmp_path / 'x'))} of 20 shards are there")
    again = end(start(tmp_path / "x", arguments))
    print(again.out, again.err, sep="")
    assert again.status == 0 and 1 <= int(re.search(r"to write: (\d+) of 20", again.out)[1]) <= 10
    compare(tmp_path / "x", tmp_path / "whole")
    trained = subprocess.run(
        [sys.executable, "-m", "ref.train", "--rule", "bp", "--arch", "conv 9x9x8/4, softmax 10",
         "--data", "imagenet", "--epochs", "1", "--out", "run"], cwd=tmp_path / "x", text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    print(trained.stdout, trained.stderr, sep="")
    assert trained.returncode == 0 and re.search(r"epoch +1 .* test [\d.]+ %", trained.stdout)
