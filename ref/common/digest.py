"""A digest over named arrays, by which a file tells whether it is as it was written."""

import hashlib

import numpy as np


def digest(arrays, text=""):
    """SHA-256 of a text and of the names, types, shapes and bytes of {name: array}."""
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()
