"""Learning rules, one file each, all with the same two public functions:

    extend(net, **build options)      the network with the linear maps of the rule's own arrays
                                      (inverses V, feedback B)
    step(net, params, x, y, ...)      everything the rule computes on one batch, as named arrays:
                                      "h", "loss", "delta", "h_hat", "dW", "db", "dV", "dc", ...

and four constants: BUILD_OPTIONS and STEP_OPTIONS, the names of what the two functions take,
DEFAULTS, the paper's values for some of these, and SYMBOLS, the arrays that the rule trains.
Rules are pure: no randomness, no state, nothing changed in place.
"""

from importlib import import_module

NAMES = ("bp", "fa", "dfa", "tp", "dtp", "sdtp", "ao-sdtp", "hybrid", "sign-symmetry")


def get(name):
    """The module of the rule called `name`. Raises KeyError if it is not one of NAMES."""
    if name not in NAMES:
        raise KeyError(name)
    return import_module(f".{name.replace('-', '_')}", __name__)


def has_inverses(rule):
    """Whether the rule trains inverses, and so takes noise and a schedule."""
    return "V" in rule.SYMBOLS
