"""Difference target propagation, section 2.1.2 (Lee et al. 2015).

    ĥ_{L-1} = h_{L-1} - α dL/dh_{L-1}                         dL/dh_{L-1} = W_Lᵀ e
    ĥ_l = h_l + [g_{l+1}(ĥ_{l+1}) - g_{l+1}(h_{l+1})]    (2)  l = L-2, ..., 1

The output layer takes dL/dθ_L; the others and the inverses their local losses (inverses.py).
g_L is in no target, so there is none.

Where the first target is set (`first_target`) differs in the field:

    "hidden"        as above, dL/dh_{L-1} of each example (the paper)
    "hidden-mean"   the same of the mean loss, so dL/dh_{L-1} / N (Lee et al.'s code)
    "output-mean"   ĥ_L = h_L - α e / N, and (2) for every l < L (Meulemans et al. 2020, whose
                    h_L is logits, so that e = dL/da_L is dL/dh_L)
"""

from . import algorithm_1, inverses
from .equations import of_output_error
from .inverses import TRAINS, difference_targets, of_difference_targets
from .rule import Equation, Option, Rule

FIRST_TARGET = Option("first_target", "where DTP's first target is", "hidden",
                      ("hidden", "hidden-mean", "output-mean"))
ALPHA = Option("alpha", "step of DTP's first target")


def extend(net, inverse="same", first_target="hidden"):
    """The network with an inverse g_l for l = 2..L-1, and g_L where the first target is ĥ_L."""
    last = net.L if first_target == "output-mean" else net.L - 1
    return inverses.extend(net, range(2, last + 1), inverse)


def targets(net, params, h, e, alpha, first_target="hidden", examples=None):
    """{l: ĥ_l (N, *shape_l)} for l = 1..L-1 (or L), from the activities and e = dL/da_L.

    examples  N of the mean loss, where h and e are only some rows of the batch
    """
    L, N = net.L, examples or len(e)
    if L == 1:
        return {}  # no hidden layer to set a target for
    if first_target == "output-mean":
        h_hat = {L: h[L] - alpha * e / N}
    else:
        dh = net.map[L].transpose(params["W"][L], e)  # dL/dh_{L-1}
        h_hat = {L - 1: h[L - 1] - (alpha if first_target == "hidden" else alpha / N) * dh}
    return difference_targets(net, params, h, h_hat)


def step(net, params, x, y, *, eps=None, phase="both", alpha, inverse_loss, reduction="sum",
         first_target="hidden", examples=None):
    """One batch of Algorithm 1 (algorithm_1.step)."""

    def all_targets(h, e):
        return {"h_hat": targets(net, params, h, e, alpha, first_target, examples)}

    return algorithm_1.step(net, params, x, y, eps, phase, all_targets,
                            inverse_loss=inverse_loss, reduction=reduction)


def equations(net, setting, phase):
    L, first = net.L, setting["first_target"]
    found = [of_output_error(net)]
    if L > 1:
        top = L if first == "output-mean" else L - 1
        if top == L:
            formula, inputs = f"h_{L} - α δ_{L} / N", (f"h_{L}", f"delta_{L}")
        else:
            formula = f"h_{top} - α W_{L}ᵀ δ_{L}{'' if first == 'hidden' else ' / N'}"
            inputs = (f"h_{top}", f"delta_{L}", f"W_{L}")
        found.append(Equation(f"h_hat_{top}", f"ĥ_{top} = {formula}  (2.1.2)", inputs))
        found += of_difference_targets(net, top - 1)
    return algorithm_1.equations(net, setting, phase, found)


RULE = Rule(step, equations, extend, trains=TRAINS, noise="V",
            options=inverses.options("noise-preserving", FIRST_TARGET, tabled=(ALPHA,)))
