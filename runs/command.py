"""What the commands of runs/ share: their common options, and how they end.

Exit status: 0 done; 1 a run failed (the others are done); 2 something the user can put right, told
in one line; 130 or 143 stopped by Ctrl-C or SIGTERM, after which the same command goes on.
"""

import argparse
import signal
import sys
from pathlib import Path

from ref.common.command import Parser, count
from ref.train import ERRORS, reason


class Terminated(KeyboardInterrupt):
    """SIGTERM asked us to stop."""


def numbers(text):
    """An argparse type: integers >= 0 separated by commas, each once."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not integers >= 0 separated by commas")
    return list(dict.fromkeys(int(part) for part in parts))


def directory(text):
    """An argparse type: the path of a folder, there or not yet."""
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file: name a folder")
    return Path(text)


def parser(module, doc):
    """A Parser with --out, described by the first paragraph of the module's docstring."""
    p = Parser(prog=f"python -m {module}", description=doc.split("\n\n")[0])
    p.add_argument("--out", type=directory, default=Path("runs/results"), metavar="DIR",
                   help="what is recorded: CSV, PNG, JSON (default %(default)s)")
    return p


def add_training_options(p):
    """Options of the commands that train."""
    p.add_argument("--work", type=directory, default=Path("runs/out"), metavar="DIR",
                   help="folders of the runs, with checkpoints (default %(default)s)")
    p.add_argument("--jobs", type=count, default=1,
                   help="processes at a time, one BLAS thread each (default %(default)s)")


def carry_out(work, args):
    """work(args) and its exit status, or one line about what went wrong."""

    def terminate(*_):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        return work(args) or 0
    except (*ERRORS, OSError) as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("stopped, every run has its checkpoint; the same command goes on", file=sys.stderr)
        return 143 if isinstance(stop, Terminated) else 130
