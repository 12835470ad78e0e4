"""What README.md says of the project is so: the results it shows, what the main job prints, the
order in which to read the code and how long it is. And NOTES.md's map names code that is there."""

import csv
import pkgutil
import re
from pathlib import Path

import pytest
from test_rooms import imported

from ref import rules

ROOT = Path(__file__).resolve().parents[1]
README, NOTES = ((ROOT / name).read_text() for name in ("README.md", "NOTES.md"))


def section(text, heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.S | re.M).group(1)


def rows(text, header):
    """The cells of the rows of the table that begins with `header`."""
    table = text[text.index(header):].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


# ---- results -------------------------------------------------------------------------------------


def test_every_rule_is_in_the_table():
    assert {row[1].strip("`") for row in rows(README, "| rule | `--rule`")} == set(rules.ALL)


def test_the_table_of_mnist_is_what_is_recorded():
    with open(ROOT / "runs" / "results" / "table1.csv", newline="") as file:
        recorded = [row for row in csv.DictReader(file) if row["network"] == "mnist-fc"]
    expected = [[row["method"], f"{float(row['paper_test']):.2f}", f"{float(row['test']):.2f}",
                 row["hyperparameters_from"]] for row in recorded]
    assert rows(README, "| method | paper") == sorted(expected, key=lambda row: float(row[1]))
    good = sum(float(row["test_difference"]) <= 0.35 for row in recorded)
    assert f"{good} of {len(recorded)} are reached to within 0.35 points" in README
    seeds, low, high = re.search(
        r"mean of (\w+) seeds,\s+(\d+)\s+to\s+(\d+)\s+epochs", README).groups()
    assert seeds == "three" and {row["seeds"] for row in recorded} == {"3"}
    epochs = [int(n) for row in recorded for n in row["epochs"].split("/")]
    assert [min(epochs), max(epochs)] == [int(low), int(high)]


def test_the_main_job_prints_such_lines(command, here, digits):
    """Their form; the numbers are those of fewer images and epochs, and of another machine."""
    shown = re.search(r"ends with\n\n```\n(.*?)```", README, re.S).group(1).splitlines()
    job = ["ref.train", "--rule", "fa", "--epochs", "2", "--data", digits]
    printed = command(*job).out.splitlines()
    assert [form(line) for line in shown] == [form(line) for line in printed[-len(shown):]]


def form(line):
    return re.sub(r"\s+", " ", re.sub(r"\d+", "#", line))


# ---- reading the code ----------------------------------------------------------------------------


def named(text):
    """The files of ref/ that a text names; one without a folder is in the folder of the last."""
    folder, found = Path("ref"), []
    for name in re.findall(r"`([\w/]+\.py)`", text):
        path = Path(name) if "/" in name else folder / name
        folder = path.parent
        found.append(path)
    return found


READING = section(README, "Read the code")
SKIPPED, *ITEMS = re.split(r"^\d+\. ", READING.split("\n\nBut for")[0], flags=re.M)
ORDER = [path for item in ITEMS for path in named(item)]


def lines(paths):
    return sum(len((ROOT / path).read_text().splitlines()) for path in paths)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: re.search(r"`(.*?)`", item)[1])
def test_each_step_is_about_as_long_as_it_says(item):
    said = int(re.search(r"\(([\d,]+) lines\)", item)[1].replace(",", ""))
    assert said == pytest.approx(lines(named(item)), rel=0.1)


def test_the_whole_is_about_as_long_as_it_says():
    said = int(re.search(r"about ([\d,]+) lines", READING)[1].replace(",", ""))
    assert said == pytest.approx(lines(ORDER), rel=0.1)


def test_each_file_imports_only_from_those_before_it():
    """But for what is to be skipped, the dendrites, which have an order of their own, and packages'
    own __init__.py, which list their files."""
    before = {*named(SKIPPED)}
    assert len(before) == 8 and len(ORDER) > 20
    for path in ORDER:
        others = {other for other in imported(path) if other.name != "__init__.py"
                  and other.parent.name != "dendrites"}
        assert others <= before, f"{path} imports {others - before}"
        before.add(path)


def test_every_rule_and_linear_map_is_read():
    there = {path.relative_to(ROOT) for folder in ("rules", "linear")
             for path in (ROOT / "ref" / folder).glob("*.py") if path.name != "__init__.py"}
    assert there <= {*ORDER, *named(SKIPPED)}


# ---- NOTES.md ------------------------------------------------------------------------------------


def test_the_map_of_equations_names_code_that_is_there():
    """Names with a dot, as in `rules.tp.targets`; others are arguments, or in the same module."""
    names = [name for *_, cell in rows(NOTES, "| paper | what | code")
             for name in re.findall(r"`(\w+(?:\.\w+)+)[`\[]", cell)]
    assert len(names) > 40
    for name in names:
        pkgutil.resolve_name(f"ref.{name}")
