"""Data of one's own, from NumPy arrays, as one HDF5 file.

    from data_prep import arrays
    arrays.write("data/mine.h5", x, y, test=(x_test, y_test))

Then `python -m ref.train --data mine ...`. The form is data_prep/hdf5.py's.
"""

from pathlib import Path

import numpy as np

from data_prep import hdf5
from data_prep.hdf5 import DataError


def write(path, x, y, *, test, name=None, classes=None, seed=0):
    """Write examples to train on, (x, y), and to test on to `path`: all of it, or nothing.

    x        one example a row, of one of these shapes:
                 (n, H, W, C)  images
                 (n, H, W)     images of one channel
                 (n, d), (n,)  features, kept as images of 1 x 1 pixel with d channels
                 more axes     the same, taken flattened: the last axis fastest
             uint8: kept, and divided by 255 when they are read, so that they are 0 to 1.
             Floats of any width: kept as float32, and read as they are. Nothing is rescaled: you
             may want features of mean 0 and standard deviation 1.
    y        (n,) integers, the labels, from 0
    test     (x, y) of the test examples, of the same type and the same shape but for n
    name     str, what the data set is called in results; by default the file's name without its
             ending. `cifar10` gets crops and flips by default in ref.train
    classes  list of str, the name of each label; by default "0", "1", ... to the largest label
    seed     int >= 0, of the order on disk

    Raises DataError, one line that says what is wrong with which array, or why the file can't be
    written.
    """
    try:
        x_test, y_test = test
    except (TypeError, ValueError):
        raise DataError("test: expected a pair of arrays, (x, y)") from None
    parts = {"train": (examples("train", x), labels("train", y)),
             "test": (examples("test", x_test), labels("test", y_test))}
    for part, (images, its_labels) in parts.items():
        if len(images) != len(its_labels):
            raise DataError(f"{part}: x has {len(images)} examples, but y {len(its_labels)} labels")
    (train_images, train_labels), (test_images, test_labels) = parts.values()
    for what, one, other in (("shape", np.shape(x)[1:], np.shape(x_test)[1:]),
                             ("type", train_images.dtype, test_images.dtype)):
        if one != other:
            raise DataError(f"test: x has examples of {what} {one_word(other)}, those of train "
                            f"have {one_word(one)}: expected the same")
    if train_labels.min() == train_labels.max():
        raise DataError(f"train: every label of y is {train_labels[0]}: expected examples of at "
                        "least two classes")
    if classes is None:
        if (most := int(test_labels.max())) > train_labels.max():
            raise DataError(f"test: y holds the label {most}, but the largest of train is "
                            f"{train_labels.max()}: if it is right, name all of them with classes")
        classes = [str(k) for k in range(int(train_labels.max()) + 1)]
    elif isinstance(classes, str) or not all(isinstance(each, str) for each in classes):
        raise DataError("classes: expected a list of texts, the name of each label")
    if not 0 <= seed < 1 << 128:
        raise DataError(f"seed: {seed}, expected 0 to 2^128 - 1")
    hdf5.write(path, *parts.values(), name=name or Path(path).stem, classes=list(classes),
               seed=int(seed), source="arrays in memory", command="data_prep.arrays.write")


def one_word(value):
    return "x".join(map(str, value)) or "()" if isinstance(value, tuple) else value


def examples(part, x):
    """x as (n, H, W, C), uint8 or float32. Raises DataError."""
    x = as_array(f"{part}: x", x)
    if x.ndim == 0 or not x.size:
        raise DataError(f"{part}: x has the shape {x.shape}: there are no examples in it")
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            narrow = x.astype(np.float32)
        beyond = ~np.isfinite(narrow)
        if beyond.any():
            row, *_ = np.argwhere(beyond)[0]
            found = x[tuple(np.argwhere(beyond)[0])]
            raise DataError(f"{part}: example {row} of x holds {found:g}: expected finite numbers "
                            "that float32 can hold; leave such examples out, or give them numbers")
        x = narrow
    elif x.dtype != np.uint8:
        raise DataError(f"{part}: x is {x.dtype}, expected uint8 (divided by 255 when read) or "
                        "floats (read as they are): convert it")
    if x.ndim == 3:
        return x[..., np.newaxis]
    return x if x.ndim == 4 else x.reshape(len(x), 1, 1, -1)


def labels(part, y):
    """y as (n,) integers. Raises DataError."""
    y = as_array(f"{part}: y", y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{part}: y is {y.dtype} {y.shape}, expected integers (n,), a label for "
                        "each example (of one-hot rows: y.argmax(axis=1))")
    if not len(y):
        raise DataError(f"{part}: y is empty")
    if y.min() < 0:
        raise DataError(f"{part}: y holds the label {y.min()}, expected labels from 0")
    return y


def as_array(name, value):
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: NumPy can't make an array of it ({str(error)[:80]})") from None
