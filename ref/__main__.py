"""The commands there are: python -m ref"""

import argparse

from .common import command
from .common.command import UsageError

COMMANDS = """\
    python -m ref.train          train a network with one of the rules
    python -m ref.evaluate       a trained run's error on a data set, by class
    python -m ref.watch          live curves of runs
    python -m ref.plot           curves, angles and norms of runs, side by side
    python -m ref.export         a run's parameters for PyTorch or NumPy
    python -m ref.architectures  what each network holds and costs
    python -m ref.reference      write reference outputs; verify another implementation
    python -m data_prep.mnist    and digits, cifar10, imagenet: make data/NAME.h5
    python -m runs.table1        and figure2 to figure8, search, bench, report: the paper's results

Each has --help; README.md has examples. Installed, those of ref are programs too: ref-train, ...
"""


def work():
    parser = command.Parser(prog="python -m ref", description="Biologically motivated learning "
                            "rules in plain array code (Bartunov et al. 2018).")
    parser.add_argument("word", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    if words := parser.parse_args().word:
        known = f"python -m ref.{words[0]}"
        raise UsageError(f"{words[0]}: commands are modules: "
                         f"{known if f'{known} ' in COMMANDS else 'python -m ref lists them'}")
    command.tell(f"{parser.description} The commands:\n\n{COMMANDS.rstrip()}")


if __name__ == "__main__":
    command.run(work)
