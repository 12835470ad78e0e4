"""ref.plot: what it draws of runs, how it tells them apart, in pictures and in the terminal."""

import csv
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from run_folders import make

import ref
from ref import curves, legends, plots, rules

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")
pytest.importorskip("matplotlib.pyplot")


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


@pytest.fixture(autouse=True)
def closed():
    """Figures that nobody saves stay open otherwise."""
    yield
    matplotlib.pyplot.close("all")


def lines_of(axes):
    """{values: line} of runs."""
    return {tuple(line.get_ydata()): line for line in axes.lines if line.get_linewidth() > 0.8}


def lines_at(axes):
    """Where there are thin lines across."""
    return [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() <= 0.8]


def notes(figure):
    return figure.legends[0].get_title().get_text().splitlines()


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_train_and_test_are_apart(runs):
    figure = plots.figure(runs)
    train, test = figure.axes
    assert (train.get_title(), test.get_title()) == ("train error", "test error")
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
    """Of a long run not on a first epoch at chance; near the data on both sides."""
    make(here / "a", test=[90, *[2.0] * 30, *[1.5] * 30])
    low, high = plots.figure([curves.read("a")]).axes[1].get_ylim()
    assert 1.4 < low < 1.5 and 2.0 < high < 2.1
    for axes in plots.figure([curves.read("a")], top=40).axes:
        assert -3 < axes.get_ylim()[0] < 0 and 40 < axes.get_ylim()[1] < 45


def test_what_is_off_the_axis_is_marked_and_said(here, command):
    """At the edge, in the run's colour, at its last epoch there."""
    make(here / "a", test=[90, 50, *[2.0] * 30, *[1.5] * 30])
    axes = plots.figure([curves.read("a")]).axes[1]
    assert [text.get_text() for text in axes.texts] == ["▲ off the axis: up to 90, epochs 1 to 2"]
    (arrow,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert (*arrow.get_xdata(), *arrow.get_ydata()) == (2, 1) and not arrow.get_clip_on()
    assert "test error (%); off the axis: A up to 90, epochs 1 to 2" in command("ref.plot", "a").out


def test_a_short_run_is_shown_whole(runs):
    for axes in plots.figure(runs).axes:
        low, high = axes.get_ylim()
        assert all(low < y < high for values in lines_of(axes) for y in values) and not axes.texts


def test_a_tiny_range_does_not_fill_the_axis(here):
    with_columns(make(here / "a", test=[11.5, 11.6]), norm_ratio_1=[1, 1 + 1e-9])
    test = plots.figure([curves.read("a")]).axes[1].get_ylim()
    ratio = plots.figure([curves.read("a")], ["norms"]).axes[0].get_ylim()
    assert test[1] - test[0] > 1 and ratio[1] - ratio[0] > 0.1
    assert test[0] < 11.5 and test[1] > 11.6 and ratio[0] < 1 < ratio[1]
    make(here / "zero", test=[0, 0])
    assert plots.figure([curves.read("zero")]).axes[0].get_ylim()[0] > -0.1


def test_zero_is_not_lost_on_a_logarithmic_axis(here):
    with_columns(make(here / "a", test=[3, 2]), norm_ratio_1=[0, 100], norm_ratio_2=[1, 2])
    axes = plots.figure([curves.read("a")], ["norms"]).axes[0]
    assert axes.get_yscale() == "linear" and axes.get_ylim()[0] < 0


def test_legend_names_what_differs(here):
    """Among all runs, whatever their method; the rate first; and the seeds."""
    make(here / "a", "fa", lr=0.5)
    make(here / "b", "fa", lr=0.25, seed=1)
    make(here / "c", "fa", lr=0.25, seed=2)
    make(here / "d", "bp", seed=1, lr=0.5, beta2=0.99, epsilon=0.0001)
    runs = [curves.read(name) for name in "abcd"]
    figure = plots.figure(runs)
    assert labels(figure) == [
        "FA; lr 0.5; beta2 0.999; seed 0", "FA; lr 0.25; beta2 0.999; seeds 1, 2",
        "BP; lr 0.5; beta2 0.99; seed 1"]
    a, b, c, d = figure.axes[1].lines
    assert b.get_color() == c.get_color() != a.get_color()
    assert {line.get_marker() for line in (b, c)} != {a.get_marker()}
    assert labels(plots.figure(runs[1:3])) == ["FA; seeds 1, 2"]
    make(here / "e", "fa", "cifar-fc", lr=0.5, beta1=0.9, beta2=0.999, epsilon=0.0001)
    assert labels(plots.figure([runs[0], curves.read("e")])) == [
        "FA; arch mnist-fc; data mnist",
        "FA; arch cifar-fc; data cifar10; crop padding 4; flip horizontal"]


def changed(path, **arguments):
    """A run's folder with other arguments in its config.json."""
    config = json.loads((path / "config.json").read_text())
    config["arguments"] |= arguments
    (path / "config.json").write_text(json.dumps(config))
    return curves.read(path.name)


def test_schedules_and_pretraining_are_named_between_methods(here):
    make(here / "a", "dtp-parallel", lr=0.001, inverse_pretraining=1)
    make(here / "b", "dtp-alternating", lr=0.0001, inverse_pretraining=2)
    a, b = legends.together([curves.read(name) for name in "ab"])[0]
    assert a.startswith("DTP, parallel; lr 0.001; inverse lr ") and "inverse pretraining 1" in a
    assert b.startswith("DTP, alternating; lr 0.0001; ") and "inverse pretraining 2" in b
    assert "order" not in a and "order" not in b


def test_what_has_no_effect_is_not_named(here):
    """Of Adam and of gradient descent their own; no factor without a step; no split of nothing."""
    make(here / "a", "fa", lr=0.1, momentum=0.9)
    make(here / "b", "fa", lr=0.1, optimizer="sgd", momentum=0.5, beta1=0.5, epsilon_form="kingma")
    make(here / "c", "fa", lr=0.1, lr_factor=0.7, beta1=0.8)
    a, b, c = changed(here / "a", validation_split="random"), curves.read("b"), curves.read("c")
    assert legends.together([a, b])[0] == ["FA; optimizer adam", "FA; optimizer sgd"]
    assert legends.together([a, c])[0] == ["FA; beta1 0.9", "FA; beta1 0.8"]


def test_where_nothing_differs_the_folder_does(here):
    """Also for runs in memory; they do not look the same."""
    for name in "ab":
        make(here / name, "fa")
    runs = [curves.read(name) for name in "ab"]
    assert legends.together(runs) == (["a: FA", "b: FA"], [0, 1])
    fits = [curves.Curves(None, run.config, run.rows) for run in runs]
    assert legends.together(fits) == (["run 1: FA", "run 2: FA"], [0, 1])


def test_nothing_of_a_legend_is_cut(here, command):
    """However much differs: wrapped in the picture and at the terminal's width, arguments too."""
    make(here / "a", "dtp-parallel")
    make(here / "b", "dtp-parallel", lr=1, beta1=0.5, beta2=0.5, epsilon=0.5, alpha=1, sigma=1,
         batch_size=7)
    changed(here / "b", dtype="float64", validation=300, normalise="channels", init="x/y.pt")
    expected = ("DTP, parallel; lr 1; batch size 7; beta1 0.5; beta2 0.5; epsilon 0.5; sigma 1; "
                "alpha 1; dtype float64; validation 300; normalise channels; init x/y.pt")
    figure = plots.figure([curves.read(name) for name in "ab"])
    assert labels(figure)[1].replace("\n", " ") == expected
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    result = subprocess.run([sys.executable, "-m", "ref.plot", "a", "b"], capture_output=True,
                            text=True, check=True, env={**os.environ, "COLUMNS": "50"})
    assert max(map(len, result.stdout.splitlines())) <= 50
    assert f"B b: {expected}" in re.sub(r"\s+", " ", result.stdout)


def test_shades_of_a_method_are_far_apart():
    """Of three runs of one method: in luminance, as pale and paler orange are not."""
    for rule in rules.ALL:
        grey = [sum(plots.style(rule, k=k)["color"]) for k in range(3)]
        assert min(abs(a - b) for a, b in zip(grey, grey[1:] + grey[:1], strict=True)) > 0.45, rule
        assert len({plots.style(rule, k=k)["marker"] for k in range(3)}) == 3


def test_angles_have_a_panel_for_each_layer(here):
    """Of B for one rule and of V for the other in the same panels, from 0 to 90, layer below
    layer; the line is where arrays are unrelated."""
    with_columns(make(here / "a", "fa", test=[3, 2]), angle_1=[80, 70], angle_2=[90, 40],
                 feedback_angle_2=[90, 60])
    with_columns(make(here / "b", "sdtp-parallel", test=[3, 2, 2]), angle_1=[85, 75, 75],
                 angle_2=[0, 0, 0], inverse_angle_2=[88, 77, 70])
    figure = plots.figure([curves.read(name) for name in "ab"], ["angles"])
    found = {axes.get_title(): set(lines_of(axes)) for axes in figure.axes}
    assert found == {"angle of dW to BP's dW, layer 1": {(80, 70), (85, 75, 75)},
                     "angle of dW to BP's dW, layer 2": {(90, 40), (0, 0, 0)},
                     "angle of B or V to W, layer 2": {(90, 60), (88, 77, 70)}}
    one, two, feedback = figure.axes
    for axes in figure.axes:
        assert -5 < axes.get_ylim()[0] < 0 and 90 < axes.get_ylim()[1] < 95
        assert lines_at(axes) == [90] and axes.get_xlim() == one.get_xlim()
    figure.canvas.draw()
    assert feedback.get_position().x0 == pytest.approx(two.get_position().x0)
    assert notes(figure) == [
        "dW is compared after each epoch, on the first 250 training examples"]
    figure = plots.figure([curves.read("a")], ["angles"])
    assert figure.axes[2].get_title() == "angle of B to W, layer 2"


def test_angles_above_90_are_on_an_axis_to_180(here):
    with_columns(make(here / "a", "fa", test=[3, 2]), angle_1=[100, 70], feedback_angle_1=[9, 60])
    for axes in plots.figure([curves.read("a")], ["angles"]).axes:
        assert 180 < axes.get_ylim()[1] < 190


def test_titles_say_which_norms(here):
    with_columns(make(here / "a", "sdtp-parallel", test=[3, 2]), norm_ratio_1=[1, 2],
                 inverse_norm_ratio_1=[1, 2], inverse_loss_2=[1, 1])
    figure = plots.figure([curves.read("a")], ["norms", "inverse-loss"])
    assert [axes.get_title() for axes in figure.axes] == [
        "‖dW‖ / ‖BP's dW‖, layer 1", "‖V‖ / ‖W‖, layer 1", "inverse loss, layer 2"]


def test_one_panel_does_not_span_the_picture(here):
    with_columns(make(here / "a", "sdtp-parallel", test=[3, 2]), inverse_loss_2=[2, 1])
    figure = plots.figure([curves.read("a")], ["inverse-loss"])
    assert figure.axes[0].get_position().width < 0.5


def test_a_run_without_what_is_asked_for_is_named_in_a_note(here, command):
    """And is not in the legend; nor do its settings count there."""
    with_columns(make(here / "a", "fa", test=[3, 2]), angle_1=[80, 70])
    make(here / "b", "fa", lr=0.5)
    figure = plots.figure([curves.read(name) for name in "ab"], ["angles"])
    said = "no angles of b: train with --angles"
    assert labels(figure) == ["FA"] and said in notes(figure)
    figure = plots.figure([curves.read(name) for name in "ab"], ["angles", "error"])
    assert len(labels(figure)) == 2 and said in notes(figure)
    out = command("ref.plot", "a", "b", "--what", "angles").out
    assert said in out and "A a: FA\n" in out and "B" not in out.replace("BP", "")


def test_a_column_without_a_number_is_not_there(here):
    with_columns(make(here / "a", "fa", test=[3, 2]), angle_1=["nan", "nan"], angle_2=["nan", 50])
    assert [axes.get_title() for axes in plots.figure([curves.read("a")], ["angles"]).axes] == [
        "angle of dW to BP's dW, layer 2"]


def test_curves_on_each_other_are_both_seen(here):
    make(here / "a", "fa", test=[2, 0])
    make(here / "b", "bp", test=[2, 0])
    below, above = plots.figure([curves.read(name) for name in "ab"]).axes[1].lines
    assert below.get_linewidth() > 1.4 * above.get_linewidth()


def test_inverse_losses_far_apart_are_on_a_logarithmic_axis(here):
    with_columns(make(here / "a", "sdtp-parallel", test=[3, 2]), inverse_loss_2=[100, 50],
                 inverse_loss_3=[1, 0.5])
    figure = plots.figure([curves.read("a")], ["inverse-loss"], top=20)
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]


def test_a_long_legend_takes_nothing_from_the_panels(here):
    for k in range(40):
        make(here / str(k), "fa", lr=0.1 + k)
    figure = plots.figure([curves.read(str(k)) for k in range(40)])
    figure.canvas.draw()
    assert all(axes.get_window_extent().height > 100 for axes in figure.axes)


def test_some_layers(command, here, digits):
    """Of what every layer has; the axis is on what is shown; one that is not there is named."""
    run = ref.fit("sdtp", "dense 8, dense 8, softmax 10", data=digits, epochs=1, angles=True,
                  out="run")
    whole = {axes.get_title() for axes in ref.plot(run, what="angles").axes}
    shown = ref.plot(run, what="angles", layers=[2]).axes
    some = {axes.get_title() for axes in shown}
    assert len({axes.get_ylim() for axes in shown}) == 1  # one axis of all angles
    assert some == {title for title in whole if title.endswith("layer 2")} and len(some) == 2
    lines = [["ref.plot", "run", "--what", "error,inverse-loss", *more]
             for more in ([], ["--layers", "3"])]
    charts = [command(*line).out for line in lines]
    for out, layers in zip(charts, ([2, 3], [3]), strict=True):
        assert "train error" in out
        assert re.findall(r"inverse loss, layer (\d)", out) == [str(l) for l in layers]
    for given, named in (("1", "--layers 1: inverse-loss are there of 2, 3"), ("0", "--layers"),
                         ("x", "--layers")):
        command.refused("ref.plot", "run", "--what", "inverse-loss", "--layers", given,
                        names=[named])


def test_from_python(here, digits):
    """Runs in memory and in folders; a figure, and a file where one is asked for."""
    fit = ref.fit("fa", "dense 8, softmax 10", data=digits, epochs=2, angles=True, out="run")
    figure = ref.plot(fit, "run", what=["error", "angles"], out="x.svg")
    assert len(figure.axes) == 2 + 2 + 1 and (here / "x.svg").read_text().startswith("<?xml")
    with pytest.raises(ref.common.command.UserError, match="must end in .png or .svg"):
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
    assert "train error (%)" in out and "test error (%)" in out
    plot = "".join(re.findall(r"\|(.*)", out))
    assert set("AbC") <= set(plot) and not set("aBc") & set(plot)
    assert out.startswith("A a: FA; lr 0.0006; ") and "\nb b: DTP, alternating; " in out


def test_colours_in_the_terminal(runs):
    """A terminal gets them as they are, and no more of a name than can be printed."""
    main, other = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "ref.plot", "a", "c"], stdout=other,
                               env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"})
    os.close(other)
    out = b""
    try:
        while part := os.read(main, 10000):
            out += part
    except OSError:  # all is read
        pass
    os.close(main)
    assert process.wait() == 0
    hue = plots.TERMINAL["fa"]
    assert f"\x1b[{hue}mA a: FA; " in out.decode() and "\\x1b" not in out.decode()
    assert "⣀" in out.decode() or "⠤" in out.decode()


def test_help_keeps_its_paragraphs(command, here):
    """The usage in the first one does not run on into the second."""
    assert "FILE\n\nA colour" in command("ref.plot", "--help").out


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
