"""How every command of this package reads its arguments, reports a problem and ends.

Exit status: 0 done; 2 something the user can put right, told in one line `error: ...` on stderr;
130 Ctrl-C.
"""

import argparse
import shlex
import sys
from pathlib import Path

from data_prep.hdf5 import DataError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong argument in one line, like every other error."""

    def error(self, message):
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def seed(text):
    """An argparse type: an integer >= 0."""
    return integer_at_least(text, 0)


def count(text):
    """An argparse type: an integer >= 1."""
    return integer_at_least(text, 1)


def new_file(text):
    """An argparse type: the path of a file to write, as a Path; not a folder."""
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name the file to write in it")
    return Path(text)


def integer_at_least(text, least):
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= {least}")
    return int(text)


def command_line(module, arguments):
    """The command as a user types it, for the file's provenance."""
    return shlex.join(["python", "-m", module, *arguments])


def done_line(path, name, train_shape, test_shape, n_classes):
    """The last line of every command: what was written, where, and how to train on it."""
    n, *image = train_shape
    data = name if Path(path) == Path("data") / f"{name}.h5" else path
    return (f"wrote {path}: {n} train and {test_shape[0]} test images of "
            f"{'x'.join(map(str, image))}, {n_classes} classes; "
            f"train on it: python -m ref.train --data {shlex.quote(str(data))}")


def run(main):
    """Call main(list of arguments) and end the process as the module's docstring says."""
    try:
        main(sys.argv[1:])
    except DataError as error:
        status, line = 2, f"error: {error}"
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        status, line = 2, f"error: {name}{error.strerror or error}"
    except MemoryError:
        status, line = 2, "error: out of memory: free some and run the command again"
    except KeyboardInterrupt:
        status, line = 130, "interrupted: no data set was written"
    else:
        return
    print(line, file=sys.stderr)
    raise SystemExit(status)
