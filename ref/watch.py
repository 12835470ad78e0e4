"""A live view of runs: python -m ref.watch RUN... shows error curves until Ctrl-C

Test errors are full lines, train errors dashed (small letters where there is no colour or no
Unicode). The axis leaves out what only the first quarter of the epochs reaches; an arrow is where.
--png keeps a picture renewed instead of, or beside, the terminal.
"""

import os
import shutil
import signal
import string
import sys
import time

from . import chart, curves, plots
from .common import command
from .common.command import Parser, new_file_ending
from .options import positive

LETTERS = string.ascii_uppercase


class Run(curves.Curves):
    """What a run's folder tells at the moment."""

    def line(self, now):
        """The run in a line: how far, how good, how long still."""
        name = f"{command.printable(self.path.name)}  epoch {len(self.rows)}/{self.epochs}"
        if not self.rows:
            return f"{name}  no epoch is done yet"
        unit = " %" if self.percent else ""
        best, last = min(self.rows, key=lambda r: r["test_error"]), self.rows[-1]
        parts = [name, f"test error {last['test_error']:.4g}{unit} "
                 f"(best {best['test_error']:.4g} in {best['epoch']:.0f})",
                 f"train error {last['train_error']:.4g}{unit}"]
        seconds = [row["seconds"] for row in self.rows[-5:]]
        each = sum(seconds) / len(seconds)
        if len(self.rows) < self.epochs:
            ago = now - (self.path / "metrics.csv").stat().st_mtime
            parts += [f"{each:.3g} s/epoch", f"{duration(each * (self.epochs - len(self.rows)))} "
                      f"to go, last row {duration(ago)} ago"]
        return "  ".join(parts)


def duration(seconds):
    """Seconds for a person."""
    seconds = max(0, int(seconds))
    if seconds < 120:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def y_range(runs, top=None):
    """(0 or the lowest, highest or top) error after the first quarter of the epochs."""
    late = [row[f"{part}_error"] for run in runs for row in run.rows[len(run.rows) // 4:]
            for part in ("train", "test")]
    low, high = min(late), top or max(late)
    return (0.0 if low < high / 2 or low > high else low), high


def frame(runs, width, height, unicode, colours, now, top=None):
    """The lines of the whole view, none longer than the terminal is wide."""
    for run, letter, colour in zip(runs, names(runs), hues(runs), strict=True):
        text = f"{letter} {run.line(now)}"[:width]
        yield f"\x1b[{colour}m{text}\x1b[0m" if colours else text
    started = [run for run in runs if run.rows]
    if not started or width < 30:
        return
    kinds = {run.percent for run in started}
    yield ""
    what = {(True,): "error (%)", (False,): "squared error, mean over pixels"}.get(
        tuple(kinds), "error")
    key = "full test, dashed train" if unicode and colours else "capital test, small train"
    yield f"{what}; {key}"[:width]
    shown = []
    for dashed in (True, False):  # test errors on top
        for run, letter, colour in zip(runs, names(runs), hues(runs), strict=True):
            part = "train_error" if dashed else "test_error"
            shown.append((run.points(part), letter, colour, dashed))
    reach = y_range(started, top)
    lines = chart.rows(*reach, max(6, height - len(runs) - 5))
    yield from chart.draw(shown, width, lines, reach, unicode and colours, colours)


def names(runs):
    return [LETTERS[k % len(LETTERS)] for k in range(len(runs))]


def hues(runs):
    return [plots.TERMINAL[run.rule] for run in runs]


def picture(runs, path, top=None):
    """The errors as a PNG: as ref.plot draws them."""
    started = [run for run in runs if run.rows]
    if started:  # there is nothing to draw before the first epoch
        plots.save(plots.figure(started, top=top), path)


def parser():
    p = Parser(prog="python -m ref.watch", description=__doc__.split(":")[0])
    p.add_argument("runs", nargs="+", metavar="RUN", help="a folder of ref.train")
    p.add_argument("--every", type=positive, default=5, metavar="SECONDS",
                   help="between two looks (default %(default)s)")
    p.add_argument("--once", action="store_true", help="look once and end")
    p.add_argument("--png", type=new_file_ending(".png"), metavar="FILE",
                   help="write a picture too (needs matplotlib)")
    p.add_argument("--top", type=positive, metavar="ERROR",
                   help="where the axis ends, above or below the highest error")
    p.add_argument("--ascii", action="store_true", help="letters for curves, no colours")
    return p


def show(args):
    """Look at the runs once."""
    runs = [Run.read(path) for path in args.runs]
    terminal = sys.stdout.isatty()
    plain = args.ascii or not terminal or "utf" not in (sys.stdout.encoding or "").lower()
    size = shutil.get_terminal_size()
    if not terminal:
        size = os.terminal_size((120, 30))
    text = "\n".join(frame(runs, size.columns, size.lines, not plain, not plain, time.time(),
                           args.top))
    home = "\x1b[H\x1b[J" if terminal and not args.once else ""
    command.tell(home + text, raw=True)
    if args.png:
        picture(runs, args.png, args.top)


def work():
    args = parser().parse_args()
    if args.png:
        plots.pyplot()
    try:
        show(args)
        while not args.once:
            time.sleep(args.every)
            show(args)
    except KeyboardInterrupt as stop:
        # we may have been in mid-colour
        command.tell("\x1b[0m" if sys.stdout.isatty() else "", raw=True)
        if getattr(stop, "number", signal.SIGINT) != signal.SIGINT:
            raise
    return 0  # Ctrl-C is how it ends


def main():
    command.run(work)


if __name__ == "__main__":
    main()
