"""A run's folder. Each file in it is written beside and renamed, so it is whole or not there.

    config.json     everything resolved: arguments, hyperparameters, versions, command
    metrics.csv     a row an epoch
    parameters.h5   the trained parameters, one dataset each: W_1, b_1, ...
    checkpoint.h5   everything that a resumed run needs (checkpoint.py)
    .lock           held by the process that trains here
"""

import csv
import json
from pathlib import Path

import h5py

from .common import hdf5
from .common.command import UserError
from .common.files import write

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class FolderError(UserError):
    """A run's folder that can't be used; the message says why."""


def check_free(out):
    """Raise FolderError if the folder `out` already holds a run; None is fine."""
    try:
        taken = out is not None and (Path(out) / "config.json").exists()
    except OSError as error:
        raise FolderError(f"--out {out}: can't be a folder ({error.strerror})") from None
    if taken:
        raise FolderError(
            f"--out {out}: this folder already holds a run; name another, or leave out --out")


def create(out, name):
    """Make and return the folder `out`, or runs/out/<name> with a number where that is taken.

    Raises FolderError if `out` already holds a run, or can't be made.
    """
    check_free(out)
    if out is not None:
        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"--out {out}: can't make this folder ({error.strerror})") from None
        return folder
    for number in range(1, 100_000):
        folder = Path("runs/out") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise FolderError(f"{folder}: can't make this folder ({error.strerror})") from None
    raise FolderError(f"runs/out: no free name for {name}")


def lock(folder):
    """Hold the folder for this process until it ends. Raises FolderError if another one does."""
    if fcntl is None:
        raise FolderError(f"{folder}: can't be locked (Python has no fcntl on this system), so "
                          "nothing can train here")
    handle = open(Path(folder) / ".lock", "w")  # noqa: SIM115 - open for as long as we run
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FolderError(f"{folder}: another process is training in this folder") from None
    return handle


def write_config(folder, config):
    text = json.dumps(config, indent=2) + "\n"
    write(folder / "config.json", lambda path: path.write_text(text))


def read_config(folder):
    """A run's config. Raises FolderError where there is none, or not a whole one."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text())
        for keys in (("arguments", "arch"), ("arguments", "rule"), ("arguments", "dtype"),
                     ("arguments", "seed"), ("data", "path"), ("data", "digest"),
                     ("hyperparameters", "batch_size")):
            config[keys[0]][keys[1]]
    except (OSError, ValueError, KeyError, TypeError):
        raise FolderError(f"{folder}: not a run's folder (it has no whole config.json)") from None
    return config


def write_metrics(folder, rows):
    """rows: one dict an epoch, all with the same keys; numbers in full precision."""

    def fill(path):
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    write(folder / "metrics.csv", fill)


def read_metrics(folder):
    """[{column: number}], a row an epoch; [] where there is none yet. A row that is not whole ends
    the list: a file copied by other means than `write` may stop in the middle of one.

    Raises FolderError where the file can't be read.
    """
    rows = []
    try:
        with open(Path(folder) / "metrics.csv", newline="") as file:
            for row in csv.DictReader(file):
                if None in row or None in row.values():
                    break
                rows.append({key: float(value) for key, value in row.items()})
    except FileNotFoundError:
        pass
    except ValueError:
        pass
    except OSError as error:
        raise FolderError(f"{folder}: can't read metrics.csv ({error.strerror})") from None
    return rows


def write_parameters(folder, arrays):
    """arrays: {name: NumPy array}."""

    def fill(path):
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array

    write(folder / "parameters.h5", fill, sum(array.nbytes for array in arrays.values()))


def read_parameters(folder):
    """{name: NumPy array}. Raises FolderError where there are none."""
    path = Path(folder) / "parameters.h5"
    if not path.exists():
        raise FolderError(f"{folder}: this run has no parameters.h5; it has not ended yet, or the "
                          "file was not kept")
    with hdf5.open_file(path, FolderError) as file:
        try:
            other = [name for name in file if not isinstance(file[name], h5py.Dataset)]
            if other:
                raise UserError(f"{other[0]} is not an array")
            return {name: hdf5.array(file[name]) for name in file}
        except hdf5.TROUBLE as error:
            raise FolderError(f"{path} is damaged: {hdf5.reason(error)}") from None
        except UserError as error:
            raise FolderError(f"{path}: {error}") from None
