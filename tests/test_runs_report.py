"""runs.report: the page says what the folders hold, what is missing, and nothing else."""

import json
import re
import sys
from pathlib import Path

import pytest
from run_folders import make

from ref import hyperparameters
from runs import paper, ranks

OUT, YOURS = Path("runs/results"), Path("runs/out/results")


@pytest.fixture
def page(command, here, monkeypatch):
    """page() -> the page's text; without pictures, which test_pictures is for."""

    def write():
        with monkeypatch.context() as m:
            m.setitem(sys.modules, "matplotlib", None)
            assert command("runs.report", "--out", "runs/results").status == 0
        return (OUT / "README.md").read_text()

    OUT.mkdir(parents=True)
    return write


def section(text, title):
    """The lines from one heading to the next."""
    body = text[text.index(f"# {title}\n"):].split("\n", 1)[1]
    return re.split(r"^#", body, flags=re.M)[0]


def cells(text, title):
    """{first cell: the others} of the section's table."""
    lines = [line for line in section(text, title).splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in
            ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:])}


def test_nothing_recorded(page):
    """Every column and every figure is missing, and said to be."""
    text = page()
    for column, title in paper.COLUMNS.items():
        n = len(paper.TABLE_1[column])
        assert f"Missing: no run of the {n} rows is recorded." in section(text, title)
    for title in ("Figures 2 and 8: error curves", "Figure 4: auxiliary outputs",
                  "Figure 5: hyperparameter searches", "Figures 6 and 7: autoencoder"):
        assert "Missing" in section(text, title)


def test_a_column(page):
    """Best errors, the difference, seeds with their range, epochs as run, what is missing."""
    make(OUT / "a", "bp", test=[3.0, 1.50, 2.0], train=[1.0, 0.5, 0.25])
    make(OUT / "b", "bp", test=[2.0, 1.70], train=[0.75, 0.5], seed=1)
    make(OUT / "c", "fa", test=[4.0, 2.50])
    make(OUT / "d", "dfa", test=[2.0], lr=0.5)
    found = cells(page(), paper.COLUMNS["mnist-fc"])
    assert list(found) == list(paper.ROWS.values())[:9]
    assert found["BP"] == ["recorded", "0.00 / 1.48", "0.38 (0.25 to 0.50) / 1.60 (1.50 to 1.70)",
                           "+0.12", "3/2", "2", "Table 5"]
    assert found["FA"] == ["recorded", "0.00 / 1.85", "1.25 / 2.50", "+0.65", "2", "1", "found"]
    assert found["DFA"] == ["", "0.85 / 2.75", "missing", "", "", "", ""]  # only a variant is there


def test_verdict_and_order(page):
    """How many rows are near the paper, Spearman's correlation, each pair in opposite order."""
    errors = {"bp": 1.83, "fa": 2.21, "dfa": 1.00, "dtp-parallel": 2.80}
    for row, error in errors.items():
        make(OUT / row, row, test=[error])
    text = section(page(), paper.COLUMNS["mnist-fc"])
    # BP is 0.35 off, which is near; FA 0.36
    assert "3 of 9 rows have a test error of at most the paper's + 0.35" in text
    assert "Further off: FA (+0.36)." in text
    assert text.index("3 of 9 rows") < text.index("| method |")
    assert "Nothing to compare: DTP, alternating; SDTP, parallel;" in text
    published = [paper.TABLE_1["mnist-fc"][row][1] for row in errors]
    rho = ranks.spearman(list(errors.values()), published)
    assert f"Spearman's rank correlation {rho:.2f}; 2 of 6 pairs in opposite order:" in text
    assert "ours: DFA (1.00) < BP (1.83) < FA (2.21) < DTP, parallel (2.80)" in text
    assert "the paper: BP (1.48) < FA (1.85) < DFA (2.75) < DTP, parallel (2.86)" in text
    assert "BP is better than DFA in the paper (1.48, 2.75), worse here (1.83, 1.00)" in text
    assert "FA is better than DFA in the paper (1.85, 2.75), worse here (2.21, 1.00)" in text


def test_the_page_begins_with_where_its_meaning_stands(page):
    assert "discussion.md" not in page()
    (OUT / "discussion.md").write_text("what it says")
    assert page().splitlines()[2] == "**What they say:** [discussion.md](discussion.md)."


def test_other_runs_are_listed_with_what_differs(page):
    make(OUT / "a", "bp", test=[3, 1.5])
    make(OUT / "b", "bp", test=[2.0, 1.25], lr=0.5)
    make(OUT / "c", "bp", test=[1.0])
    make(OUT / "d", "tp-parallel", test=[9.0])
    make(OUT / "e", "fa", data="digits", test=[7.0])
    make(OUT / "f", test=[])
    found = cells(page(), "All runs")
    assert len(found) == 5  # f has no epoch
    what = {name[2]: cells for name, cells in found.items()}
    assert what["a"][:4] == ["recorded", "", "2", "1.50 (2)"]
    assert what["b"][:4] == ["recorded", "lr 0.5 (default 0.000152)", "2", "1.25 (2)"]
    assert what["c"][1] == "another run of this cell and seed is longer"
    assert what["d"][1] == "not in the paper's table" and what["e"][1] == "on digits"
    assert what["a"][6:] == ["2.0", "abc", "a processor", "2026-01-01"]


def test_what_a_run_with_the_papers_hyperparameters_changed(page):
    paper_setting = hyperparameters.TABLE_5["mnist-fc", "fa", None]
    path = make(OUT / "a", "fa", **(paper_setting | {"lr": 0.5})) / "config.json"
    config = json.loads(path.read_text())
    config["arguments"]["hyperparameters"] = "paper"
    path.write_text(json.dumps(config))
    (found,) = cells(page(), "All runs").values()
    assert found[1] == "lr 0.5 (Table 5 0.000168), otherwise Table 5's"


def test_diverged(page):
    """A cell whose run diverged says so, with or without other seeds; no error counts for it."""
    make(OUT / "a", "bp", test=[3.0, 1.5])
    for name, row, seed in (("b", "bp", 1), ("c", "fa", 0)):
        make(OUT / name, row, test=[1.0], seed=seed)
        (OUT / name / "diverged").write_text("epoch 2: NaN\n")
    text = page()
    found = cells(text, paper.COLUMNS["mnist-fc"])
    assert found["BP"][2] == "0.75 / 1.50; 1 of 2 diverged"
    assert found["FA"][2:4] == ["1 of 1 diverged", ""]
    assert "diverged: epoch 2: NaN" in section(text, "All runs")


def test_the_autoencoder_in_numbers(page):
    make(OUT / "a", "bp", "mnist-autoencoder", test=[0.0123, 0.02])
    assert cells(page(), "Figures 6 and 7: autoencoder") == {
        "BP": ["recorded", "2", "0.01000", "0.02000", "0.01230 (1)"]}


def test_the_same_folders_give_the_same_page(page):
    make(OUT / "a", "bp", test=[3, 1.5])
    make(OUT / "b", "dtp-parallel", test=[3, 1.25], lr=0.5)
    first = page(), (OUT / "table1.csv").read_bytes()
    assert first == (page(), (OUT / "table1.csv").read_bytes())


def test_pictures_are_linked(command, here):
    """Drawn where there are curves; every link leads to a file."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")
    make(OUT / "a", "bp", test=[3, 1.5])
    make(OUT / "b", "fa", "cifar-lc", test=[60, 50])
    (OUT / "figure4_cifar-fc-parallel.png").write_bytes(b"a picture made before")
    assert command("runs.report", "--out", OUT).status == 0
    links = re.findall(r"\]\((.*?)\)", (OUT / "README.md").read_text())
    assert {"figure2.png", "figure8.png", "figure4_cifar-fc-parallel.png"} <= set(links)
    assert all((OUT / link).is_file() for link in links)


def test_recorded_and_yours(command, here):
    """By default a page of both, in a place of one's own; the recorded one tells of no other."""
    make(OUT / "a", "bp", test=[2.0, 1.5])
    make(YOURS / "mine", "bp", test=[4.0])
    make(YOURS / "other", "fa", test=[5.0])
    before = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    assert command("runs.report").status == 0
    assert before == {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    text = (YOURS / "README.md").read_text()
    lines = [[cell.strip() for cell in line.strip("|").split("|")][:6] for line in
             section(text, paper.COLUMNS["mnist-fc"]).splitlines() if line.startswith("| ")]
    assert ["BP", "recorded", "0.00 / 1.48", "0.75 / 1.50", "+0.02", "2"] in lines
    assert ["BP", "yours", "0.00 / 1.48", "2.00 / 4.00", "+2.52", "1"] in lines
    assert ["FA", "yours", "0.00 / 1.85", "2.50 / 5.00", "+3.15", "1"] in lines
    assert [line[:2] for line in lines].count(["FA", "recorded"]) == 0
    assert "(../../results/a/metrics.csv)" in text and "(mine/metrics.csv)" in text
    assert command("runs.report", "--out", OUT).status == 0
    assert "| yours |" not in (OUT / "README.md").read_text()
    assert "yours" not in (OUT / "table1.csv").read_text()


def test_bad_input(command, here):
    command.refused("runs.report", "--out", "nothere", names=["nothere"])
    Path("file").write_text("")
    command.refused("runs.report", "--out", "file", names=["file"])
