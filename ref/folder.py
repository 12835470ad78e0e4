"""A run's folder: config.json, metrics.csv, parameters.h5. Each file is written beside and renamed.

    config.json     everything resolved: arguments, hyperparameters, versions, command
    metrics.csv     a row an epoch
    parameters.h5   the trained parameters, one dataset each: W_1, b_1, ...
"""

import csv
import json
import os
from pathlib import Path

import h5py
import numpy as np


class FolderError(Exception):
    """A run's folder that can't be used; the message says why."""


def create(out, name):
    """Make and return the folder `out`, or runs/out/<name> with a number where that is taken.

    Raises FolderError if `out` already holds a run, or can't be made.
    """
    if out is not None:
        folder = Path(out)
        if (folder / "config.json").exists():
            raise FolderError(
                f"--out {out}: this folder already holds a run; name another, or leave out --out"
            )
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
    raise FolderError(f"runs/out: no free name for {name}")


def write(path, fill):
    """Write a file as a whole or not at all: fill(temporary path), flush to disk, rename."""
    temporary = path.with_name(path.name + ".part")
    try:
        fill(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_config(folder, config):
    text = json.dumps(config, indent=2) + "\n"
    write(folder / "config.json", lambda path: path.write_text(text))


def read_config(folder):
    """Raises FolderError where there is no run."""
    try:
        return json.loads((Path(folder) / "config.json").read_text())
    except (OSError, ValueError):
        raise FolderError(f"{folder}: not a run's folder (it has no valid config.json)") from None


def write_metrics(folder, rows):
    """rows: one dict an epoch, all with the same keys; numbers in full precision."""

    def fill(path):
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    write(folder / "metrics.csv", fill)


def write_parameters(folder, arrays):
    """arrays: {name: NumPy array}."""

    def fill(path):
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array

    write(folder / "parameters.h5", fill)


def read_parameters(folder):
    """{name: NumPy array}. Raises FolderError where there are none."""
    path = Path(folder) / "parameters.h5"
    try:
        with h5py.File(path, "r") as file:
            return {name: np.asarray(file[name]) for name in file}
    except OSError as error:
        raise FolderError(f"{path}: can't be read ({error})") from None
