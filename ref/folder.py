"""A run's folder. Each file in it is written beside and renamed, so it is whole or not there.

    config.json     everything resolved: arguments, hyperparameters, versions, command
    metrics.csv     a row an epoch
    parameters_best.h5  those of the best epoch on the validation part, where there is one
    parameters.h5   the trained parameters, one dataset each: W_1, b_1, ...
    checkpoint.h5   everything that a resumed run needs (checkpoint.py)
    .lock           held by the process that trains here
"""

import csv
import json
import math
from functools import partial
from pathlib import Path

import h5py

from .common import files, hdf5, schema, untrusted
from .common.command import UserError
from .common.digest import digest

LOCK = ".lock"
NEEDED = ("epoch", "train_error", "test_error", "seconds")  # columns of metrics.csv
PARAMETERS, BEST = "parameters.h5", "parameters_best.h5"
# what may be there before a run begins: runs/jobs.py's log of what it prints is
NOT_YET_A_RUN = (LOCK, "log.txt")
write = partial(files.write, make=False)  # half a run is no use where somebody removed the folder


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


def write_metrics(folder, rows):
    """rows: one dict an epoch, all with the same keys; numbers in full precision.

    Raises FolderError where they have others: those before came from a checkpoint that was changed.
    """
    for row in rows:
        if row.keys() != rows[0].keys():
            raise FolderError(f"{folder}: the columns of epoch {row['epoch']} are not those of "
                              "epoch 1: its checkpoint was changed; train it again")

    def fill(path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    write(folder / "metrics.csv", fill)


def read_metrics(folder):
    """[{column: number}], a row an epoch; [] where there is none yet. The last row may stop in the
    middle, in a file copied by other means than `write`: it is then as if it were not there.

    Raises FolderError, in one line with file, row and column, for anything else.
    """
    path = Path(folder) / "metrics.csv"
    try:
        columns, rows, ended = schema.read_csv(path, FolderError)
    except FileNotFoundError:
        return []
    if not rows and columns and not ended:  # not even its first line is whole
        return []
    for name in NEEDED:
        if name not in columns:
            raise FolderError(f"{path}: it has no column {name}")
    found = []
    for k, row in enumerate(rows, 1):
        try:
            found.append(_numbers(row, k))
        except ValueError as wrong:
            if k == len(rows) and (row is None or not ended):
                break
            raise FolderError(f"{path}: row {k}: {wrong}") from None
    return found


def _numbers(row, k):
    """Row k of metrics.csv as numbers. Raises ValueError. An angle alone may be NaN: of zeros."""
    if row is None:
        raise ValueError("it has not every column")
    found = {}
    for name, text in row.items():
        try:
            found[name] = float(text)
        except ValueError:
            raise ValueError(f"{name} is {schema.shown(text)}, no number") from None
        if not math.isfinite(found[name]) and "angle" not in name:
            raise ValueError(f"{name} is {schema.shown(text)}, no finite number")
    if found["epoch"] != k:
        raise ValueError(f"epoch is {schema.shown(row['epoch'])}, expected {k}")
    return found


def write_parameters(folder, arrays, name=PARAMETERS):
    """arrays: {name: NumPy array}."""

    def fill(path):
        with h5py.File(path, "w") as file:
            file.attrs["digest"] = digest(arrays)
            for name, array in arrays.items():
                file[name] = array

    write(folder / name, fill, sum(array.nbytes for array in arrays.values()))


def read_parameters(folder, best=False):
    """{name: NumPy array}. Raises FolderError where there are none.

    best  those of the best epoch on the validation part
    """
    path = Path(folder) / (BEST if best else PARAMETERS)
    if best and not path.exists():
        raise FolderError(f"{folder}: this run has no {BEST}: no epoch was picked, which takes a "
                          "run with --validation")
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
            arrays = {name: hdf5.array(array) for name, array in found.items()}
            said = hdf5.attribute(file, "digest")  # runs of an earlier day have none
            if said is not None and said != digest(arrays):
                raise UserError("it is damaged (its digest does not match)")
            return arrays
        except hdf5.TROUBLE as error:
            raise FolderError(f"{path} is damaged: {hdf5.reason(error)}") from None
        except UserError as error:
            raise FolderError(f"{path}: {error}") from None
