"""runs.report: the page says what the folders hold, what is missing, and nothing else."""

import json
import re
import shutil
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

    def write(name="README.md"):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, "matplotlib", None)
            assert command("runs.report", "--out", "runs/results").status == 0
        return (OUT / name).read_text()

    OUT.mkdir(parents=True)
    return write


def section(text, title):
    """The lines from one heading, or summary of what is folded, to the next."""
    found = re.search(rf"(^#+ |<summary>){re.escape(title)}(\n|</summary>)", text, re.M)
    return re.split(r"^#|^</?details>", text[found.end():], flags=re.M)[0]


def cells(text, title):
    """{first cell: {header: cell}} of the section's table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in section(text, title).splitlines() if line.startswith("| ")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


def verdict(text, title):
    """The line that begins with a title."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"- **{title}:** ")]
    return line.removeprefix(f"- **{title}:** ")


FC = paper.COLUMNS["mnist-fc"]


def test_nothing_recorded(page):
    """Every column and every figure is said not to be there, in five lines and below."""
    text = page()
    for column, title in paper.COLUMNS.items():
        assert verdict(text, title) == "not run."
        n = len(paper.TABLE_1[column])
        assert f"Not run: none of the {n} methods is here." in section(text, title)
    assert verdict(text, "Autoencoder") == "not run."
    for title in ("Figures 2 and 8: errors by epoch", "Figure 4: auxiliary outputs",
                  "Figure 5: hyperparameter searches", "Figures 6 and 7: autoencoder"):
        assert re.search("Not run|Not drawn", section(text, title))


def test_a_column(page):
    """Means, differences, ranges, seeds, epochs and the best one's in columns of their own."""
    make(OUT / "a", "bp", test=[3.0, 1.50, *[2.0] * 10], train=[1.0, 0.5, *[0.25] * 10])
    make(OUT / "b", "bp", test=[2.0] * 9 + [1.70], train=[0.75] * 9 + [0.5], seed=1)
    make(OUT / "c", "fa", test=[4.0, 2.50])
    make(OUT / "d", "dfa", test=[2.0], lr=0.5)
    found = cells(page(), FC)
    assert list(found) == list(paper.ROWS.values())[:9]
    assert found["BP"] == {
        "paper": "1.48", "ours": "1.60", "ours − paper": "+0.12", "range": "1.50 to 1.70",
        "seeds": "2", "epochs (of 500)": "12, 10", "best in epoch": "2, 10",
        "paper, train": "0.00", "ours, train": "0.38", "hyperparameters": "Table 5"}
    assert found["FA"] == {
        "paper": "1.85", "ours": "2.50", "ours − paper": "too short to compare", "range": "",
        "seeds": "1", "epochs (of 500)": "2", "best in epoch": "2",
        "paper, train": "0.00", "ours, train": "1.25", "hyperparameters": "found"}
    assert found["DFA"]["ours"] == "not run"  # only a variant is there
    assert set(found["DFA"].values()) == {"2.75", "not run", "", "0.85"}


LONG = [9.0] * 9  # and a last epoch: ten can be compared


def test_verdict_and_order(page):
    """How many methods are near the paper, Spearman's correlation, each pair in opposite order."""
    errors = {"bp": 1.83, "fa": 2.21, "dfa": 1.00, "dtp-parallel": 2.80}
    for row, error in errors.items():
        make(OUT / row, row, test=[*LONG, error])
    make(OUT / "short", "sdtp-parallel", test=[1.0])
    text = page()
    # BP is 0.35 off, which is near; FA 0.36
    assert verdict(text, FC) == (
        "3 of 4 methods have a test error of at most the paper's + 0.35, after 10 of 500 epochs; "
        "further off: FA (+0.36); still improving at their end: 4; too short to compare: SDTP "
        "parallel (1 epoch); not run: DTP alternating, SDTP alternating, AO-SDTP parallel, AO-SDTP "
        "alternating.")
    assert text.index("3 of 4 methods") < text.index("| method |")
    published = [paper.TABLE_1["mnist-fc"][row][1] for row in errors]
    rho = ranks.spearman(list(errors.values()), published)
    title = f"The order of the methods: {FC}"
    order = section(text, title)
    assert f"Spearman's rank correlation {rho:.2f}; 2 of 6 pairs in opposite order" in order
    assert "ours: DFA (1.00) < BP (1.83) < FA (2.21) < DTP, parallel (2.80)" in order
    assert "the paper: BP (1.48) < FA (1.85) < DFA (2.75) < DTP, parallel (2.86)" in order
    assert "| BP | DFA | 1.48, 2.75 | 1.83, 1.00 |" in order
    assert "| FA | DFA | 1.85, 2.75 | 2.21, 1.00 |" in order


def test_what_the_seeds_do_not_tell_apart(page):
    """Methods whose ranges all overlap, and the ones with a single seed, below the table."""
    bests = {"bp": (1.5, 1.7), "dfa": (1.9, 2.0), "fa": (2.0, 2.3), "dtp-alternating": (2.15, 2.25),
             "dtp-parallel": (2.2, 2.4), "sdtp-parallel": (2.5, 2.6), "sdtp-alternating": (9.0,)}
    for row, errors in bests.items():
        for seed, error in enumerate(errors):
            make(OUT / f"{row}{seed}", row, test=[*LONG, error], seed=seed)
    found = section(page(), FC)
    assert ("Ranges overlap, so the order is open, within: DFA, FA; "
            "FA, DTP alternating, DTP parallel.\n"
            "One seed, so no range: SDTP alternating.\n") in found
    for name in ("fa0", "fa1", "dtp-parallel0", "dtp-parallel1"):
        shutil.rmtree(OUT / name)
    assert "Ranges overlap, so the order is open, within: none.\n" in section(page(), FC)


def test_one_that_has_long_had_its_best_is_not_improving(page):
    make(OUT / "a", "bp", test=[1.0, *LONG])
    assert "improving" not in verdict(page(), FC)


def test_the_page_says_where_its_meaning_stands(page):
    assert "discussion.md" not in page()
    (OUT / "discussion.md").write_text("what it says")
    head = page().split("## ")[0]
    assert "What this means" in head and "[discussion.md](discussion.md)." in head


def test_all_runs_are_listed_by_what_differs(page):
    """On a page of its own, by network; each name leads to the run."""
    make(OUT / "a", "bp", test=[3, 1.5])
    make(OUT / "b", "bp", test=[2.0, 1.25], lr=0.5)
    make(OUT / "c", "bp", test=[1.0])
    make(OUT / "d", "tp-parallel", test=[9.0])
    make(OUT / "e", "fa", data="digits", test=[7.0], seed=3)
    make(OUT / "f", test=[])
    make(OUT / "g", "bp", "cifar-fc", test=[50.0])
    text = page("all_runs.md")
    found = cells(text, "mnist-fc")
    assert list(found) == [
        "[BP](a/config.json)",
        "[BP; lr 0.5](b/config.json)",
        "[BP; another run of this cell is longer](c/config.json)",
        "[FA; on digits; seed 3](e/config.json)",
        "[TP, parallel; not in the paper's table](d/config.json)"]  # f has no epoch
    assert found["[BP; lr 0.5](b/config.json)"] == {
        "epochs": "2", "best test": "1.25", "in epoch": "2", "last test": "1.25",
        "last train": "0.62", "s/epoch": "2.0", "commit": "abc", "processor": "a processor",
        "started": "2026-01-01"}
    assert list(cells(text, "cifar-fc")) == ["[BP](g/config.json)"]
    assert "[all_runs.md](all_runs.md)" in page()


def test_what_a_run_with_the_papers_hyperparameters_changed(page):
    paper_setting = hyperparameters.TABLE_5["mnist-fc", "fa", None]
    path = make(OUT / "a", "fa", **(paper_setting | {"lr": 0.5})) / "config.json"
    config = json.loads(path.read_text())
    config["arguments"]["hyperparameters"] = "paper"
    path.write_text(json.dumps(config))
    (found,) = cells(page("all_runs.md"), "mnist-fc")
    assert found == "[FA; lr 0.5, otherwise Table 5's values](a/config.json)"


def test_diverged(page):
    """A cell whose run diverged says so, with or without other seeds; no error counts for it."""
    make(OUT / "a", "bp", test=[3.0, 1.5])
    for name, row, seed in (("b", "bp", 1), ("c", "fa", 0)):
        make(OUT / name, row, test=[1.0], seed=seed)
        (OUT / name / "diverged").write_text("epoch 2: NaN\n")
    text = page()
    found = cells(text, FC)
    assert found["BP"]["ours"] == "1.50; 1 of 2 diverged" and found["BP"]["seeds"] == "1"
    assert found["FA"]["ours"] == "1 of 1 diverged" and found["FA"]["ours − paper"] == ""
    assert "diverged: FA" in verdict(text, FC)
    assert "diverged: epoch 2: NaN" in page("all_runs.md")


def test_the_autoencoder_in_numbers(page):
    make(OUT / "a", "bp", "mnist-autoencoder", test=[0.0123, 0.02])
    text = page()
    assert verdict(text, "Autoencoder").startswith(
        "lowest squared errors BP 0.0123, after 2 of 500 epochs")
    assert cells(text, "Its errors (squared, mean over pixels)") == {"BP": {
        "whose": "recorded", "epochs": "2", "last train": "0.01000", "last test": "0.02000",
        "lowest test (epoch)": "0.01230 (1)"}}


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
    make(OUT / "a", "bp", test=[*LONG, 1.5])
    make(YOURS / "mine", "bp", test=[*LONG, 4.0])
    make(YOURS / "other", "fa", test=[*LONG, 5.0])
    before = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    assert command("runs.report").status == 0
    assert before == {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    text = (YOURS / "README.md").read_text()
    found = {name: (row["ours"], row["ours − paper"]) for name, row in cells(text, FC).items()}
    assert found["BP (recorded)"] == ("1.50", "+0.02") and found["BP (yours)"] == ("4.00", "+2.52")
    assert found["FA (yours)"] == ("5.00", "+3.15") and "FA (recorded)" not in found
    assert verdict(text, f"{FC}, yours").startswith("0 of 2 methods have")
    assert verdict(text, f"{FC}, recorded").startswith("1 of 1 method has")
    runs = (YOURS / "all_runs.md").read_text()
    assert "(../../results/a/config.json)" in runs and "(mine/config.json)" in runs
    assert "## mnist-fc, recorded" in runs and "## mnist-fc, yours" in runs
    assert command("runs.report", "--out", OUT).status == 0
    assert "yours)" not in (OUT / "README.md").read_text()
    assert "yours" not in (OUT / "table1.csv").read_text()


def test_bad_input(command, here):
    command.refused("runs.report", "--out", "nothere", names=["nothere"])
    Path("file").write_text("")
    command.refused("runs.report", "--out", "file", names=["file"])
