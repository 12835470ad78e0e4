"""What it costs to sum n bytes over P machines, so that each has the sum (MPI's Allreduce).

A message of n bytes takes α + n/β seconds, where α is the latency and β the bandwidth in bytes a
second; every machine sends and receives at once (Thakur, Rabenseifner & Gropp 2005, Optimization of
Collective Communication Operations in MPICH). With k = ⌈log₂ P⌉:

    ring                 2 (P-1) α  +  2 (P-1)/P n/β      a P-th of them at a time, round twice
    tree                 k α        +  k n/β              recursive doubling: all numbers, k times
    halving-doubling     2 k α      +  2 (P-1)/P n/β      Rabenseifner's: halves, then doubles them

The last needs the fewest seconds for large n, the tree for small n. An MPI library picks by n and
P, and so does `seconds`. Adding the numbers up is not in it: step.Machine.host has that.
"""

from math import ceil, log2

ALGORITHMS = {
    "ring": lambda n, P, alpha, beta: 2 * (P - 1) * alpha + 2 * (P - 1) / P * n / beta,
    "tree": lambda n, P, alpha, beta: ceil(log2(P)) * (alpha + n / beta),
    "halving-doubling": lambda n, P, alpha, beta: (2 * ceil(log2(P)) * alpha
                                                   + 2 * (P - 1) / P * n / beta),
}


def seconds(n, P, alpha, beta):
    """Of the fastest algorithm. n bytes, P >= 1 machines, α in seconds, β in bytes a second."""
    return min(cost(n, P, alpha, beta) for cost in ALGORITHMS.values())
