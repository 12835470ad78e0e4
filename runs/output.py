"""What every table and figure leaves: NAME.csv, NAME.png, and NAME.json on how they were made."""

import csv
import json
import shlex
import sys

from ref import machine, plots
from ref.common import files


def write(path, fill):
    """files.write, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, fill)


def write_csv(path, rows):
    """rows: dicts with the same keys; None is an empty cell."""

    def fill(part):
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    write(path, fill)


def read_csv(path):
    """[{column: text}]; [] where there is no such file."""
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def write_about(path, module, **facts):
    """The command, this code, the machine and what the caller adds, as JSON."""
    about = {"command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
             "versions": machine.versions("numpy"), **facts}
    write(path, lambda part: part.write_text(json.dumps(about, indent=2) + "\n"))


def picture(path, draw):
    """Save what draw(plt) returns, a figure, at path; without matplotlib, say so instead."""
    try:
        plots.save(draw(plots.pyplot()), path)
    except plots.PlotsError as error:
        print(f"no {path.name}: {error}", file=sys.stderr)
        return False
    return True
