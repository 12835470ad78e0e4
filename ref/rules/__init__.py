"""Learning rules, one file each: a `Rule` (rule.py) with its equations beside the code.

To add one: its file here, its name in NAMES, or in WITH_OWN_NETWORK where it trains no network of
eq. (1) but brings its own, with a trainer (rule.py).
"""

from importlib import import_module

NAMES = ("bp", "fa", "dfa", "tp", "dtp", "sdtp", "ao-sdtp", "hybrid", "sign-symmetry",
         "kolen-pollack", "weight-mirror")

WITH_OWN_NETWORK = ("segregated-dendrites",)
ALL = NAMES + WITH_OWN_NETWORK


def get(name):
    """The Rule called `name`. Raises KeyError if it is not one of ALL."""
    if name not in ALL:
        raise KeyError(name)
    return import_module(f".{name.replace('-', '_')}", __name__).RULE
