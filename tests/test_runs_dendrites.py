"""runs.dendrites: figures with test errors, measures image by image, the picture of an image."""

import csv
import json

import numpy as np
import pytest
from conftest import noise_images

import ref
from ref import evaluation, settings
from ref.data import open_data
from ref.dendrites import measures
from runs.dendrites import measure, paper

RUNS = "runs.dendrites.__main__"


@pytest.fixture
def small(here):
    return noise_images(here / "small.h5", shape=(5, 5, 1))


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_every_condition_is_a_setting():
    for figure in paper.FIGURES.values():
        assert len({condition.name for condition in figure}) == len(figure)
        for condition in figure:
            setting, _ = settings.resolve("segregated-dendrites", condition.arch,
                                              **condition.options)
            assert all(setting[key] == value for key, value in condition.options.items())


def test_figure_6_trains_what_is_missing(small, command):
    pytest.importorskip("matplotlib", reason="it draws (extra: plots)")
    line = ["figure6", "--data", small, "--out", "out", "--work", "work", "--only", "no hidden"]
    first = command(RUNS, *line, "--epochs", 1)
    assert first.status == 0 and "training 1 of 1 runs" in first.out
    assert "no hidden layer" in first.out and "the paper, 60 epochs: 8.3" in first.out
    again = command(RUNS, *line, "--epochs", 1)
    assert again.status == 0 and "training" not in again.out
    assert "training 1 of 1" in command(RUNS, *line, "--epochs", 2).out
    found, = rows("out/dendrites_figure6.csv")
    assert (found["epochs"], found["whose"], found["paper_60_epochs"]) == ("2", "yours", "8.3")
    assert json.load(open("out/dendrites_figure6.json"))["runs"][0]["epochs"] == 2
    assert (small.parent / "out/dendrites_figure6.png").stat().st_size > 5000
    drawn = command(RUNS, *line, "--draw", "--epochs", 1)
    assert drawn.status == 0 and "1 epochs" in drawn.out


@pytest.mark.parametrize("more, named", (
    (["figure6", "--only", "ten layers"], "no condition of figure6"),
    (["figure7", "--arch", "softmax 10"], "hidden layer"),
    (["figure7", "--images", "99"], "at least 100"),
    (["raster", "--run", "nowhere"], "nowhere")), ids=str)
def test_what_can_not_be_done_is_one_line(more, named, small, command):
    command.refused(RUNS, *more, "--data", small, names=[named])


def test_figure_7_is_what_a_trainer_does(small, command):
    """Tables with a row for a hundred images; measured, it learns what it learns anyway."""
    done = command(RUNS, "figure7", "--data", small, "--arch", "dense 20, softmax 10", "--out",
                   "out")
    assert done.status == 0 and "the paper: about 90°" in done.out
    table = rows("out/dendrites_figure7.csv")
    assert [(row["fed_back"], row["images"]) for row in table] == [
        ("spikes", "100"), ("spikes", "200"), ("rates", "100"), ("rates", "200")]
    assert all(0 < float(row["angle_1"]) < 180 and float(row["mu"]) > 0 for row in table)
    classes = rows("out/dendrites_figure5.csv")
    assert len(classes) == 20 and all(abs(float(row["correlation"])) <= 1 for row in classes)
    assert sum(int(row["images"]) for row in classes) == 400

    data = open_data(small)
    watched, alone = (ref.Trainer("segregated-dendrites", "dense 20, softmax 10", (5, 5, 1))
                      for _ in range(2))
    seen = list(measure.follow(watched, data.train, 1, 0, images=100))
    for k, (image, label) in enumerate(data.train.epoch(1, 0, 1)):
        if k == 100:
            break
        x, y = evaluation.batch_of(alone.net, image, label, np, np.dtype("float32"))
        params = {s: {l: a.copy() for l, a in layers.items()}
                  for s, layers in alone.params.items()}
        example = alone.step(x, y)["examples"][0]
        want = measures.angles(alone.c, params, example)[1]  # with the weights before the update
        assert seen[k]["angle_1"] == pytest.approx(want, abs=1e-9)
        assert seen[k]["label"] == label[0]
    assert np.array_equal(watched.params["W"][2], alone.params["W"][2])
    assert float(table[0]["angle_1"]) == pytest.approx(np.mean([row["angle_1"] for row in seen]))
    assert seen[-1]["mu"] == pytest.approx(float(table[0]["mu"])) and "mu" not in seen[0]


def test_what_options_do_to_the_first_images(small, command):
    done = command(RUNS, "first", "--data", small, "--images", 5, "--out", "out", "--only",
                   "no hidden", "--only", "doubled", "--only", "noise")
    assert done.status == 0
    found = rows("out/dendrites_first.csv")
    assert [row["condition"] for row in found] == [
        "no hidden layer", "symmetric feedback, noise", "range of weights doubled"]
    assert found[2]["options"] == "initial_range=doubled"
    assert all(0 <= float(row["train_error"]) <= 100 for row in found)
    command.refused(RUNS, "first", "--data", small, "--only", "nothing", names=["no condition"])


def test_a_network_is_tested_several_times(small, command):
    """The first is what ref.train recorded; the others differ, by noise alone."""
    line = ["--rule", "segregated-dendrites", "--arch", "dense 20, softmax 10", "--data", small]
    assert command("ref.train", *line, "--epochs", 1, "--test-ms", 32, "--lr", 1e-4,
                   "--output-lr", 1e-4, "--out", "run").status == 0
    done = command(RUNS, "tests", "run", "--data", small, "--repeats", 3, "--out", "out")
    assert done.status == 0 and "mean" in done.out
    found = [float(row["test_error"]) for row in rows("out/dendrites_tests.csv")]
    assert found[0] == float(rows("run/metrics.csv")[-1]["test_error"])
    assert len(set(found)) > 1 and max(found) - min(found) < 30


def test_a_raster_of_a_run(small, command):
    pytest.importorskip("matplotlib", reason="it draws (extra: plots)")
    line = ["--rule", "segregated-dendrites", "--arch", "dense 20, softmax 10", "--data", small]
    assert command("ref.train", *line, "--epochs", 1, "--test-ms", 60, "--out", "run").status == 0
    fresh = command(RUNS, "raster", "--data", small, "--out", "fresh", "--digit", 3)
    trained = command(RUNS, "raster", "--data", small, "--run", "run", "--out", "out")
    for done, folder in ((fresh, "fresh"), (trained, "out")):
        assert done.status == 0 and "Hz forward" in done.out
        assert (small.parent / folder / "dendrites_raster.png").stat().st_size > 20000
    assert fresh.out.startswith("class c3")
    spikes = rows("fresh/dendrites_raster.csv")
    assert {row["layer"] for row in spikes} == {"0", "1", "2"}
    assert 100 <= max(int(row["ms"]) for row in spikes) < 250
