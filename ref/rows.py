"""Rows of an HDF5 dataset: as they are in the file, or an error, never something made up.

A virtual dataset is a view of datasets in other files (the shards of data_prep/shards.py). Where
one of those is missing, damaged or can't be opened, HDF5 gives zeros for its rows without a word.
So here each of its files is opened and read by itself.
"""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from .common import hdf5, untrusted
from .common.command import UserError
from .common.untrusted import RATIO

MOST_OPEN = 32  # files that are kept open at a time


class RowsError(UserError):
    """Rows can't be read; the message says which, of which file, and why."""


class Source(NamedTuple):
    """Rows [first, last) of a virtual dataset: those from `start` on of a dataset in a file."""

    first: int
    last: int
    file: str
    name: str
    start: int


class Rows:
    """The rows of a dataset, plain or virtual: rows[start:end] is an array (end - start, ...).

    shape, dtype, chunks  of the dataset; chunks is None for a virtual one
    Raises RowsError, when made and when read.
    """

    def __init__(self, dataset):
        self.dataset, self.shape, self.dtype = dataset, dataset.shape, dataset.dtype
        self.chunks, self.path = dataset.chunks, dataset.file.filename
        self.sources = sources(dataset) if dataset.is_virtual else None
        self.taken = Counter()  # how often rows of each file's array come in this one
        for s in self.sources or ():
            self.taken[s.file, s.name] += s.last - s.first
        self.opened, self.lock = {}, threading.Lock()  # (file, name) -> an array, the latest last

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        start, end, _ = rows.indices(len(self))
        if self.sources is None:
            return self._read(self.dataset, start, end)
        out, filled = np.empty((end - start, *self.shape[1:]), self.dtype), start
        with self.lock:
            for s in self.sources:
                if s.last <= start or s.first >= end:
                    continue
                first, last = max(start, s.first), min(end, s.last)
                if first != filled:
                    break
                out[first - start:last - start] = self._part(s, first, last)
                filled = last
        if filled != end:
            raise RowsError(f"{self.path}: rows {filled} to {end - 1} of {self.dataset.name[1:]} "
                            "are in none of the files that it is made of: prepare it again")
        return out

    def _part(self, source, first, last):
        """Rows [first, last), all of which are in this source."""
        where = (f"{self.path}: rows {first} to {last - 1} of {self.dataset.name[1:]} can't be "
                 "read: ")
        try:
            found = self._open(source.file, source.name)
        except UserError as problem:
            raise RowsError(where + str(problem)) from None
        if found.shape[1:] != self.shape[1:] or not found.ndim \
                or len(found) < source.start + source.last - source.first \
                or RATIO * len(found) < self.taken[source.file, source.name]:
            raise RowsError(f"{where}{source.file}: its {source.name} is {found.shape}, which does "
                            "not fit: put back the file that was there")
        start = source.start + first - source.first
        return self._read(found, start, start + last - first, where)

    def _open(self, path, name):
        """The array of that name in the file, opened now or before. Raises UserError."""
        found = self.opened.pop((path, name), None) or _array_of(path, name)
        self.opened[path, name] = found
        while len(self.opened) > MOST_OPEN:
            self.opened.pop(next(iter(self.opened))).file.close()
        return found

    def _read(self, dataset, start, end, where=""):
        try:
            return hdf5.array(dataset, slice(start, end))
        except UserError as problem:
            raise RowsError(f"{where}{dataset.file.filename}: {problem}") from None


def _array_of(path, name):
    """The array of that name in a file of its own. Raises UserError."""
    file = hdf5.open_file(path)
    try:
        found = untrusted.dataset(file, name)
        untrusted.check_claims(file, [found])
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from None
    except hdf5.TROUBLE as problem:
        raise UserError(f"{path}: {hdf5.reason(problem)}") from None
    return found


def sources(dataset):
    """The Sources of a virtual dataset, in order. Raises RowsError for one of another make."""
    found = []
    for space, file, name, there in dataset.virtual_sources():
        low, high = (np.array(bounds) for bounds in space.get_select_bounds())
        first, last = int(low[0]), int(high[0]) + 1
        if there.get_select_type() == h5py.h5s.SEL_ALL:  # of an array whose shape is not told
            start = [0] * len(low)
            as_large = True
        else:
            start, end = (np.array(bounds) for bounds in there.get_select_bounds())
            as_large = (len(start) == len(low) and (end - start == high - low).all()
                        and there.get_select_npoints() == space.get_select_npoints())
        whole = (not low[1:].any() and tuple(high[1:] + 1) == dataset.shape[1:]
                 and space.get_select_npoints() == np.prod(high - low + 1, dtype=np.int64))
        if not whole or not as_large or np.any(start[1:]):
            raise RowsError(
                f"{dataset.file.filename}: {dataset.name[1:]} is a virtual dataset that is not "
                "made of blocks of rows, so that what is missing would not show: copy it into an "
                "array of one file")
        file = os.fsdecode(file.encode("utf-8", "surrogateescape"))  # as the locale has it
        path = dataset.file.filename if file == "." else locate(dataset.file.filename, file)
        found.append(Source(first, last, path, name.replace("%%", "%"), int(start[0])))
    return sorted(found)


def locate(index, name):
    """Where the file `name` of a virtual dataset in the file `index` is: beside it or in a folder
    there, as HDF5 has it.

    A name may be absolute, and the index a link; HDF5 writes a % as %%.
    Raises RowsError for one that leads elsewhere: it could be any file of the reader's.
    """
    name = name.replace("%%", "%")
    beside = [Path(index).parent, Path(os.path.realpath(index)).parent]
    places = []
    for folder in beside:
        inside = os.path.relpath(os.path.join(os.path.abspath(folder), name),
                                 os.path.abspath(folder))
        if not inside.startswith(os.pardir):
            places.append(folder / inside)
    if os.path.isabs(name):  # both were moved since
        places += [folder / Path(name).name for folder in beside]
    if not places:
        raise RowsError(f"{index}: it takes rows from {name}, which is not in its folder: put that "
                        "file there and write this one again")
    return str(next((place for place in places if place.exists()), places[0]))
