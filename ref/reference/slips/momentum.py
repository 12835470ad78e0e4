"""Slips in momentum, weight decay and Batch Manhattan (ref/momentum.py has the right step)."""

import numpy as np

from ...network import name_of
from ...update import decay_of, momentum_of
from .history import history


def velocity(directions, m, weight=1.0):
    """v = m v + weight · d, from v = 0."""
    v = np.zeros_like(directions[-1])
    for d in directions:
        v = m * v + weight * d
    return v


def wrong_step(e):
    """What a mistaken v, or a mistaken use of v, gives."""
    if not (e.is_update or e.is_velocity) or e.setting["optimizer"] == "adam":
        return None
    thetas, gradients = history(e)
    if not gradients:
        return None
    lr = e.setting[e.group[1] + "lr"]
    for words, used, stored in _mistakes(e, thetas, gradients, lr):
        candidate = stored if e.is_velocity else None if used is None else e.base - lr * used
        if candidate is not None and e.explains(candidate):
            return words
    return None


def _mistakes(e, thetas, gradients, lr):
    """(words, what θ moves by in the place of v, what is stored as v); None where it is right."""
    m, decay = momentum_of(e.setting, e.group[1]), decay_of(e.setting, e.group[1])
    manhattan, name = e.setting["optimizer"] == "batch-manhattan", name_of(*e.trained)
    signs = [np.sign(g) for g in gradients] if manhattan else gradients
    d, bare = _plus(signs, decay, thetas), velocity(signs, m)
    v = velocity(d, m)
    if m:
        yield f"the velocity is not kept: momentum {m:g} is left out", d[-1], d[-1]
        damped = velocity(d, m, 1 - m)
        first = damped + m ** len(d) * d[0]  # torch.optim.SGD(dampening=m): v_1 = d_1
        for off, when in ((damped, ""), (first, ", but for the first step")):
            yield f"the gradient is damped: v takes (1 - {m:g}) d, where d belongs{when}", off, off
        yield f"Nesterov's step, d + {m:g} v, where v belongs", d[-1] + m * v, None
        for sign, said in ((1, "+"), (-1, "-")):
            yield (f"v holds the learning rate: {m:g} v {said} lr d, the form of TensorFlow and "
                   "Caffe", None, sign * lr * v)
    if decay:
        everything = "every parameter decays, biases too"
        yield (f"weight decay is left out: {decay:g} {name} is not added to d{name} ({everything})",
               bare, None)
        yield (f"weight decay is not in v: {decay:g} {name} belongs to d{name}, before the "
               f"momentum ({everything})", bare + decay * thetas[-1] if m else None, bare)
    if manhattan:
        whole = _plus(gradients, decay, thetas)
        plain, late = velocity(whole, m), velocity([np.sign(w) for w in whole], m)
        yield f"the sign of d{name} is not taken", plain, plain
        if decay:
            yield f"the sign is taken after weight decay, where that of d{name} belongs", late, late
        yield "the sign is taken of v, where that of the gradient belongs", np.sign(plain), None


def _plus(gradients, decay, thetas):
    return [g + decay * theta for g, theta in zip(gradients, thetas, strict=True)]


SPECIFIC = (wrong_step,)
