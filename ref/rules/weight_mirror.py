"""Weight mirrors (Akrout et al. 2019).

Feedback alignment whose B_l learns from noise that is sent through the layer, in a phase of its
own, "mirror": what goes in and what comes out of a layer correlate as its weights do.

    δ_L = e = dL/da_L
    δ_l = σ'_l ∘ B_{l+1}ᵀ δ_{l+1}                             l = L-1, ..., 1
    u_l = σ_l(W_l ε_{l-1})                                    ε_{l-1} ~ N(0, σ²), no bias;
                                                              u_L = W_L ε_{L-1}
    dB_l = λ B_l - u_l ε_{l-1}ᵀ / σ²                          mean over the batch, and over the
                                                              P places that share their weights

The mean of u_l ε_{l-1}ᵀ / σ² is W_l times the mean of σ'_l, so B_l ends along W_l, and at W_l
itself where σ'_l and λ are 1. The schedule is that of target propagation: both in every step, or
a whole pass of each in turn.
"""

from math import prod

from ..graph import inside_units
from ..network import FORWARD, forward
from . import fa, feedback
from .equations import outer
from .rule import SCHEDULE, SIGMA, Equation, Option, Rule

DECAY = Option("decay", "decay λ of what is learned", 1.0)


def mirror_gradients(net, params, eps, sigma, decay):
    """{l: dB_l} for every layer that has a B_l, from the noise eps {l: ε_l}, (N, *shape_l)."""
    W, B = params["W"], params["B"]
    dB = {}
    for l in B:
        noise = eps[net.reads(l)]
        u = net.map[l].forward(W[l], noise)
        if l < net.L:
            u = net.act[l].value(u)
        n = len(noise) * places(net.map[l])
        dB[l] = decay * B[l] - net.map[l].outer(noise, u / (n * sigma**2))
    return dB


def places(linear_map):
    """How many units share a bias, and so their weights: 1 unless the layer is convolutional."""
    return prod(linear_map.out_shape) // prod(linear_map.bias_shape)


def step(net, params, x, y, *, sigma, decay, eps=None, phase="both"):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase "both", "forward" or "mirror". Returns h, loss (N,), and delta, dW, db of the forward
    phase, dB of the mirror phase.
    """
    if phase == "mirror":
        kept = {}
        h, a_L = forward(net, params, x, kept=kept)
        out = {"h": h, "loss": net.loss.value(a_L, y), **inside_units(net, kept)}
    else:
        out = fa.step(net, params, x, y)
    if phase != "forward":
        out["dB"] = mirror_gradients(net, params, eps, sigma, decay)
    return out


def equations(net, setting, phase):
    if phase != "mirror":
        yield from feedback.equations(net, lambda u: f"B_{u}", "", lambda u: (f"B_{u}",))
    for l in sorted(net.maps_of("B"), reverse=True) if phase != "forward" else ():
        i = net.reads(l)
        u = f"u = W_{l} ε_{i}" if l == net.L else f"u = σ_{l}(W_{l} ε_{i})"
        P = places(net.map[l])
        n = "(N σ²)" if P == 1 else f"({P} N σ²)"
        product = outer(net.map[l], f"dB_{l}", "u", f"ε_{i}", n)
        yield Equation(f"dB_{l}", f"{product.replace('= ', f'= λ B_{l} - ', 1)}, {u}",
                       (f"eps_{i}", f"W_{l}", f"B_{l}"))


RULE = Rule(step, equations, fa.extend, fa.carried_by,
            trains={"mirror": ("B",), "forward": FORWARD}, noise="B", like="fa",
            options=(SCHEDULE, SIGMA, DECAY), carrier="B_{u}",
            defaults={"sigma": 0.1, "mirror_lr": 1e-3, "mirror_beta1": 0.9, "mirror_beta2": 0.999,
                      "mirror_epsilon": 1e-8},
            sgd_defaults={"mirror_lr": 0.01})
