"""Learning rules, one file each: a `Rule` (rule.py) with its equations beside the code.

To add one: its file here, its name in NAMES.
"""

from importlib import import_module

NAMES = ("bp", "fa", "dfa", "tp", "dtp", "sdtp", "ao-sdtp", "hybrid", "sign-symmetry",
         "kolen-pollack", "weight-mirror")


def get(name):
    """The Rule called `name`. Raises KeyError if it is not one of NAMES."""
    if name not in NAMES:
        raise KeyError(name)
    return import_module(f".{name.replace('-', '_')}", __name__).RULE
