"""runs.search: what is drawn, that the best go on, resuming, divergence, and what is recorded."""

import csv
import json
import math
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from ref import begin, hyperparameters, normalisation, train
from runs import jobs, search, searches
from runs.command import STOPPED

NAME = "search_dense-8-softmax-10_sdtp-parallel_tiny"
OUT, WORK = Path("runs/out/results"), Path("runs/out/work")


@pytest.fixture
def run(command, here, tiny):
    base = ["--rule", "sdtp", "--arch", "dense 8, softmax 10", "--data", tiny, "--configs", 4,
            "--epochs", 2, "--validation", 50, "--jobs", 2]
    return lambda *more: command("runs.search", *base, *more)


def rows(file, name=NAME):
    with open(OUT / name / file) as handle:
        return list(csv.DictReader(handle))


# ---- what is drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [hyperparameters.TABLE_4, hyperparameters.WIDER],
                         ids=["Table 4", "wider"])
def test_draws_are_within_their_ranges(ranges):
    drawn = [search.draw(0, i, ranges) for i in range(500)]
    for key in drawn[0]:
        values = np.array([setting[key] for setting in drawn])
        allowed = ranges.get(key, ranges.get(key.removeprefix("inverse_")))
        if isinstance(allowed, list):
            assert set(values) == set(allowed)
            continue
        low, high = allowed
        assert (low * 0.9995 <= values).all() and (values <= high * 1.0005).all()
        # the halves of the range, on the scale it is drawn on, come equally often
        middle = math.sqrt(low * high) if key.endswith("lr") else (low + high) / 2
        assert abs((values < middle).mean() - 0.5) < 0.07, key
    assert {"alpha", "sigma", "lr", "inverse_lr", "inverse_beta2"} <= drawn[0].keys()


def test_a_configuration_is_a_function_of_seed_and_number():
    table = hyperparameters.TABLE_4
    assert search.draw(1, 7, table) == search.draw(1, 7, table)
    distinct = {tuple(search.draw(s, i, table).values()) for s in range(3) for i in range(50)}
    assert len(distinct) == 150
    setting = search.draw(0, 0, table)
    assert setting["lr"] != setting["inverse_lr"]


def test_the_wider_range_holds_table_5():
    for setting in hyperparameters.TABLE_5.values():
        for key, value in setting.items():
            wide = hyperparameters.WIDER
            allowed = wide.get(key, wide.get(key.removeprefix("inverse_")))
            assert (value in allowed if isinstance(allowed, list)
                    else allowed[0] <= value <= allowed[1]), (key, value)


# ---- a search ------------------------------------------------------------------------------------


def test_the_best_go_on(run, here):
    """All have --epochs, the best --keep of them --keep-epochs; the tables are what the runs
    recorded; the command and the entry that are printed are the best's."""
    result = run("--keep", 2, "--keep-epochs", 4)
    assert result.status == 0, result
    configs, curves = rows("configs.csv"), rows("curves.csv")
    assert [row["config"] for row in configs] == list("0123")
    by_config = {n: [row for row in curves if row["config"] == n] for n in "0123"}
    first = {n: min(float(row["validation_error"]) for row in by_config[n][:2]) for n in "0123"}
    kept = set(sorted(first, key=lambda n: (first[n], n))[:2])
    for row in configs:
        n = row["config"]
        assert len(by_config[n]) == int(row["epochs"]) == (4 if n in kept else 2)
        best = min(by_config[n], key=lambda r: float(r["validation_error"]))
        assert float(row["error"]) == float(best["validation_error"])
        assert row["best_epoch"] == best["epoch"]
        assert float(row["test_error_there"]) == float(best["test_error"])
        config = json.loads((WORK / NAME / f"config00{n}" / "config.json").read_text())
        for key, value in search.draw(0, int(n), hyperparameters.TABLE_4).items():
            if key != "alpha":  # SDTP has none
                assert config["hyperparameters"][key] == float(row[key]) == value
        assert config["arguments"]["validation"] == 50 and row["selected_on"] == "validation"
        assert "alpha" not in row

    best = min(configs, key=lambda row: (float(row["error"]), int(row["config"])))
    words = shlex.split(result.out.splitlines()[-1])
    assert words[:3] == ["python", "-m", "ref.train"] and "--validation" not in words
    setting, _ = begin.resolve(train.parser().parse_args(words[3:]))
    entry = "".join(result.out.splitlines()[-6:-1])
    found = eval("{" + entry + "}", {"_adam": hyperparameters._adam,
                                     "_inverse": hyperparameters._inverse})
    assert found.keys() == {("dense 8, softmax 10", "sdtp", "parallel")}
    assert next(iter(found.values())).keys() == (
        setting.keys() & {*search.draw(0, 0, hyperparameters.WIDER)})  # nothing is left to change
    for key, value in next(iter(found.values())).items():
        assert value == setting[key] == float(best[key])

    about = json.loads((OUT / NAME / "search.json").read_text())
    assert (about["ranges"], about["selected_on"], about["chance"]) == ("Table 4", "validation", 90)


@pytest.mark.slow
def test_going_on(run, here):
    """The same command again trains nothing; more configurations and epochs add to what is there,
    and end as if asked for at once."""
    assert run("--configs", 1, "--epochs", 1).status == 0
    first = rows("curves.csv")
    assert "training" not in run("--configs", 1, "--epochs", 1).out
    assert rows("curves.csv") == first
    result = run("--configs", 2)
    assert "training 2 of 2" in result.out
    assert run("--configs", 2, "--out", "other", "--work", "whole").status == 0
    assert (OUT / NAME / "curves.csv").read_bytes() == Path(
        "other", NAME, "curves.csv").read_bytes()
    assert (OUT / NAME / "configs.csv").read_bytes() == Path(
        "other", NAME, "configs.csv").read_bytes()


@pytest.mark.slow
def test_the_selection_stays_when_some_have_gone_on(run, here):
    """It is by the first --epochs alone: config 1 is the best there, though config 0 is later."""
    assert run("--configs", 2).status == 0
    for number, errors in ((0, [50, 40, 1]), (1, [45, 30])):
        with open(WORK / NAME / f"config00{number}" / "metrics.csv", "w") as file:
            file.write("epoch,train_error,validation_error,test_error,seconds\n")
            file.writelines(f"{k},1,{error},60,1\n" for k, error in enumerate(errors, 1))
    result = run("--configs", 2, "--keep", 1, "--keep-epochs", 3)
    assert result.status == 0 and "[1/1] config001: 3 epochs" in result.out


@pytest.mark.slow
def test_interrupted(run, monkeypatch, here):
    """Ctrl-C after the second run: what there is is recorded, and the same command goes on."""
    ended = []

    class Process(jobs.Process):
        def outcome(self):
            outcome = super().outcome()
            ended.extend([self] if outcome else [])
            if len(ended) == 2:
                raise KeyboardInterrupt
            return outcome

    with monkeypatch.context() as m:
        m.setattr(jobs, "Process", Process)
        result = run("--jobs", 1)
    said = [line for line in result.err.splitlines() if "matplotlib" not in line]
    assert result.status == 130 and said == [STOPPED]
    assert [row["state"] for row in rows("configs.csv")] == ["done", "done", "missing",
                                                             "missing"]
    assert run().status == 0
    assert [row["state"] for row in rows("configs.csv")] == ["done"] * 4


def test_only_finished_runs_are_ranked(run, monkeypatch, here):
    """One that failed half way has no place, however good it was until then."""
    assert run("--configs", 2).status == 0
    with open(WORK / NAME / "config000" / "metrics.csv", "w") as file:
        file.write("epoch,train_error,validation_error,test_error,seconds\n1,1,0.5,60,1\n")
    monkeypatch.setattr(jobs, "run", lambda todo, *_, **__: {
        job: jobs.Outcome("failed", "disk full") for job in todo})
    result = run("--configs", 2)
    assert result.status == 1 and "config 0:" not in result.out and "config 1:" in result.out
    half, whole = rows("configs.csv")
    assert (half["state"], half["epochs"], half["error"]) == ("failed", "1", "")
    assert whole["error"]


def test_one_diverges(run, monkeypatch, here):
    """It counts as chance, is never kept, and stays in the tables and the histogram."""
    table = hyperparameters.TABLE_4 | {"lr": [1e-3, 3e38]}
    monkeypatch.setattr(hyperparameters, "TABLE_4", table)
    large = {i for i in range(4) if search.draw(0, i, table)["lr"] > 1}
    assert 0 < len(large) < 4
    result = run("--keep", 4, "--keep-epochs", 3)
    assert result.status == 0 and "Traceback" not in result.err
    for row in rows("configs.csv"):
        if int(row["config"]) in large:
            assert (row["state"], row["error"], row["best_epoch"]) == ("diverged", "90.0", "")
            assert "NaN" in row["reason"]
        else:
            assert (row["state"], row["epochs"], row["reason"]) == ("done", "3", "")
    assert "training" not in run("--keep", 4, "--keep-epochs", 3).out


def test_selection_on_the_test_set_says_so(run, command, here, tiny):
    result = command("runs.search", "--rule", "bp", "--arch", "dense 8, softmax 10", "--data", tiny,
                     "--configs", 2, "--epochs", 2, "--select-on-test", "--wider")
    assert result.status == 0
    name = "search_dense-8-softmax-10_bp_tiny_wider_on-test"
    about = json.loads((OUT / name / "search.json").read_text())
    assert (about["ranges"], about["selected_on"]) == ("wider than Table 4", "test")
    assert "selected on the test set" in result.out
    for row in rows("configs.csv", name):
        errors = [float(r["test_error"]) for r in rows("curves.csv", name)
                  if r["config"] == row["config"]]
        assert row["selected_on"] == "test" and float(row["error"]) == min(errors)
        assert "sigma" not in row and "batch_size" in row
    arguments = json.loads((WORK / name / "config000" / "config.json").read_text())["arguments"]
    assert arguments["validation"] == 0


def test_figure_5(run, command, here):
    """The histogram's counts are the table's."""
    assert run("--configs", 2).status == 0
    assert command("runs.figure5").status == 0
    with open(OUT / "figure5.csv") as file:
        accuracies = [float(row["accuracy"]) for row in csv.DictReader(file)]
    assert accuracies == [100 - float(row["error"]) for row in rows("configs.csv")]
    if "matplotlib" in sys.modules:
        for path in (OUT / "figure5.png", OUT / NAME / "histogram.png"):
            assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(("arguments", "names"), [
    (["--rule", "nonsense"], ["nonsense"]), (["--configs", "0"], ["--configs"]),
    (["--arch", "dense"], ["dense"]), (["--data", "nothere"], ["nothere"]),
    (["--validation", "200"], ["200"]), (["--validation", "0"], ["--validation"]),
    (["--select-on-test"], ["--select-on-test"]),  # beside --validation
    (["--keep-epochs", "1"], ["--keep-epochs"]), (["--keep", "-1"], ["--keep"]),
    (["--rule", "bp", "--schedule", "parallel"], ["--schedule", "bp"]),
    (["--search-seed", "x"], ["--search-seed"]),
])
def test_bad_input(command, here, tiny, arguments, names):
    base = ["--rule", "sdtp", "--arch", "dense 8, softmax 10", "--data", tiny, "--configs", 2,
            "--epochs", 2, "--validation", 50]
    command.refused("runs.search", *base, *arguments, names=names)


def test_another_search_in_the_same_place(run, command, here, tiny):
    assert run("--configs", 1, "--epochs", 1).status == 0
    command.refused("runs.search", "--rule", "sdtp", "--arch", "dense 8, softmax 10", "--data",
                    tiny, "--configs", 1, "--epochs", 1, "--validation", 40,
                    names=["validation", "50", "40"])
    command.refused("runs.figure5", "--out", "empty", names=["empty"])


def test_other_options_are_drawn_too(command, here, tiny):
    """Words, lists and ranges; what else is drawn stays as it was without them."""
    line = ["runs.search", "--rule", "fa", "--arch", "dense 6, softmax 10", "--data", tiny,
            "--configs", 3, "--epochs", 1, "--validation", 50]
    vary = ["--vary", "batch_size=10,20", "--vary", "normalise=none,symmetric", "--vary",
            "feedback_scale=0.5:4", "--vary", "feedback-law=normal,liao2016"]
    assert command(*line).status == 0
    result = command(*line, *vary)
    assert result.status == 0 and "--normalise" in result.out.splitlines()[-1], result
    tables = []
    for name in ("", "_vary-batch_size-feedback_law-feedback_scale-normalise"):
        about, rows = searches.read(f"runs/out/results/search_dense-6-softmax-10_fa_tiny{name}")
        tables.append([searches.setting_of(row) for row in rows])
    assert "batch_size 10, 20;" in about["ranges"] and "scale 0.5 to 4.0" in about["ranges"]
    for usual, more in zip(*tables, strict=True):
        assert {key: more[key] for key in usual if key != "batch_size"} == {
            key: usual[key] for key in usual if key != "batch_size"}
        assert more["batch_size"] in ("10", "20") and 0.5 <= float(more["feedback_scale"]) <= 4
        assert more["normalise"] in normalisation.KINDS and more["feedback_law"] != "as-weights"
    assert len({row["feedback_scale"] for row in tables[1]}) == 3
    for bad, named in (("sigma=1,2", "fa has no such option"), ("magic=1", "OPTION=VALUE"),
                       ("lr=2:1", "LOW:HIGH"), ("batch_size=0", "batch_size=0"),
                       ("batch_size=10:200", "from a list"),
                       ("normalise=twice", "twice"), ("lr", "OPTION=VALUE")):
        command.refused(*line, "--vary", bad, names=[named])
