"""Which image files a tree in ILSVRC2012's layout holds, and their labels.

    train/<wnid>/*.JPEG
    val/<wnid>/*.JPEG      or  val/*.JPEG  and their labels

The classes are the folders of train/ in order of name. An image file is one whose name ends in
.jpeg, .jpg or .png, in capitals or not, and does not begin with a dot.

Or, as tiny-imagenet has it, the images of a class in train/<wnid>/images/, and those of val/ in
val/images/, with their labels in val/val_annotations.txt. Labels of a flat val/ may also stand in
the names of its files (ILSVRC2012_val_00000001_n01751748.JPEG); else imagenet_labels.py reads a
file.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from data_prep import imagenet_labels
from data_prep.hdf5 import DataError
from data_prep.imagenet_labels import ENDINGS, printable

IMAGES, ANNOTATIONS = "images", "val_annotations.txt"  # of tiny-imagenet


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
    if folders == [IMAGES] and not flat and IMAGES not in classes:
        flat, folders = read_folder(source, f"val/{IMAGES}", others)
        if not labels_file and (source / "val" / ANNOTATIONS).is_file():
            labels_file = source / "val" / ANNOTATIONS
            others.remove(f"val/{ANNOTATIONS}")
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
        names = [PurePosixPath(path).name for path, _ in flat]
        labels = None if labels_file else imagenet_labels.in_names(names, classes)
        if labels:
            notes.append("note: the labels of val are those in the names of its files, e.g. "
                         f"{printable(names[0])}")
        elif labels_file:
            labels = imagenet_labels.read(labels_file, synsets_file, names, classes)
        else:
            raise DataError(f"{source / 'val'}: its files are in no folders of classes: give their "
                            "labels with --labels FILE")
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
        if not found and IMAGES in deeper:
            deeper.remove(IMAGES)
            found, still = read_folder(source, f"{inside}/{folder}/{IMAGES}", others)
            deeper += [f"{IMAGES}/{name}" for name in still]
        others += [f"{inside}/{folder}/{name}" for name in deeper]
        files += found
        labels += [classes.index(folder)] * len(found)
    return part(files, labels, digest)


def part(files, labels, digest):
    """The Part of files [(path, bytes)] with their labels, which are added to the digest."""
    for (path, size), label in zip(files, labels, strict=True):
        digest.update(f"{printable(path)}\0{size}\0{label}\n".encode())
    return Part([path for path, _ in files], np.array(labels, np.int64))


def unpack_hint(others):
    tars = [path for path in others if path.endswith(".tar")]
    return f" (unpack each of its {len(tars)} .tar files into a folder)" if tars else ""
