"""Figure 8: train and test errors on MNIST. python -m runs.figure8

It draws the runs that are recorded and those in --out, each marked, a row of panels for fully and
one for locally connected networks; with --epochs it trains your own first, as runs.table1 does.
"""

from functools import partial

from . import command
from .figure2 import parser, work


def main():
    command.carry_out(partial(work, "runs.figure8", "figure8", "mnist"),
                      parser("runs.figure8", __doc__))


if __name__ == "__main__":
    main()
