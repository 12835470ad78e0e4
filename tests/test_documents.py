"""The documents: NOTES.md is short, links lead somewhere, code names files that are there."""

import re
import subprocess
from pathlib import Path

import pytest
from test_readme import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                         check=True).stdout.splitlines()


def without_code(text):
    """Prose and tables: no blocks of code, no comments."""
    return re.sub(r"^```.*?^```|<!--.*?-->", "", text, flags=re.S | re.M)


def anchors(path):
    """The names by which a document's headings are linked, as GitHub makes them."""
    for line in without_code(path.read_text()).splitlines():
        if line.startswith("#"):
            name = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            yield name.replace(" ", "-")


def broken(name, text):
    """The links of a document that lead nowhere in this repository."""
    here = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = here / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


def test_every_document_is_known():
    """A new one is held to all of this, and its commands are run."""
    written = {"runs/results/README.md", "runs/results/all_runs.md"}  # by runs.report
    found = {name for name in TRACKED if name.endswith(".md")} - written
    assert found == set(DOCUMENTS), "name it in DOCUMENTS of test_readme.py"


def test_notes_are_short():
    assert len((ROOT / "NOTES.md").read_text().splitlines()) < 300


@pytest.mark.parametrize("name", [*DOCUMENTS, "runs/results/README.md", "runs/results/all_runs.md"])
def test_links_lead_somewhere(name):
    assert not list(broken(name, (ROOT / name).read_text()))


def test_a_broken_link_is_found():
    text = "[a](NOTES.md) [b](nosuch.md) [c](#nosuch) [d](NOTES.md#nosuch)\n```\n[e](f)\n```\n"
    assert list(broken("README.md", text)) == ["nosuch.md", "#nosuch", "NOTES.md#nosuch"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_a_document_names_are_there(name):
    """`ref/network.py`, from the top of the repository."""
    named = set(re.findall(r"`((?:ref|runs|data_prep|tests)/[\w/]+\.\w+)`",
                           (ROOT / name).read_text()))
    assert named <= {*TRACKED}


def test_documents_and_readings_that_the_code_names_are_there():
    readings = {int(n) for n in re.findall(r"^(\d+)\. \*\*", (ROOT / "NOTES.md").read_text(), re.M)}
    assert readings == set(range(1, len(readings) + 1))
    checked = 0
    for path in (ROOT / name for name in TRACKED if name.endswith(".py")):
        if path.parent.name == "tests" and path.name.startswith("test_"):
            continue  # these name files of other folders
        text = path.read_text()
        for name in re.findall(r"[\w/]+\.md\b", text):
            checked += 1
            places = (ROOT / name, path.parent / name, ROOT / "runs" / "results" / name)
            assert any(place.exists() for place in places), f"{path.name}: {name}"
        assert {int(n) for n in re.findall(r"NOTES\.md, reading (\d+)", text)} <= readings, path
    assert checked > 10


# ---- prose ---------------------------------------------------------------------------------------

LONGEST = 40  # words


def sentences(text):
    """The sentences of a document's prose: no code, tables and headings; items apart."""
    lines = without_code(text).splitlines()
    kept = ["" if line.lstrip().startswith(("|", "#", "!")) else line for line in lines]
    for paragraph in re.split(r"\n\s*\n|\n\s*(?=(?:[-*]|\d+\.) )", "\n".join(kept)):
        prose = re.sub(r"`[^`]*`", "code", " ".join(paragraph.split()))
        prose = re.sub(r"\]\([^)]*\)", "]", prose)
        yield from re.split(r"(?<=[.!?])(?<!eq\.)(?<!al\.)[*)]*\s+(?=[^\s])", prose)


def too_long(text):
    return [s for s in sentences(text) if len(re.findall(r"[^\W_]+(?:['.’-]\w+)*", s)) > LONGEST]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_sentences_are_short(name):
    assert not too_long((ROOT / name).read_text())


def test_a_long_sentence_is_found():
    """Over lines and across code, not across tables, list items and the ends of sentences."""
    long = "word " * 20 + "\n`a b c` " + "word " * 19
    assert not too_long(long + ".") and len(too_long(long + "more.")) == 1
    assert not too_long(long + ".\n" + long + "." + "\n\n" + long + "\n- " + long + "\n| more |")
