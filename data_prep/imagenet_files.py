"""Which image files a tree in ILSVRC2012's layout holds, and their labels.

    train/<wnid>/*.JPEG
    val/<wnid>/*.JPEG      or  val/*.JPEG  and a labels file

The classes are the folders of train/ in order of name. An image file is one whose name ends in
.jpeg, .jpg or .png, in capitals or not, and does not begin with a dot.

A labels file, for the files that lie directly in val/, has one of these on every line, its parts
separated by blanks or commas:

    name wnid      e.g. `ILSVRC2012_val_00000001.JPEG n01751748`; with or without the name's ending
                   and folder, and whatever follows is ignored: so Kaggle's LOC_val_solution.csv,
                   and its header, will do
    name number    from 0, into the classes in order of name (Caffe's val.txt); with --synsets
                   into that list
    wnid           one a line, for the files of val/ in order of name
    number         one a line, for the files of val/ in order of name; from 1, into the list of
                   --synsets, which this form needs: ILSVRC2012_validation_ground_truth.txt of the
                   development kit, whose numbers follow the kit's own order, not that of names

A synset list has a wnid first on every line, in the order that the numbers count: map_clsloc.txt
of the later development kits is one.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from data_prep.hdf5 import DataError

ENDINGS = (".jpeg", ".jpg", ".png")
KIT_FIRST = "n02119789"  # kit fox, number 1 in the development kit's order; 252nd by name
CSV_HEADER = ["ImageId", "PredictionString"]


@dataclass
class Part:
    """n image files: paths below the source, in order of name, and their labels (n,) int64."""

    paths: list
    labels: np.ndarray


@dataclass
class Tree:
    """What a source holds. digest: SHA-256, hex, over all names, sizes in bytes and labels."""

    classes: list
    train: Part
    test: Part
    notes: list  # lines for the user, about what may not be as meant
    digest: str


def read_tree(source, labels_file=None, synsets_file=None):
    """The Tree in the folder `source`; test is val/. Raises DataError, OSError.

    Takes about 100 bytes of memory a file, and asks the file system for the size of each.
    """
    for name in ("train", "val"):
        if not (source / name).is_dir():
            raise DataError(f"--source {source}: no folder {name} in it; expected train/<wnid>/"
                            "*.JPEG and val/")
    digest, notes, others = hashlib.sha256(), [], []
    loose, classes = read_folder(source, "train", others)
    others += [path for path, _ in loose]
    if len(classes) < 2:
        raise DataError(f"{source / 'train'}: {len(classes)} folders of classes, expected at least "
                        f"two{unpack_hint(others)}")
    digest.update("\0".join(map(printable, classes)).encode())

    train = read_classes(source, "train", classes, classes, digest, others)
    flat, folders = read_folder(source, "val", others)
    if flat and folders:
        raise DataError(f"{source / 'val'}: both image files and folders ({folders[0]}, ...) in "
                        "it; expected either")
    if not flat:
        if labels_file:
            raise DataError(f"--labels {labels_file}: {source / 'val'} holds no image files "
                            "directly; with folders of classes there, leave it out")
        if unknown := sorted(set(folders) - set(classes)):
            raise DataError(f"{source / 'val' / unknown[0]}: no such class in {source / 'train'}"
                            f" ({len(unknown)} such)")
        test = read_classes(source, "val", folders, classes, digest, others)
    else:
        if not labels_file:
            raise DataError(f"{source / 'val'}: its files are in no folders of classes: give their "
                            "labels with --labels FILE")
        names = [PurePosixPath(path).name for path, _ in flat]
        labels = read_labels(labels_file, synsets_file, names, classes)
        test = part(flat, labels, digest)
    for name, files in (("train", train), ("val", test)):
        if not files.paths:
            raise DataError(f"{source / name}: no image files ({', '.join(ENDINGS)}) in it"
                            f"{unpack_hint(others)}")
        if missing := sorted(set(range(len(classes))) - set(files.labels.tolist())):
            notes.append(f"note: {len(missing)} of {len(classes)} classes have no image in {name}, "
                         f"e.g. {printable(classes[missing[0]])}")
    if others:
        notes.append(f"note: {len(others)} other files and folders are passed over, e.g. "
                     f"{printable(min(others))}")
    return Tree(classes, train, test, notes, digest.hexdigest())


def read_folder(source, inside, others):
    """Image files [(path below source, bytes)] and folders [name] in source/inside, in order.

    Anything else is added to `others`, as paths.
    """
    files, folders = [], []
    with os.scandir(source / inside) as entries:
        for entry in entries:
            path = f"{inside}/{entry.name}"
            if entry.name.startswith("."):  # also macOS's ._name.JPEG, which is no image
                others.append(path)
            elif entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file() and entry.name.lower().endswith(ENDINGS):
                files.append((path, entry.stat().st_size))
            else:
                others.append(path)
    return sorted(files), sorted(folders)


def read_classes(source, inside, folders, classes, digest, others):
    """The Part of all image files in the folders, each of them named like its class."""
    files, labels = [], []
    for folder in folders:
        found, deeper = read_folder(source, f"{inside}/{folder}", others)
        others += [f"{inside}/{folder}/{name}" for name in deeper]
        files += found
        labels += [classes.index(folder)] * len(found)
    return part(files, labels, digest)


def part(files, labels, digest):
    """The Part of files [(path, bytes)] with their labels, which are added to the digest."""
    for (path, size), label in zip(files, labels, strict=True):
        digest.update(f"{printable(path)}\0{size}\0{label}\n".encode())
    return Part([path for path, _ in files], np.array(labels, np.int64))


def read_labels(path, synsets_file, names, classes):
    """The labels, list of int, of the files `names` in val/. Raises DataError."""
    rows = read_lines(path)
    if rows[0][1][:2] == CSV_HEADER:
        del rows[0]
    if all(len(fields) == 1 for _, fields in rows):
        if len(rows) != len(names):
            raise DataError(f"--labels {path}: {len(rows)} lines of one label each, but there are "
                            f"{len(names)} image files in val")
        values, first = [(k, fields[0]) for k, fields in rows], 1
        if values[0][1].isdigit() and not synsets_file and values[0][1] not in classes:
            raise DataError(f"--labels {path}: numbers alone count in the development kit's order: "
                            "give its list of wnids with --synsets FILE (map_clsloc.txt)")
    else:
        known = {}
        for k, fields in rows:
            if len(fields) < 2:
                raise DataError(f"--labels {path}: line {k}: no label")
            if known.setdefault(stem(fields[0]), (k, fields[1]))[1] != fields[1]:
                raise DataError(f"--labels {path}: line {k}: a second, other label for {fields[0]}")
        if missing := [name for name in names if stem(name) not in known]:
            raise DataError(f"--labels {path}: no label for val/{printable(missing[0])} "
                            f"({len(missing)} such)")
        values, first = [known[stem(name)] for name in names], 0

    label_of = {name: k for k, name in enumerate(classes)}
    if all(value in label_of for _, value in values):
        return [label_of[value] for _, value in values]
    order = read_synsets(synsets_file) if synsets_file else classes
    labels = []
    for k, value in values:
        name = value
        if value.isascii() and value.isdigit():
            if not first <= int(value) < first + len(order):
                raise DataError(f"--labels {path}: line {k}: {value}, expected {first} to "
                                f"{first + len(order) - 1} in this form of labels file")
            name = order[int(value) - first]
        if name not in label_of:
            raise DataError(f"--labels {path}: line {k}: {name} is no folder of train")
        labels.append(label_of[name])
    return labels


def read_synsets(path):
    """The wnids of a synset list, in its order. Raises DataError."""
    order = [fields[0] for _, fields in read_lines(path)]
    if len(set(order)) < len(order):
        raise DataError(f"--synsets {path}: a wnid is in it twice")
    # The official list by name is easily taken for this one, and every label would be wrong.
    if KIT_FIRST in order and order[0] != KIT_FIRST:
        raise DataError(f"--synsets {path}: begins with {order[0]}; the development kit's order "
                        f"begins with {KIT_FIRST}: this is another order")
    return order


def read_lines(path):
    """[(line number, its fields)] of a text file's lines that are not blank. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file") from error
    rows = [(k, re.split(r"[,\s]+", line.strip().rstrip(",")))
            for k, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: empty")
    return rows


def stem(name):
    """A file's name without folder and image ending."""
    name = PurePosixPath(name).name
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending.lower() in ENDINGS else name


def unpack_hint(others):
    tars = [path for path in others if path.endswith(".tar")]
    return f" (unpack each of its {len(tars)} .tar files into a folder)" if tars else ""


def printable(path):
    """The path as text for a line of a file or screen, whatever bytes its name has."""
    return path if path.isprintable() else ascii(path)[1:-1]
