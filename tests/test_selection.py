"""The best epoch on the validation part: picked, kept, reported; early stopping; random parts."""

import csv
import re
import shutil

import h5py
import numpy as np
import pytest
from checks import assert_same_bits
from conftest import noise_images

import ref
from ref import data, folder, selection
from ref.common.command import UserError
from ref.network import flat
from ref.parts import held_out


def rows(*errors):
    return [{"epoch": k, "validation_error": e, "test_error": -e} for k, e in enumerate(errors, 1)]


@pytest.mark.parametrize("errors, best", [([3, 2, 4], 2), ([2, 2, 2], 1), ([5, 4, 4, 3], 4)])
def test_the_first_lowest(errors, best):
    assert selection.best(rows(*errors))["epoch"] == best
    assert selection.is_best(rows(*errors)) == (best == len(errors))


def test_without_a_validation_part_none_is_picked():
    found = [{"epoch": 1, "test_error": 3.0}]
    assert selection.best(found) is None and not selection.is_best(found)
    assert not selection.exhausted(found, 1) and not selection.exhausted([], 1)


@pytest.mark.parametrize("errors, patience, end", [
    ([3, 2, 4], 2, False), ([3, 2, 4, 2], 2, True), ([3, 3], 1, True), ([3, 2, 9, 9], None, False)])
def test_patience(errors, patience, end):
    assert selection.exhausted(rows(*errors), patience) is end


# ---- which examples ------------------------------------------------------------------------------


def test_held_out():
    assert [r.start for r in held_out(10, 3)] == [0, 7]
    train, held = held_out(100, 30, seed=1)
    assert len(held) == 30 and sorted([*train, *held]) == list(range(100))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    assert (held_out(100, 30, seed=1)[1] == held).all()
    assert (held_out(100, 30, seed=2)[1] != held).any()


def test_a_random_part_of_a_file(here):
    path = noise_images(here / "d.h5")
    whole = data.open_data(path).train
    opened = data.open_data(path, 50, split_seed=3)
    train, held = held_out(200, 50, 3)
    assert_same_bits({"x": opened.train.images, "y": opened.validation.labels},
                     {"x": whole.images[train], "y": whole.labels[held]})
    assert opened.digest == data.open_data(path).digest


# ---- runs ----------------------------------------------------------------------------------------

NET = "dense 8, softmax 10"


def mixed(path):
    """The same examples in another order, as a data set of their own."""
    with h5py.File(shutil.copy(path, "mixed.h5"), "a") as file:
        for name in ("images", "labels"):
            file[f"train/{name}"][...] = file[f"train/{name}"][:][::-1]
    return "mixed.h5"


@pytest.fixture
def line(digits):
    return ["ref.train", "--rule", "bp", "--arch", NET, "--data", digits, "--lr", 0.3,
            "--validation", 500, "--epochs", 6, "--seed", 1]


def metrics(run):
    with open(f"{run}/metrics.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_the_best_epoch_is_kept(command, line, digits, here):
    """Its parameters are those that a run of so many epochs ends with, and evaluate so."""
    result = command(*line, "--out", "run")
    best = selection.best(metrics("run"))
    assert 1 < best["epoch"] < 6  # or the test would show nothing
    assert command(*line, "--epochs", int(best["epoch"]), "--out", "short").status == 0
    assert_same_bits(folder.read_parameters("run", best=True), folder.read_parameters("short"))
    words = (f"best validation error {best['validation_error']:.2f} % (epoch {best['epoch']:.0f}), "
             f"test error there {best['test_error']:.2f} %, final "
             f"{metrics('run')[-1]['test_error']:.2f} %")
    assert result.out.splitlines()[-1] == words
    train = h5py.File(digits)["train/labels"].shape[0] - 500
    for more in ([], ["--data", digits]):  # by digest, by name: the parts that it trained with
        said = command("ref.evaluate", "run", *more, "--best").out
        assert re.search(rf"^train .*\({train} examples\)$", said, re.M)
        for part in ("validation", "test"):
            assert re.search(rf"^{part} +error {best[f'{part}_error']:.2f} %", said, re.M)
        last = command("ref.evaluate", "run", *more).out
        assert not re.search(rf"^test +error {best['test_error']:.2f} %", last, re.M)
    other = command("ref.evaluate", "run", "--data", mixed(digits)).out
    assert "validation" not in other and f"({train + 500} examples)" in other
    assert_same_bits(flat(ref.load("run", best=True).params),
                     {k: a for k, a in folder.read_parameters("run", best=True).items()})


def test_early_stopping(command, line, here):
    """The same run up to there; its checkpoint knows that it is done; the rest is refused."""
    assert command(*line, "--out", "whole").status == 0
    best = int(selection.best(metrics("whole"))["epoch"])
    result = command(*line, "--patience", 1, "--checkpoint-every", 100, "--out", "early")
    rows = metrics("early")
    first = next(k for k in range(1, 6) if rows[k]["validation_error"] >= min(
        row["validation_error"] for row in rows[:k]))
    assert len(rows) == first + 1 <= 6 and result.status == 0
    assert f"stopped early: no lower validation error since epoch {first}" in result.out
    for ours, theirs in zip(rows, metrics("whole"), strict=False):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    again = command("ref.train", "--resume", "early", "--epochs", 9)
    assert again.status == 0 and len(metrics("early")) == first + 1
    assert "stopped early" in again.out
    assert best >= first


def test_a_random_part_in_a_run(command, line, here):
    """Another part, so another run; the seed decides; resumed, it is the same part."""
    for name, more in (("last", []), ("random", ["--validation-split", "random"])):
        assert command(*line, *more, "--epochs", 2, "--out", name).status == 0
    assert metrics("last")[0]["validation_error"] != metrics("random")[0]["validation_error"]
    assert command(*line, "--validation-split", "random", "--epochs", 1, "--out",
                   "short").status == 0
    assert command("ref.train", "--resume", "short", "--epochs", 2).status == 0
    assert_same_bits(folder.read_parameters("short"), folder.read_parameters("random"))


def test_without_validation_there_is_no_best(command, line, digits, here):
    given = line.copy()
    del given[given.index("--validation"):given.index("--validation") + 2]
    result = command(*given, "--epochs", 1, "--out", "run")
    assert re.match(r"best test error .* \(epoch 1\), final", result.out.splitlines()[-1])
    assert not (here / "run" / folder.BEST).exists()
    command.refused("ref.evaluate", "run", "--data", digits, "--best",
                    names=["parameters_best.h5", "--validation"])
    for option, value in (("--patience", 2), ("--validation-split", "random")):
        command.refused(*given, option, value, names=[option, "--validation N"])


def test_a_streamed_part_can_not_be_random(tiny, monkeypatch):
    with pytest.raises(UserError, match="--validation-split random: .*only the last ones"):
        data.open_data(tiny, 50, split_seed=0, memory_limit=0)


def test_from_python(digits, tmp_path):
    train = data.open_data(digits).train
    given = {"rule": "bp", "arch": NET, "data": (train.images, train.labels), "lr": 0.3,
             "validation": 300, "validation_split": "random", "epochs": 5, "patience": 2}
    run = ref.fit(**given)
    written = ref.fit(**given, out=tmp_path / "out")
    assert_same_bits(run.at_best().params, written.at_best().params)
    best = selection.best(run.rows)
    assert best["epoch"] < len(run.rows)
    x, y = (part[-(len(train) // 6):] for part in (train.images, train.labels))
    assert 100 * np.mean(run.at_best().predict(x) != y) == pytest.approx(best["test_error"])
    run.save(tmp_path / "saved")
    assert_same_bits(ref.load(tmp_path / "saved", best=True).params, run.at_best().params)
    with pytest.raises(UserError, match="validation=N"):
        ref.fit("bp", NET, (train.images, train.labels), epochs=1).at_best()
