"""Biologically motivated learning rules in plain array code (Bartunov et al. 2018).

The order in which to read it: README.md. Symbols, rooms and where each equation is: NOTES.md.
From Python: ref.fit, ref.load, ref.Trainer, ref.verify (python.py), ref.plot, ref.export.
"""

import os

from .common import early  # noqa: F401 - signals, before what takes long to load

# OpenBLAS's threads look out for work for 2^26 ticks (25 ms) after a product, on a core that ours
# need meanwhile (parallel.py); 2^20 are enough. It reads this once, when NumPy is loaded, and child
# processes get what was there before. Where NumPy was loaded earlier, steps are slower, no more.
if "OPENBLAS_THREAD_TIMEOUT" in os.environ:
    import numpy  # noqa: F401
else:
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = "20"
    import numpy  # noqa: F401

    del os.environ["OPENBLAS_THREAD_TIMEOUT"]

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
