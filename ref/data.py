"""Batches from an HDF5 file, in a new order each epoch (the form: data_prep/hdf5.py).

    data = open_data("data/mnist.h5")
    for images, labels in data.train.epoch(batch_size=100, seed=0, epoch=1): ...

images are (N, H, W, C) uint8 or float32, labels (N,) integers. Every example comes exactly once an
epoch, in an order that is a function of the seed and the epoch alone.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from .common import hdf5, untrusted
from .common.command import UserError, printable
from .parts import WINDOW, DataFormatError, InMemory, Streamed, check_finite, held_out
from .rows import Rows, RowsError

MEMORY_LIMIT = 4 << 30  # bytes; a part larger than this is read from the file as it goes


@dataclass
class Data:
    """An opened data set: its parts and what they hold."""

    path: str
    name: str
    classes: list
    in_shape: tuple  # (H, W, C)
    digest: str  # SHA-256 over labels, shapes and a sample of images
    train: object
    test: object
    validation: object = None


def open_data(path, validation=0, split_seed=None, memory_limit=MEMORY_LIMIT, window=WINDOW):
    """Open a data set. `validation` examples are set apart: those at the end of the training part
    or, with a split_seed, at random.

    Raises DataFormatError for a file that is not of the documented form; later, reading a part that
    stays in the file, UnreadableError.
    """
    file = hdf5.open_file(path, DataFormatError)
    try:
        return _open(file, path, validation, split_seed, memory_limit, window)
    except DataFormatError:
        raise
    except RowsError as problem:
        raise DataFormatError(str(problem)) from None
    except UserError as problem:  # of an attribute
        raise DataFormatError(f"{path}: {problem}") from None
    except hdf5.TROUBLE as problem:
        raise DataFormatError(f"{path}: {hdf5.reason(problem)}") from None


def _open(file, path, validation, split_seed, memory_limit, window):
    form, version = (hdf5.attribute(file, name) for name in ("format", "version"))
    if form != "ref-data" or hdf5.whole(version) != 1:
        raise DataFormatError(
            f"{path}: its format is {form!r} and its version {version!r}, expected 'ref-data' and "
            "1, as the commands of data_prep write")
    classes = _classes(file, path)
    arrays = {part: _check_part(file, path, part, len(classes)) for part in ("train", "test")}
    (images, labels), (test_images, _) = arrays["train"], arrays["test"]
    for what in ("shape", "dtype"):
        ours, theirs = (getattr(a, what) for a in (images, test_images))
        if what == "shape":
            ours, theirs = ours[1:], theirs[1:]
        if ours != theirs:
            raise DataFormatError(
                f"{path}: train/images are {ours} but test/images {theirs}: expected the same")
    in_shape = images.shape[1:]
    if not 0 <= validation < len(labels):
        raise DataFormatError(
            f"--validation {validation}: must be at least 0 and below "
            f"the {len(labels)} training examples of {path}"
        )

    def part(name, first, last):
        images, labels = arrays[name]
        size = (last - first) * int(np.prod(in_shape)) * images.dtype.itemsize
        if size > memory_limit:
            return Streamed(images, labels, first, last, window)
        held = images[first:last]
        check_finite(held, f"{path}: {name}/images", first)
        return InMemory(held, labels[first:last])

    def split(cut):
        """The parts to train and to validate on."""
        if not validation or split_seed is None:
            return part("train", 0, cut), part("train", cut, len(labels)) if validation else None
        whole = part("train", 0, len(labels))
        if isinstance(whole, Streamed):
            raise DataFormatError(f"--validation-split random: the images of {path} are read as "
                                  "training goes on, so only the last ones can be set apart")
        return [InMemory(whole.images[rows], labels[rows])
                for rows in held_out(len(labels), validation, split_seed)]

    train, held = split(len(labels) - validation)
    return Data(
        path=str(path),
        name=printable(str(hdf5.attribute(file, "name", path))),
        classes=classes,
        in_shape=in_shape,
        digest=_digest(arrays),
        train=train,
        test=part("test", 0, len(arrays["test"][1])),
        validation=held,
    )


def _digest(arrays):
    """Tells one data set, in one order, from another without reading all of its images."""
    total = hashlib.sha256()
    for part, (images, labels) in arrays.items():
        kind = "" if images.dtype == np.uint8 else f" {images.dtype}"
        total.update(f"{part} {images.shape}{kind}".encode())
        total.update(labels.tobytes())
        for row in np.linspace(0, len(images) - 1, 16).astype(int):
            total.update(images[row:row + 1].tobytes())
    return total.hexdigest()


def _classes(file, path):
    """The names of the classes: a JSON list, or an array of texts."""
    found = hdf5.attribute(file, "classes")
    wanted = 'expected a JSON list of at least two names, like ["cat", "dog"]'
    if found is None:
        raise DataFormatError(f"{path}: it has no attribute 'classes'; {wanted}")
    classes = found
    if isinstance(found, str):
        try:
            classes = json.loads(found)
        except ValueError:
            raise DataFormatError(
                f"{path}: its attribute 'classes' is no JSON: {found[:60]!r}; {wanted}") from None
    if not isinstance(classes, list):
        raise DataFormatError(f"{path}: its attribute 'classes' is {str(found)[:60]!r}; {wanted}")
    if len(classes) < 2:
        raise DataFormatError(f"{path}: its attribute 'classes' names {len(classes)} class"
                              f"{'' if classes else 'es'}: a classifier needs at least two")
    return [str(name) for name in classes]


def _check_part(file, path, part, n_classes):
    """(images as Rows, labels as an array) of a part, which must be as documented."""
    images, labels = (untrusted.dataset(file, f"{part}/{name}", virtual=True)
                      for name in ("images", "labels"))
    wide = hdf5.float_type(images)
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32) or wide \
            or 0 in images.shape[1:]:
        raise DataFormatError(
            f"{path}: {part}/images is {wide or images.dtype} {images.shape}, "
            "expected uint8 or float32 (n, H, W, C)"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataFormatError(
            f"{path}: {part}/labels is {labels.dtype} {labels.shape}, "
            f"expected integers ({len(images)},), one for each image"
        )
    if not len(labels):
        raise DataFormatError(f"{path}: {part}/labels is empty")
    untrusted.check_claims(file, [array for array in (images, labels) if not array.is_virtual])
    values = Rows(labels)[:]
    if values.min() < 0 or values.max() >= n_classes:
        raise DataFormatError(
            f"{path}: {part}/labels goes from {values.min()} to {values.max()}, "
            f"expected 0 to {n_classes - 1} (the attribute 'classes' names {n_classes})"
        )
    return Rows(images), values
