"""Where the data are: by name or path for a new run, by name and digest for one that was recorded.

A run's config.json may come from another folder or machine. So what it was trained on is looked for
among the data that are here, and taken only where the digest agrees (data.py).
"""

import os
from pathlib import Path

import data_prep.digits

from .common.command import UsageError, tell
from .common.names import file_name
from .data import DataFormatError, open_data

FOLDER = Path("data")
PREPARE = {  # the command that makes data/NAME.h5
    "digits": "python -m data_prep.digits",
    "mnist": "python -m data_prep.mnist",
    "cifar10": "python -m data_prep.cifar10",
    "imagenet": "python -m data_prep.imagenet --source DIR",
}


def find_data(name):
    """The path of a data set given by name or as a file; makes `digits` where it is missing."""
    named_file = name.endswith((".h5", ".hdf5")) or Path(name).is_file()
    path = Path(name) if named_file else FOLDER / f"{name}.h5"
    if path.exists():
        return path
    if named_file:
        raise UsageError(f"--data {name}: {path} is not there")
    if name == "digits":
        tell(f"making the data set digits ({path}) ...")
        data_prep.digits.make(path)
        return path
    if name in PREPARE:
        raise UsageError(f"--data {name}: {path} is not there; make it with: {PREPARE[name]}")
    raise UsageError(
        f"--data {name}: {path} is not there; give an .h5 file or a name: "
        + ", ".join(f"{known} ({command})" for known, command in PREPARE.items())
    )


def find_recorded(config, run, changed=False):
    """The path of the data set that a run was trained on.

    config   the run's config.json; its data.path is where it was then, as the user gave it
    run      the run's folder: the data may also lie in a folder `data` beside one above it
    changed  take the file of that place or name also where it holds something else
    Raises UsageError where no file here has the digest, DataFormatError where one can't be read.
    """
    name, digest = config["data"]["name"], config["data"].get("digest")
    named = f"{file_name(name)}.h5"
    above = [parent / FOLDER / named for parent in Path(run).resolve().parents]
    likely = [Path(str(config["data"].get("path") or named)), FOLDER / named]
    there = [path for path in dict.fromkeys([*likely, *above]) if os.path.isfile(path)]
    if name == "digits" and not there:
        there = [find_data(name)]
    problem = None
    for path in [*there, *(sorted(FOLDER.glob("*.h5")) if FOLDER.is_dir() else ())]:
        try:
            if open_data(path, memory_limit=0).digest == digest:  # only a look: all stays on disk
                return path
        except (DataFormatError, OSError) as error:
            problem = problem or (error if path in there else None)
    if problem:
        raise problem
    if there and changed:
        return there[0]
    if there:
        raise UsageError(f"{there[0]} is not the file that {run} was trained on (its digest "
                         "differs); put that one back, or name another with --data")
    make = f"make it with: {PREPARE[name]}, or " if name in PREPARE else ""
    raise UsageError(f"{run} was trained on the data set {name}, which is neither {likely[0]} nor "
                     f"any of data/*.h5; {make}name it with --data")
