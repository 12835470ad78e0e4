"""A part of a data set, and its batches: in memory, or streamed from the file.

Every example comes exactly once an epoch, in an order that is a function of the seed and the epoch
alone.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .common.command import UserError
from .seeds import stream

WINDOW = 256 << 20  # bytes that are read and shuffled together
RUN = 1 << 20  # bytes that are read at once


class DataFormatError(UserError):
    """A data file that can't be used; the message says what is wrong with it."""


class UnreadableError(DataFormatError):
    """Rows that can't be read although the file could be opened: the work fails on the way."""

    status = 1


def held_out(n, count, seed=None):
    """(rows to train on, rows to validate on) of n, in order: the last `count`, or with a seed
    `count` at random. Slices where the rows lie together, else arrays."""
    if seed is None or not count:
        return slice(0, n - count), slice(n - count, n)
    order = stream(seed, "validation").permutation(n)
    return np.sort(order[count:]), np.sort(order[:count])


class InMemory:
    """A part of a data set, held in memory as in the file."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def epoch(self, batch_size, seed, epoch, skip=0):
        """Batches of the epoch after the first `skip`; the last one smaller if it must be."""
        order = stream(seed, "order", epoch).permutation(len(self))
        for start in range(skip * batch_size, len(self), batch_size):
            rows = order[start : start + batch_size]
            yield self.images[rows], self.labels[rows]

    def in_order(self, batch_size):
        """Batches in the order of the file, for evaluation."""
        for start in range(0, len(self), batch_size):
            yield self.images[start : start + batch_size], self.labels[start : start + batch_size]


class Streamed:
    """A part of a data set whose images stay in the file: rows [first, last) of Rows and labels.

    The rows are cut into runs of whole chunks. An epoch takes the runs in a random order, a window
    of them at a time; a window is read into memory (the next one by a thread, meanwhile) and its
    rows are given in a random order. Memory: two windows, so 2 * `window` bytes.
    """

    def __init__(self, images, labels, first, last, window=WINDOW):
        self.images, self.labels, self.first, self.last = images, labels, first, last
        row_bytes = int(np.prod(images.shape[1:])) * images.dtype.itemsize
        chunk = images.chunks[0] if images.chunks else 1
        self.run = chunk * max(1, RUN // (chunk * row_bytes))  # rows
        self.runs_in_window = max(1, window // (self.run * row_bytes))

    def __len__(self):
        return self.last - self.first

    def epoch(self, batch_size, seed, epoch, skip=0):
        """Batches of the epoch after the first `skip`; the last one smaller if it must be."""
        starts = np.arange(self.first, self.last, self.run)
        stream(seed, "order", epoch).shuffle(starts)
        windows = [np.sort(starts[k : k + self.runs_in_window])
                   for k in range(0, len(starts), self.runs_in_window)]
        images = np.empty((0, *self.images.shape[1:]), self.images.dtype)  # read, but not given yet
        labels = np.empty(0, self.labels.dtype)
        behind = skip * batch_size  # rows still to pass over
        with ThreadPoolExecutor(max_workers=1) as thread:
            coming = None
            for k, window in enumerate(windows):
                n = sum(min(self.run, self.last - start) for start in window)
                if behind >= n and k + 1 < len(windows):
                    behind -= n
                    continue
                now = coming or thread.submit(self._read, window)
                read_images, read_labels = now.result()
                if k + 1 < len(windows):
                    coming = thread.submit(self._read, windows[k + 1])
                order = stream(seed, "order", epoch, k).permutation(n)[behind:]
                behind = 0
                # a batch that spans two windows begins with what the last one left
                need = (batch_size - len(labels)) % batch_size if len(labels) else 0
                if need:
                    rows, order = order[:need], order[need:]
                    images = np.concatenate([images, read_images[rows]])
                    labels = np.concatenate([labels, read_labels[rows]])
                    if len(labels) < batch_size and k + 1 < len(windows):
                        continue
                    yield images, labels
                whole = len(order) - len(order) % batch_size
                if k + 1 == len(windows):
                    whole = len(order)
                for start in range(0, whole, batch_size):
                    rows = order[start : min(start + batch_size, whole)]
                    yield read_images[rows], read_labels[rows]
                images, labels = read_images[order[whole:]], read_labels[order[whole:]]

    def _read(self, starts):
        """The rows of the runs that begin at `starts`: images and labels, in the file's order."""
        ends = [min(start + self.run, self.last) for start in starts]
        n = sum(end - start for start, end in zip(starts, ends, strict=True))
        images = np.empty((n, *self.images.shape[1:]), self.images.dtype)
        labels = np.empty(n, self.labels.dtype)
        filled = 0
        for start, end in zip(starts, ends, strict=True):
            place = slice(filled, filled + end - start)
            images[place], labels[place] = self._read_rows(start, end)
            filled += end - start
        return images, labels

    def in_order(self, batch_size):
        """Batches in the order of the file, for evaluation."""
        for start in range(self.first, self.last, batch_size):
            yield self._read_rows(start, min(start + batch_size, self.last))

    def _read_rows(self, start, end):
        """Images and labels of the rows. Raises UnreadableError."""
        try:
            images = self.images[start:end]
            check_finite(images, self.images.path, start)
        except UserError as problem:
            raise UnreadableError(str(problem)) from None
        return images, self.labels[start:end]


def check_finite(images, name, first):
    """Raise DataFormatError where float images, row `first` and those after it, hold NaN or inf."""
    if images.dtype == np.uint8 or np.isfinite(images).all():
        return
    bad = ~np.isfinite(images).reshape(len(images), -1).all(axis=1)
    raise DataFormatError(f"{name}: row {first + int(bad.argmax())} holds NaN or infinity")
