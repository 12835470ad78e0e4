"""MNIST, or any data set in the form of MNIST's four IDX files, as one HDF5 file.

    python -m data_prep.mnist                                    downloads MNIST
    python -m data_prep.mnist --source DIR                       reads the four files in DIR
    python -m data_prep.mnist --name fashion-mnist --source DIR  the same for another data set
    python -m data_prep.mnist --name emnist-letters --source DIR EMNIST's files of that split in DIR

The form is data_prep/hdf5.py's; images become (n, H, W, 1). IDX, as described at
http://yann.lecun.com/exdb/mnist/: two zero bytes, one for the type (8: unsigned byte), one for the
number of dimensions; each dimension as a big-endian 32-bit integer; the data, last dimension
fastest.
"""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from data_prep import download, emnist, hdf5, kinds
from data_prep.hdf5 import DataError
from ref.common import command
from ref.common.reading import size_of
from ref.common.untrusted import RATIO, SPARE

MIRRORS = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
]
# SHA-256 and bytes of MNIST's files as published, compressed (tensorflow/datasets on GitHub,
# tensorflow_datasets/url_checksums/mnist.txt).
CHECKSUMS = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
SIZES = {"train-images-idx3-ubyte": 9912422, "train-labels-idx1-ubyte": 28881,
         "t10k-images-idx3-ubyte": 1648877, "t10k-labels-idx1-ubyte": 4542}
IMAGE_DIMENSIONS, LABEL_DIMENSIONS = 3, 1
LIMIT = 2 << 30  # bytes of an array, all of which is taken into memory; EMNIST's largest has 0.55e9
BLOCK = 1024 * 1024  # bytes decompressed at a time


def read_idx(path, dimensions):
    """The array in an IDX file of unsigned bytes, gzip or raw: uint8, with `dimensions` axes.

    The header is believed only as far as the file goes: no more is read, or memory taken, than
    the file really holds, than images of its size on disk can be unpacked to, and than LIMIT.
    Raises DataError, which names the file, for anything that is not exactly
    one array as its header describes it.
    """
    size = size_of(path, error=DataError)
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as file:
            shape = read_header(file, path, dimensions)
            expected = 1
            for length in shape:
                expected *= length  # Python's integers do not overflow
            if expected > min(LIMIT, RATIO * size + SPARE):
                raise DataError(f"{path}: its header says {shape}, more than are read of a file of "
                                f"{size} bytes")
            data = bytearray()
            while block := file.read(min(BLOCK, expected + 1 - len(data))):
                data += block
    except EOFError as error:
        raise DataError(f"{path}: the gzip data is truncated: get the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip data is corrupt ({error}): get the file "
                        "again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if len(data) < expected:
        raise DataError(f"{path}: truncated: its header says {shape}, {expected} bytes of data, "
                        f"but there are only {len(data)}")
    if len(data) > expected:
        raise DataError(f"{path}: bytes left over after the {expected} that its header says")
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_header(file, path, dimensions):
    """The shape that an IDX header gives, a tuple of `dimensions` int >= 1. Raises DataError."""
    header = file.read(4 + 4 * dimensions)
    if header[:2] != b"\0\0" or len(header) < 4:
        kind = kinds.named(header)
        raise DataError(f"{path}: not an IDX file{f' but {kind}' if kind else ''}: it begins with "
                        f"{header[:4].hex() or 'nothing'}, expected 000008{dimensions:02x}")
    if header[2] != 8:
        raise DataError(f"{path}: IDX data of type 0x{header[2]:02x}, expected 0x08, bytes")
    if header[3] != dimensions:
        raise DataError(f"{path}: IDX data with {header[3]} dimensions, expected {dimensions}: "
                        "are images and labels mixed up?")
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path}: truncated: only {len(header)} bytes, not even a whole header")
    shape = tuple(int(length) for length in np.frombuffer(header, ">u4", offset=4))
    if 0 in shape:
        raise DataError(f"{path}: its header says {shape}: no data")
    return shape


def find(folder, stem):
    """The file of that stem in folder: "-idx" or ".idx", gzip or raw. Raises DataError."""
    names = [spelling + ending for spelling in (stem, stem.replace("-idx", ".idx"))
             for ending in (".gz", "")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: no file {' or '.join(names)}")


def source_files(folder, name):
    """The four files in a folder: (their paths, the split of EMNIST that they are, or None).

    name  as the user gave it, or None. Raises DataError.
    """
    if not folder.is_dir():
        raise DataError(f"--source {folder} is not a folder; give the one with the four IDX files")
    split = emnist.choose(folder, name)
    return [find(folder, stem) for stem in (emnist.stems(split) if split else CHECKSUMS)], split


def downloaded_files(name, mirrors, cache):
    """The paths of the four files, downloaded into the folder `cache`. Raises DataError."""
    files = []
    for stem, sha256 in CHECKSUMS.items():
        files.append(cache / f"{stem}.gz")
        checksum = f"sha256:{sha256}" if name == "mnist" else None
        urls = [f"{mirror.rstrip('/')}/{stem}.gz" for mirror in mirrors]
        try:
            download.fetch(urls, files[-1], checksum,
                           limit=SIZES[stem] if name == "mnist" else download.LIMIT)
        except DataError as error:
            raise DataError(f"{error} (files fetched by other means: --source DIR)") from error
    return files


def read_part(images_path, labels_path):
    """Images (n, H, W, 1) and labels (n,), both uint8, of one part. Raises DataError."""
    images = read_idx(images_path, IMAGE_DIMENSIONS)
    labels = read_idx(labels_path, LABEL_DIMENSIONS)
    if len(images) != len(labels):
        raise DataError(f"{images_path} has {len(images)} images, but {labels_path} has "
                        f"{len(labels)} labels")
    return images[..., np.newaxis], labels


def plain(train, test, name):
    """(train, test, names of the classes, what there is to say or None): the labels' numbers."""
    labels = train[1]
    classes = [str(k) for k in range(1 + int(max(labels.max(), test[1].max())))]
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    said = None
    if name in emnist.NAMES:
        said = ("note: the files have MNIST's names, so their images are taken to stand upright; "
                "EMNIST's own files are transposed")
    elif empty:
        said = (f"note: {len(empty)} of {len(classes)} labels are those of no training example, "
                f"e.g. {empty[0]}")
    return train, test, classes, said


def main(arguments=None):
    parser = command.Parser(
        "python -m data_prep.mnist",
        description="Write MNIST, or a data set in the form of MNIST's four IDX files, as HDF5.")
    parser.add_argument("--name",
                        help="the data set's name (default mnist, or the split of EMNIST that is "
                             "in DIR, e.g. emnist-letters); checksums are known for mnist only, "
                             "another name needs --source or --mirror")
    parser.add_argument("--source", type=Path, metavar="DIR",
                        help="read the four files in DIR, gzip or raw, instead of downloading")
    parser.add_argument("--mirror", action="append", metavar="URL",
                        help="download from URL/train-images-idx3-ubyte.gz and so on; may be "
                             "given several times, tried in order")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="where downloads are kept (default data/raw/NAME)")
    parser.add_argument("--out", type=command.new_file, metavar="FILE",
                        help="the HDF5 file to write (default data/NAME.h5)")
    parser.add_argument("--seed", type=command.seed, default=0,
                        help="of the order on disk (default %(default)s)")
    args = parser.parse_args(arguments)
    name = args.name or "mnist"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise DataError(f"--name {args.name!r}: use letters, digits, '.', '_' and '-'")
    if args.source and args.mirror:
        raise DataError("give --source or --mirror, not both")
    if name != "mnist" and not (args.source or args.mirror):
        raise DataError(f"no address and no checksum is known for {name}: give --source DIR "
                        "with its four IDX files, or --mirror URL")

    split = None
    if args.source:
        paths, split = source_files(args.source, args.name)
        source, name = str(args.source), args.name or (f"emnist-{split}" if split else name)
    else:
        mirrors = args.mirror or MIRRORS
        cache = args.cache or Path("data/raw") / name
        paths, source = downloaded_files(name, mirrors, cache), " or ".join(mirrors)
    train, test = read_part(*paths[:2]), read_part(*paths[2:])
    train, test, classes, said = (emnist.upright(split, train, test) if split
                                  else plain(train, test, name))
    out = args.out or Path("data") / f"{name}.h5"
    hdf5.write(out, train, test, name=name, classes=classes, seed=args.seed, source=source,
               sha256={path.name: download.digest(path) for path in paths},
               command=command.command_line("data_prep.mnist", arguments))
    command.tell(*([said] if said else []),
                 hdf5.done_line(out, name, train[0].shape, test[0].shape, len(classes)))


if __name__ == "__main__":
    command.run(main, "interrupted: no data set was written")
