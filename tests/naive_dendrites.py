"""Segregated dendrites once more, from the paper's text with plain sums and loops; nothing of ref.

Guerguiev et al. 2017. Layers 0 (input) to L (output); lists of lists over time, then neurons.
"""

from math import exp

import numpy as np

PHI_MAX, TAU_S, TAU_L = 0.2, 3.0, 10.0
G_L, G_B, G_D, SETTLING = 0.1, 0.6, 0.6, 30


def sigma(v):
    return 1 / (1 + exp(-v))


def kappa(t):
    return (exp(-t / TAU_L) - exp(-t / TAU_S)) / (TAU_L - TAU_S)


def filtered(spikes, t, memory):
    """s_j(t): every spike at t' <= t adds κ(t - t' + 1)."""
    return [sum(kappa(t - k + 1) * spikes[k][j] for k in range(t + 1)
                if memory == 0 or t - k + 1 <= memory) for j in range(len(spikes[0]))]


def times(W, s, b=None):
    return [sum(w * v for w, v in zip(row, s, strict=True)) + (b[i] if b is not None else 0)
            for i, row in enumerate(W)]


def mean(rows, first, last):
    return [sum(column) / (last - first) for column in zip(*rows[first:last], strict=True)]


def potentials(params, spikes, y, T1, memory, g_a):
    """(V {l: rows}, V_a {l: rows}, s {l: rows}) of an image from rest, with I/g_l in (19)."""
    W, b, Y = params["W"], params["b"], params["B"]
    L, T = len(W), len(spikes[0])
    s = {l: [filtered(spikes[l], t, memory) for t in range(T)] for l in range(L + 1)}
    V, V_a = {l: [] for l in W}, {l: [] for l in Y}
    now = {l: [0.0] * len(b[l]) for l in W}
    for t in range(T):
        for l in range(1, L):
            V_b = times(W[l], s[l - 1][t], b[l])
            apical = times(Y[l], s[L][t - 1] if t else [0.0] * len(s[L][0]))
            now[l] = [v + (-G_L * v + G_B * (basal - v) + g_a * (a - v))
                      for v, basal, a in zip(now[l], V_b, apical, strict=True)]
            V[l].append(now[l])
            V_a[l].append(apical)
        V_d = times(W[L], s[L - 1][t], b[L])
        after = []
        for i, v in enumerate(now[L]):
            tau = 1 / G_L
            change = -v + G_D / G_L * (V_d[i] - v)
            if t >= T1:
                change += ((8 - v) if y[i] else (-8 - v)) / G_L
            after.append(v + change / tau)
        now[L] = after
        V[L].append(after)
    return V, V_a, s


def gradients(params, spikes, y, T1, memory=10, g_a=0.0):
    """{"G": {l: ...}, "dW": {l: rows}} with dW_l = G_l s̄_{l-1}^f, and the losses {l: L_l}."""
    V, V_a, s = potentials(params, spikes, y, T1, memory, g_a)
    L, T = len(params["W"]), len(spikes[0])
    forward, target = (SETTLING, T1), (T1 + SETTLING, T)
    G, dW, losses = {}, {}, {}
    for l in range(1, L + 1):
        V_f = mean(V[l], *forward)
        rates = [[PHI_MAX * sigma(v) for v in row] for row in V[l]]
        if l == L:
            k, wanted = G_D / (G_L + G_D), mean(rates, *target)
            error = [w - PHI_MAX * sigma(v) for w, v in zip(wanted, V_f, strict=True)]
        else:
            k = G_B / (G_L + G_B + g_a)
            a_f, a_t = ([sigma(a) for a in mean(V_a[l], *phase)] for phase in (forward, target))
            error = [t - f for t, f in zip(a_t, a_f, strict=True)]
            wanted = [r + e for r, e in zip(mean(rates, *forward), error, strict=True)]
        G[l] = [-k * PHI_MAX * e * sigma(v) * (1 - sigma(v))
                for e, v in zip(error, V_f, strict=True)]
        below = mean(s[l - 1], *forward)
        dW[l] = [[g * v for v in below] for g in G[l]]
        losses[l] = sum((w - PHI_MAX * sigma(v)) ** 2 for w, v in zip(wanted, V_f, strict=True))
    as_arrays = {name: {l: np.array(rows) for l, rows in layers.items()}
                 for name, layers in (("G", G), ("dW", dW))}
    return as_arrays, losses
