"""Plateaus, targets, losses and local updates (5-9, 21-35).

    α^f = σ(V̄_a) of the forward phase, α^t of the target phase: plateau potentials          (5, 21)
    φ_L* = φ̄_L^t                                                         target of the output   (6)
    φ_l* = φ̄_l^f + α_l^t - α_l^f                                         of a hidden layer  (8, 31)
    L_l = ‖φ_l* - φ_max σ(V̄_l^f)‖²                                                         (23, 30)

    G_L = -k_d φ_max (φ_L* - φ_max σ(V̄_L^f)) ∘ σ'(V̄_L^f)                                      (28)
    G_l = -k_b φ_max (α_l^t - α_l^f) ∘ σ'(V̄_l^f)                                              (33)
    W_l ← W_l - η P G_l (s̄_{l-1}^f)ᵀ,   b_l ← b_l - η P G_l                                (29, 35)

Everything presynaptic, and σ', is of the forward phase. G is half of dL/db with the target frozen.
"""

import numpy as np

from .compartments import sigma, sigma_derivative


def plateaus(means):
    """{l: α_l (n_l,)} of a phase, for the hidden layers."""
    return {l: sigma(V_a) for l, V_a in means.V_a.items()}


def gradients(c, forward, target):
    """{l: G_l (n_l,)} from the Means of both phases."""
    L = max(forward.V)
    alpha_f, alpha_t = plateaus(forward), plateaus(target)
    wanted = target.phi[L]  # (6)
    G = {l: -c.k_b * c.phi_max * (alpha_t[l] - alpha_f[l]) * sigma_derivative(forward.V[l])
         for l in range(1, L)}  # (33)
    G[L] = (-c.k_d * c.phi_max * (wanted - c.phi_max * sigma(forward.V[L]))
            * sigma_derivative(forward.V[L]))  # (28)
    return G


def losses(c, forward, target):
    """{l: L_l} (23, 30)."""
    L = max(forward.V)
    alpha_f, alpha_t = plateaus(forward), plateaus(target)
    wanted = {l: forward.phi[l] + alpha_t[l] - alpha_f[l] for l in range(1, L)}  # (31)
    wanted[L] = target.phi[L]  # (6)
    found = {}
    for l in forward.V:
        d = wanted[l] - c.phi_max * sigma(forward.V[l])
        found[l] = float(d @ d)
    return found


def update(c, params, G, s, eta, eta_L):
    """Change W and b in place (29, 35). s {l: s̄_l^f}; eta of the hidden layers, eta_L the output's.

    Columns whose s̄ is 0, the silent pixels, are left alone.
    """
    L = max(G)
    for l, G_l in G.items():
        step = (eta_L * c.P_1 if l == L else eta * c.P_0) * G_l
        live = np.flatnonzero(s[l - 1])
        params["W"][l].T[live] -= np.outer(s[l - 1][live], step)
        params["b"][l] -= step
