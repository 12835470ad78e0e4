"""Labels of image files that lie in no folders of classes, as imagenet_files.py finds them.

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

Names and labels may stand in quotes, as some programs write CSV.
"""

import re
from pathlib import PurePosixPath

from data_prep.hdf5 import DataError, text
from ref.common.reading import TEXT_LIMIT, size_of

ENDINGS = (".jpeg", ".jpg", ".png")
KIT_FIRST = "n02119789"  # kit fox, number 1 in the development kit's order; 252nd by name
CSV_HEADER = ["ImageId", "PredictionString"]


def in_names(names, classes):
    """The labels, list of int, that stand at the end of the names; None unless all have one.

    A number there (val_7.png) counts the files, even where a class is called 7.
    """
    label_of = {name: k for k, name in enumerate(classes) if not name.isdigit()}
    labels = []
    for name in names:
        words = stem(name).split("_")
        ends = ("_".join(words[k:]) for k in range(1, len(words)))  # the longest first
        found = next((label_of[end] for end in ends if end in label_of), None)
        if found is None:
            return None
        labels.append(found)
    return labels


def read(path, synsets_file, names, classes):
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
    if path.exists():
        size_of(path, TEXT_LIMIT, DataError)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file") from error
    rows = [(k, [field.strip("\"'") for field in re.split(r"[,\s]+", line.strip().rstrip(","))])
            for k, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: empty")
    return rows


def stem(name):
    """A file's name without folder and image ending."""
    name = PurePosixPath(name).name
    ending = PurePosixPath(name).suffix
    return name.removesuffix(ending) if ending.lower() in ENDINGS else name


def printable(path):
    """The path as text for a line of a file or screen, whatever bytes its name has."""
    path = text(path)
    return path if path.isprintable() else ascii(path)[1:-1]
