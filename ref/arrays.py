"""A data set of NumPy arrays, in memory, as ref.fit takes it (to a file: data_prep/arrays.py)."""

import hashlib

import numpy as np

from .common.examples import DataError, images_and_labels, pair, same_examples
from .data import Data
from .parts import InMemory, held_out


def arrays_as_data(train, test=None, validation=0, split_seed=None):
    """A Data of NumPy arrays (x, y), as images_and_labels takes them, float64 kept; without `test`
    the last sixth is the test part. validation, split_seed: as data.open_data has them.

    Raises DataError that says what is wrong.
    """
    x, y = pair("data", train)
    images, labels = images_and_labels("data", x, y, wide=True)
    if test is None:
        if len(images) < 2:
            raise DataError("data: one example, expected at least two: the last sixth is tested on")
        cut = len(images) - max(1, len(images) // 6)
        (images, test_images), (labels, test_labels) = (
            np.split(images, [cut]), np.split(labels, [cut]))
    else:
        test_x, test_y = pair("test", test)
        test_images, test_labels = images_and_labels("test", test_x, test_y, wide=True)
        same_examples(x, test_x, images, test_images)
    n_classes = int(max(labels.max(), test_labels.max())) + 1
    if not 0 <= validation < len(images):
        raise DataError(f"--validation {validation}: must be at least 0 and below the "
                        f"{len(images)} training examples")
    total = hashlib.sha256()
    for array in (images, labels, test_images, test_labels):
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    fit, held = held_out(len(images), validation, split_seed)
    return Data(path=None, name="arrays", classes=[str(k) for k in range(n_classes)],
                in_shape=images.shape[1:], digest=total.hexdigest(),
                train=InMemory(images[fit], labels[fit]), test=InMemory(test_images, test_labels),
                validation=InMemory(images[held], labels[held]) if validation else None)
