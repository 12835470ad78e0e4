"""Reading a file that anybody may have put there: first what it is, and how large.

A pipe would be waited for, a device has no end, and a file of gigabytes fills the memory.
"""

import errno
import os
import stat
from pathlib import Path

from .command import UserError

TEXT_LIMIT = 64 << 20  # bytes: what people write by hand, or a program about a run, is far smaller


def size_of(path, limit=None, error=UserError):
    """The size in bytes of the regular file at `path`, which may be a link to one.

    limit  in bytes
    Raises `error` where there is none, it is anything else (nothing is opened), or it is larger.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as problem:  # ValueError: a name with a null byte
        number = getattr(problem, "errno", None)
        what = "there is no such file" if number in (errno.ENOENT, errno.ENOTDIR) else (
            getattr(problem, "strerror", None) or str(problem))
        raise error(f"{path}: {what}") from None
    if stat.S_ISDIR(found.st_mode):
        raise error(f"{path}: it is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: it is a pipe, socket or device, not a file")
    if limit is not None and found.st_size > limit:
        raise error(f"{path}: {found.st_size} bytes, where at most {limit} are read")
    return found.st_size


def read_bytes(path, limit=TEXT_LIMIT, error=UserError):
    """The content of a regular file of at most `limit` bytes. Raises `error`."""
    size_of(path, limit, error)
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as problem:
        raise error(f"{path}: {problem.strerror}") from None
    if len(content) > limit:  # it grew meanwhile
        raise error(f"{path}: more than {limit} bytes")
    return content


def read_text(path, limit=TEXT_LIMIT, error=UserError, encoding="utf-8"):
    """The same as text, with "\\n" at the ends of lines. Raises `error`."""
    try:
        text = read_bytes(path, limit, error).decode(encoding)
    except UnicodeDecodeError:
        raise error(f"{Path(path)}: not a text file ({encoding})") from None
    return text.replace("\r\n", "\n")
