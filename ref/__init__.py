"""Biologically motivated learning rules in plain array code (Bartunov et al. 2018).

Read in this order: activations, losses, linear/dense, network, rules/bp, rules/fa, rules/dfa,
then the target-propagation family: rules/inverses, rules/tp, rules/dtp, rules/sdtp, rules/ao_sdtp.
DESIGN and symbols: NOTES.md.
"""

import os

# BLAS gets one thread: the cores are shared out in parallel.py, which this must come before. It
# reads the variable once, when NumPy is loaded; then the variable is put back, since parallel.py
# takes the limit from it and child processes inherit it.
_given = os.environ.get("OPENBLAS_NUM_THREADS")
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy  # noqa: E402, F401

if _given is None:
    del os.environ["OPENBLAS_NUM_THREADS"]
else:
    os.environ["OPENBLAS_NUM_THREADS"] = _given

from .heap import keep_freed_memory  # noqa: E402

keep_freed_memory()

__version__ = "0.1.0"
