"""runs/: the paper's numbers, ranks, and which recorded run belongs to which cell."""

import itertools
import json
import os
import random
from pathlib import Path

import pytest
from run_folders import ERRORS, make

from ref import hyperparameters
from runs import paper, ranks, records

ROOT = Path(__file__).resolve().parents[1]
APPENDIX = Path(os.environ.get("REF_SHARED", ROOT.parent / "shared")) / "paper" / "appendix.md"


def test_table_1_is_the_papers():
    if not APPENDIX.is_file():
        pytest.skip(f"no {APPENDIX} (set REF_SHARED)")
    text = APPENDIX.read_text()
    lines = text[text.index("## Table 1"):text.index("## Table 3")].splitlines()
    header, _, *table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    columns = [title.strip().lower().replace(" ", "-") for title in header[1:]]
    assert columns == list(paper.COLUMNS) == list(paper.TABLE_1)
    found = {column: {} for column in columns}
    for name, *cells in table:
        row = {title: key for key, title in paper.ROWS.items()}[name.strip()]
        for column, cell in zip(columns, cells, strict=True):
            if "/" in cell:
                found[column][row] = tuple(float(error) for error in cell.split("/"))
    assert sum(map(len, found.values())) == 38
    assert found == paper.TABLE_1


def test_methods_and_rows():
    for row in paper.ROWS:
        rule, schedule = paper.method(row)
        arch = paper.network("mnist-lc", row)
        assert paper.row_of(rule, schedule, arch) == row
    assert paper.method("ao-sdtp-alternating") == ("ao-sdtp", "alternating")
    assert paper.network("cifar-lc", "bp-conv") == "cifar-conv"


# ---- ranks ---------------------------------------------------------------------------------------


def test_spearman():
    assert ranks.ranks([3.0, 1.0, 2.0, 2.0]) == [4, 1, 2.5, 2.5]
    assert ranks.spearman([1, 2, 3, 4], [10, 20, 30, 99]) == pytest.approx(1, abs=1e-12)
    assert ranks.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1, abs=1e-12)
    # without ties: 1 - 6 Σd² / n(n² - 1)
    a, b = [1, 2, 3, 4, 5], [2, 1, 4, 5, 3]
    assert ranks.spearman(a, b) == pytest.approx(1 - 6 * (1 + 1 + 1 + 1 + 4) / 120, abs=1e-12)
    # a tie, by hand: ranks 1, 2.5, 2.5 and 1, 2, 3
    assert ranks.spearman([1, 5, 5], [1, 2, 3]) == pytest.approx(1.5 / (1.5 * 2) ** 0.5, abs=1e-12)
    assert ranks.spearman([1, 1], [1, 2]) is None
    assert ranks.spearman([1], [2]) is None
    with pytest.raises(ValueError):
        ranks.spearman([1, 2], [1, 2, 3])


def test_reversed_pairs():
    rng = random.Random(0)
    a, b = ({key: rng.randrange(4) for key in "uvwxyz"} for _ in range(2))
    expected = {(x, y) for x, y in itertools.permutations(a, 2) if b[x] < b[y] and a[x] > a[y]}
    assert expected and set(ranks.reversed_pairs(a, b)) == expected


# ---- which run belongs where ---------------------------------------------------------------------


def test_a_default_run_and_its_variants(here):
    """What differs from today's defaults names a run, and keeps it out of the cells."""
    make(here / "a", "dtp-alternating")
    make(here / "b", "dtp-alternating", lr=0.5)
    make(here / "c", "dtp-alternating", seed=2)
    make(here / "d", "bp-conv", "mnist-lc", data="digits")
    make(here / "e", "fa", lr=0.5, beta1=0.25, beta2=0.125)
    make(here / "f", "fa", test=[])
    found = {record.path.name: record for record in records.read_all(here)}
    default = records.defaults("mnist-fc", "dtp", "alternating")[0]["lr"]
    assert {name: records.differences(found[name]) for name in "abc"} == {
        "a": {}, "b": {"lr": (0.5, default)}, "c": {}}
    names = {name: records.name(record) for name, record in found.items()}
    assert names["a"] == "mnist-fc_dtp-alternating"
    assert names["b"] == "mnist-fc_dtp-alternating-lr0.5"
    assert names["c"] == "mnist-fc_dtp-alternating_seed2"
    assert names["d"] == "mnist-conv_bp_digits"
    assert names["e"].startswith("mnist-fc_fa-variant") and names["f"] == "mnist-fc_fa"
    cells, rest = records.cells(found.values())
    assert {what: [r.path.name for r in runs] for what, runs in cells.items()} == {
        ("mnist-fc", "dtp", "alternating", "mnist"): ["a", "c"],
        ("mnist-conv", "bp", None, "digits"): ["d"]}
    assert [record.path.name for record in rest] == ["b", "e", "f"]


@pytest.mark.parametrize(("group", "key", "value"), [
    ("arguments", "validation", 5000), ("arguments", "dtype", "float64"),
    ("augmentation", "crop_padding", 2), ("augmentation", "flip", "vertical")])
def test_other_data_or_numbers_are_variants(here, group, key, value):
    path = make(here / "run") / "config.json"
    assert records.differences(records.read(here / "run")) == {}
    config = json.loads(path.read_text())
    old = config[group][key]
    config[group][key] = value
    path.write_text(json.dumps(config))
    assert records.differences(records.read(here / "run")) == {key: (value, old)}


def test_the_papers_values_are_named_once(here):
    column = "mnist-fc", "sdtp", "parallel"
    make(here / "run", "sdtp-parallel", **hyperparameters.TABLE_5[column], batch_size=100)
    path = here / "run" / "config.json"
    config = json.loads(path.read_text())
    config["arguments"]["hyperparameters"] = "paper"
    path.write_text(json.dumps(config))
    differences = records.differences(records.read(here / "run"))
    assert differences.pop("hyperparameters") == ("paper", "default")
    assert not differences
    # one value put back to today's default is another run
    default = records.defaults("mnist-fc", "sdtp", "parallel")[0]["epsilon"]
    config["hyperparameters"]["epsilon"] = default
    path.write_text(json.dumps(config))
    assert records.differences(records.read(here / "run")) == {
        "hyperparameters": ("paper", "default"),
        "epsilon": (default, hyperparameters.TABLE_5[column]["epsilon"])}


def test_the_longest_run_of_a_seed_is_the_cells(here):
    make(here / "long", test=[9, 8, 7, 6])
    make(here / "longer", test=[9, 8, 7, 6, 5])
    (here / "longer" / "diverged").write_text("epoch 6: NaN\n")
    make(here / "short", test=[1])
    (runs,), rest = (list(records.cells(records.read_all(here))[0].values()),
                     records.cells(records.read_all(here))[1])
    assert [r.path.name for r in runs] == ["long"]
    assert [r.path.name for r in rest] == ["longer", "short"]


def test_a_run_too_short_to_compare_spoils_no_mean(here):
    few = records.FEWEST - 1
    make(here / "long", test=[5] * records.FEWEST)
    make(here / "short", test=[9] * few, seed=1)
    make(here / "short-fa", "fa", test=[9] * few, seed=1)  # there is no longer one
    make(here / "long-fa", "fa", test=[9] * records.FEWEST, lr=0.5)  # of another setting
    make(here / "short-dfa", "dfa", test=[9] * few)  # the longer one diverged
    make(here / "long-dfa", "dfa", test=[9] * records.FEWEST, seed=1)
    make(here / "bad", "bp", test=[9] * few, seed=2)  # counts as diverged, whatever its epochs
    for name in ("long-dfa", "bad"):
        (here / name / "diverged").write_text("NaN\n")
    cells, rest = records.cells(records.read_all(here))
    assert {what[1]: [r.path.name for r in runs] for what, runs in cells.items()} == {
        "bp": ["long", "bad"], "fa": ["short-fa"], "dfa": ["short-dfa", "long-dfa"]}
    assert [r.path.name for r in rest] == ["long-fa", "short"]


def test_an_older_record_without_some_keys(here):
    make(here / "run", "dtp-parallel")
    path = here / "run" / "config.json"
    config = json.loads(path.read_text())
    for group, key in (("hyperparameters", "batch_size"), ("hyperparameters", "order"),
                       ("data", "digest")):
        del config[group][key]
    del config["augmentation"], config["started"]
    path.write_text(json.dumps(config))
    record = records.read(here / "run")
    assert records.differences(record) == {} and record.best()["test_error"] == min(ERRORS)


# ---- collecting ----------------------------------------------------------------------------------


@pytest.fixture
def collect(command, here):
    return lambda *arguments: command("runs.collect", "--out", "results", *arguments)


def recorded(name):
    return [row["test_error"] for row in records.read(Path("results") / name).rows]


def test_collect(collect, here):
    """The small files alone; again when there is more; never for less."""
    make(here / "a", "fa", test=[5, 4], epochs=3)
    (here / "a" / "checkpoint.h5").write_bytes(b"large")
    make(here / "b", "fa", seed=1, test=[3])
    assert collect("a", "b").status == 0
    assert sorted(p.name for p in Path("results").iterdir()) == ["mnist-fc_fa",
                                                                "mnist-fc_fa_seed1"]
    assert sorted(p.name for p in Path("results/mnist-fc_fa").iterdir()) == ["config.json",
                                                                            "metrics.csv"]
    assert recorded("mnist-fc_fa") == [5, 4]
    with open("a/metrics.csv", "a") as file:
        file.write("3,1,1,2,1,2\n")
    assert collect("a").status == 0 and recorded("mnist-fc_fa") == [5, 4, 2]
    make(here / "shorter", "fa", test=[1, 1])
    result = collect("shorter")
    assert "kept" in result.out and recorded("mnist-fc_fa") == [5, 4, 2]
    make(here / "as long", "fa", test=[1, 1, 1])
    assert "kept" in collect("as long").out and recorded("mnist-fc_fa") == [5, 4, 2]
    make(here / "longer", "fa", test=[6, 6, 6, 6])
    assert "kept" not in collect("longer").out and recorded("mnist-fc_fa") == [6, 6, 6, 6]
    assert collect("a", "--name", "mine").status == 0 and recorded("mine") == [5, 4, 2]
    with open("a/metrics.csv", "a") as file:
        file.write("4,1,1,1,1,2\n")
    assert collect("a").status == 0 and recorded("mine") == [5, 4, 2, 1]  # under the name it has
    assert recorded("mnist-fc_fa") == [6, 6, 6, 6]


def test_runs_that_began_in_the_same_second(collect, here):
    """Of other seeds or hyperparameters: each has its own record."""
    for name, changes in (("a", {}), ("b", {"seed": 3}), ("c", {"lr": 0.5})):
        config = make(here / name, **changes) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"started": "then"}))
    assert collect("a", "b", "c").status == 0
    assert sorted(path.name for path in (here / "results").iterdir()) == [
        "mnist-fc_bp", "mnist-fc_bp-lr0.5", "mnist-fc_bp_seed3"]


def test_defaults_of_an_earlier_day(collect, here):
    """A recorded run that is a variant by now makes room for today's, however short."""
    make(here / "results" / "mnist-fc_fa", "fa", test=[5, 4, 3], lr=0.5)
    for k in range(2):
        make(here / f"new{k}", "fa", test=[2, 1][:k + 1])
        assert collect(f"new{k}").status == 0
        assert recorded("mnist-fc_fa") == [2, 1][:k + 1]
    assert recorded("mnist-fc_fa-lr0.5") == [5, 4, 3]
    make(here / "named", "fa", test=[7], lr=0.25)
    assert collect("named", "--name", "mnist-fc_fa").status == 0
    assert recorded("mnist-fc_fa") == [2, 1]


def test_nothing_to_collect(collect, here, command):
    make(here / "new", test=[])
    assert "nothing to record" in collect("new").out and not Path("results").exists()
    make(here / "a")
    command.refused("runs.collect", "a", "nothere", names=["nothere"])
    command.refused("runs.collect", "a", "new", "--name", "x", names=["--name"])
    command.refused("runs.collect", "a", "--name", "../x", names=["--name"])


def test_a_run_that_diverged_is_recorded(collect, here):
    make(here / "a", test=[])
    (here / "a" / "diverged").write_text("epoch 1: NaN\n")
    assert "diverged" in collect("a").out
    assert records.read("results/mnist-fc_bp").diverged == "epoch 1: NaN"
