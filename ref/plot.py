"""Curves of one run or several, side by side: python -m ref.plot RUN... [--what angles] --png FILE

A colour belongs to a method, dashes to the alternating schedule; the legend says what the runs'
settings differ in. Each part of the data and each layer has a panel of its own, whose axis is on
the data. Without a picture to write, the panels are drawn in the terminal.
"""

import os
import shutil
import string
import sys
from pathlib import Path

from . import chart, curves, plots
from .common import command
from .common.called import called_as
from .common.command import Parser, UsageError, check_ending, new_file_ending
from .options import positive

LETTERS = string.ascii_uppercase
ROWS = 10  # lines of a chart in the terminal


def plot(*runs, what="error", out=None, top=None):
    """Draw runs; returns the matplotlib Figure.

    runs  folders of runs, or what ref.fit and ref.load return
    what  "error", "loss", "angles", "norms", "inverse-loss", or several: ["error", "angles"]
    out   a .png or .svg file to write as well
    top   where the axes of errors and losses end, instead of at the data
    Raises UserError: FolderError, UsageError for something that no run recorded, PlotsError where
    there is no matplotlib.
    """
    if not runs:
        raise UsageError("plot: name a run")
    kind = _kind(out) if out is not None else None
    what = [what] if isinstance(what, str) else what
    made = plots.figure([_curves(run) for run in runs], what, top)
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


def frame(runs, what, width, unicode, colours, top=None):
    """The lines of all panels, drawn with characters."""
    labels, _ = curves.legend(runs)
    letters = [LETTERS[k % len(LETTERS)] for k in range(len(runs))]
    hues = [plots.TERMINAL[run.rule] for run in runs]
    dashed = [run.schedule in plots.DASHES for run in runs]
    for row in curves.panels(runs, what):
        for panel in row:
            yield f"{panel.title}, {panel.unit}"[:width]
            shown = [(points, letters[k], hues[k], dashed[k]) for k, points in panel.lines]
            reach = curves.span(panel, top if panel.early else None)
            yield from chart.draw(shown, width, ROWS, reach, unicode, colours)
            yield ""
    for letter, label, hue, small, run in zip(letters, labels, hues, dashed, runs, strict=True):
        shown = letter.lower() if small and not (unicode and colours) else letter
        text = f"{shown} {label}{f'  ({run.path})' if run.path else ''}"[:width]
        yield f"\x1b[{hue}m{text}\x1b[0m" if colours else text


def parser():
    p = Parser(prog="python -m ref.plot", description=__doc__)
    p.add_argument("runs", nargs="+", metavar="RUN", help="a folder of ref.train")
    p.add_argument("--what", type=lambda text: text.split(","), default=["error"],
                   metavar="WHAT,...", help=f"{', '.join(curves.QUANTITIES)} (default error)")
    p.add_argument("--png", type=new_file_ending(".png"), metavar="FILE", help="write a picture")
    p.add_argument("--svg", type=new_file_ending(".svg"), metavar="FILE", help="the same, scalable")
    p.add_argument("--top", type=positive, metavar="VALUE",
                   help="where the axes of errors and losses end, instead of at the data")
    p.add_argument("--ascii", action="store_true", help="letters for curves, no colours")
    return p


def work():
    args = parser().parse_args()
    runs = [curves.read(path) for path in args.runs]
    curves.panels(runs, args.what)  # is it there? before anything is written
    for kind in ("png", "svg"):
        if path := getattr(args, kind):
            plots.save(plots.figure(runs, args.what, args.top), path, kind)
            command.tell(f"wrote {path}")
    if args.png or args.svg:
        return
    terminal = sys.stdout.isatty()
    plain = args.ascii or not terminal or "utf" not in (sys.stdout.encoding or "").lower()
    width = shutil.get_terminal_size().columns if terminal else 100
    command.tell(*frame(runs, args.what, width, not plain, not plain, args.top))


def main():
    command.run(work)


if __name__ == "__main__":
    main()
else:
    called_as(__name__, plot)
