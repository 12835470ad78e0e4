"""Examples and labels as people's NumPy arrays have them: one rule for files and for ref.fit."""

import numpy as np

from .command import UserError


class DataError(UserError):
    """Data that can't be used, in one line: what is wrong, and what was expected."""


def pair(part, value):
    """(x, y) of a pair of arrays. Raises DataError."""
    try:
        x, y = value
    except (TypeError, ValueError):
        raise DataError(f"{part}: expected a pair of arrays, (x, y)") from None
    return x, y


def images_and_labels(part, x, y, wide=False):
    """(images (n, H, W, C) uint8 or floats, labels (n,) integers) of one part of a data set.

    x     (n, H, W, C) images, (n, H, W) images of one channel; any other shape is features, kept
          as images of 1 x 1 pixel. uint8, or floats of any width
    y     (n,) integers from 0
    wide  whether float64 stays; else all floats become float32

    Raises DataError.
    """
    images, labels = _images(part, x, wide), _labels(part, y)
    if len(images) != len(labels):
        raise DataError(f"{part}: x has {len(images)} examples, but y {len(labels)} labels")
    return images, labels


def same_examples(x, x_test, images, images_test):
    """Raise DataError unless the examples of both parts have one shape and one type.

    x, images  as given, and as images_and_labels has them
    """
    for what, one, other in (("shape", np.shape(x)[1:], np.shape(x_test)[1:]),
                             ("type", images.dtype, images_test.dtype)):
        if one != other:
            raise DataError(f"test: x has examples of {what} {_one_word(other)}, those of train "
                            f"have {_one_word(one)}: expected the same")


def _one_word(value):
    return "x".join(map(str, value)) or "()" if isinstance(value, tuple) else value


def _images(part, x, wide):
    x = _as_array(f"{part}: x", x)
    if x.ndim == 0 or not x.size:
        raise DataError(f"{part}: x has the shape {x.shape}: there are no examples in it")
    if x.dtype.kind == "f":
        kept = np.float64 if wide and x.dtype.itemsize >= 8 else np.float32
        with np.errstate(over="ignore"):
            narrow = x.astype(kept, copy=False)
        beyond = ~np.isfinite(narrow)
        if beyond.any():
            row, *_ = np.argwhere(beyond)[0]
            found = x[tuple(np.argwhere(beyond)[0])]
            raise DataError(f"{part}: example {row} of x holds {found:g}: expected finite numbers "
                            f"that {np.dtype(kept).name} can hold; leave such examples out, or "
                            "give them numbers")
        x = narrow
    elif x.dtype != np.uint8:
        raise DataError(f"{part}: x is {x.dtype}, expected uint8 (divided by 255 when read) or "
                        "floats (read as they are): convert it")
    if x.ndim == 3:
        return x[..., np.newaxis]
    return x if x.ndim == 4 else x.reshape(len(x), 1, 1, -1)


def _labels(part, y):
    y = _as_array(f"{part}: y", y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{part}: y is {y.dtype} {y.shape}, expected integers (n,), a label for "
                        "each example (of one-hot rows: y.argmax(axis=1))")
    if not len(y):
        raise DataError(f"{part}: y is empty")
    if y.min() < 0:
        raise DataError(f"{part}: y holds the label {y.min()}, expected labels from 0")
    return y.astype(np.int64)


def _as_array(name, value):
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: NumPy can't make an array of it ({str(error)[:80]})") from None
