"""ref.watch: what a person sees of runs at any stage, on any terminal, and that it ends quietly."""

import csv
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_folders import make

from ref import chart, watch

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def once(command, here):
    return lambda *arguments: command("ref.watch", "--once", *arguments)


# ---- the chart -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 90), (1.48, 1.52), (0, 0), (3, 3), (0.003, 0.0201),
                                           (-2, 7), (0, 1e-9), (99.9, 100)])
def test_ticks_hold_the_range(low, high):
    marks = chart.ticks(low, high)
    assert marks[0] <= low + 1e-12 and marks[-1] >= high - 1e-12 and 2 <= len(marks) <= 8
    steps = [b - a for a, b in zip(marks, marks[1:], strict=False)]
    assert max(steps) == pytest.approx(min(steps))
    assert re.fullmatch(r"[125]0*", f"{steps[0] * 1e12:.0f}")


def test_a_curve_is_where_it_should_be():
    """Letters: a straight line from 0 to 10 over 11 columns and rows is the diagonal."""
    points = [(x, float(x - 1)) for x in range(1, 12)]
    lines = list(chart.draw([(points, "A", "", False)], 11 + chart.MARGIN + 3, 11, (0, 10),
                            unicode=False, colours=False))
    rows = [line.split("|")[1] for line in lines[:11]]
    assert rows == [" " * (10 - k) + "A" for k in range(11)]
    numbers = {k: float(line.split("|")[0]) for k, line in enumerate(lines[:11])
               if line.split("|")[0].strip()}
    assert numbers == {10 - v: v for v in (0, 2, 4, 6, 8, 10)}
    assert lines[-1].split() == ["epoch", "1", "11"]


def test_braille_dots():
    """The same diagonal: each cell has dots, none far from the line; its letter is at its end."""
    points = [(x, float(x - 1)) for x in range(1, 12)]
    lines = list(chart.draw([(points, "A", "31", False)], 20 + chart.MARGIN + 3, 10, (0, 10),
                            colours=False))
    for k, line in enumerate(lines[:10]):
        cells = line.split("┤")[1].replace("A", " ")
        columns = [i for i, glyph in enumerate(cells) if glyph != " "]
        assert columns and all(0x2800 < ord(cells[i]) < 0x2900 for i in columns)
        assert all(abs(i - (19 - 2 * k)) <= 2 for i in columns)
    assert lines[0].endswith("A") and sum("A" in line for line in lines[:10]) == 1


def test_what_is_outside_the_axis_is_left_out():
    points = [(1, 90.0), (2, 1.0), (3, 2.0)]
    lines = list(chart.draw([(points, "A", "", False)], 40, 8, (0, 2), True, False))
    assert len(lines) == 10 and all(len(line) <= 40 for line in lines)


@pytest.mark.parametrize("unicode", [False, True])
def test_what_is_outside_is_no_line_along_the_edge(unicode):
    """Ten epochs far above: arrows where they begin and end, nothing between; the rest is seen."""
    points = [*((x, 90.0) for x in range(1, 11)), *((x, 1.0) for x in range(11, 21))]
    lines = list(chart.draw([(points, "A", "", False)], 60, 9, (0, 2), unicode, False))
    top, *others = [line[chart.MARGIN + 1:] for line in lines[:9]]
    assert top[0] == "^▲"[unicode] and top.count(top[0]) == 2 and not top[1:20].strip()
    assert any(len(line.strip()) > 15 for line in others)


def test_no_number_is_a_gap():
    """Not a line across, nor an error."""
    nan, inf = float("nan"), float("inf")
    points = list(enumerate([1.0, 1.0, nan, nan, 1.0, 1.0, inf], 1))
    row = next(line for line in chart.draw([(points, "A", "", False)], 48, 3, (0, 2), False, False)
               if "A" in line)
    assert re.fullmatch(r".*\|A{5,8} {15,}A{5,8}", row)


def test_numbers_of_the_axes_are_evenly_spaced():
    for y_range in ((0, 90), (1.48, 1.52), (0, 1e-3), (-2, 7)):
        height = chart.rows(*y_range, 13)
        line = list(zip((1, 30), y_range, strict=True))
        lines = list(chart.draw([(line, "A", "", False)], 100, height, y_range, False, False))
        rows = [k for k, line in enumerate(lines[:height]) if line[:chart.MARGIN].strip()]
        assert len({b - a for a, b in zip(rows, rows[1:], strict=False)}) == 1 and height <= 13
    assert lines[-1].split() == ["epoch", "1", "5", "10", "15", "20", "25", "30"]


def test_curves_that_lie_on_each_other_take_turns():
    points = [(1, 1.0), (9, 1.0)]
    curves = [(points, letter, "", False) for letter in "AB"]
    row, dots = ("".join(chart.draw(curves, 60, 3, (0, 2), unicode, False))
                 for unicode in (False, True))
    assert "ABABABAB" in row and {"A", "B"} <= set(dots)


def test_the_line_at_a_value_gives_way_to_curves():
    for unicode in (False, True):
        lines = list(chart.draw([([(1, 0.0), (9, 90.0)], "A", "", False)], 60, 11, (0, 100),
                                unicode, False, mark=50))
        rows = [line[chart.MARGIN + 1:] for line in lines[:11]]
        dot = "┈" if unicode else "."
        assert [row for row in rows if dot in row] == [rows[5]] and rows[5].count(dot) > 40
        assert rows[5].strip("┈.")


# ---- runs at every stage -------------------------------------------------------------------------


def test_what_is_told(once, here):
    make(here / "one", "bp", test=[50.0, 20.0, 30.0], epochs=10)
    make(here / "two", "dtp-alternating", test=[40.0, 35.0])
    result = once("one", "two")
    assert result.status == 0 and result.err == ""
    first, second = result.out.splitlines()[:2]
    assert first.startswith("A one  epoch 3/10  test error 30 % (best 20 in 2)  train error 15 %")
    assert "2 s/epoch  14 s to go, last row " in first
    assert second == "B two  epoch 2/2  test error 35 % (best 35 in 2)  train error 17.5 %"
    assert "error (%); capital test, small train" in result.out
    plot = "".join(re.findall(r"\|(.*)", result.out))
    assert set("ABab") <= set(plot) and "\x1b" not in result.out


@pytest.mark.parametrize(("top", "highest"), [([], 90), (["--top", 5], 5), (["--top", 0.5], 0.5),
                                               (["--top", 200], 200)])
def test_the_top_of_the_axis(once, here, top, highest):
    """One that fell back to chance need not hide the others."""
    make(here / "good", test=[9.0, 3.0, 2.0, 1.5])
    make(here / "chance", test=[9.0, 90.0, 90.0, 90.0])
    out = once("good", "chance", *top).out
    numbers = [float(n) for n in re.findall(r"^ +([\d.]+) \|", out, re.M)]
    assert numbers[-1] == 0 and highest <= numbers[0] <= highest * 1.25


def test_no_row_yet(once, here):
    make(here / "new", test=[], epochs=5)
    result = once("new")
    assert (result.status, result.out) == (0, "A new  epoch 0/5  no epoch is done yet\n")


@pytest.mark.parametrize("end", ["3,1", "3,1.5,1,30.0,", "3,x,1,1,1,2", "\n", "3"])
def test_a_half_written_row(once, here, end):
    make(here / "run", test=[50.0, 20.0], epochs=5)
    with open(here / "run" / "metrics.csv", "a") as file:
        file.write(end)
    result = once("run")
    assert result.status == 0 and "test error 20 %" in result.out


def test_only_a_header(once, here):
    make(here / "run", test=[])
    (here / "run" / "metrics.csv").write_text("epoch,train_err")
    assert "no epoch is done yet" in once("run").out


def test_an_autoencoder(once, here):
    make(here / "run", "bp", "mnist-autoencoder", test=[0.02, 0.0123])
    out = once("run").out
    assert "test error 0.0123 (best 0.0123 in 2)" in out and "%" not in out
    assert "squared error, mean over pixels" in out


@pytest.mark.parametrize("arguments", [["nothere"], ["run", "nothere"], ["empty"], ["broken"], [],
                                       ["run", "--every", "0"], ["run", "--png", "folder"]])
def test_bad_input(command, here, arguments):
    make(here / "run")
    (here / "empty").mkdir()
    (here / "folder").mkdir()
    (here / "broken").mkdir()
    (here / "broken" / "config.json").write_text('{"arguments": ')
    command.refused("ref.watch", *arguments, names=arguments[-1:])


# ---- terminals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 80), (50, 200), (10, 40), (5, 12), (1, 1)])
def test_it_fits_the_terminal(here, size):
    """In a terminal of that size no line is longer and the view no higher, where it can."""
    lines, columns = size
    make(here / "run", test=[90.0, 3.0, 2.0, 1.0], epochs=500)
    run = watch.Run.read(here / "run")
    view = list(watch.frame([run], columns, lines, True, False, time.time()))
    assert all(len(line) <= columns for line in view)
    assert len(view) <= max(lines, 15)


def test_in_a_real_terminal(here):
    """A pseudo-terminal: colours, Braille, the view renewed as rows come; Ctrl-C ends quietly."""
    make(here / "run", test=[50.0, 20.0], epochs=5)
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "ref.watch", "run", "--every", "0.1"],
                               stdin=follower, stdout=follower, stderr=follower, env=ENVIRONMENT)
    os.close(follower)
    seen = b""
    added = False
    while b"epoch 3/5" not in seen:
        seen += os.read(leader, 65536)
        if b"epoch 2/5" in seen and not added:
            added = True
            with open(here / "run" / "metrics.csv", "a") as file:
                csv.writer(file).writerow([3, 9, 1, 18.0, 1, 2])
    process.send_signal(signal.SIGINT)
    rest = b""
    while True:
        try:
            rest += os.read(leader, 65536)
        except OSError:
            break
    assert process.wait(10) == 0
    text = (seen + rest).decode(errors="replace")  # Ctrl-C may come in the middle of a glyph
    assert text.rstrip().endswith("\x1b[0m")  # and must not leave the terminal in colour
    assert "\x1b[H\x1b[J" in text and "\x1b[39m" in text
    assert any(0x2800 < ord(glyph) < 0x2900 for glyph in text)
    assert "Traceback" not in text and "Interrupt" not in text


def test_a_reader_that_has_enough(here):
    make(here / "run")
    done = subprocess.run(f"{sys.executable} -m ref.watch run --every 0.05 | head -1", shell=True,
                          env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
    assert done.stdout.startswith("A run") and done.stderr == ""


# ---- a picture -----------------------------------------------------------------------------------


def test_png(once, here):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")
    make(here / "a", test=[50.0, 20.0])
    make(here / "b", test=[])
    for _ in range(2):  # the second replaces the first
        assert once("a", "b", "--png", "live.png").status == 0
        png = (here / "live.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    assert sorted(p.name for p in here.iterdir()) == ["a", "b", "live.png"]


def test_no_matplotlib(command, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    make(here / "a")
    command.refused("ref.watch", "a", "--once", "--png", "x.png",
                    names=['pip install -e ".[plots]"'])
