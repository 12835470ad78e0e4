"""runs.figure2, 4, 6_7 and 8: what they draw, and that they go on."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import content, noise_images
from run_folders import make

from ref import folder, plots
from runs import figures, jobs, paper, records

OUT, WORK = Path("runs/out/results"), Path("runs/out/work")
RECORDED = Path("runs/results")


def rows(name):
    with open(OUT / f"{name}.csv") as file:
        return list(csv.DictReader(file))


def assert_named(result, name):
    """Every file of a figure is named on stdout."""
    for path in OUT.glob(f"{name}.*"):
        assert f"wrote {path}" in result.out.splitlines()


def assert_picture(name):
    """A whole PNG of some size, where matplotlib is there to draw it."""
    try:
        plots.pyplot()
    except plots.PlotsError:
        pytest.skip("matplotlib is not installed (extra: plots)")
    png = (OUT / f"{name}.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    width, height = (int.from_bytes(png[k : k + 4]) for k in (16, 20))
    assert width > 400 and height > 300


@pytest.mark.parametrize(("module", "family"), [("figure2", "cifar"), ("figure8", "mnist")])
def test_curves_of_what_is_recorded(command, here, module, family):
    """Default runs alone, every epoch; a variant is left out."""
    make(OUT / "a", "bp", f"{family}-fc", test=[50, 40])
    make(OUT / "b", "dtp-alternating", f"{family}-fc", test=[30, 20, 10])
    make(OUT / "c", "bp-conv", f"{family}-lc", test=[5], seed=1)
    make(OUT / "d", "fa", f"{family}-lc", lr=0.5)
    assert command(f"runs.{module}").status == 0
    found = [(r["network"], r["method"], r["epoch"], float(r["test_error"])) for r in rows(module)]
    assert sorted(found) == sorted(
        [(f"{family}-fc", "bp", f"{k}.0", e) for k, e in ((1, 50), (2, 40))]
        + [(f"{family}-fc", "dtp-alternating", f"{k}.0", e) for k, e in ((1, 30), (2, 20), (3, 10))]
        + [(f"{family}-conv", "bp-conv", "1.0", 5)])
    about = json.loads((OUT / f"{module}.json").read_text())
    assert [run["run"] for run in about["runs"]] == ["b", "a", "c"]
    assert {run["run"]: run["epochs"] for run in about["runs"]} == {"a": 2, "b": 3, "c": 1}
    assert about["versions"]["processor"] is not None
    assert_picture(module)


def drawn(*panels, **more):
    """The figure of error_curves; skips where there is no matplotlib."""
    try:
        return figures.error_curves(plots.pyplot(), panels, **more)
    except plots.PlotsError:
        pytest.skip("matplotlib is not installed (extra: plots)")


def lines_of(axes):
    return {tuple(line.get_ydata()): line for line in axes.lines}


def test_train_and_test_in_panels_of_their_own_with_the_papers_errors(here):
    """A colour a rule, dashes for alternating, the paper's best at the right of the test panel."""
    make(here / "a", "bp", test=[3, 2], train=[1, 0])
    make(here / "b", "dtp-alternating")
    cells, _ = records.cells(records.read_all(here))
    figure = drawn(("net", figures.runs_of(cells, "mnist-fc", "mnist")),
                   published={"net": paper.TABLE_1["mnist-fc"]})
    train, test = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["net: train", "net: test"]
    assert set(lines_of(train)) == {(1, 0), (25, 10, 15)} and train.get_ylim()[0] < 0
    lines = lines_of(test)
    assert set(lines) == {(3, 2), (50, 20, 30), (1.48,), (1.83,)}
    assert lines[3, 2].get_linestyle() == "-" and lines[50, 20, 30].get_linestyle() == "--"
    assert lines[1.48,].get_color() == lines[3, 2].get_color()
    assert lines[1.48,].get_marker() == "<" and test.get_ylim()[0] < 1.48
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["DTP, alternating", "BP", "the paper's best of 500 epochs"]
    assert test.get_xlabel() == "epoch" and test.get_ylabel() == "error (%)"


def test_recorded_ones_are_faint_beside_yours(here):
    runs = [("bp", records.read(make(RECORDED / "a", test=[3, 2]))),
            ("bp", records.read(make(here / "b", test=[4])))]
    figure = drawn(("net", runs))
    lines = lines_of(figure.axes[1])
    assert lines[4,].get_marker() == "o" and lines[3, 2].get_marker() == "None"
    assert lines[4,].get_alpha() is None and lines[3, 2].get_alpha() < 1
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["BP (recorded)", "BP (yours)"]


def test_a_panel_needs_ten_epochs_where_others_have_them(here, capsys):
    """Three epochs say nothing beside hundreds; where there is nothing else they are drawn."""
    short = ("short", [("bp", records.read(make(here / "a", test=[3, 2])))])
    long = ("long", [("bp", records.read(make(here / "b", test=[3.0] * 10)))])
    assert [axes.get_title() for axes in drawn(short, long).axes] == ["long: train", "long: test"]
    assert "short: not drawn, its longest run has 2 of at least 10" in capsys.readouterr().out
    assert [axes.get_title() for axes in drawn(short).axes] == ["short: train", "short: test"]


def test_figure_8_trains_yours(command, here, tiny, monkeypatch):
    """Recorded or not, yours are trained; drawn are both, each marked."""
    make(RECORDED / "bp", "bp", data="tiny", test=[9, 8])
    monkeypatch.setitem(paper.TABLE_1, "mnist-fc", {"bp": None, "fa": None})
    before = content(RECORDED)
    result = command("runs.figure8", "--data", tiny, "--epochs", 1, "--nets", "fc", "--jobs", 2)
    assert result.status == 0 and "training 2 of 2" in result.out
    expected = {("bp", "recorded", "2"), ("bp", "yours", "1"), ("fa", "yours", "1")}
    marks = ("method", "whose", "epochs")
    assert {tuple(row[key] for key in marks) for row in rows("figure8_tiny")} == expected
    assert content(RECORDED) == before
    assert_named(result, "figure8_tiny")
    assert_picture("figure8_tiny")
    for more in ([], ["--epochs", 1]):
        (OUT / "figure8_tiny.csv").unlink()
        again = command("runs.figure8", "--data", tiny, "--nets", "fc", *more)
        assert again.status == 0 and "training" not in again.out
        assert {tuple(row[key] for key in marks) for row in rows("figure8_tiny")} == expected


def test_figure_4(command, here, tiny):
    """A recorded run for each size, with that many units; more sizes go on from what is there."""
    line = ["runs.figure4", "--data", tiny, "--epochs", 1, "--jobs", 2]
    assert command(*line, "--aux", "0,512").status == 0
    assert "training 1 of 3" in command(*line, "--aux", "0,16,512").out
    name = "figure4_mnist-fc-parallel_tiny"
    assert [(row["aux"], row["epochs"], row["state"]) for row in rows(name)] == [
        ("0", "1", "done"), ("16", "1", "done"), ("512", "1", "done")]
    for row in rows(name):
        size = {"512": ""}.get(row["aux"], f"-aux{row['aux']}")  # 512 is a cell of Table 1
        run = f"mnist-fc_ao-sdtp-parallel{size}_tiny"
        record = records.read(OUT / run)
        assert record.config["hyperparameters"]["aux"] == int(row["aux"])
        assert record.best()["test_error"] == float(row["best_test_error"])
        with h5py.File(WORK / run / "parameters.h5") as file:
            assert file["V_6"].shape == (10 + int(row["aux"]), 256)
    assert_picture(name)


def test_figure_4_takes_runs_of_table_1(command, here):
    """On CIFAR-10, AO-SDTP's cell and, for 0 units, SDTP's: they share all hyperparameters."""
    noise_images(here / "cifar10.h5", shape=(32, 32, 3))
    make(RECORDED / "cifar-fc_ao-sdtp-parallel", "ao-sdtp-parallel", "cifar-fc", test=[47, 46])
    make(RECORDED / "cifar-fc_sdtp-parallel", "sdtp-parallel", "cifar-fc", test=[56, 55, 9])
    make(RECORDED / "other", "ao-sdtp-parallel", "cifar-fc", aux=0, lr=0.5, test=[1, 1])
    result = command("runs.figure4", "--data", "cifar10.h5", "--aux", "0,512", "--epochs", 2,
                     "--out", RECORDED)
    assert result.status == 0 and "training" not in result.out
    with open(RECORDED / "figure4_cifar-fc-parallel.csv") as file:
        found = list(csv.DictReader(file))
    assert [(row["aux"], row["whose"], float(row["best_test_error"])) for row in found] == [
        ("0", "recorded", 55), ("512", "recorded", 46)]


def test_figure_4_beside_what_is_recorded(command, here, tiny):
    """As it was after as many epochs as yours; one with fewer is left out."""
    make(RECORDED / "a", "ao-sdtp-parallel", "mnist-fc", data="tiny", test=[40, 30, 20], aux=16)
    make(RECORDED / "b", "ao-sdtp-parallel", "mnist-fc", data="tiny", test=[40])
    before = content(RECORDED)
    result = command("runs.figure4", "--data", tiny, "--aux", "16", "--epochs", 2)
    assert result.status == 0 and content(RECORDED) == before
    found = [(r["aux"], r["whose"], r["epochs"]) for r in rows("figure4_mnist-fc-parallel_tiny")]
    assert found == [("16", "recorded", "2"), ("16", "yours", "2")]
    assert float(rows("figure4_mnist-fc-parallel_tiny")[0]["best_test_error"]) == 30
    assert_named(result, "figure4_mnist-fc-parallel_tiny")


def test_figures_6_and_7(command, here, tiny):
    """Three autoencoders, their curves, and errors of the images that are shown."""
    result = command("runs.figure6_7", "--data", tiny, "--epochs", 1, "--jobs", 2)
    assert result.status == 0, result
    methods = ["BP", "DTP, parallel", "SDTP, parallel"]
    assert [row["method"] for row in rows("figure6_tiny")] == methods
    shown = rows("figure7_tiny")
    assert [row["method"] for row in shown] == [m for m in methods for _ in range(10)]
    # BP's first image, computed here from the parameters
    p = {}
    with h5py.File(WORK / "mnist-autoencoder_bp_tiny" / "parameters.h5") as file:
        p = {name: file[name][:].astype(float) for name in file}
    with h5py.File(tiny) as file:
        image = file["test/images"][int(shown[0]["test_image"])].reshape(-1) / 255
    h = image
    for l in (1, 2, 3):
        h = np.tanh(p[f"W_{l}"] @ h + p[f"b_{l}"])
    error = ((p["W_4"] @ h + p["b_4"] - image) ** 2).mean()
    assert float(shown[0]["squared_error"]) == pytest.approx(error, rel=1e-4)
    for name in ("figure6_tiny", "figure7_tiny"):
        assert_named(result, name)
        assert_picture(name)


@pytest.mark.slow  # .ci/run runs it
def test_figures_6_and_7_beside_what_is_recorded(command, here):
    """Recorded runs, whose data lie at a path of another machine and which have no parameters,
    give their curves; those that are needed are trained; what is recorded stays as it is."""
    data = noise_images(here / "mnist.h5")
    methods = {"bp": "BP", "dtp-parallel": "DTP, parallel", "sdtp-parallel": "SDTP, parallel"}
    for row in methods:
        make(RECORDED / f"mnist-autoencoder_{row}", row, "mnist-autoencoder", test=[0.03, 0.02],
             digest="another")
    before = content(RECORDED)
    result = command("runs.figure6_7", "--data", data, "--epochs", 1, "--jobs", 2)
    assert result.status == 0 and "training 3 of 3" in result.out, result
    assert content(RECORDED) == before
    found = {(row["method"], row["whose"], row["epochs"]) for row in rows("figure6")}
    assert found == {(name, *what) for name in methods.values()
                     for what in (("recorded", "2"), ("yours", "1"))}
    assert {row["whose"] for row in rows("figure7")} == {"yours"}
    for whose in ("recorded, 2 epochs", "yours, 1 epochs"):
        assert f"{'BP':14} {whose}" in result.out
    # asked to record: the curves stay those that are longer, the images are of yours
    result = command("runs.figure6_7", "--data", data, "--epochs", 1, "--out", RECORDED)
    assert result.status == 0 and "kept" in result.out
    for name, epochs in (("figure6", "2"), ("figure7", "1")):
        with open(RECORDED / f"{name}.csv") as file:
            marks = {(row["whose"], row["epochs"]) for row in csv.DictReader(file)}
        assert marks == {("recorded", epochs)}
    # with as many epochs, those whose parameters Figure 7 shows take the place of those recorded
    result = command("runs.figure6_7", "--data", data, "--epochs", 2, "--out", RECORDED)
    assert result.status == 0 and "kept" not in result.out
    for row in methods:
        mine, kept = (records.read(place / f"mnist-autoencoder_{row}").rows
                      for place in (WORK, RECORDED))
        assert mine == kept


@pytest.mark.slow  # .ci/run runs it
def test_figures_6_and_7_are_written_when_all_is_there(command, here, tiny, monkeypatch):
    """One run fails: the figure of before stays."""
    monkeypatch.setattr(jobs, "WAIT", 0.5)
    line = ["runs.figure6_7", "--data", tiny]
    assert command(*line, "--epochs", 1, "--jobs", 2).status == 0
    before = {path: path.read_bytes() for path in OUT.glob("figure*")}
    lock = folder.lock(WORK / "mnist-autoencoder_dtp-parallel_tiny")
    result = command(*line, "--epochs", 2, "--jobs", 2)
    lock.close()
    assert result.status == 1 and "another process is training" in result.err
    assert "before all runs are there" in result.err and result.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in OUT.glob("figure*")}


@pytest.mark.parametrize(("arguments", "names"), [
    (["runs.figure2"], ["table1"]),  # nothing is recorded
    (["runs.figure2", "--nets", "fc,x"], ["--nets", "x"]),
    (["runs.figure2", "--epochs", "1", "--data", "tiny.h5"], ["tiny.h5", "cifar"]),
    (["runs.figure8", "--epochs", "0"], ["--epochs"]),
    (["runs.figure4", "--data", "tiny.h5", "--aux", "1,-2"], ["--aux"]),
    (["runs.figure4", "--data", "nothere"], ["nothere"]),
    (["runs.figure6_7", "--data", "small.h5"], ["28x28x1"]),
])
def test_bad_input(command, here, arguments, names):
    noise_images(here / "tiny.h5")
    noise_images(here / "small.h5", shape=(8, 8, 1))
    module, *rest = arguments
    names = [name for name in names if name != module.split(".")[1]]
    command.refused(module, *rest, names=names)
