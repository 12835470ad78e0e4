"""A data set in shards: HDF5 files of some thousand images, and an index that makes them one.

A shard, in a folder beside the index:

    /            attributes: format "ref-data-shard", version 1, name (its file's), preparation (see
                 `Shard`), pillow (the version that decoded)
    images       (n, size, size, 3) uint8, chunked along the first axis
    labels       (n,) of the index's type
    left_out     (m, 2) text: path and reason of each file that could not be decoded

The index is a file of the form in data_prep/hdf5.py, whose four arrays are HDF5 virtual datasets
over the shards: a reader sees plain arrays. Its paths are relative: index and folder are moved
together. Where a shard is missing, HDF5 itself gives images of zeros without a word, and for labels
the fill value, the largest of their type, which is no class. ref/rows.py reads the shards one by
one and says which is missing; another reader can at least check the labels.
"""

import contextlib
import errno
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data_prep import hdf5, jpeg
from data_prep.hdf5 import DataError
from data_prep.imagenet_labels import printable
from ref.common import files
from ref.common.command import UserError
from ref.common.hdf5 import attribute, open_file
from ref.common.reading import size_of
from ref.common.untrusted import dataset

FORMAT, VERSION = "ref-data-shard", 1
MOST_BYTES = 64 << 20  # of an image file; ImageNet's largest has 16 million
# Of one file only, so that the others are gone on with; anything else may concern all of them.
UNREADABLE = (errno.EACCES, errno.EIO)


@dataclass
class Shard:
    """One shard to be: which files, in which order.

    preparation   hex digest of all that its content depends on
    paths         of the files, below the folder `source`; labels (n,), of the type to be stored
    size, resize  pixels, see jpeg.decode; compression: h5py's, or None
    """

    path: Path
    preparation: str
    source: Path
    paths: list
    labels: np.ndarray
    size: int
    resize: int
    compression: str | None

    @property
    def bytes(self):
        """How large its arrays are if every file can be decoded and nothing is compressed."""
        return len(self.paths) * self.size ** 2 * 3 + self.labels.nbytes


def write(shard, tick):
    """Decode the files of a shard and write it whole or not at all; tick() after each file.

    Memory: one image and hdf5.BLOCK_BYTES. Raises DataError, OSError.
    """
    def fill_it(temporary):
        with h5py.File(temporary, "w") as file:
            fill(file, shard, tick)

    hdf5.put(shard.path, fill_it, shard.bytes)


def fill(file, shard, tick):
    """Write the content of a shard into the opened file."""
    most, image = len(shard.paths), (shard.size, shard.size, 3)
    row_bytes = shard.size ** 2 * 3
    chunk = hdf5.chunk_rows(most, row_bytes)
    out = file.create_dataset("images", (0, *image), np.uint8, maxshape=(most, *image),
                              chunks=(chunk, *image), compression=shard.compression)
    block = np.empty((min(most, chunk * max(1, hdf5.BLOCK_BYTES // (chunk * row_bytes))), *image),
                     np.uint8)
    kept, left_out, waiting = [], [], 0  # waiting: images in the block, not yet written

    def write_block():
        out.resize(len(kept), axis=0)
        out[len(kept) - waiting:] = block[:waiting]

    for k, path in enumerate(shard.paths):
        try:
            block[waiting] = jpeg.decode(read(shard.source, path), shard.size, shard.resize)
        except jpeg.Undecodable as reason:
            left_out.append((path, str(reason)))
        else:
            kept.append(k)
            waiting += 1
            if waiting == len(block):
                write_block()
                waiting = 0
        tick()
    write_block()
    file["labels"] = shard.labels[kept]
    file.create_dataset("left_out", (len(left_out), 2), h5py.string_dtype())
    if left_out:
        file["left_out"][:] = [[printable(text) for text in pair] for pair in left_out]
    file.attrs.update({"format": FORMAT, "version": VERSION, "name": shard.path.name,
                       "preparation": shard.preparation, "pillow": jpeg.PILLOW})


def read(source, path):
    """The bytes of a file. Raises Undecodable if only this one can't be read, else DataError."""
    try:
        if (source / path).exists():
            size_of(source / path, MOST_BYTES, jpeg.Undecodable)
        return (source / path).read_bytes()
    except OSError as error:
        if error.errno in UNREADABLE:
            raise jpeg.Undecodable(error.strerror) from error
        raise DataError(f"cannot read {source / path}: {error.strerror}") from error


def check(shard):
    """How many images the finished shard on the disk holds; None if there is no such shard."""
    try:
        with open_file(shard.path) as file:
            n = len(dataset(file, "labels"))
            whole = (attribute(file, "preparation") == shard.preparation
                     and attribute(file, "name") == shard.path.name
                     and dataset(file, "images").shape == (n, shard.size, shard.size, 3)
                     and n + len(dataset(file, "left_out", text=True)) == len(shard.paths))
            return n if whole else None
    except (OSError, RuntimeError, KeyError, UserError):  # not there, cut short, another file
        return None


def left_out(shards):
    """[(path, reason, name of the shard)] of the files that finished shards lack, by path."""
    lines = []
    for shard in shards:
        with open_file(shard.path) as file:
            found = dataset(file, "left_out", text=True)
            lines += [(*pair, shard.path.name) for pair in found.asstr()[:].tolist()]
    return sorted(lines)


def label_type(n_classes):
    """The type of the labels: with room for a fill value that is no class."""
    return np.dtype(np.uint8 if n_classes < 256 else np.uint16)


def write_index(path, parts, **about):
    """Write the index over finished shards, whole or not at all. Raises DataError, OSError.

    parts: {"train": [(shard, n)], "test": the same}, n images in each. about: see hdf5.attributes.
    """
    def fill_index(temporary):
        index(temporary, path, parts, about)
        with h5py.File(temporary, "r") as file:
            for part in parts:
                if file[f"{part}/labels"][:].max() >= len(about["classes"]):
                    raise DataError(f"{path.parent}: a shard cannot be opened (too many open "
                                    "files? then raise `ulimit -n`)")

    hdf5.put(path, fill_index)


def try_index(path, planned, **about):
    """Write an index over shards yet to be made, {"train": [shard], "test": the same}, and remove
    it: so what can't be written about its names and place is told before the work is done.

    Raises DataError, OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        path.lstat()
    temporary = files.temporary_name(path)
    try:
        index(temporary, path, {part: [(shard, len(shard.paths)) for shard in shards]
                                for part, shards in planned.items()}, about)
    finally:
        temporary.unlink(missing_ok=True)


def index(temporary, path, parts, about):
    """Write what will be the index at `path` into the file `temporary`."""
    with h5py.File(temporary, "w", libver=hdf5.LIBVER) as file:
        file.attrs.update(hdf5.attributes(**about))
        for part, shards in parts.items():
            join(file, part, path.parent, shards)


def join(file, part, folder, shards):
    """Make the part's two virtual datasets over shards [(shard, n)], which lie below `folder`."""
    first = shards[0][0]
    total = sum(n for _, n in shards)
    for key, row, kind in (("images", (first.size, first.size, 3), np.dtype(np.uint8)),
                           ("labels", (), first.labels.dtype)):
        layout = h5py.VirtualLayout((total, *row), kind)
        start = 0
        for shard, n in shards:
            if n:
                # HDF5 takes a % in the name for a pattern
                name = shard.path.relative_to(folder).as_posix().replace("%", "%%")
                layout[start:start + n] = h5py.VirtualSource(name, key, (n, *row), kind)
            start += n
        fill_value = np.iinfo(kind).max if key == "labels" else 0
        file.create_virtual_dataset(f"{part}/{key}", layout, fillvalue=fill_value)
