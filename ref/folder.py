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

from .common import files, hdf5, untrusted
from .common.command import UserError
from .common.files import write

LOCK = ".lock"
# what may be there before a run begins: runs/jobs.py's log of what it prints is
NOT_YET_A_RUN = (LOCK, "log.txt")


class FolderError(UserError):
    """A run's folder that can't be used; the message says why."""


def check_free(out):
    """Raise FolderError unless a run may begin in the folder `out`: it is empty or not there yet.

    None is fine. Nothing of somebody else's is ever written over.
    """
    if out is None:
        return
    try:
        there = sorted(path.name for path in Path(out).iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f"--out {out}: can't be a folder ({error.strerror})") from None
    if "config.json" in there:
        raise FolderError(
            f"--out {out}: this folder already holds a run; name another, or leave out --out")
    others = [name for name in there
              if name not in NOT_YET_A_RUN and not Path(name).match(files.TEMPORARY)]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise FolderError(f"--out {out}: this folder is not empty (it holds "
                          f"{', '.join(others[:3])}{more}) and no run; name another, or leave out "
                          "--out")


def create(out, name):
    """Make the folder `out`, or runs/out/<name> with a number where that is taken, and lock it.

    Returns (folder, lock). The lock comes before anything is written: of two processes that were
    given one folder, the second must not spoil what the first has begun.
    Raises FolderError if a run can't begin in `out`, or the folder can't be made.
    """
    if out is not None:
        check_free(out)
        folder = Path(out)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"--out {out}: can't make this folder ({error.strerror})") from None
        held = lock(folder)
        try:
            check_free(out)  # again: now nobody else can begin here
        except FolderError:
            held.close()
            raise
        return folder, held
    for number in range(1, 100_000):
        folder = Path("runs/out") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder, lock(folder)
        except FileExistsError:
            continue
        except OSError as error:
            raise FolderError(f"{folder}: can't make this folder ({error.strerror})") from None
    raise FolderError(f"runs/out: no free name for {name}")


def lock(folder):
    """Hold the folder for this process until it ends, or closes what is returned.

    Raises FolderError if another one does, or where nothing can be written.
    """
    try:
        held = files.lock(Path(folder) / LOCK,
                          f"{folder}: another process is training in this folder")
    except UserError as error:
        raise FolderError(str(error)) from None
    except OSError as error:
        raise FolderError(f"{folder}: can't write here ({error.strerror})") from None
    files.remove_temporary(folder)  # of a process that was killed
    return held


def write_config(folder, config):
    content = config_bytes(config)
    write(folder / "config.json", lambda path: path.write_bytes(content))


def config_bytes(config):
    """What config.json holds."""
    return (json.dumps(config, indent=2) + "\n").encode()


def read_config(folder):
    """A run's config. Raises FolderError where there is none, or not a whole one."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text())
        for keys in (("arguments", "arch"), ("arguments", "rule"), ("arguments", "dtype"),
                     ("arguments", "seed"), ("data", "name"), ("data", "digest"),
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
        if (Path(folder) / LOCK).exists():
            raise FolderError(f"{folder}: this run has no parameters.h5: it has not ended yet, or "
                              f"was killed; go on with: python -m ref.train --resume {folder}")
        raise FolderError(f"{folder}: this run has no parameters.h5: of a recorded run only the "
                          "curves are kept; train it again (its config.json has the command)")
    with hdf5.open_file(path, FolderError) as file:
        try:
            found = {name: untrusted.dataset(file, name) for name in untrusted.names(file, path)}
            untrusted.check_claims(file, found.values())
            return {name: hdf5.array(array) for name, array in found.items()}
        except hdf5.TROUBLE as error:
            raise FolderError(f"{path} is damaged: {hdf5.reason(error)}") from None
        except UserError as error:
            raise FolderError(f"{path}: {error}") from None
