"""A data set of NumPy arrays, in memory, as ref.fit takes it (to a file: data_prep/arrays.py)."""

import hashlib

import numpy as np

from .data import Data, DataFormatError
from .parts import InMemory


def arrays_as_data(train, test=None, validation=0):
    """A Data of NumPy arrays (x, y): x (N, H, W, C), (N, H, W) or (N, n), uint8 or floats, y (N,)
    integers from 0; without `test` the last sixth is the test part.

    Raises DataFormatError that says what is wrong.
    """
    x, y = _part_of("data", *train)
    if test is None:
        cut = len(x) - max(1, len(x) // 6)
        (x, test_x), (y, test_y) = np.split(x, [cut]), np.split(y, [cut])
    else:
        test_x, test_y = _part_of("test", *test)
    if test_x.shape[1:] != x.shape[1:] or test_x.dtype.kind != x.dtype.kind:
        raise DataFormatError(f"test: x is {test_x.dtype} {test_x.shape}, but that of data "
                              f"{x.dtype} {x.shape}")
    n_classes = int(max(y.max(initial=0), test_y.max(initial=0))) + 1
    if not 0 <= validation < len(x):
        raise DataFormatError(f"--validation {validation}: must be at least 0 and below the "
                              f"{len(x)} training examples")
    total = hashlib.sha256()
    for array in (x, y, test_x, test_y):
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    cut = len(x) - validation
    return Data(path=None, name="arrays", classes=[str(k) for k in range(n_classes)],
                in_shape=x.shape[1:], digest=total.hexdigest(), train=InMemory(x[:cut], y[:cut]),
                test=InMemory(test_x, test_y),
                validation=InMemory(x[cut:], y[cut:]) if validation else None)


def _part_of(name, x, y):
    """(x (N, H, W, C), y (N,)) of one part given as arrays."""
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype != np.uint8:
        if x.dtype.kind not in "fiub":
            raise DataFormatError(f"{name}: x is {x.dtype}, expected uint8 or floats")
        x = x.astype(np.float64 if x.dtype == np.float64 else np.float32)
        if not np.isfinite(x).all():
            raise DataFormatError(f"{name}: x has NaN or infinite numbers")
    if x.ndim not in (2, 3, 4) or not x.size:
        raise DataFormatError(f"{name}: x is {x.shape}, expected (N, n), (N, H, W) or (N, H, W, C)")
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or (len(y) and y.min() < 0):
        raise DataFormatError(f"{name}: y is {y.dtype} {y.shape}, expected integers from 0, "
                              f"({len(x)},), one for each example")
    shape = {2: (1, 1, x.shape[-1]), 3: (*x.shape[1:], 1), 4: x.shape[1:]}[x.ndim]
    return x.reshape(len(x), *shape), y.astype(np.int64)
