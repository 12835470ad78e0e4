"""EMNIST's files (Cohen et al. 2017, arXiv 1702.05373): MNIST's form, with three surprises.

- Each split has four files of its own: `emnist-letters-train-images-idx3-ubyte`, and so on.
- The images lie transposed: a row of the file is a column of the picture.
- The labels of the split letters count from 1, so that 0 is a class without examples.
"""

import string

import numpy as np

from data_prep.hdf5 import DataError

DIGITS, CAPITALS, SMALL = string.digits, string.ascii_uppercase, string.ascii_lowercase
UNLIKE = "abdefghnqrt"  # small letters that do not look like their capitals; the others are merged
CLASSES = {  # of each split, in the order of the labels
    "balanced": DIGITS + CAPITALS + UNLIKE, "bymerge": DIGITS + CAPITALS + UNLIKE,
    "byclass": DIGITS + CAPITALS + SMALL, "letters": CAPITALS, "digits": DIGITS, "mnist": DIGITS,
}
NAMES = {f"emnist-{split}": split for split in CLASSES}


def stems(split):
    """The names of a split's files, without their endings: images, labels; train, then test."""
    return [f"emnist-{split}-{part}-{what}-ubyte" for part in ("train", "test")
            for what in ("images-idx3", "labels-idx1")]


def splits_in(folder):
    """The splits that the folder holds files of."""
    names = [path.name for path in folder.glob("emnist-*")]
    return [split for split in CLASSES
            if any(name.startswith(f"emnist-{split}-") for name in names)]


def choose(folder, name):
    """The split of the files in folder that --name means, None for the files of MNIST's names.

    name  as given, or None. Raises DataError where it does not tell one of several.
    """
    there, wanted = splits_in(folder), NAMES.get(name)
    if wanted in there:
        return wanted
    if any(folder.glob("train-images?idx3-ubyte*")) or not there:
        return None
    if wanted:
        raise DataError(f"{folder}: no file {stems(wanted)[0]}; there is EMNIST "
                        f"{' and '.join(there)}")
    if len(there) > 1:
        raise DataError(f"{folder} holds EMNIST {', '.join(there)}: say which with "
                        f"--name emnist-{there[0]} (or another of these)")
    return there[0]


def upright(split, train, test):
    """(train, test, names of the classes, what was done) for parts (images (n, H, W, 1), labels).

    Raises DataError for labels that are not the split's.
    """
    classes, said = list(CLASSES[split]), "the images are transposed to stand upright"
    labels = [part[1].astype(np.int64) for part in (train, test)]
    if split == "letters" and min(each.min() for each in labels) > 0:
        labels = [each - 1 for each in labels]
        said += "; labels 1 to 26 became 0 to 25 (A to Z), as no example has label 0"
    if (most := max(each.max() for each in labels)) >= len(classes):
        raise DataError(f"EMNIST {split}: a label of {most}, expected 0 to {len(classes) - 1}")
    parts = [(images.transpose(0, 2, 1, 3), each)
             for (images, _), each in zip((train, test), labels, strict=True)]
    return (*parts, classes, f"EMNIST {split}: {said}")
