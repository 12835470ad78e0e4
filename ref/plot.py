"""Curves of one run or several, side by side: python -m ref.plot RUN... [--what angles] --png FILE

A colour belongs to a method, dashes to the alternating schedule; the legend says what the runs'
settings differ in. Each part of the data and each layer has a panel of its own. Without a picture
to write, the panels are drawn in the terminal.
"""

import os
import shutil
import string
import sys
import textwrap
from pathlib import Path

from . import chart, curves, legends, plots
from .common import command
from .common.called import called_as
from .common.command import Parser, UsageError, check_ending, count, new_file_ending
from .options import positive

LETTERS = string.ascii_uppercase
ROWS = 13  # lines of a chart in the terminal, at most


def plot(*runs, what="error", out=None, top=None, layers=None):
    """Draw runs; returns the matplotlib Figure.

    runs  folders of runs, or what ref.fit and ref.load return
    what  "error", "loss", "angles", "norms", "inverse-loss", or several: ["error", "angles"]
    out   a .png or .svg file to write as well
    top   where the axes of errors and losses end, instead of at the data; they begin at 0 then
    layers  numbers of the layers that are shown, of what every layer has; by default all
    Raises UserError: FolderError, UsageError for something that no run recorded, PlotsError where
    there is no matplotlib.
    """
    if not runs:
        raise UsageError("plot: name a run")
    kind = _kind(out) if out is not None else None
    what = [what] if isinstance(what, str) else what
    made = plots.figure([_curves(run) for run in runs], what, top, layers)
    if out is not None:
        plots.save(made, out, kind)
    return made


def _curves(run):
    """The Curves of a folder or a python.Fitted."""
    if isinstance(run, str | os.PathLike):
        return curves.read(run)
    return curves.Curves(None, run.config, run.rows)


def _kind(path):
    check_ending(path, (".png", ".svg"))
    return Path(path).suffix.lower().removeprefix(".")


def frame(runs, what, width, unicode, colours, top=None, layers=None):
    """The lines of all panels, drawn with characters."""
    runs, notes = curves.drawn(runs, what, layers)
    letters = [LETTERS[k % len(LETTERS)] for k in range(len(runs))]
    hues = [plots.TERMINAL[run.rule] for run in runs]
    dashed = [run.schedule in plots.DASHES for run in runs]
    shown = [letter.lower() if small and not unicode else letter
             for letter, small in zip(letters, dashed, strict=True)]
    legend = [f"\x1b[{hue}m{line}\x1b[0m" if colours else line
              for letter, hue, entry in zip(shown, hues, legends.one_by_one(runs), strict=True)
              for line in _wrapped(f"{letter} {entry}", width)]
    panels = sum(curves.panels(runs, what, layers), [])
    yield from (*legend, "")
    for panel in panels:
        reach = curves.span(panel, top)
        said = curves.said_above(panel, chart.ticks(*reach)[-1], shown)
        yield from _wrapped(f"{panel.title}{_unit(panel)}{said and f'; {said}'}", width)
        lines = [(points, letters[k], hues[k], dashed[k]) for k, points in panel.lines]
        yield from chart.draw(lines, width, chart.rows(*reach, ROWS), reach, unicode, colours,
                              panel.mark)
        yield ""
    for note in notes:
        yield from _wrapped(note, width)
    if len(panels) > 2:  # the first lines are far up
        yield from legend


def _unit(panel):
    """A panel's unit, where the title does not say it."""
    unit = panel.unit.removeprefix("error ")
    return "" if unit in panel.title else f" {unit}" if unit.startswith("(") else f", {unit}"


def _wrapped(text, width):
    """Lines of a text, nothing of it cut; the names in it can't steer the terminal."""
    return textwrap.wrap(command.printable(text), max(width, 20), subsequent_indent="    ",
                         break_on_hyphens=False)


def _numbers(text):
    """An argparse type: layers, [2, 10, 19] of "2,10,19"."""
    return [count(part) for part in text.split(",")]


def parser():
    p = Parser(prog="python -m ref.plot", description=__doc__)
    p.add_argument("runs", nargs="+", metavar="RUN", help="a folder of ref.train")
    p.add_argument("--what", type=lambda text: text.split(","), default=["error"],
                   metavar="WHAT,...", help=f"{', '.join(curves.QUANTITIES)} (default error)")
    p.add_argument("--layers", type=_numbers, metavar="L,...",
                   help="show these layers alone, of what every layer has (default all)")
    p.add_argument("--png", type=new_file_ending(".png"), metavar="FILE", help="write a picture")
    p.add_argument("--svg", type=new_file_ending(".svg"), metavar="FILE", help="the same, scalable")
    p.add_argument("--top", type=positive, metavar="VALUE",
                   help="where the axes of errors and losses end, instead of at the data; they "
                        "begin at 0 then")
    p.add_argument("--ascii", action="store_true", help="letters for curves, no colours")
    return p


def work():
    args = parser().parse_args()
    runs = [curves.read(path) for path in args.runs]
    curves.panels(runs, args.what, args.layers)  # is it there? before anything is written
    for kind in ("png", "svg"):
        if path := getattr(args, kind):
            plots.save(plots.figure(runs, args.what, args.top, args.layers), path, kind)
            command.tell(f"wrote {path}")
    if args.png or args.svg:
        return
    terminal = sys.stdout.isatty()
    plain = args.ascii or not terminal or "utf" not in (sys.stdout.encoding or "").lower()
    width = shutil.get_terminal_size((100, 24)).columns  # COLUMNS, where it is given
    command.tell(*frame(runs, args.what, width, not plain, not plain, args.top, args.layers),
                 raw=True)


def main():
    command.run(work)


if __name__ == "__main__":
    main()
else:
    called_as(__name__, plot)
