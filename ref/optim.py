"""Optimisers: Adam (Kingma & Ba 2015) and plain SGD.

    new_state(params)                             zero moments, keyed like the parameters
    adam(params, grads, state, ...)               change params and state in place
    sgd(params, grads, state, ...)

`params` and `grads` are {name: array} with the same names and shapes (network.flat makes them);
that they match is checked, so that no layer can be left out unnoticed.

Adam at step t, with g the gradient:

    m = β1 m + (1 - β1) g
    v = β2 v + (1 - β2) g²
    θ = θ - lr_t m / (√v + ε_t),     lr_t = lr √(1 - β2ᵗ) / (1 - β1ᵗ)

ε can go in two places. epsilon_form "hat": ε_t = ε, the ε̂ at the end of the paper's section 2
and what TensorFlow does. "kingma": ε_t = ε √(1 - β2ᵗ), which is Algorithm 1, m̂ / (√v̂ + ε).
"""

from math import sqrt

from . import compiled
from .backend import Kernel, get_xp
from .parallel import elementwise

# For a device, the formulas above in one pass over memory. 1 - β comes in as a number of its own
# (rest), computed in double precision: float32 would lose four digits of 1 - 0.9999.
ADAM = Kernel(
    "adam", "T g, T beta1, T rest1, T beta2, T rest2, T lr_t, T epsilon_t", "T theta, T m, T v", """
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * g * g;
    theta = theta - lr_t * m / (sqrt(v) + epsilon_t);
    """)
SGD = Kernel("sgd", "T g, T lr", "T theta", "theta = theta - lr * g;")


def new_state(params):
    """The state before the first step: t = 0 and zero moments m, v like each parameter."""
    return {
        "t": 0,
        "m": {name: get_xp(p).zeros_like(p) for name, p in params.items()},
        "v": {name: get_xp(p).zeros_like(p) for name, p in params.items()},
    }


def check(params, grads):
    """Raise ValueError where the names or shapes of params and grads differ."""
    if params.keys() != grads.keys():
        missing = sorted(params.keys() ^ grads.keys())
        raise ValueError(f"parameters and gradients differ in {', '.join(missing)}")
    for name, p in params.items():
        if p.shape != grads[name].shape:
            raise ValueError(f"{name} is {p.shape}, its gradient {grads[name].shape}")


def adam(params, grads, state, *, lr, beta1, beta2, epsilon, epsilon_form="hat"):
    """One step of Adam. Changes params and state in place.

    Raises ValueError where the names or shapes of params and grads differ.
    """
    check(params, grads)
    state["t"] += 1
    root = sqrt(1 - beta2 ** state["t"])
    lr_t = lr * root / (1 - beta1 ** state["t"])
    epsilon_t = epsilon if epsilon_form == "hat" else epsilon * root

    def update(theta, g, m, v):
        xp = get_xp(theta)
        t = g * (1 - beta1)
        m *= beta1
        m += t
        xp.multiply(g, g, out=t)
        t *= 1 - beta2
        v *= beta2
        v += t
        xp.sqrt(v, out=t)
        t += epsilon_t
        xp.divide(m, t, out=t)
        t *= lr_t
        theta -= t

    numbers = beta1, 1 - beta1, beta2, 1 - beta2, lr_t, epsilon_t

    def fused(theta, g, m, v):
        ADAM(g, *numbers, theta, m, v)

    elementwise(compiled.adam(update, *numbers), fused,
                *flat_views(params, grads, state["m"], state["v"]))


def sgd(params, grads, state, *, lr):
    """One step of gradient descent, θ = θ - lr g. Changes params and state in place.

    Raises ValueError where the names or shapes of params and grads differ.
    """
    check(params, grads)
    state["t"] += 1

    def update(theta, g):
        theta -= lr * g

    def fused(theta, g):
        SGD(g, lr, theta)

    elementwise(update, fused, *flat_views(params, grads))


def flat_views(params, *others):
    """Tuples of matching flat views: one for each parameter array."""
    for name, p in params.items():
        if not p.flags.c_contiguous:
            raise ValueError(f"{name} is not contiguous, so it can't be changed in place")
    return [tuple(d[name].reshape(-1) for d in (params, *others)) for name in params]
