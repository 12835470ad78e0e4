"""Opening HDF5 files, and reading their attributes and arrays, whoever wrote them.

Text may be of variable or fixed length (MATLAB, C, np.bytes_), a scalar or an array of one; numbers
may be integers or floats of any width. An error says what is wrong with the file in HDF5's own
words, and what to do about it.
"""

import errno
import os

import h5py
import numpy as np

from .command import UserError

FILTERS = {32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "ZFP",
           32015: "Zstandard", 32026: "Blosc2"}  # by their registered numbers
TROUBLE = (OSError, KeyError, RuntimeError, TypeError, ValueError, UnicodeError)  # of h5py


def open_file(path, error=UserError, damaged=None):
    """An h5py.File opened for reading.

    Raises `error` (a UserError) with the true reason. Where the file itself is at fault, not what
    is around it (a lock, a permission), it raises `damaged` instead, if that is given.
    """
    try:
        with open(path, "rb"):
            pass
    except OSError as problem:
        what = {errno.ENOENT: "there is no such file", errno.EISDIR: "it is a folder, not a file"}
        raise error(f"{path}: {what.get(problem.errno, problem.strerror)}") from None
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as problem:
        raised = error if is_outside(problem) else damaged or error
        raise raised(f"{path}: {reason(problem)}") from None


def is_outside(problem):
    """Whether it is no fault of the file's own: a lock, a permission, a broken disk."""
    return (getattr(problem, "errno", None) or 0) > 0


def reason(problem):
    """Why HDF5 could not do it, and what to do, from the exception that h5py raised."""
    said = problem.args[0] if isinstance(problem, KeyError) and problem.args else problem
    text = next(iter(str(said).splitlines()), "")
    number = getattr(problem, "errno", None)
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES) and "lock" in text:
        return ("another program has it open for writing: close that one, or, if none has, set "
                "HDF5_USE_FILE_LOCKING=FALSE")
    if number in (errno.ENOSYS, errno.ENOTSUP) and "lock" in text:
        return "its file system has no locks: set HDF5_USE_FILE_LOCKING=FALSE"
    if "already open for write" in text or "consistency flags" in text:
        return ("it was left open for writing by a program that crashed: clear that with "
                "`h5clear -s`, or write it again")
    if "file signature not found" in text:
        return "not an HDF5 file"
    if "truncated file" in text:
        return "truncated: copy or write it again"
    if number and number > 0:
        return os.strerror(number)
    return f"HDF5 can't read it ({text or type(problem).__name__})"


def array(dataset, rows=()):
    """All numbers of a dataset, or a slice of its rows, as h5py gives them.

    Raises UserError with the true reason.
    """
    try:
        return dataset[rows]
    except TROUBLE as problem:
        name = dataset.name[1:]
        if isinstance(rows, slice):
            name = f"rows {rows.start} to {rows.stop - 1} of {name}"
        lacking = missing_filters(dataset)
        if lacking:
            raise UserError(
                f"{name} is compressed with {' and '.join(lacking)}, which h5py does "
                "not have here: install its plugin (the package hdf5plugin has most), or write "
                "the file again with gzip or without compression") from None
        raise UserError(f"{name} can't be read: {reason(problem)}") from None


def missing_filters(dataset):
    """The compressions of a dataset that this h5py can't undo, by name and number."""
    try:
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(k) for k in range(plist.get_nfilters())]
        return [f"{FILTERS.get(number) or name.decode('utf-8', 'replace')[:40] or 'a filter'} "
                f"(HDF5's filter {number})"
                for number, _, _, name in filters if not h5py.h5z.filter_avail(number)]
    except TROUBLE:
        return []


def attribute(item, name, default=None):
    """An attribute as plain Python: str, int, float, or a list of such; `default` if not there.

    1, 1.0, np.uint8(1) and an array of one of them are the same number; b"x", "x" and a string of
    fixed length the same text. Raises UserError for one that is neither text nor numbers.
    """
    try:
        if name not in item.attrs:
            return default
        value = item.attrs[name]
    except TROUBLE as problem:
        raise UserError(f"its attribute {name} can't be read ({str(problem)[:80]})") from None
    return plain(value, name)


def plain(value, name):
    """A value of h5py's or NumPy's as plain Python."""
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ").decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    if value.size == 1:
        value = value.reshape(())
    if value.ndim:
        return [plain(entry, name) for entry in value]
    entry = value.item()
    if isinstance(entry, (bytes, str)):
        return plain(entry, name) if isinstance(entry, bytes) else entry
    if isinstance(entry, float) and entry.is_integer():
        return int(entry)
    if isinstance(entry, (bool, int, float)):
        return entry
    raise UserError(f"its attribute {name} is of type {str(value.dtype)[:40]}, "
                    "expected text or a number")


def whole(value):
    """An attribute's value as an int where it is a whole number or its text ("1"); else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def float_type(dataset):
    """None for IEEE's float32 and float64 and for what is no float; else words for the type.

    h5py reads types that NumPy lacks (bfloat16, 8-bit floats) as the next wider one that it has,
    so that their dtype alone does not tell.
    """
    found = dataset.id.get_type()
    if not isinstance(found, h5py.h5t.TypeFloatID):
        return None
    _, _, exponent, _, mantissa = found.get_fields()
    if (exponent, mantissa) in ((8, 23), (11, 52)):
        return None
    known = {(8, 7): "bfloat16", (5, 10): "float16", (15, 64): "an 80-bit float",
             (15, 112): "float128"}
    name = known.get((exponent, mantissa), f"a {found.get_precision()}-bit float")
    return f"{name} ({exponent} bits of exponent, {mantissa} of fraction)"
