"""Known slips: does a common mistake explain a quantity that differs?

    evidence.py    what there is to go by, and when a candidate explains it
    size.py        zero, twice, 1/N, a few entries       weights.py     transposed, turned, no bias
    formulas.py    δ, ĥ, softmax, other conventions      inverses.py    the inverse's own loss
    own.py         of rules with a trainer of their own
    optimizer.py   Adam's t, betas, weight decay        momentum.py    v, its decay, signs
    units.py       batch norm, pooling, skips, forks

Each function takes the Evidence about one quantity and returns a sentence if the mistake gives
their numbers, and None if not. Whatever lies upstream of the quantity agrees, so ours stands in
for it.
"""

import contextlib

from . import formulas, inverses, momentum, optimizer, own, size, units, weights
from .evidence import Evidence, Unknown

SPECIFIC = (*size.SPECIFIC, *formulas.SPECIFIC, *weights.SPECIFIC, *inverses.SPECIFIC,
            *momentum.SPECIFIC, *optimizer.SPECIFIC, *formulas.OPTIONS, *size.FACTORS)
OF_UNITS = (*size.SPECIFIC, *units.SPECIFIC, formulas.softmax_twice, *momentum.SPECIFIC,
            *optimizer.SPECIFIC, *formulas.OPTIONS, *size.FACTORS)  # of networks that are no chains
VAGUE = size.VAGUE  # where none of these explains it

__all__ = ["Evidence", "diagnose"]


def diagnose(evidence):
    """The sentences of every known slip that explains the difference; the most specific first."""
    found = []
    specific = (own.SPECIFIC if evidence.declared.trainer else
                SPECIFIC if evidence.is_chain else OF_UNITS)
    for slips in (specific, VAGUE):
        for slip in slips:
            with contextlib.suppress(Unknown):
                found.append(slip(evidence))
        if any(found):
            break
    return list(dict.fromkeys(sentence for sentence in found if sentence))
