"""A run's whole state, to and from one HDF5 file.

    save(folder, arrays, state)      checkpoint.h5; the one before it becomes checkpoint.previous.h5
    load(folder)                     the newest whole one

arrays  {name: NumPy array}, any depth of "/" in the names: parameters and optimiser moments
state   what JSON can hold: counters, sums, the rows of metrics so far (floats survive exactly)

The file is written beside, flushed to the disk and renamed, so a crash at any moment leaves a whole
checkpoint. A digest over everything tells a damaged file from a whole one.
"""

import json
import os
from pathlib import Path

import h5py

from .common import hdf5, schema, untrusted
from .common.command import UserError
from .common.digest import digest
from .folder import LOCK, FolderError, write

FORMAT, VERSION = "ref-checkpoint", 1
NAME, PREVIOUS = "checkpoint.h5", "checkpoint.previous.h5"
# Of what the code computes from one setting, seed and data. Whoever changes that raises it: a run
# must not go on with other numbers than it began with.
NUMERICS = 1


class CheckpointError(Exception):
    """A checkpoint that is damaged or of another kind; the message says what is wrong."""


def exists(folder):
    """Whether there is a checkpoint, whole or not."""
    return any((Path(folder) / name).exists() for name in (NAME, PREVIOUS))


def can_go_on(folder):
    """Whether a run can be resumed: it has a checkpoint, or was stopped before its first one, and
    is then begun again. Not so where somebody took its checkpoints away, as from a recorded run."""
    folder = Path(folder)
    return exists(folder) or not (folder / "metrics.csv").exists() or (
        (folder / LOCK).exists() and not (folder / "parameters.h5").exists())


def check_identity(folder, theirs, ours):
    """Raise FolderError unless a checkpoint is of the very run that config.json tells of.

    theirs, ours   {what is told apart: value}; a checkpoint of an earlier day has fewer of them
    """
    for key, value in json.loads(json.dumps(ours)).items():
        if key not in theirs or theirs[key] == value:
            continue
        if key == "numerics":
            why = (f"its checkpoint is of a version of this code with other numbers ({theirs[key]},"
                   f" here {value}): go on with that version, which config.json names")
        else:
            why = (f"its checkpoint is of another run, with {key} {theirs[key]!r}, where "
                   f"config.json has {value!r}: put that run's config.json back")
        raise FolderError(f"{folder}: {why}, or remove {NAME} and {PREVIOUS} to begin "
                          "again")


def save(folder, arrays, state):
    """Write a checkpoint. Raises OSError if it can't be written; the last one stays whole."""
    text = json.dumps(state)

    def fill(path):
        with h5py.File(path, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, digest=digest(arrays, text))
            file["state"] = text
            for name, array in arrays.items():
                file[f"arrays/{name}"] = array

    path = Path(folder) / NAME
    bytes_needed = len(text) + sum(array.nbytes for array in arrays.values())

    def keep_previous():
        if path.exists():
            os.replace(path, path.with_name(PREVIOUS))

    write(path, fill, bytes_needed, before_rename=keep_previous)


def load(folder, warn=print):
    """(arrays, state) of the newest whole checkpoint in the folder, or None if there is none.

    A damaged one is passed over, saying so through `warn`. Raises FolderError if all are damaged,
    or where one can't be read for another reason (no permission, open elsewhere): it may be whole.
    """
    problems = []
    for name in (NAME, PREVIOUS):
        path = Path(folder) / name
        if not path.exists():
            continue
        try:
            found = _read(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warn(f"warning: {problem}; going on from {path.name}")
        return found
    if problems:
        raise FolderError(f"{'; '.join(problems)}; no whole checkpoint is left")
    return None


def _read(path):
    """(arrays, state) of one file. Raises CheckpointError where it is damaged or something else,
    FolderError where something outside it is in the way: a lock, a permission."""
    with hdf5.open_file(path, FolderError, damaged=CheckpointError) as file:
        try:
            found = hdf5.attribute(file, "format")
            if found != FORMAT:
                raise CheckpointError(f"{path} is not a checkpoint of ref.train")
            version = hdf5.attribute(file, "version")
            if hdf5.whole(version) != VERSION:
                raise CheckpointError(f"{path} has version {version}, expected {VERSION}")
            state, found = untrusted.dataset(file, "state", text=True), _arrays(file)
            untrusted.check_claims(file, [state, *found.values()])
            text = state.asstr()[()]
            arrays = {name: hdf5.array(array) for name, array in found.items()}
            said = hdf5.attribute(file, "digest")
        except UserError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except (*hdf5.TROUBLE, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged: {hdf5.reason(error)}") from None
    if said != digest(arrays, text):
        raise CheckpointError(f"{path} is damaged (its digest does not match)")
    return arrays, schema.read_json(path, schema.keys({}), CheckpointError, text)


def _arrays(file):
    """{name: dataset} of what is below `arrays`. Raises UserError."""
    found, group = [], untrusted.member(file, "arrays")
    if isinstance(group, h5py.Group):
        group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset)
                         else None)  # follows no links
    return {name: untrusted.dataset(file, f"arrays/{name}") for name in found}
