"""Turns of two sides, ours and a peer's: their options, and the line that says what they took."""

import statistics

from ref.common.command import count
from ref.options import whole

from . import floor


def add_options(p, batch_size, turns, seconds, warm_up):
    """The options of a parser, with these defaults."""
    p.add_argument("--batch-size", type=count, default=batch_size, help="default %(default)s")
    p.add_argument("--threads", type=count, help="default: one for each CPU")
    p.add_argument("--turns", type=count, default=turns, help="turns of each side")
    p.add_argument("--steps", type=count, default=20, help="steps in a turn, at most")
    p.add_argument("--seconds", type=float, default=seconds,
                   help="of a turn, at most (but one step)")
    p.add_argument("--warm-up", type=whole, default=warm_up, help="steps before each turn, at most")
    p.add_argument("--busy", action="store_true",
                   help="go on where other processes take part of the machine")


def line(what, here, there, scale=1e3, unit="ms", digits=2, peer="PyTorch"):
    """What a turn took on either side, seconds: medians, and their ratio with its range."""
    ratio = floor.ratio("ratio", here, there)
    ours, theirs = (scale * statistics.median(times) for times in (here, there))
    return (f"{what}: {ours:.{digits}f} {unit}, {peer} {theirs:.{digits}f} {unit}, "
            f"ratio {ratio['ratio']:.2f} ({ratio['ratio_lowest']:.2f} to "
            f"{ratio['ratio_highest']:.2f})")
