"""ref.plot: what it draws of runs, how it tells them apart, in pictures and in the terminal."""

import csv
import json
import re

import pytest
from run_folders import make

import ref
from ref import curves, plots, rules

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")


@pytest.fixture
def runs(here):
    make(here / "a", "fa", test=[9, 3, 2], train=[8, 1, 0])
    make(here / "b", "dtp-alternating", test=[8, 4, 3])
    make(here / "c", "dtp-parallel", test=[7.0])
    return [curves.read(name) for name in "abc"]


def with_columns(path, **columns):
    """Add {name: numbers} to a run's metrics.csv."""
    with open(path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    for k, row in enumerate(rows):
        row |= {name: numbers[k] for name, numbers in columns.items()}
    with open(path / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def lines_of(axes):
    return {tuple(line.get_ydata()): line for line in axes.lines}


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_train_and_test_are_apart(runs):
    figure = plots.figure(runs)
    train, test = figure.axes
    assert (train.get_title(), test.get_title()) == ("train", "test")
    assert set(lines_of(train)) == {(8, 1, 0), (4, 2, 1.5), (3.5,)}
    assert set(lines_of(test)) == {(9, 3, 2), (8, 4, 3), (7,)}
    assert test.get_xlabel() == "epoch" and test.get_ylabel() == "error (%)"


def test_a_colour_is_a_methods_and_dashes_a_schedules(runs):
    for order in (runs, runs[::-1]):
        fa, alternating, parallel = (lines_of(plots.figure(order).axes[1])[errors]
                                     for errors in ((9, 3, 2), (8, 4, 3), (7,)))
        to_hex = matplotlib.colors.to_hex
        assert to_hex(fa.get_color()) == plots.COLOURS["fa"].lower()
        assert (to_hex(alternating.get_color()) == to_hex(parallel.get_color())
                == plots.COLOURS["dtp"].lower())
        assert fa.get_linestyle() == "-" and alternating.get_linestyle() == "--"


def test_one_epoch_is_seen_and_epochs_are_whole(runs):
    test = plots.figure(runs).axes[1]
    assert lines_of(test)[7,].get_marker() == "o"
    assert lines_of(test)[9, 3, 2].get_marker() == "None"
    assert all(tick == int(tick) for tick in test.get_xticks())


def test_axes_are_on_the_data(here):
    """Not on a first epoch at chance; near the data on both sides."""
    make(here / "a", test=[90, *[2.0] * 30, *[1.5] * 30])
    low, high = plots.figure([curves.read("a")]).axes[1].get_ylim()
    assert 1.4 < low < 1.5 and 2.0 < high < 2.1
    assert plots.figure([curves.read("a")], top=40).axes[1].get_ylim()[1] > 40


def test_legend_names_what_differs(here):
    """Within a method its hyperparameters, and the seeds; between methods none of them."""
    make(here / "a", "fa", lr=0.5)
    make(here / "b", "fa", lr=0.25, seed=1)
    make(here / "c", "fa", lr=0.25, seed=2)
    make(here / "d", "bp", seed=1)
    runs = [curves.read(name) for name in "abcd"]
    figure = plots.figure(runs)
    assert labels(figure) == ["FA, lr 0.5, seed 0", "FA, lr 0.25, seeds 1, 2", "BP, seed 1"]
    a, b, c, d = figure.axes[1].lines
    assert b.get_color() == c.get_color() != a.get_color()
    assert {line.get_marker() for line in (b, c)} != {a.get_marker()}
    assert labels(plots.figure(runs[1:3])) == ["FA, seeds 1, 2"]
    make(here / "e", "fa", "cifar-fc", lr=0.5)
    assert labels(plots.figure([runs[0], curves.read("e")])) == [
        "FA, arch mnist-fc, data mnist, crop_padding 0, flip none",
        "FA, arch cifar-fc, data cifar10, crop_padding 4, flip horizontal"]


def test_angles_have_a_panel_for_each_layer(here):
    """Of B for one rule and of V for the other in the same panels, on one axis."""
    with_columns(make(here / "a", "fa", test=[3, 2]), angle_1=[80, 70], angle_2=[90, 40],
                 feedback_angle_2=[90, 60])
    with_columns(make(here / "b", "sdtp-parallel", test=[3, 2]), angle_1=[85, 75], angle_2=[0, 0],
                 inverse_angle_2=[88, 77])
    figure = plots.figure([curves.read(name) for name in "ab"], ["angles"])
    found = {axes.get_title(): set(lines_of(axes)) for axes in figure.axes}
    assert found == {"dW to BP's, layer 1": {(80, 70), (85, 75)},
                     "dW to BP's, layer 2": {(90, 40), (0, 0)},
                     "B (or V) to W, layer 2": {(90, 60), (88, 77)}}
    one, two, feedback = figure.axes
    assert one.get_ylim() == two.get_ylim() and one.get_ylim()[0] < 0 < 90 < one.get_ylim()[1]
    assert 50 < feedback.get_ylim()[0] < 60


def test_inverse_losses_far_apart_are_on_a_logarithmic_axis(here):
    with_columns(make(here / "a", "sdtp-parallel", test=[3, 2]), inverse_loss_2=[100, 50],
                 inverse_loss_3=[1, 0.5])
    figure = plots.figure([curves.read("a")], ["inverse-loss"])
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]


def test_many_differences_are_counted(here):
    make(here / "a", "dtp-parallel")
    make(here / "b", "dtp-parallel", lr=1, beta1=0.5, beta2=0.5, epsilon=0.5, alpha=1, sigma=1)
    assert labels(plots.figure([curves.read(name) for name in "ab"]))[1] == (
        "DTP, parallel, lr 1, beta1 0.5, beta2 0.5, epsilon 0.5, and 2 more (b)")


def test_a_long_legend_takes_nothing_from_the_panels(here):
    for k in range(40):
        make(here / str(k), "fa", lr=0.1 + k)
    figure = plots.figure([curves.read(str(k)) for k in range(40)])
    figure.canvas.draw()
    assert all(axes.get_window_extent().height > 100 for axes in figure.axes)


def test_from_python(here, digits):
    """Runs in memory and in folders; a figure, and a file where one is asked for."""
    fit = ref.fit("fa", "dense 8, softmax 10", data=digits, epochs=2, angles=True, out="run")
    figure = ref.plot(fit, "run", what=["error", "angles"], out="x.svg")
    assert len(figure.axes) == 2 + 2 + 1 and (here / "x.svg").read_text().startswith("<?xml")
    with pytest.raises(ref.common.command.UserError, match="ends in .png or .svg"):
        ref.plot(fit, out="x.pdf")
    with pytest.raises(ref.common.command.UserError, match="only rules with inverses"):
        ref.plot(fit, what="inverse-loss")


def test_the_same_runs_give_the_same_files(command, runs, here):
    for kind in ("png", "svg"):
        for name in ("one", "two"):
            assert command("ref.plot", *"abc", f"--{kind}", f"{name}.{kind}").out == (
                f"wrote {name}.{kind}\n")
        assert (here / f"one.{kind}").read_bytes() == (here / f"two.{kind}").read_bytes()


def test_in_the_terminal(command, runs):
    """A chart for each panel: a letter a run, small for the alternating schedule; the legend."""
    out = command("ref.plot", *"abc").out
    assert "train, error (%)" in out and "test, error (%)" in out
    plot = "".join(re.findall(r"\|(.*)", out))
    assert set("AbC") <= set(plot) and not set("aBc") & set(plot)
    assert "A FA  (a)" in out and "b DTP, alternating  (b)" in out


@pytest.mark.parametrize(("arguments", "named"), [
    ([], "RUN"), (["nothere"], "nothere"), (["a", "--what", "nonsense"], "inverse-loss"),
    (["a", "--what", "angles", "--png", "x.png"], "train with --angles"),
    (["a", "--png", "."], "a folder"),
])
def test_bad_input(command, runs, arguments, named):
    command.refused("ref.plot", *arguments, names=[named])


def test_a_rule_that_is_not_there(command, here):
    path = make(here / "a") / "config.json"
    config = json.loads(path.read_text())
    config["arguments"]["rule"] = "magic"
    path.write_text(json.dumps(config))
    command.refused("ref.plot", "a", names=["arguments.rule", "magic"])


def test_colours_are_distinct():
    assert len(set(plots.COLOURS.values())) == len(rules.ALL)
    assert len(set(plots.TERMINAL.values())) == len(rules.ALL)
