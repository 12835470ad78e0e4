"""What every table and figure leaves: NAME.csv, NAME.png, and NAME.json on how they were made."""

import csv
import json

from ref import plots
from ref.common import files
from ref.common.command import command_line, say, tell
from ref.common.names import file_name
from ref.machine import versions


def suffix(data_name, usual):
    """What the name of a file says of the data, where they are not the usual ones."""
    return "" if data_name == usual else f"_{file_name(data_name)}"


def write(path, fill):
    """files.write, in a folder that is made where it is missing; the file is named on stdout."""
    files.write(path, fill)
    tell(f"wrote {path}")


def write_csv(path, rows):
    """rows: dicts with the same keys; None is an empty cell."""

    def fill(part):
        with open(part, "w", newline="", encoding="utf-8",
                  errors="backslashreplace") as file:
            writer = csv.DictWriter(file, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    write(path, fill)


def write_about(path, module, **facts):
    """The command, this code, the machine and what the caller adds, as JSON."""
    about = {"command": command_line(module),
             "versions": versions("numpy"), **facts}
    write(path, lambda part: part.write_text(json.dumps(about, indent=2) + "\n"))


def picture(path, draw):
    """Save what draw(plt) returns, a figure, at path; without matplotlib, say so instead."""
    try:
        plots.save(draw(plots.pyplot()), path)
    except plots.PlotsError as error:
        say(f"no {path.name}: {error}")
        return False
    tell(f"wrote {path}")
    return True


def about_run(record):
    """What a JSON says of a run that a figure shows."""
    return {"run": record.path.name, "whose": record.whose, "epochs": record.epochs}
