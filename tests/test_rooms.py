"""Rooms: every module of ref/ is in NOTES.md's list, and imports only from those above it there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIST = re.search(r"^Rooms.*?```\n(.*?)```", (ROOT / "NOTES.md").read_text(), re.S | re.M).group(1)
# "ref/chart.py, plots.py" names two files of one folder
NAMES = re.sub(r"(ref/)(\w+\.py), (\w+\.py)", r"\1\2 \1\3", LIST)
ORDER = [name.rstrip("/") for name in re.findall(r"\bref/[\w/]+(?:\.py)?", NAMES)]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "ref").rglob("*.py"))


def room(module):
    """The place in the list of a file below ref/, or of the folder that it is in."""
    parts = Path(module).parts
    for name in ("/".join(parts), "/".join(parts[:2])):
        if name in ORDER:
            return ORDER.index(name)
    return None


def imported(module):
    """The files below ref/ and packages beside it that a module imports, anywhere in it."""
    tree = ast.parse((ROOT / module).read_text())
    package = module.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            found = [(*base, alias.name) for alias in node.names]
        else:
            continue
        for parts in found:
            while parts:
                path = Path(*parts)
                if (ROOT / path).with_suffix(".py").is_file():
                    yield path.with_suffix(".py")
                    break
                if (ROOT / path / "__init__.py").is_file():
                    yield path / "__init__.py"
                    break
                parts = parts[:-1]


def test_the_list_is_whole():
    missing = [str(module) for module in MODULES
               if room(module) is None and module.name not in ("__init__.py", "__main__.py")]
    assert not missing


@pytest.mark.parametrize("module", [m for m in MODULES if room(m) is not None], ids=str)
def test_imports_come_from_above(module):
    for other in imported(module):
        if other.parts[0] != "ref" or other == Path("ref/__init__.py"):
            continue
        place = room(other)
        assert place is not None and place <= room(module), f"{module} imports {other}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_ref_knows_nothing_of_runs(module):
    assert not [other for other in imported(module) if other.parts[0] in ("runs", "tests")]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_one_subject_each(module):
    assert len((ROOT / module).read_text().splitlines()) < 300
