"""Learning rules, one file each, all with the same two public functions:

    extend(net, ...)           the network with the linear maps of the rule's own arrays
                               (inverses V, feedback B); its options shape them
    step(net, params, x, y, ...)  everything the rule computes on one batch, as named arrays:
                               "h", "loss", "delta" or "h_hat", and the gradients "dW", "db", ...

and two constants: OPTIONS, the names of the hyperparameters the rule takes, and SYMBOLS, the
arrays it trains. Rules are pure: no randomness, no state, nothing changed in place.
"""

from importlib import import_module

NAMES = ("bp", "fa", "dfa")


def get(name):
    """The module of the rule called `name`, one of NAMES."""
    if name not in NAMES:
        raise KeyError(name)
    return import_module(f".{name.replace('-', '_')}", __name__)
