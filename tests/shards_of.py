"""A small data set in shards, as data_prep/imagenet.py leaves it, without its images."""

import json

import h5py
import numpy as np

N, IN_SHARD, SHAPE = 64, 8, (28, 28, 1)


def images_of(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), np.uint8)


def make(folder):
    """Write folder/s.h5 over N training and N test examples of noise, two classes, a chunk each."""
    (folder / "s-shards").mkdir()
    with h5py.File(folder / "s.h5", "w", libver=("v110", "v110")) as file:
        file.attrs.update({"format": "ref-data", "version": 1, "name": "s",
                           "classes": json.dumps(["a", "b"])})
        for seed, part in enumerate(("train", "test")):
            paths = []
            for k in range(N // IN_SHARD):
                path = folder / "s-shards" / f"{part}-{k}.h5"
                rows = slice(k * IN_SHARD, (k + 1) * IN_SHARD)
                labels = (np.arange(N) % 2).astype(np.uint8)[rows]
                with h5py.File(path, "w") as shard:
                    shard.create_dataset("images", data=images_of(N, seed)[rows],
                                         chunks=(1, *SHAPE), compression="gzip")
                    shard["labels"] = labels
                paths.append(path)
            join(file, part, folder, paths)
    return folder / "s.h5"


def join(file, part, folder, paths):
    """As data_prep.shards.join does, for images of one channel."""
    for key, row, kind in (("images", SHAPE, np.dtype(np.uint8)), ("labels", (), np.dtype("u1"))):
        layout, start = h5py.VirtualLayout((N, *row), kind), 0
        for path in paths:
            rows = slice(start, start := start + IN_SHARD)
            layout[rows] = h5py.VirtualSource(path.relative_to(folder).as_posix(), key,
                                              (IN_SHARD, *row), kind)
        file.create_virtual_dataset(f"{part}/{key}", layout, fillvalue=0)


def damage(path, row):
    """Spoil the chunk of a row of a shard's images."""
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info(row)
    content = bytearray(path.read_bytes())
    content[place.byte_offset:place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
