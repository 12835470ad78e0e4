"""The one HDF5 form in which every data set is kept, and its writer.

The form, version 1:

    /                attributes:
                       format        "ref-data"
                       version       1
                       name          the data set's name, e.g. "mnist"
                       classes       JSON list of the class names; label k is classes[k]
                       shuffle_seed  the integer that the order on disk was drawn from; its digits
                                     as text where it takes more than 64 bits
                       source        where the raw files came from (URL, folder, generator)
                       sha256        JSON object: raw file name -> SHA-256 of that file
                       command       what wrote the file
                       created       UTC time of writing, ISO 8601
                       numpy         version of NumPy that wrote the file
    train/images     (n, H, W, C) uint8, which readers divide by 255; or float32, finite, which
                     they take as it is
    train/labels     (n,) uint8, or uint16 with more than 256 classes; 0 <= label < len(classes)
    test/images      the same for the test part, with the same type, H, W, C
    test/labels

A reader takes uncompressed arrays, or gzip or LZF in chunks of up to 256 MiB, that hold no more
than a file of that size can (ref/common/untrusted.py). They lie in the file itself, under plain
links; or they are virtual datasets over files beside it or below (shards.py).

Images are chunked along the first axis, whole images to a chunk, so that a reader of consecutive
examples touches each chunk once. The examples of each part lie in an order drawn from the seed,
so that reading them in file order already mixes the classes. The same examples and seed give the
same four arrays, byte for byte; only `created`, `command`, `source` and `numpy` may differ.
"""

import contextlib
import json
import os
import shlex
import time
from pathlib import Path

import h5py
import numpy as np

from ref.common import files
from ref.common.command import one_line
from ref.common.examples import DataError

FORMAT, VERSION = "ref-data", 1
LIBVER = ("v110", "v110")  # attributes of more than 64 KB, which the names of 5,000 classes take
CHUNK_BYTES = 256 * 1024  # within HDF5's default chunk cache of 1 MiB
BLOCK_BYTES = 16 * 1024 * 1024  # shuffled and written at a time, so that memory stays bounded


def shuffled_order(n, seed, part):
    """The order on disk of a part's n examples: (n,) int64; disk position i holds example order[i].

    `part` is 0 for train and 1 for test: each has a random stream of its own. Sorting uniform keys
    needs only Generator.random, whose stream does not change between versions of NumPy.
    """
    stream = np.random.SeedSequence(seed).spawn(2)[part]
    return np.argsort(np.random.Generator(np.random.PCG64(stream)).random(n), kind="stable")


def chunk_rows(n, row_bytes):
    """How many of n rows of row_bytes each make one chunk: at least 1, at most all of them."""
    return max(1, min(n, CHUNK_BYTES // row_bytes))


def check_part(part, images, labels, n_classes):
    """Raise DataError unless images and labels are as the form has them."""
    if images.dtype not in (np.uint8, np.float32) or images.ndim != 4 or 0 in images.shape:
        raise DataError(f"{part}: images are {images.dtype} {images.shape}, "
                        "expected uint8 or float32 (n, H, W, C) and none of them 0")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(f"{part}: labels are {labels.dtype} {labels.shape}, "
                        f"expected integers, one for each of {len(images)} images")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(f"{part}: labels run from {labels.min()} to {labels.max()}, "
                        f"expected 0 to {n_classes - 1}: there are {n_classes} classes")
    for start in range(0, len(images) if images.dtype == np.float32 else 0, 1000):
        bad = ~np.isfinite(images[start:start + 1000]).reshape(-1, images[0].size).all(axis=1)
        if bad.any():
            raise DataError(f"{part}: example {start + int(bad.argmax())} holds NaN or infinity: "
                            "leave such examples out, or give them numbers")


def check(train, test, n_classes):
    """Raise DataError unless the parts (images, labels) fit the form, each other and ref.train."""
    if n_classes < 2:
        raise DataError("every label is the same: there is one class, and a classifier needs at "
                        "least two")
    if n_classes > 1 << 16:
        raise DataError(f"{n_classes} classes; the form has room for 65536")
    for part, (images, labels) in (("train", train), ("test", test)):
        check_part(part, images, labels, n_classes)
    (x, _), (x_test, _) = train, test
    if x.shape[1:] != x_test.shape[1:]:
        raise DataError(f"train images are {x.shape[1:]}, test images {x_test.shape[1:]}: "
                        "expected the same height, width and channels")
    if x.dtype != x_test.dtype:
        raise DataError(f"train images are {x.dtype}, test images {x_test.dtype}: expected the "
                        "same type")


def attributes(*, name, classes, seed, source, command, sha256):
    """The attributes of the form. The text of any of them may come from names of files."""
    classes = [text(c) for c in classes]
    return {
        "format": FORMAT, "version": VERSION, "name": text(name),
        "classes": json.dumps(classes),
        "shuffle_seed": seed if seed < 1 << 64 else str(seed), "source": text(source),
        "sha256": json.dumps({text(key): value for key, value in (sha256 or {}).items()}),
        "command": text(command), "numpy": np.__version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def text(name):
    """A name as text that can be stored, whatever the locale: bytes that are no UTF-8 as \\xNN."""
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:  # not from the system, or the locale lacks its letters
        raw = str(name).encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def write_part(group, images, labels, order, label_type, compression):
    """Write images and labels into group in the given order, a block at a time."""
    n, row_bytes = len(images), images[0].nbytes
    out = group.create_dataset(
        "images", images.shape, images.dtype, compression=compression,
        chunks=(chunk_rows(n, row_bytes), *images.shape[1:]))
    rows = out.chunks[0] * max(1, BLOCK_BYTES // (out.chunks[0] * row_bytes))  # whole chunks
    for start in range(0, n, rows):
        out[start:start + rows] = images[order[start:start + rows]]
    group.create_dataset(
        "labels", data=labels[order].astype(label_type), compression=compression,
        chunks=(chunk_rows(n, label_type().itemsize),))


def write(path, train, test, *, name, classes, seed, source, command, sha256=None,
          compression=None):
    """Write one data set to `path` in the form above: all of it, or nothing.

    train, test   pairs (images (n, H, W, C) uint8 or float32, labels (n,) integers)
    name          str; classes: list of str; seed: int >= 0, of the order on disk
    source, command   str, provenance
    sha256        dict, raw file name -> hex digest; None if there are no raw files
    compression   h5py's: None (default), "lzf", "gzip", ...

    The file is written under a temporary name in the same folder, flushed to the disk, and then
    renamed over `path`: whatever goes wrong, Ctrl-C included, a file already there is untouched
    and no temporary file stays. Missing folders are made. Raises DataError for arrays that do not
    fit the form and when the file cannot be written.
    """
    path = Path(path)
    check(train, test, len(classes))
    if path.is_dir():
        raise DataError(f"{path} is a folder: name the file to write, e.g. {path / name}.h5")
    about = attributes(name=name, classes=classes, seed=seed, source=source, command=command,
                       sha256=sha256)
    label_type = np.uint8 if len(classes) <= 256 else np.uint16

    def fill(temporary):
        with h5py.File(temporary, "w", libver=LIBVER) as file:
            file.attrs.update(about)
            for k, (part, (images, labels)) in enumerate((("train", train), ("test", test))):
                order = shuffled_order(len(images), seed, k)
                write_part(file.create_group(part), images, labels, order, label_type, compression)

    put(path, fill, sum(array.nbytes for array in (*train, *test)))


def put(path, fill, n_bytes=0):
    """Write an HDF5 file whole or not at all (files.write). Raises DataError.

    What processes that were killed left in its folder is removed.
    """
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # a name that is too long is told now, not when all has been written
        files.write(path, fill, n_bytes)
    except OSError as error:
        reason = error.strerror or one_line(error).removeprefix(f"can't write {path}: ")
        raise DataError(f"cannot write {path}: {reason}") from error


def done_line(path, name, train_shape, test_shape, n_classes):
    """The last line of every command: what was written, where, and how to train on it."""
    n, *image = train_shape
    data = name if Path(path) == Path("data") / f"{name}.h5" else path
    return (f"wrote {path}: {n} train and {test_shape[0]} test images of "
            f"{'x'.join(map(str, image))}, {n_classes} classes; "
            f"train on it: python -m ref.train --data {shlex.quote(str(data))}")
