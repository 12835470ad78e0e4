"""Figure 8: train (dashed) and test (solid) errors on MNIST. python -m runs.figure8

It draws the runs recorded in --out, fully connected and locally connected side by side; with
--epochs it trains what is missing first, as runs.table1 does.
"""

import sys
from functools import partial

from . import command
from .figure2 import parser, work


def main():
    args = parser("runs.figure8", __doc__).parse_args()
    return command.carry_out(partial(work, "runs.figure8", "figure8", "mnist"), args)


if __name__ == "__main__":
    sys.exit(main())
