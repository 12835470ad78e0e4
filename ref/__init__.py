"""Biologically motivated learning rules in plain array code (Bartunov et al. 2018).

The order in which to read it: README.md. Symbols, rooms and where each equation is: NOTES.md.
From Python: ref.fit, ref.load, ref.Trainer, ref.verify (python.py), ref.plot, ref.export.
"""

import os

from .common import early  # noqa: F401 - signals, before what takes long to load

# BLAS gets one thread: the cores are shared out in parallel.py. It reads the variable once, when
# NumPy is loaded, so this can't wait until work begins; the variable is put back at once, since
# parallel.py takes the limit from it and child processes inherit it. Where NumPy was there before,
# ref.fit sets the limit while it trains.
_given = os.environ.get("OPENBLAS_NUM_THREADS")
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy  # noqa: E402, F401

if _given is None:
    del os.environ["OPENBLAS_NUM_THREADS"]
else:
    os.environ["OPENBLAS_NUM_THREADS"] = _given

__version__ = "0.1.0"

PYTHON = ("fit", "load", "Trainer", "verify")  # ref/python.py
CALLED = ("plot", "export")  # modules that are commands and, called, functions (common/called.py)


def __getattr__(name):
    """ref.fit and its sisters, loaded when first asked for."""
    from importlib import import_module

    if name in PYTHON:
        found = {key: getattr(import_module(".python", __name__), key) for key in PYTHON}
        globals().update(found)
        return found[name]
    if name in CALLED:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
