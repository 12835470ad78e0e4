"""Biologically motivated learning rules in plain array code (Bartunov et al. 2018).

Read in this order: activations, losses, linear/dense, network, rules/bp, rules/fa, rules/dfa,
then the target-propagation family: rules/inverses, rules/tp, rules/dtp, rules/sdtp, rules/ao_sdtp.
DESIGN and symbols: NOTES.md.
"""

import os

# OpenBLAS's idle threads spin for 2^26 cycles after every product, on the cores that our own
# elementwise threads then want; 2^10 takes a fifth off a step on cifar-fc (NOTES.md, part 4).
# It must be set before NumPy is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "10")

__version__ = "0.1.0"
