"""Target propagation, section 2.1.2 ("vanilla"; LeCun 1986, Bengio 2014).

    ĥ_L = argmin L                             the correct label distribution
    ĥ_l = g_{l+1}(ĥ_{l+1})                     l = L-1, ..., 1

The output layer takes dL/dθ_L; the others and the inverses their local losses (inverses.py).
"""

from . import algorithm_1, inverses
from .inverses import TRAINS, g, of_argmin
from .rule import Equation, Rule


def extend(net, inverse="same"):
    """The network with an inverse g_l for l = 2..L."""
    return inverses.extend(net, range(2, net.L + 1), inverse)


def targets(net, params, h, y):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L, from the labels."""
    h_hat = {net.L: net.loss.argmin(y)}
    for l in range(net.L - 1, 0, -1):
        h_hat[l] = g(net, params, l + 1, h_hat[l + 1])
    return h_hat


def step(net, params, x, y, *, eps=None, phase="both", inverse_loss, reduction="sum"):
    """One batch of Algorithm 1 (algorithm_1.step)."""
    return algorithm_1.step(net, params, x, y, eps, phase,
                            lambda h, e: {"h_hat": targets(net, params, h, y)},
                            inverse_loss=inverse_loss, reduction=reduction)


def equations(net, setting, phase):
    found = [of_argmin(net)]
    found += [Equation(f"h_hat_{l}", f"ĥ_{l} = g_{l + 1}(ĥ_{l + 1})  (2.1.2)",
                       (f"h_hat_{l + 1}", f"V_{l + 1}", f"c_{l + 1}"))
              for l in range(net.L - 1, 0, -1)]
    return algorithm_1.equations(net, setting, phase, found)


RULE = Rule(step, equations, extend, trains=TRAINS, noise="V", like="sdtp", argmin_target=True,
            options=inverses.options("de-noising"))
