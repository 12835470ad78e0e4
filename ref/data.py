"""Batches from an HDF5 file, in a new order each epoch (the form: data_prep/hdf5.py).

    data = open_data("data/mnist.h5")
    for images, labels in data.train.epoch(batch_size=100, seed=0, epoch=1): ...

images are (N, H, W, C) uint8, labels (N,) integers. Every example comes exactly once an epoch, in
an order that is a function of the seed and the epoch alone.
"""

import json
from dataclasses import dataclass

import h5py
import numpy as np

from .seeds import stream

MEMORY_LIMIT = 4 << 30  # bytes; a part larger than this is read from the file as it goes
WINDOW = 256 << 20  # bytes that are read and shuffled together then


class DataFormatError(Exception):
    """A data file that can't be used; the message says what is wrong with it."""


@dataclass
class Data:
    """An opened data set: its parts and what they hold."""

    path: str
    name: str
    classes: list
    in_shape: tuple  # (H, W, C)
    train: object
    test: object
    validation: object = None


class InMemory:
    """A part of a data set, held in memory as uint8."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def epoch(self, batch_size, seed, epoch):
        """Batches of the epoch, the last one smaller where the size does not divide."""
        order = stream(seed, "order", epoch).permutation(len(self))
        for start in range(0, len(self), batch_size):
            rows = order[start : start + batch_size]
            yield self.images[rows], self.labels[rows]

    def in_order(self, batch_size):
        """Batches in the order of the file, for evaluation."""
        for start in range(0, len(self), batch_size):
            yield self.images[start : start + batch_size], self.labels[start : start + batch_size]


class Streamed:
    """A part of a data set that stays in the file: rows [first, last) of two HDF5 datasets.

    An epoch reads runs of rows in shuffled order, some runs at a time: those are the window,
    shuffled together in memory. Memory: about twice `window` bytes.
    """

    def __init__(self, images, labels, first, last, window=WINDOW):
        self.images, self.labels, self.first, self.last = images, labels, first, last
        row_bytes = int(np.prod(images.shape[1:]))
        self.run = images.chunks[0] if images.chunks else max(1, (1 << 20) // row_bytes)
        self.runs_in_window = max(1, window // (self.run * row_bytes))

    def __len__(self):
        return self.last - self.first

    def epoch(self, batch_size, seed, epoch):
        """Batches of the epoch, the last one smaller where the size does not divide."""
        rng = stream(seed, "order", epoch)
        starts = rng.permutation(np.arange(self.first, self.last, self.run))
        left_images, left_labels = self.images[:0], self.labels[:0]
        for k in range(0, len(starts), self.runs_in_window):
            window = starts[k : k + self.runs_in_window]
            rows = [slice(s, min(s + self.run, self.last)) for s in window]
            images = np.concatenate([left_images, *(self.images[r] for r in rows)])
            labels = np.concatenate([left_labels, *(self.labels[r] for r in rows)])
            order = rng.permutation(len(labels))
            whole = len(order) - len(order) % batch_size
            if k + self.runs_in_window >= len(starts):
                whole = len(order)  # the last window also gives the smaller last batch
            for start in range(0, whole, batch_size):
                rows = order[start : min(start + batch_size, whole)]
                yield images[rows], labels[rows]
            left_images, left_labels = images[order[whole:]], labels[order[whole:]]

    def in_order(self, batch_size):
        """Batches in the order of the file, for evaluation."""
        for start in range(self.first, self.last, batch_size):
            rows = slice(start, min(start + batch_size, self.last))
            yield self.images[rows], self.labels[rows]


def open_data(path, validation=0, memory_limit=MEMORY_LIMIT, window=WINDOW):
    """Open a data set. `validation` examples at the end of the training part are set apart.

    Raises DataFormatError for a file that is not of the documented form.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataFormatError(f"{path}: not a readable HDF5 file ({error})") from None
    classes = _classes(file, path)
    sizes = {part: _check_part(file, path, part, len(classes)) for part in ("train", "test")}
    in_shape = file["train/images"].shape[1:]
    if file["test/images"].shape[1:] != in_shape:
        raise DataFormatError(
            f"{path}: train/images are {in_shape} but test/images {file['test/images'].shape[1:]}"
        )
    if not 0 <= validation < sizes["train"]:
        raise DataFormatError(
            f"--validation {validation}: must be at least 0 and below "
            f"the {sizes['train']} training examples of {path}"
        )

    def part(name, first, last):
        images, labels = file[f"{name}/images"], file[f"{name}/labels"]
        if (last - first) * int(np.prod(in_shape)) <= memory_limit:
            return InMemory(images[first:last], labels[first:last])
        return Streamed(images, labels, first, last, window)

    cut = sizes["train"] - validation
    return Data(
        path=str(path),
        name=str(file.attrs.get("name", path)),
        classes=classes,
        in_shape=in_shape,
        train=part("train", 0, cut),
        test=part("test", 0, sizes["test"]),
        validation=part("train", cut, sizes["train"]) if validation else None,
    )


def _classes(file, path):
    try:
        classes = json.loads(file.attrs["classes"])
    except (KeyError, TypeError, ValueError):
        classes = None
    if not isinstance(classes, list) or len(classes) < 2:
        raise DataFormatError(
            f"{path}: the attribute 'classes' (a JSON list of at least two names) is missing"
        )
    return classes


def _check_part(file, path, part, n_classes):
    """The number of examples in a part, whose arrays must be as documented."""
    for name in (f"{part}/images", f"{part}/labels"):
        if not isinstance(file.get(name), h5py.Dataset):
            raise DataFormatError(f"{path}: the array {name} is missing")
    images, labels = file[f"{part}/images"], file[f"{part}/labels"]
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataFormatError(
            f"{path}: {part}/images is {images.dtype} {images.shape}, expected uint8 (n, H, W, C)"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataFormatError(
            f"{path}: {part}/labels is {labels.dtype} {labels.shape}, "
            f"expected integers ({len(images)},), one for each image"
        )
    if not len(labels):
        raise DataFormatError(f"{path}: {part}/labels is empty")
    values = labels[:]
    if values.min() < 0 or values.max() >= n_classes:
        raise DataFormatError(
            f"{path}: {part}/labels goes from {values.min()} to {values.max()}, "
            f"expected 0 to {n_classes - 1} (the attribute 'classes' names {n_classes})"
        )
    return len(labels)
