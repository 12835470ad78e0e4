"""What an optimiser's step does to gradients that are a little off (ref/update.py has the steps).

Gradient descent multiplies an error of the gradient by its rate, momentum adds up those of all
steps. Adam's change is

    u = lr_t m / (√v + ε_t),   m = Σ_k (1 - β1) β1^(t-k) g_k,   v = Σ_k (1 - β2) β2^(t-k) g_k²

Where g is large beside ε, u hardly depends on it at the first step (its sign, times lr); where g
is nearly zero, any error decides u. No derivative tells both: u is computed again with g_k + a_k,
with g_k - a_k and, since u may be larger in between, with the g_k of largest |u| if that is nearer,
for each step k in turn.
"""

from math import sqrt

import numpy as np

from ..rules.rule import prefix
from ..update import decay_of, momentum_of


def directions(setting, group, gradients, allowances, thetas, off):
    """(what the optimiser takes in the place of g_k, its allowances), of every step k.

        d = g + λ θ,  or sign(g) + λ θ for Batch Manhattan, where g within its allowance of 0 may
        have any sign

    thetas  [θ before each step], looked at where λ is not 0;  off  their allowances
    """
    decay = decay_of(setting, prefix(group))
    if setting["optimizer"] == "batch-manhattan":
        allowances = [np.where(np.abs(g) <= a, 1.0 + (g != 0), 0.0)
                      for g, a in zip(gradients, allowances, strict=True)]
        gradients = [np.sign(g) for g in gradients]
    if decay:
        gradients = [g + decay * theta for g, theta in zip(gradients, thetas, strict=True)]
        allowances = [a + decay * o for a, o in zip(allowances, off, strict=True)]
    return gradients, allowances


def spread(setting, group, gradients, allowances):
    """How far the change of a parameter may be off: an array like a gradient.

    gradients   [d_1, ..., d_t] of the steps that trained it (directions);  allowances  theirs
    """
    before = prefix(group)
    if setting["optimizer"] != "adam":
        return setting[before + "lr"] * of_velocity(setting, group, gradients, allowances)
    s = {key: setting[before + key] for key in ("lr", "beta1", "beta2", "epsilon")}
    return of_adam(s, setting["epsilon_form"], gradients, allowances)


def of_velocity(setting, group, gradients, allowances):
    """The same of v = Σ_k m^(t-k) d_k, which is d_t without momentum."""
    m = momentum_of(setting, prefix(group))
    off = np.zeros_like(gradients[-1])
    for a in allowances:
        off = m * off + a
    return off


def of_adam(s, form, gradients, allowances):
    """Σ_k of the larger change of u that g_k ± a_k makes."""
    t = len(gradients)
    beta1, beta2 = s["beta1"], s["beta2"]
    first = [(1 - beta1) * beta1 ** (t - k) for k in range(1, t + 1)]
    second = [(1 - beta2) * beta2 ** (t - k) for k in range(1, t + 1)]
    m = sum(w * g for w, g in zip(first, gradients, strict=True))
    v = sum(w * (g * g) for w, g in zip(second, gradients, strict=True))
    root = sqrt(1 - beta2**t)
    lr_t = s["lr"] * root / (1 - beta1**t)
    epsilon_t = s["epsilon"] * (root if form == "kingma" else 1.0)

    def change(m, v):
        size = np.sqrt(np.maximum(v, 0.0))
        size += epsilon_t
        return np.where(size > 0, m / np.where(size > 0, size, 1.0), 0.0)  # 0/0 is no change

    u, total = change(m, v), np.zeros_like(m)
    for w1, w2, g, a in zip(first, second, gradients, allowances, strict=True):
        worst = np.zeros_like(m)
        for off in (a, -a, np.clip(_extreme(m - w1 * g, v - w2 * g * g, w1, w2) - g, -a, a)):
            moved = change(m + w1 * off, v + w2 * (2 * g + off) * off)
            np.maximum(worst, np.abs(moved - u), out=worst)
        total += worst
    return lr_t * total


def _extreme(m, v, w1, w2):
    """The x where |m + w1 x| / √(v + w2 x²) is largest: w1 v / (w2 m); 0 where m is 0."""
    return np.where(m != 0, w1 * np.maximum(v, 0.0) / np.where(m != 0, w2 * m, 1.0), 0.0)
