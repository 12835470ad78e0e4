"""Every summary in runs/results is what the curves beside it say."""

import csv
import functools
import json
import shutil
import statistics
import sys
from pathlib import Path

import pytest

from runs import extrapolate, paper, records
from runs.inverses import FROZEN

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "runs" / "results"
TABLES = sorted(path.name for path in RESULTS.glob("*.csv"))
FROM_CURVES = [name for name in TABLES
               if not name.startswith(("figure7", "inverses", "extrapolated"))]
INVERSES = [name for name in TABLES if name.startswith("inverses")]


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def curve(run):
    return table(RESULTS / run / "metrics.csv")


RUNS = {path.parent.name: json.loads(path.read_text()) for path in RESULTS.glob("*/config.json")}


@functools.cache
def recorded():
    return [records.read(RESULTS / name) for name in RUNS]


def runs_of(arch, rule, schedule, seed=None):
    """Names of the recorded runs of a cell that differ from it in nothing."""
    return [r.path.name for r in recorded() if (r.arch, r.rule, r.schedule or "") == (
        arch, rule, schedule) and seed in (None, r.seed) and not records.differences(r)]


PLOTTED = ("resnet20", "lenet-cifar")  # networks whose recorded runs ref.plot has drawn


def test_every_summary_is_known():
    """A new one needs a check here."""
    assert set(TABLES) - set(INVERSES) == {
        "table1.csv", "figure2.csv", "figure8.csv", "figure6.csv", "figure7.csv", "figure5.csv",
        "figure4_cifar-fc-parallel.csv", "extrapolated.csv"}
    assert {p.stem for p in RESULTS.glob("*.json")} == {Path(t).stem for t in TABLES} - {"table1"}
    undrawn = {"extrapolated", *(Path(name).stem for name in INVERSES)}
    drawn = {p.stem for p in RESULTS.glob("*.json")} - undrawn | set(PLOTTED)
    assert {p.stem for p in RESULTS.glob("*.png")} == drawn


@pytest.mark.parametrize("arch", PLOTTED)
def test_pictures_of_runs(arch):
    """They stand on the page of what the results say, with the command that draws them, and have
    runs to be drawn from."""
    page = (RESULTS / "discussion.md").read_text()
    assert f"({arch}.png)" in page and f"runs/results/{arch}.png" in page
    found = [r for r in records.read_all(RESULTS) if r.arch == arch and "angle_1" in r.rows[0]]
    assert {"bp", "sign-symmetry", "fa"} <= {r.rule for r in found}
    assert len({(r.data, r.epochs, r.seed) for r in found}) == 1


@pytest.fixture
def again(tmp_path, monkeypatch, command):
    """A copy of what is recorded, with its summaries made once more."""
    shutil.copytree(RESULTS, tmp_path / "runs" / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in FROM_CURVES:
        (tmp_path / "runs" / "results" / name).unlink()
    result = command("runs.report", "--out", "runs/results")
    assert result.status == 0, result
    return tmp_path / "runs" / "results"


def test_runs_report_makes_them_again(again):
    """Tables and page byte by byte, of each JSON what it says of the runs."""
    for name in [*FROM_CURVES, "README.md", "all_runs.md"]:
        assert (again / name).read_bytes() == (RESULTS / name).read_bytes(), name
    for path in RESULTS.glob("*.json"):
        mine, theirs = (json.loads(p.read_text()) for p in (path, again / path.name))
        for about in (mine, theirs):
            about.pop("command"), about.pop("versions")
        assert mine.items() >= theirs.items(), path.name


@pytest.mark.parametrize("name", ["figure2", "figure6", "figure8"])
def test_curves(name):
    """Each row is in the metrics.csv of a run, every epoch of it; the JSON lists these runs."""
    methods = {"BP": ("bp", ""), "DTP, parallel": ("dtp", "parallel"),
               "SDTP, parallel": ("sdtp", "parallel")}
    groups = {}
    for row in table(RESULTS / f"{name}.csv"):
        rule, schedule = (methods[row["method"]] if name == "figure6" else
                          (lambda m: (m[0], m[1] or ""))(paper.method(row["method"])))
        key = (row.get("network", "mnist-autoencoder"), rule, schedule, int(row["seed"]))
        groups.setdefault(key, []).append(row)
        assert row["whose"] == "recorded"
    shown = []
    for key, rows in groups.items():
        (run,) = [run for run in runs_of(*key) if len(curve(run)) == len(rows)]
        shown.append(run)
        for row, epoch in zip(rows, curve(run), strict=True):
            assert int(row["epochs"]) == len(rows)
            for column in ("epoch", "train_error", "test_error"):
                assert float(row[column]) == float(epoch[column])
    about = json.loads((RESULTS / f"{name}.json").read_text())
    assert about["runs"] == [{"run": run, "whose": "recorded", "epochs": len(curve(run))}
                             for run in shown]


def test_table_1():
    for row in table(RESULTS / "table1.csv"):
        runs = runs_of(row["network"], row["rule"], row["schedule"])
        if not row["seeds"]:
            assert not runs
            continue
        longest = {}
        for run in runs:
            seed = RUNS[run]["arguments"]["seed"]
            longest[seed] = max([longest.get(seed, []), curve(run)], key=len)
        curves = [longest[seed] for seed in sorted(longest)]
        assert row["epochs"] == "/".join(str(len(rows)) for rows in curves)
        for part in ("train", "test"):
            best = [min(float(r[f"{part}_error"]) for r in rows) for rows in curves]
            assert float(row[part]) == pytest.approx(statistics.mean(best), rel=1e-12)
            assert float(row[f"{part}_low"]) == min(best)
            assert float(row[f"{part}_high"]) == max(best)


def test_figure_4():
    path = RESULTS / "figure4_cifar-fc-parallel.csv"
    epochs = json.loads(path.with_suffix(".json").read_text())["epochs"]
    found = {}
    for run, config in RUNS.items():
        setting = config["hyperparameters"]
        is_one = (config["arguments"]["arch"], setting.get("schedule")) == ("cifar-fc", "parallel")
        is_one &= config["arguments"]["rule"] in ("sdtp", "ao-sdtp")
        is_one &= set(records.differences(records.read(RESULTS / run))) <= {"aux"}
        if is_one and len(curve(run)) >= epochs:
            errors = [float(row["test_error"]) for row in curve(run)][:epochs]
            found[str(setting.get("aux", 0))] = min(errors), errors[-1], len(errors)
    assert len(found) > 3
    assert found == {row["aux"]: (float(row["best_test_error"]), float(row["final_test_error"]),
                                  int(row["epochs"])) for row in table(path)}


@pytest.mark.parametrize("search", sorted(path.name for path in RESULTS.glob("search_*")))
def test_searches(search):
    """configs.csv is what curves.csv says, figure5.csv what configs.csv says."""
    curves = table(RESULTS / search / "curves.csv")
    about = json.loads((RESULTS / search / "search.json").read_text())
    accuracies = []
    for row in table(RESULTS / search / "configs.csv"):
        rows = [r for r in curves if r["config"] == row["config"]]
        assert len(rows) == int(row["epochs"])
        if row["state"] == "done":
            best = min(rows, key=lambda r: float(r[f"{row['selected_on']}_error"]))
            assert float(best[f"{row['selected_on']}_error"]) == float(row["error"])
            assert float(best["test_error"]) == float(row["test_error_there"])
            assert int(best["epoch"]) == int(row["best_epoch"])
        accuracies.append(100 - float(row["error"]))
    shown = [float(row["accuracy"]) for row in table(RESULTS / "figure5.csv")
             if (row["rule"], row["schedule"], row["ranges"]) == (
                 about["rule"], about["schedule"] or "", about["ranges"])]
    assert sorted(shown) == sorted(accuracies)


def test_extrapolated():
    """Of every long run of cifar-fc, as it is recorded."""
    rows = table(RESULTS / "extrapolated.csv")
    assert {row["run"] for row in rows} == {
        r.path.name for r in recorded() if r.epochs >= extrapolate.FEWEST
        and r.arch == "cifar-fc" and not records.differences(r)}
    for row in rows:
        again = extrapolate.row_of(records.read(RESULTS / row.pop("run")), int(row["epoch"]))
        assert {k: float(v) for k, v in row.items()} == pytest.approx(
            {k: v for k, v in again.items() if k != "run"}, rel=1e-6)


@pytest.mark.parametrize("name", INVERSES)
def test_inverses(name):
    """Both kinds of every seed and layer; the errors of the frozen are those of recorded runs."""
    rows = table(RESULTS / name)
    about = json.loads((RESULTS / name).with_suffix(".json").read_text())
    layers = {row["layer"] for row in rows}
    assert [(row["inverses"], int(row["seed"]), row["layer"]) for row in rows] == [
        (kind, seed, l) for seed in about["seeds"] for kind in ("trained", "frozen")
        for l in sorted(layers)]
    rule, schedule = paper.method(about["row"])
    for row in rows:
        frozen = [r for r in recorded() if (r.arch, r.rule, r.schedule, r.seed) == (
            about["network"], rule, schedule, int(row["seed"]))
            and r.config["hyperparameters"]["inverse_lr"] == FROZEN]
        if row["inverses"] == "frozen":
            run = frozen[0].first(int(row["epochs"]))  # it may have been trained on
            assert len(frozen) == 1
            assert float(row["best_test_error"]) == run.best()["test_error"]
            assert float(row["last_test_error"]) == run.rows[-1]["test_error"]
            assert int(row["epochs"]) == run.epochs


def test_pictures_of_figure_7():
    """Its parameters are not recorded; what it says of its runs can be held against them."""
    about = json.loads((RESULTS / "figure7.json").read_text())
    marks = {(row["method"], row["whose"], row["epochs"])
             for row in table(RESULTS / "figure7.csv")}
    assert len(marks) == len(about["runs"]) == 3
    assert {whose for _, whose, _ in marks} == {"recorded"}
    assert {int(epochs) for *_, epochs in marks} == {run["epochs"] for run in about["runs"]}


def test_no_recorded_run_names_a_place_of_the_machine_it_was_trained_on():
    for path in sorted((ROOT / "runs" / "results").glob("*/config.json")):
        config = json.loads(path.read_text())
        assert not config["data"]["path"].startswith("/"), path
