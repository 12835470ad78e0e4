"""Groups, arrays and attributes of a file of reference outputs that a stranger wrote.

What is looked at before it is read, ref/common/untrusted.py says; here every problem becomes one
FileError that names the part, and types and attributes are those of the form.
"""

import contextlib
from math import prod

import h5py
import numpy as np

from ..common import hdf5, untrusted
from .file import FileError


@contextlib.contextmanager
def told(what):
    """Turn whatever h5py raises on a broken or hostile file into one FileError."""
    try:
        yield
    except hdf5.TROUBLE as error:
        raise FileError(f"{what}: {hdf5.reason(error)}") from None


def names(group, where):
    with told(where):
        return untrusted.names(group, where)


def group_at(file, name):
    with told(name[:80]):
        found = untrusted.member(file, name)
        if found is None:
            raise FileError(f"{name[:80]} is missing")
        if not isinstance(found, h5py.Group):
            raise FileError(f"{name} is not a group")
        return found


def dataset_at(file, name):
    """A dataset whose type and storage are plain numbers in this very file, in a float type that
    can be verified; x, y and winners may be integers."""
    with told(name[:80]):
        found = untrusted.dataset(file, name)
        dtype, shape, chunks = found.dtype, found.shape, found.chunks
        unusual = hdf5.float_type(found)
        if unusual:
            raise FileError(f"{name} is of type {unusual}, expected float32 or float64: compute "
                            "and write it in one of these, fewer digits can't be verified")
        whole = name.endswith(("/x", "/y")) or "/winner_" in name
        if dtype.kind != "f" and not whole:
            raise FileError(f"{name} is of type {str(dtype)[:40]}, expected float32 or float64")
        if chunks and prod(chunks) > max(prod(shape), 1 << 17):
            raise FileError(f"{name}: its chunks are larger than the array")
    return found


def numbers(name, dataset):
    """The numbers of a dataset, in this machine's byte order. Raises FileError for NaN."""
    array = np.asarray(hdf5.array(dataset))
    dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.dtype(np.float64)
    array = np.ascontiguousarray(array, dtype).reshape(array.shape)
    finite = np.isfinite(array)
    if not finite.all():
        where = np.unravel_index(np.argmin(finite), array.shape)
        raise FileError(f"{name} holds {array[where]} at {[int(k) for k in where]}")
    return array


def text(group, name, default=None):
    """An attribute that is text."""
    value = hdf5.attribute(group, name, default)
    if value is None:
        raise FileError(f"{where(group)}its attribute {name} is missing")
    if not isinstance(value, str):
        raise FileError(f"{where(group)}its attribute {name} is {shown(value)}, expected text")
    return value


def integers(group, name, lengths):
    """An attribute that is a tuple of positive integers, as many as one of `lengths`."""
    value = hdf5.attribute(group, name)
    if value is None:
        raise FileError(f"{where(group)}its attribute {name} is missing")
    found = [hdf5.whole(n) for n in (value if isinstance(value, list) else [value])]
    if len(found) not in lengths or any(n is None or not 1 <= n <= 10**9 for n in found):
        raise FileError(f"{where(group)}its attribute {name} is {shown(value)}, expected "
                        f"{' or '.join(map(str, lengths))} positive integers")
    return tuple(found)


def flag(group, name, default):
    """An attribute that is a small integer of at least 0."""
    value = hdf5.attribute(group, name, default)
    found = hdf5.whole(value)
    if found is None or not 0 <= found < 1000:
        raise FileError(f"{where(group)}its attribute {name} is {shown(value)}, expected an "
                        "integer of at least 0")
    return found


def shown(value):
    """An attribute's value for a message."""
    return "missing" if value is None else repr(value)[:40]


def where(group):
    return "" if group.name == "/" else f"{group.name[1:]}: "
