"""CIFAR-10's official binary archive as one HDF5 file.

    python -m data_prep.cifar10                 downloads cifar-10-binary.tar.gz (162 MB)
    python -m data_prep.cifar10 --source PATH   reads the archive, also one that is unzipped already
                                                (.tar), or the folder unpacked from it

The form is data_prep/hdf5.py's; images are (n, 32, 32, 3), RGB. The binary layout, as described at
https://www.cs.toronto.edu/~kriz/cifar.html: six files of 10,000 records, each one byte for the
label and 3 x 32 x 32 bytes for the pixels, channel by channel. The pickled "Python version" is not
read: unpickling a file from somewhere runs whatever code it holds.

The archive is read in memory, member by member, up to a limit of size; nothing is unpacked to the
disk, and an archive with a link, a device or a path out of its folder is refused.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from data_prep import download, hdf5, kinds
from data_prep.hdf5 import DataError
from ref.common import command
from ref.common.reading import size_of

MIRRORS = ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
ARCHIVE = "cifar-10-binary.tar.gz"
# As tensorflow/datasets on GitHub checks it (tensorflow_datasets/url_checksums/cifar10.txt); the
# page named above publishes MD5 alone, c32a1d4ab5d03f1284b67883e8d87530.
CHECKSUM = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
ARCHIVE_BYTES = 170052171
FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"
TRAIN_FILES = [f"data_batch_{k}.bin" for k in range(1, 6)]
TEST_FILES = ["test_batch.bin"]
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RECORDS = 10000  # in each file
IMAGE = (3, 32, 32)  # channels, height, width
RECORD_BYTES = 1 + 3 * 32 * 32
MAX_MEMBERS = 1000  # the official one has 9
MAX_BYTES = 256 * 1024 * 1024  # of the archive, unzipped; the official one has 184 million
PICKLED = f"this is the Python (pickled) version; get the binary version, {ARCHIVE}"


def read_folder(folder):
    """The six files of the folder (or of FOLDER in it): dict name -> bytes. Raises DataError."""
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    files = {}
    for name in TRAIN_FILES + TEST_FILES:
        path = folder / name
        if not path.is_file():
            if (folder / PYTHON_FOLDER).is_dir() or (folder / path.stem).is_file():
                raise DataError(f"{folder}: {PICKLED}")
            raise DataError(f"{folder}: no file {name}; expected the folder {FOLDER} with "
                            f"{', '.join(TRAIN_FILES + TEST_FILES)}")
        check_size(path, path.stat().st_size)
        files[name] = path.read_bytes()
    return files


def read_archive(path):
    """The six files in the archive: dict name -> bytes. Raises DataError."""
    files = {}
    size_of(path, MAX_BYTES, DataError)
    try:
        kind = kinds.of(path)
        if kind not in (kinds.GZIP, kinds.TAR, None):
            raise DataError(f"{path}: {kind}, expected {ARCHIVE} or the folder unpacked from it")
        with (open if kind == kinds.TAR else gzip.open)(path, "rb") as file:
            unzipped = file.read(MAX_BYTES + 1)
        if len(unzipped) > MAX_BYTES:
            raise DataError(f"{path}: more than {MAX_BYTES} bytes unzipped; expected {ARCHIVE}")
        with tarfile.open(fileobj=io.BytesIO(unzipped), mode="r:") as archive:
            for k, member in enumerate(archive):
                if k == MAX_MEMBERS:
                    raise DataError(f"{path}: more than {MAX_MEMBERS} files; expected {ARCHIVE}")
                name = check_member(path, member)
                if name not in TRAIN_FILES + TEST_FILES:
                    continue
                if name in files:
                    raise DataError(f"{path}: {name} is in it twice")
                check_size(f"{path}: {name}", member.size)
                files[name] = archive.extractfile(member).read()
                check_size(f"{path}: {name}", len(files[name]))
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated, or not a tar.gz archive ({error}): "
                        "get it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    missing = [name for name in TRAIN_FILES + TEST_FILES if name not in files]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)} in it; expected {ARCHIVE}")
    return files


def check_member(path, member):
    """The plain name of an archive's member in FOLDER, else None. Raises DataError if unsafe."""
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DataError(f"{path}: refused: {member.name!r} leads out of its folder")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{path}: refused: {member.name!r} is a link or device, not a plain file")
    if PYTHON_FOLDER in inside.parts:
        raise DataError(f"{path}: {PICKLED}")
    return inside.name if member.isreg() and inside.parent == PurePosixPath(FOLDER) else None


def check_size(what, size):
    """Raise DataError unless `size` bytes are the size of one of the six files."""
    if size != RECORDS * RECORD_BYTES:
        raise DataError(f"{what}: {size} bytes, expected {RECORDS * RECORD_BYTES} "
                        f"({RECORDS} records of {RECORD_BYTES})")


def read_source(path):
    """The six files of an archive or folder: dict name -> bytes. Raises DataError."""
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; give {ARCHIVE}, or the folder {FOLDER}")
    files = read_archive(path)
    if kinds.of(path) == kinds.TAR:
        command.tell(f"note: {path} is unzipped, so the checksum of {ARCHIVE} can't be checked")
        return files
    # After the reading, which is safe on its own and knows better what is wrong with the archive.
    try:
        download.check(path, CHECKSUM, path)
    except DataError as error:
        raise DataError(f"{error} (repacked? then unpack it and give the folder)") from error
    return files


def unpack(names, files):
    """Images (n, 32, 32, 3) and labels (n,), both uint8, of the files `names`."""
    images = np.empty((RECORDS * len(names), *IMAGE[1:], IMAGE[0]), np.uint8)
    labels = np.empty(len(images), np.uint8)
    for k, name in enumerate(names):
        records = np.frombuffer(files[name], np.uint8).reshape(RECORDS, RECORD_BYTES)
        rows = slice(k * RECORDS, (k + 1) * RECORDS)
        labels[rows] = records[:, 0]
        images[rows] = records[:, 1:].reshape(RECORDS, *IMAGE).transpose(0, 2, 3, 1)
        if labels[rows].max() >= len(CLASSES):
            raise DataError(f"{name}: a label of {labels[rows].max()}, expected 0 to "
                            f"{len(CLASSES) - 1}: not CIFAR-10's binary version")
    return images, labels


def main(arguments=None):
    parser = command.Parser("python -m data_prep.cifar10",
                            description="Write CIFAR-10 (its binary version) as HDF5.")
    parser.add_argument("--source", type=Path, metavar="PATH",
                        help=f"read {ARCHIVE}, or the folder {FOLDER}, at PATH instead of "
                             "downloading; what is unzipped or unpacked is read without the "
                             "archive's checksum")
    parser.add_argument("--mirror", action="append", metavar="URL",
                        help=f"download {ARCHIVE} from URL (the whole address); may be given "
                             "several times, tried in order")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=Path("data/raw/cifar10"),
                        help="where the download is kept (default %(default)s)")
    parser.add_argument("--out", type=command.new_file, metavar="FILE",
                        default=Path("data/cifar10.h5"),
                        help="the HDF5 file to write (default %(default)s)")
    parser.add_argument("--seed", type=command.seed, default=0,
                        help="of the order on disk (default %(default)s)")
    args = parser.parse_args(arguments)
    if args.source and args.mirror:
        raise DataError("give --source or --mirror, not both")

    if args.source:
        path, source = args.source, str(args.source)
    else:
        mirrors = args.mirror or MIRRORS
        path, source = args.cache / ARCHIVE, " or ".join(mirrors)
        try:
            download.fetch(mirrors, path, CHECKSUM, limit=ARCHIVE_BYTES)
        except DataError as error:
            raise DataError(f"{error} (a file fetched by other means: --source PATH)") from error
    files = read_source(path)
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    train, test = unpack(TRAIN_FILES, files), unpack(TEST_FILES, files)
    hdf5.write(args.out, train, test, name="cifar10", classes=CLASSES, seed=args.seed,
               source=source, sha256=sha256,
               command=command.command_line("data_prep.cifar10", arguments))
    command.tell(hdf5.done_line(args.out, "cifar10", train[0].shape, test[0].shape, len(CLASSES)))


if __name__ == "__main__":
    command.run(main, "interrupted: no data set was written")
