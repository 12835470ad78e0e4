"""Opening HDF5 files and reading their attributes, whoever wrote them.

Text may be of variable or fixed length (MATLAB, C, np.bytes_), a scalar or an array of one; numbers
may be integers or floats of any width. An error says what is wrong with the file in HDF5's own
words, and what to do about it.
"""

import errno
import os

import h5py
import numpy as np

from .command import UserError


def open_file(path, error=UserError):
    """An h5py.File opened for reading. Raises `error` (a UserError) with the true reason."""
    try:
        with open(path, "rb"):
            pass
    except OSError as problem:
        what = {errno.ENOENT: "there is no such file", errno.EISDIR: "it is a folder, not a file"}
        raise error(f"{path}: {what.get(problem.errno, problem.strerror)}") from None
    try:
        return h5py.File(path, "r")
    except OSError as problem:
        raise error(f"{path}: {reason(problem)}") from None


def reason(problem):
    """Why HDF5 could not do it, and what to do, from the exception that h5py raised."""
    text = next(iter(str(problem).splitlines()), "")
    number = getattr(problem, "errno", None)
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES) and "lock" in text:
        return ("another program has it open for writing: close that one, or, if none has, set "
                "HDF5_USE_FILE_LOCKING=FALSE")
    if number in (errno.ENOSYS, errno.ENOTSUP) and "lock" in text:
        return "its file system has no locks: set HDF5_USE_FILE_LOCKING=FALSE"
    if "already open for write" in text:
        return ("it was left open for writing by a program that crashed: clear that with "
                "`h5clear -s`, or write it again")
    if "file signature not found" in text:
        return "not an HDF5 file"
    if "truncated file" in text:
        return "truncated: copy or write it again"
    if "filter" in text:
        return f"it is compressed with a filter that h5py does not have here ({text})"
    if number and number > 0:
        return os.strerror(number)
    return f"HDF5 can't read it ({text or type(problem).__name__})"


def attribute(item, name, default=None):
    """An attribute as plain Python: str, int, float, or a list of such; `default` if not there.

    1, 1.0, np.uint8(1) and an array of one of them are the same number; b"x", "x" and a string of
    fixed length the same text. Raises UserError for one that is neither text nor numbers.
    """
    if name not in item.attrs:
        return default
    try:
        value = item.attrs[name]
    except (OSError, RuntimeError, TypeError, ValueError, UnicodeError) as problem:
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
    raise UserError(f"its attribute {name} is of type {value.dtype}, expected text or a number")
