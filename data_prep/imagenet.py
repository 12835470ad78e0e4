"""ImageNet (ILSVRC2012), or any images in its layout, as HDF5: shards and an index over them.

    python -m data_prep.imagenet --source DIR --labels FILE [--synsets FILE]

DIR holds train/<wnid>/*.JPEG, and val/ either the same or flat with a file of labels: which files
of labels are understood, imagenet_files.py says. val/ becomes the test part. Each image's short
side is resized to --resize and the central --size x --size kept (jpeg.py; EXIF orientation is
ignored). Written are data/imagenet-shards/train-0000.h5 and so on, by several processes, and then
data/imagenet.h5, an index in the form of data_prep/hdf5.py (shards.py). The index can be moved
together with its folder of shards, not alone.

**Order.** One random permutation of all files of a part, hdf5.shuffled_order by the seed, is cut
into shards of --shard-images files. Files that cannot be decoded are left out, each from its own
shard, which is then shorter: so the others keep their order and labels, and what a shard holds
depends on its own files alone. They are listed in data/imagenet-left-out.txt.

**Resuming.** Run the same command again: finished shards are kept, unfinished ones done again.
Other parameters, labels, or names or sizes of the source's files are refused. To try a file that
was left out again, delete the shard that the list names for it.
"""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
from pathlib import Path

from tqdm import tqdm

from data_prep import hdf5, imagenet_files, jpeg, shards, workers
from data_prep.hdf5 import DataError
from ref.common import command, files

PARAMETERS = "parameters.json"  # in the folder of shards: what they were begun with
COMPRESSIONS = ("none", "lzf", "gzip")
PARTS = ("train", "test")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
LONGEST = 255  # bytes of a file's name
SPARE_FILES = 50  # open files that a reader of all shards needs besides them


def parameters_of(args, digest):
    """All that the shards' content depends on, by the names of the options."""
    return {"--source (names and sizes of its files) or --labels": digest, "--seed": args.seed,
            "--size": args.size, "--resize": args.resize, "--shard-images": args.shard_images,
            "--compression": args.compression}


def check_folder(folder, parameters):
    """Raise DataError unless the folder of shards is new, or was begun with these parameters."""
    begun = {}
    with contextlib.suppress(FileNotFoundError):
        try:
            begun = json.loads((folder / PARAMETERS).read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{folder / PARAMETERS}: damaged; remove {folder} to start "
                            "over") from error
    if not begun and folder.is_dir() and any(not path.name.startswith(".")
                                             for path in folder.iterdir()):
        raise DataError(f"{folder}: not empty, and not begun by this command: give another --out")
    for key, value in parameters.items():
        if begun and begun.get(key) != value:
            change = "" if key.startswith("--source") else f", {begun.get(key)} then, {value} now"
            raise DataError(f"{folder} was begun with another {key}{change}: give what it was, or "
                            "another --out, or remove that folder to start over")


@contextlib.contextmanager
def claim(folder, parameters):
    """The folder of shards, made where missing, for this process alone. Raises DataError."""
    files.make_folder(folder)
    with files.lock(folder / ".lock", f"{folder}: another process is writing there"):
        files.remove_temporary(folder)  # of a process that was killed
        if not (folder / PARAMETERS).exists():
            write_text(folder / PARAMETERS, json.dumps(parameters, indent=1) + "\n")
        try:
            yield
        finally:
            files.remove_temporary(folder)


def write_text(path, text):
    """Write a small file whole or not at all."""
    files.write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def beside(path, ending):
    """A path beside `path`: its stem and the ending.

    The stem is cut where the name gets too long, and where it is no UTF-8, as h5py needs the names
    of shards to be, the bytes at fault are spelt out.
    """
    stem = path.stem
    try:
        os.fsencode(stem).decode("utf-8")
    except UnicodeDecodeError:
        stem = ascii(hdf5.text(stem))[1:-1].replace("\\", "")
    while len(os.fsencode(stem + ending)) > LONGEST:
        stem = stem[:-1]
    return path.with_name(stem + ending)


def plan(args, tree, folder, preparation):
    """{"train": list of shards.Shard, "test": the same}: every shard, and the files in it."""
    kind = shards.label_type(len(tree.classes))
    compression = None if args.compression == "none" else args.compression
    planned = {}
    for k, (part, listed) in enumerate(zip(PARTS, (tree.train, tree.test), strict=True)):
        order = hdf5.shuffled_order(len(listed.paths), args.seed, k)
        cuts = [order[start:start + args.shard_images]
                for start in range(0, len(order), args.shard_images)]
        planned[part] = [
            shards.Shard(folder / f"{part}-{number:04d}.h5", preparation, args.source,
                         [listed.paths[i] for i in rows], listed.labels[rows].astype(kind),
                         args.size, args.resize, compression)
            for number, rows in enumerate(cuts)]
    count, limit = sum(map(len, planned.values())), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and count > limit - SPARE_FILES:
        raise DataError(f"--shard-images {args.shard_images} makes {count} shards, but a process "
                        f"may open only {limit} files here (ulimit -n): take more images a shard")
    return planned


def check_space(folder, todo, n_all):
    """Print what is to be written and how much is free. Raises DataError if it does not fit."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    need = sum(shard.bytes for shard in todo)
    command.tell(f"to write: {len(todo)} of {n_all} shards, {amount(need)} uncompressed, in "
                 f"{folder}; {amount(free)} free there")
    if need + need // 64 + len(todo) * 2 ** 20 > free:  # as hdf5.reserve has it, for each
        raise DataError(f"{amount(need)} do not fit into the {amount(free)} that are free on the "
                        f"disk of {folder}: make room, or give --out on another disk")


def amount(n_bytes):
    """A number of bytes for a person."""
    unit, name = (10 ** 9, "GB") if n_bytes >= 10 ** 9 else (10 ** 6, "MB")
    return f"{n_bytes / unit:.1f} {name}"


def report(path, planned):
    """List the files that were left out at `path`, where there are any, and print how many."""
    left_out = shards.left_out([shard for part in PARTS for shard in planned[part]])
    if not left_out:
        path.unlink(missing_ok=True)
        return
    write_text(path, "".join(f"{file}\t{reason}\t{shard}\n" for file, reason, shard in left_out))
    total = sum(len(shard.paths) for part in PARTS for shard in planned[part])
    command.tell(f"left out {len(left_out)} of {total} files, which could not be decoded: {path}")


def prepare(args, given):
    """Write shards, report and index, as far as they are not yet there. Raises DataError."""
    command.tell(f"listing the files in {args.source} ...")
    tree = imagenet_files.read_tree(args.source, args.labels, args.synsets)
    command.tell(f"{len(tree.train.paths)} train and {len(tree.test.paths)} test files, "
                 f"{len(tree.classes)} classes", *tree.notes)
    folder = beside(args.out, "-shards")
    parameters = parameters_of(args, tree.digest)
    check_folder(folder, parameters)
    preparation = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()
    planned = plan(args, tree, folder, preparation)
    everything = [shard for part in PARTS for shard in planned[part]]
    todo = [shard for shard in everything if shards.check(shard) is None]
    check_space(folder, todo, len(everything))
    about = {"name": args.name, "classes": tree.classes, "seed": args.seed,
             "source": str(args.source), "command": given,
             "sha256": {"names, sizes and labels of the source's files": tree.digest}}
    with claim(folder, parameters):
        shards.try_index(args.out, planned, **about)
        # disable=None: no bar unless stderr is a terminal
        with tqdm(total=sum(len(shard.paths) for shard in todo), desc=args.name, unit="image",
                  smoothing=0.02, disable=None) as progress:
            try:
                workers.run(shards.write, todo, args.workers, progress.update)
            except DataError as error:
                raise DataError(f"{error}; finished shards are kept: when this is put right, run "
                                "the same command again") from error
        counts = {part: [(shard, shards.check(shard)) for shard in planned[part]]
                  for part in PARTS}
        report(beside(args.out, "-left-out.txt"), planned)
        for part, counted in counts.items():
            if not sum(n for _, n in counted):
                raise DataError(f"{args.source}: not one file of the {part} part can be decoded")
        shards.write_index(args.out, counts, **about)
    n_train, n_test = (sum(n for _, n in counts[part]) for part in PARTS)
    image = (args.size, args.size, 3)
    command.tell(hdf5.done_line(args.out, args.name, (n_train, *image), (n_test, *image),
                                len(tree.classes)))


def main(arguments=None):
    parser = command.Parser("python -m data_prep.imagenet",
                            description="Write ImageNet, or images in its layout, as HDF5 shards.")
    parser.add_argument("--source", type=Path, metavar="DIR", required=True,
                        help="the folder that holds train/ and val/")
    parser.add_argument("--labels", type=Path, metavar="FILE",
                        help="labels of a flat val/: LOC_val_solution.csv, "
                             "ILSVRC2012_validation_ground_truth.txt with --synsets, or lines of "
                             "`name wnid`")
    parser.add_argument("--synsets", type=Path, metavar="FILE",
                        help="the wnids in the order that the labels' numbers count, e.g. "
                             "map_clsloc.txt")
    parser.add_argument("--out", type=command.new_file, metavar="FILE",
                        help="the HDF5 index to write (default data/NAME.h5); the shards go into a "
                             "folder beside it")
    parser.add_argument("--name", default="imagenet",
                        help="the data set's name (default %(default)s)")
    parser.add_argument("--size", type=command.count, default=224, metavar="PIXELS",
                        help="height and width of the images (default %(default)s)")
    parser.add_argument("--resize", type=command.count, default=256, metavar="PIXELS",
                        help="short side before the crop (default %(default)s)")
    parser.add_argument("--seed", type=command.seed, default=0,
                        help="of the order on disk (default %(default)s)")
    parser.add_argument("--workers", type=command.count, default=CORES, metavar="N",
                        help="processes (default: one for each core, %(default)s)")
    parser.add_argument("--shard-images", type=command.count, default=8192, metavar="N",
                        help="files to a shard (default %(default)s, 1.2 GB at 224x224)")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="none",
                        help="of the shards (default %(default)s: fastest to read)")
    args = parser.parse_args(arguments)
    jpeg.require_pillow()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", args.name):
        raise DataError(f"--name {args.name!r}: use letters, digits, '.', '_' and '-'")
    if args.size > args.resize:
        raise DataError(f"--size {args.size} is more than --resize {args.resize}: no such crop")
    if args.synsets and not args.labels:
        raise DataError("--synsets is of use only together with --labels")
    args.out = args.out or Path("data") / f"{args.name}.h5"
    prepare(args, command.command_line("data_prep.imagenet", arguments))


if __name__ == "__main__":
    command.run(main, "interrupted: finished shards are kept; run the same command again to go on")
