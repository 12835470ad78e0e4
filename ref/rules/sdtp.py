"""Simplified difference target propagation, section 2.1.2 and Algorithm 1.

    ĥ_L = argmin L                                            the correct label distribution
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-1, ..., 1

No gradient is carried from one layer to another. The output layer takes dL/dθ_L; the others and
the inverses their local losses (inverses.py).
"""

from . import algorithm_1, inverses
from .inverses import TRAINS, difference_targets, of_argmin, of_difference_targets
from .rule import Rule


def extend(net, inverse="same"):
    """The network with an inverse g_l for l = 2..L."""
    return inverses.extend(net, range(2, net.L + 1), inverse)


def targets(net, params, h, y):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L, from the activities and the labels."""
    return difference_targets(net, params, h, {net.L: net.loss.argmin(y)})


def step(net, params, x, y, *, eps=None, phase="both", inverse_loss, reduction="sum"):
    """One batch of Algorithm 1 (algorithm_1.step)."""
    return algorithm_1.step(net, params, x, y, eps, phase,
                            lambda h, e: {"h_hat": targets(net, params, h, y)},
                            inverse_loss=inverse_loss, reduction=reduction)


def equations(net, setting, phase):
    found = [of_argmin(net), *of_difference_targets(net, net.L - 1)]
    return algorithm_1.equations(net, setting, phase, found)


RULE = Rule(step, equations, extend, trains=TRAINS, noise="V", argmin_target=True,
            options=inverses.options("de-noising"))
