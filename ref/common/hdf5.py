"""Opening HDF5 files, and reading their attributes and arrays, whoever wrote them.

Text may be of variable or fixed length (MATLAB, C, np.bytes_), a scalar or an array of one; numbers
may be integers or floats of any width. An error says what is wrong with the file in HDF5's own
words, and what to do about it.
"""

import errno
import os
from math import prod

import h5py
import numpy as np

from . import untrusted
from .command import UserError
from .global_heap import is_endless
from .reading import size_of

ATTRIBUTE = 16 << 20  # bytes of an attribute: the names of 65,536 classes take less
TEXTS = 1 << 30  # bytes that an attribute's texts may take in all
TROUBLE = (OSError, KeyError, RuntimeError, TypeError, ValueError, UnicodeError)  # of h5py


def open_file(path, error=UserError, damaged=None):
    """An h5py.File opened for reading: of a regular file, and from now on without plugins, which
    HDF5 would load and run where a file names one.

    Raises `error` (a UserError) with the true reason. Where the file itself is at fault, not what
    is around it (a lock, a permission), it raises `damaged` instead, if that is given.
    """
    size_of(path, error=error)
    try:
        endless = is_endless(path)
    except OSError as problem:
        raise error(f"{path}: {problem.strerror}") from None
    if endless:
        raise (damaged or error)(f"{path}: damaged: a global heap of it holds an object without "
                                 "size: write or copy it again")
    while h5py.h5pl.size():
        h5py.h5pl.remove(0)
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
    """All numbers of a dataset, or a slice of its rows, as h5py gives them; the dataset is one
    that was looked at (untrusted.py).

    Raises UserError with the true reason.
    """
    try:
        if isinstance(rows, slice):
            untrusted.check_chunks(dataset, rows.start, rows.stop)
        else:
            untrusted.check_chunks(dataset, 0, len(dataset) if dataset.ndim else 1)
        return dataset[rows]
    except TROUBLE as problem:
        name = dataset.name[1:]
        if isinstance(rows, slice):
            name = f"rows {rows.start} to {rows.stop - 1} of {name}"
        raise UserError(f"{name} can't be read: {reason(problem)}") from None


def attribute(item, name, default=None):
    """An attribute as plain Python: str, int, float, or a list of such; `default` if not there.

    1, 1.0, np.uint8(1) and an array of one of them are the same number; b"x", "x" and a string of
    fixed length the same text. Raises UserError for one that is neither text nor numbers.
    """
    try:
        if name not in item.attrs:
            return default
        _check_attribute(item, name)
        value = item.attrs[name]
    except TROUBLE as problem:
        raise UserError(f"its attribute {name} can't be read ({str(problem)[:80]})") from None
    return plain(value, name)


def _check_attribute(item, name):
    """Raise UserError for an attribute that is no text or numbers, or would fill the memory."""
    found = h5py.h5a.open(item.id, name.encode())
    if found.shape is None:
        return
    is_text = h5py.check_string_dtype(found.dtype)
    if not is_text and found.dtype.kind not in tuple("fiub"):
        raise UserError(f"its attribute {name} is of type {str(found.dtype)[:40]}, "
                        "expected text or a number")
    size, n = found.get_storage_size(), prod(found.shape)
    if size > ATTRIBUTE or n * found.dtype.itemsize > ATTRIBUTE:
        raise UserError(f"its attribute {name} takes {size} bytes, more than {ATTRIBUTE}")
    # of variable length, each text may be one and the same that is as long as the file
    if is_text and is_text.length is None and n > 16 \
            and n * item.file.id.get_filesize() > TEXTS:
        raise UserError(f"its attribute {name} is {n} texts of variable length: write them as one "
                        "text, a JSON list")


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
