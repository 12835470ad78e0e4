"""What the commands of runs/ share: their common options, and how they end.

Exit status: 0 done; 1 a run failed (the others are done); else as every command's
(ref/common/command.py): 2 something the user can put right, 128 + n stopped by a signal.

What is committed in runs/results is *recorded*, all else is *yours*. A command writes to the
folders of yours unless `--out runs/results` asks for the other.
"""

import argparse
from pathlib import Path

from ref.common import command
from ref.common.command import Parser, count, new_folder

RECORDED = Path("runs/results")
YOURS = Path("runs/out/results")
STOPPED = "stopped, every run has its checkpoint; the same command goes on"


def numbers(text):
    """An argparse type: integers >= 0 separated by commas, each once."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not integers >= 0 separated by commas")
    return list(dict.fromkeys(int(part) for part in parts))


def parser(module, doc):
    """A Parser with --out, described by the first paragraph of the module's docstring."""
    p = Parser(prog=f"python -m {module}", description=doc.split("\n\n")[0])
    p.add_argument("--out", type=new_folder, default=YOURS, metavar="DIR",
                   help=f"where tables and pictures go (default %(default)s; {RECORDED}, which is "
                        "part of the repository, only if you name it)")
    return p


def add_training_options(p):
    """Options of the commands that train."""
    p.add_argument("--work", type=new_folder, default=Path("runs/out/work"), metavar="DIR",
                   help="folders of the runs, with checkpoints (default %(default)s)")
    p.add_argument("--jobs", type=count, default=1,
                   help="processes at a time, one BLAS thread each (default %(default)s)")
    p.add_argument("--mpi", action="store_true",
                   help="one of several processes that mpiexec or srun has started: one run at a "
                        "time in each, in the place of --jobs (runs/mpi.py)")
    p.set_defaults(begin=None)  # of jobs.run


def whose(path):
    """"recorded" for what lies in runs/results, "yours" for all else."""
    return "recorded" if RECORDED.resolve() in Path(path).resolve().parents else "yours"


def is_record(out):
    """Whether --out is the folder of what is recorded."""
    return Path(out).resolve() == RECORDED.resolve()


def places(out):
    """The folders whose runs a table with this --out shows: what is recorded, and its own."""
    return [RECORDED] if is_record(out) else [RECORDED, Path(out)]


def carry_out(work, parser, stopped=STOPPED):
    """End the process with the status of work(arguments), as every command ends."""

    def begin():
        args = parser.parse_args()
        if getattr(args, "mpi", False):
            from . import mpi  # which asks for mpi4py

            return mpi.carry_out(work, args)
        return work(args)

    command.run(begin, stopped)
