"""JSON and CSV files, whoever wrote them: every value is held to a schema before it is used.

A schema is a function of a value that returns it as the program uses it, or raises ValueError that
says what was expected. These make them:

    text, truth, number(low, high), whole(low, high), one_of(words), maybe(schema), many(schema)
    keys(needed, optional)      an object: {key: schema}; other keys are kept as they are

read_json and read_csv raise one line with the file, the key or the column, and what was expected.
"""

import csv
import json
import math
import os

from . import reading
from .command import UserError

LARGEST = 16 << 20  # bytes of a file of text
DEEPEST = 20  # objects and lists within each other
SHOWN = 60  # characters of a wrong value


class Wrong(ValueError):
    """A value that is not as its schema says; `keys` lead to it from the top."""

    def __init__(self, keys, said):
        super().__init__(said)
        self.keys = keys


def shown(value):
    """A value for a message."""
    written = repr(value)
    return written if len(written) <= SHOWN else written[:SHOWN] + "..."


def text(value):
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    return value


def truth(value):
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def number(low=-math.inf, high=math.inf, finite=True):
    """Of numbers in [low, high]; finite: no NaN and no infinity."""

    def schema(value):
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        try:
            good = good and (low <= value <= high and math.isfinite(value)
                             or not finite and not math.isfinite(value))
        except OverflowError:  # an integer beyond every float
            good = False
        if not good:
            raise ValueError(f"{shown(value)} is not a{' finite' if finite else ''} number"
                             + (f" of at least {low:g}" if low > -math.inf else "")
                             + (f", at most {high:g}" if high < math.inf else ""))
        return value

    return schema


def whole(low=0, high=(1 << 63) - 1):
    """Of integers in [low, high]; 2.0 is 2."""

    def schema(value):
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not low <= value <= high or int(value) != value:
            raise ValueError(f"{shown(value)} is not an integer of at least {low}")
        return int(value)

    return schema


def one_of(words):
    def schema(value):
        if value not in tuple(words):
            raise ValueError(f"{shown(value)} is none of {', '.join(map(str, words))}")
        return value

    return schema


def maybe(schema):
    """None, or what the schema says."""
    return lambda value: None if value is None else schema(value)


def many(schema, least=0):
    """Of lists."""

    def of_list(value):
        if not isinstance(value, list) or len(value) < least:
            raise ValueError(f"{shown(value)} is not a list"
                             + (f" of at least {least}" if least else ""))
        return [_at(k, schema, entry) for k, entry in enumerate(value)]

    return of_list


def keys(needed, optional=None, others=None):
    """Of objects; `others` is the schema of the keys that are not named."""

    def of_object(value):
        if not isinstance(value, dict):
            raise ValueError(f"{shown(value)} is not an object with keys")
        for key in needed:
            if key not in value:
                raise Wrong([key], "is missing")
        known = {**(optional or {}), **needed}
        keep = others or (lambda entry: entry)
        return {key: _at(key, known.get(key, keep), entry) for key, entry in value.items()}

    return of_object


def of_option(option):
    """What a rules.rule.Option takes, as a JSON value: a number is no text of one."""

    def schema(value):
        word = bool(option.choices) or isinstance(option.default, str)
        if isinstance(value, str) != word or isinstance(value, (list, dict)):
            expected = "a word" if word else "a number"
            raise ValueError(f"{shown(value)} is not {expected}")
        return option.value(value)

    return schema


def _at(key, schema, value):
    try:
        return schema(value)
    except Wrong as wrong:
        raise Wrong([key, *wrong.keys], str(wrong)) from None
    except ValueError as wrong:
        raise Wrong([key], str(wrong)) from None


def check(value, schema, where, error=UserError):
    """The value as the schema returns it. Raises `error`, a UserError, in one line."""
    try:
        return schema(value)
    except Wrong as wrong:
        trail = ".".join(str(key)[:SHOWN] for key in wrong.keys)
        raise error(f"{where}: {trail}: {str(wrong)[:200]}") from None
    except ValueError as wrong:
        raise error(f"{where}: {str(wrong)[:200]}") from None


# ---- files ---------------------------------------------------------------------------------------


def read_text(path, error=UserError, largest=LARGEST):
    """What a regular file of UTF-8 holds. Raises `error`; FileNotFoundError where there is none."""
    if not os.path.lexists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    return reading.read_text(path, largest, error)


def read_json(path, schema, error=UserError, text=None):
    """The value in a JSON file (or in `text`, which is called `path`). Raises as read_text does."""
    text = read_text(path, error) if text is None else text
    try:
        value = json.loads(text)
        _check_depth(value)
    except RecursionError:
        raise error(f"{path}: nested more than {DEEPEST} deep") from None
    except ValueError as problem:
        raise error(f"{path}: not JSON ({str(problem)[:SHOWN]})") from None
    return check(value, schema, path, error)


def _check_depth(value, left=DEEPEST):
    if not left:
        raise RecursionError
    for entry in value.values() if isinstance(value, dict) else \
            value if isinstance(value, list) else ():
        _check_depth(entry, left - 1)


def read_csv(path, error=UserError):
    """([columns], [{column: text}]), and whether the last row ends with its line; a row that has
    not every column is None. Raises as read_text does."""
    content = read_text(path, error)
    try:
        rows = [row for row in csv.reader(content.splitlines(keepends=True)) if row]
    except csv.Error as problem:
        raise error(f"{path}: not CSV ({problem})") from None
    columns = rows[0] if rows else []
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise error(f"{path}: the column {shown(min(twice))} is there twice")
    found = [dict(zip(columns, row, strict=True)) if len(row) == len(columns) else None
             for row in rows[1:]]
    return columns, found, content.endswith("\n")
