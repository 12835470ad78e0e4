"""Files that are whole or not there: written beside, flushed to the disk, renamed."""

import contextlib
import errno
import hashlib
import itertools
import os
import re
import socket
import stat
import time
from pathlib import Path

from .command import UserError, say

TEMPORARY = ".ref-*.tmp"
LONG_AGO = 24 * 3600  # seconds: who writes a file touches it far more often
_numbers = itertools.count()


def temporary_name(path):
    """Make a new, empty file beside `path` and return its name, a Path: `path` until it is whole.

    It fits wherever a file may be, however long the name of `path`; no other process or call has
    the same; and a link that somebody laid there is not followed. The caller renames or removes it.
    Raises OSError, which names `path`.
    """
    exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    while True:
        temporary = Path(path).with_name(
            TEMPORARY.replace("*", f"{machine()}-{os.getpid()}-{next(_numbers)}"))
        try:
            os.close(os.open(temporary, exclusive, 0o666))
            return temporary
        except FileExistsError:  # of a process that was killed and had our number
            continue
        except OSError as error:
            error.filename = str(path)
            raise


def machine():
    """8 letters that differ where a process number means another process: on another host, or in
    a container with numbers of its own."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:8]


def remove_abandoned(folder):
    """Remove the temporary files in a folder whose writers are dead; others may write to it now.

    Whether a writer on another machine lives can't be seen here: its files go when they have not
    been touched for LONG_AGO.
    """
    for path in Path(folder).glob(TEMPORARY):
        named = re.fullmatch(r"\.ref-([0-9a-f]{8})-([0-9]+)-[0-9]+\.tmp", path.name)
        if not named:
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
            if named[1] == machine():
                dead = not is_alive(int(named[2]))
            else:
                dead = time.time() - path.lstat().st_mtime > LONG_AGO
            if dead:
                path.unlink()


def is_alive(pid):
    """Whether a process of this machine has the number; True where that can't be known."""
    if os.name == "nt":  # there the question would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def remove_temporary(folder):
    """Remove what killed processes left in a folder, which no other process may write to now."""
    for path in Path(folder).glob(TEMPORARY):
        path.unlink(missing_ok=True)


def write(path, fill, n_bytes=0, before_rename=lambda: None, make=True):
    """Write a file as a whole or not at all: fill(temporary path), flush to the disk, rename.

    n_bytes  room to reserve first: HDF5 crashes the process where the disk fills up under it
    make     whether its folder is made where it is missing
    What writers that were killed left in the folder is removed.
    Raises OSError, with the file's name, where it can't be written; what was there is then
    untouched. UserError where its folder can't be made, or a device, pipe or folder is in its
    place: a rename would put a file where /dev/null was.
    """
    with _ready(Path(path), fill, n_bytes, make) as temporary:
        before_rename()
        os.replace(temporary, path)
        flush_to_disk(Path(path).parent)


def write_all(fills):
    """Write the files {path: fill} of one folder. None of them is touched before all are written
    and on the disk, so that a disk that fills up changes nothing. Raises as `write`."""
    with contextlib.ExitStack() as stack:
        ready = {path: stack.enter_context(_ready(Path(path), fill))
                 for path, fill in fills.items()}
        for path, temporary in ready.items():
            os.replace(temporary, path)
        for folder in {Path(path).parent for path in ready}:
            flush_to_disk(folder)


@contextlib.contextmanager
def _ready(path, fill, n_bytes=0, make=True):
    """A temporary file beside `path` with all that shall be in it; it is gone afterwards."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a file (a folder, device or pipe): name a file to write")
    if make:
        make_folder(path.parent)
    remove_abandoned(path.parent)
    temporary = temporary_name(path)
    try:
        if n_bytes:
            reserve(temporary, n_bytes)
        try:
            fill(temporary)
        except RuntimeError as error:  # h5py raises this too
            raise OSError(f"can't write {path}: {str(error).splitlines()[0]}") from None
        flush_to_disk(temporary)
        yield temporary
    except OSError as error:
        if str(error.filename) == str(temporary):  # nobody has heard of that file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path):
    """Make the folder and those above it, where missing. Raises UserError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot make the folder {path}: a file is in its place") from error
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from error


def reserve(path, n_bytes):
    """Raise OSError unless a file of n_bytes, and HDF5's own share, can be written at path.

    HDF5 must not find out by itself: after a failed write (disk full, over quota) it crashes the
    whole process when the file is closed (seen with HDF5 2.0.0, h5py 3.16: segmentation fault).
    """
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # macOS has not
            try:
                os.posix_fallocate(file.fileno(), 0, n_bytes + n_bytes // 64 + 1024 * 1024)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # the file system cannot
                    raise


def flush_to_disk(path):
    """Return when the file or folder is on the disk, not only in the system's cache."""
    if os.name == "nt":  # there it can't be done with a file opened for reading, or a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Taken(UserError):
    """Another process holds the lock."""


def open_plain(path, flags, mode="r+b"):
    """A file opened for writing where others may have laid something: a plain file or a new one.

    flags  for os.open, os.O_CREAT among them; mode  as open() has it
    Raises OSError, also where it is a link, a pipe or a device: that may be anybody's.
    """
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "a pipe, socket or device, where a file is expected", str(path))
    return os.fdopen(handle, mode)


def lock(path, taken):
    """Hold the lock of the file `path` (made where missing) until the handle returned is closed.

    taken  Taken's text, where another process holds it
    A file system or a system without locks is no reason to refuse: a warning on stderr, and on.
    Raises UserError, and OSError where the file can't be opened.
    """
    handle = open_plain(path, os.O_RDWR | os.O_CREAT)
    try:
        import fcntl  # not on Windows
    except ImportError:
        return _without_lock(path, handle, "this system has no file locks")
    why = None
    for attempt in (fcntl.flock, fcntl.lockf):  # some file systems know one, some the other
        try:
            attempt(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError as error:
            why = error
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
                break
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK,
                                   errno.EINVAL):
                handle.close()
                raise UserError(f"{path}: can't be locked ({error.strerror})") from None
    else:
        return _without_lock(path, handle, f"its file system has no locks ({why.strerror})")
    handle.close()
    raise Taken(taken)


@contextlib.contextmanager
def passing_lock(path, taken):
    """The same lock of a file that is there only while it is held. Raises as `lock`."""
    while True:
        handle = lock(path, taken)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                break
        handle.close()  # who held it before has just removed it
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)
        handle.close()


def _without_lock(path, handle, why):
    say(f"warning: {path}: {why}; see to it that no other process works in {Path(path).parent}")
    return handle
