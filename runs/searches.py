"""A search's folder, read: search.json and configs.csv, held to what runs.search writes there.

    about, configurations = read("runs/results/search_mnist-fc_fa_wider")
"""

from pathlib import Path

from ref import rules
from ref.common.schema import (
    check,
    keys,
    maybe,
    number,
    one_of,
    read_csv,
    read_json,
    text,
    whole,
)
from ref.folder import FolderError

ABOUT, CONFIGS = "search.json", "configs.csv"
STATES = ("done", "diverged", "failed", "stopped", "missing")
COUNT = whole(1)
SEARCH = keys({
    "command": text, "rule": one_of(rules.NAMES), "schedule": maybe(text), "arch": text,
    "data": text, "ranges": text, "selected_on": one_of(("validation", "test")),
    "chance": number(0, 100, finite=False), "epochs": COUNT, "keep": COUNT,
    "keep_epochs": maybe(COUNT)})
ERROR = maybe(number(0))
CONFIGURATION = keys({
    "config": whole(), "state": one_of(STATES), "epochs": whole(), "error": ERROR,
    "best_epoch": maybe(whole(1)), "test_error_there": ERROR, "train_error_there": ERROR})
TEXTS = ("state", "selected_on", "reason")  # columns that are words


def read(place):
    """(what search.json says, [{column: value}] of configs.csv), None for an empty cell; the
    hyperparameters, text as they were written, are the columns between config and state.

    Raises FolderError, in one line with the file and the key, or the row and the column.
    """
    place = Path(place)
    try:
        about = read_json(place / ABOUT, SEARCH, FolderError)
        columns, rows, _ = read_csv(place / CONFIGS, FolderError)
    except FileNotFoundError as missing:
        raise FolderError(f"not a search's folder: {missing}") from None
    found = []
    for k, row in enumerate(rows, 1):
        where = f"{place / CONFIGS}: row {k}"
        if row is None:
            raise FolderError(f"{where}: it has not every column")
        typed = check({name: _value(name, cell, columns) for name, cell in row.items()},
                      CONFIGURATION, where, FolderError)
        there = ("error", "best_epoch", "test_error_there", "train_error_there")
        if typed["state"] == "done" and None in [typed[name] for name in there]:
            raise FolderError(f"{where}: it is done, but has no {', '.join(there)}")
        found.append(typed)
    return about, found


def _value(name, cell, columns):
    """A cell as a number, where its column is one."""
    if name in TEXTS or "config" in columns and "state" in columns and \
            columns.index("config") < columns.index(name) < columns.index("state"):
        return cell
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell  # the schema will tell


def setting_of(row):
    """{hyperparameter: text} of a row."""
    names = list(row)
    return {name: row[name] for name in names[names.index("config") + 1:names.index("state")]}
