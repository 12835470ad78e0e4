"""A part of a data set, and its batches: in memory, or streamed from the file.

Every example comes exactly once an epoch, in an order that is a function of the seed and the epoch
alone.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

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


def all_rows(N):
    return slice(0, N)


def _given(total, batch_size, skip, share):
    """Which of `total` rows in their order are given: all that are some batch's share."""
    given = np.zeros(total, bool)
    for start in range(skip * batch_size, total, batch_size):
        end = min(start + batch_size, total)
        given[start:end][share(end - start)] = True
    return given


class InMemory:
    """A part of a data set, held in memory as in the file."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def epoch(self, batch_size, seed, epoch, skip=0, share=all_rows):
        """Batches of the epoch after the first `skip`; the last one smaller if it must be.

        share  a function of N: the slice of a batch's N rows whose images are given; its labels are
               given all
        """
        order = stream(seed, "order", epoch).permutation(len(self))
        for start in range(skip * batch_size, len(self), batch_size):
            rows = order[start : start + batch_size]
            yield self.images[rows[share(len(rows))]], self.labels[rows]

    def in_order(self, batch_size, share=all_rows):
        """Batches in the order of the file, for evaluation."""
        for start in range(0, len(self), batch_size):
            labels = self.labels[start : start + batch_size]
            rows = share(len(labels))
            yield self.images[start + rows.start : start + rows.stop], labels


class Streamed:
    """A part of a data set whose images stay in the file: rows [first, last) of Rows and labels.

    The rows are cut into runs of whole chunks. An epoch takes the runs in a random order, a window
    of them at a time; a window is read into memory (the next one by a thread, meanwhile) and its
    rows are given in a random order. Memory: two windows, so 2 * `window` bytes, or a rank's share
    of that.
    """

    def __init__(self, images, labels, first, last, window=WINDOW):
        self.images, self.labels, self.first, self.last = images, labels, first, last
        row_bytes = int(np.prod(images.shape[1:])) * images.dtype.itemsize
        self.chunk = images.chunks[0] if images.chunks else 1
        self.run = self.chunk * max(1, RUN // (self.chunk * row_bytes))  # rows
        self.runs_in_window = max(1, window // (self.run * row_bytes))

    def __len__(self):
        return self.last - self.first

    def epoch(self, batch_size, seed, epoch, skip=0, share=all_rows):
        """Batches of the epoch, as InMemory gives them. Only the images that are given are read."""
        windows = self._windows(seed, epoch)
        ends = np.cumsum([len(rows) for rows in windows])
        order = np.concatenate(windows)
        wanted = [rows[given] for rows, given in zip(
            windows, np.split(_given(len(order), batch_size, skip, share), ends[:-1]), strict=True)]
        todo = [k for k, end in enumerate(ends) if end > skip * batch_size]
        start, held = skip * batch_size, []  # held: images of a batch that windows before had
        with ThreadPoolExecutor(max_workers=1) as thread:
            coming = thread.submit(self._read, wanted[todo[0]]) if todo else None
            for k in todo:
                images, at = coming.result()
                if k < todo[-1]:
                    coming = thread.submit(self._read, wanted[k + 1])
                while start < ends[k]:
                    end = min(start + batch_size, len(order))
                    own = order[start:end][share(end - start)]
                    n = len(own) - sum(map(len, held))
                    here, at = at[:n], at[n:]
                    held.append(images[here])
                    if end > ends[k]:
                        break  # the next window has the rest
                    yield held[0] if len(held) == 1 else np.concatenate(held), \
                        self.labels[order[start:end]]
                    start, held = end, []

    def _windows(self, seed, epoch):
        """The numbers of the rows of each window, in the order in which they are given."""
        starts = np.arange(self.first, self.last, self.run)
        stream(seed, "order", epoch).shuffle(starts)
        windows = []
        for k in range(0, len(starts), self.runs_in_window):
            runs = np.sort(starts[k : k + self.runs_in_window])
            rows = np.concatenate([np.arange(start, min(start + self.run, self.last))
                                   for start in runs])
            order = stream(seed, "order", epoch, len(windows)).permutation(len(rows))
            windows.append(rows[order])
        return windows

    def _read(self, rows):
        """Images of these rows, in the file's order, and where in it each of them is."""
        by_number = np.argsort(rows)
        at = np.empty(len(rows), int)
        at[by_number] = np.arange(len(rows))
        rows = rows[by_number]
        images = np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        # together what lies in one run, and no further apart than HDF5 reads at once
        cut = (np.diff((rows - self.first) // self.run) > 0) | (np.diff(rows) > self.chunk)
        for first, last in pairwise([0, *np.flatnonzero(cut) + 1, len(rows)]):
            if last > first:
                read = self._read_rows(rows[first], rows[last - 1] + 1)
                images[first:last] = read[rows[first:last] - rows[first]]
        return images, at

    def in_order(self, batch_size, share=all_rows):
        """Batches in the order of the file, for evaluation."""
        for start in range(self.first, self.last, batch_size):
            labels = self.labels[start : min(start + batch_size, self.last)]
            rows = share(len(labels))
            yield self._read_rows(start + rows.start, start + rows.stop), labels

    def _read_rows(self, start, end):
        """Images of the rows. Raises UnreadableError."""
        try:
            images = self.images[start:end]
            check_finite(images, self.images.path, start)
        except UserError as problem:
            raise UnreadableError(str(problem)) from None
        return images


def check_finite(images, name, first):
    """Raise DataFormatError where float images, row `first` and those after it, hold NaN or inf."""
    if images.dtype == np.uint8 or np.isfinite(images).all():
        return
    bad = ~np.isfinite(images).reshape(len(images), -1).all(axis=1)
    raise DataFormatError(f"{name}: row {first + int(bad.argmax())} holds NaN or infinity")
