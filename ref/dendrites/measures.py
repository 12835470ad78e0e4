"""What is measured of a model: angles to backpropagation, Theorem 1's μ, firing rates."""

import numpy as np

from .compartments import sigma, sigma_derivative


def backpropagated(c, params, forward, G_L):
    """{l: dL/db_l} that backpropagation would have of the output's loss, from its G_L.

    With s̄_l = φ_max σ(V̄_l): G_l = k_b φ_max σ'(V̄_l) ∘ W_{l+1}ᵀ G_{l+1}.
    """
    L = max(forward.V)
    G = {L: G_L}
    for l in range(L - 1, 0, -1):
        carried = params["W"][l + 1].T @ G[l + 1]
        G[l] = c.k_b * c.phi_max * sigma_derivative(forward.V[l]) * carried
    return G


def angle(u, v):
    """Degrees between two arrays; NaN where one is all zero.

    That of two updates ΔW, which are outer products with the same s̄, is that of their G.
    """
    u, v = (np.asarray(array, np.float64).ravel() for array in (u, v))
    norms = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.degrees(np.arccos(np.clip(u @ v / norms, -1, 1)))) if norms else float("nan")


def angles(c, params, example):
    """{l: degrees between the update of a hidden layer and backpropagation's}."""
    theirs = backpropagated(c, params, example.forward, example.G[max(example.G)])
    return {l: angle(example.G[l], theirs[l]) for l in example.forward.V_a}


def jacobians(c, params, V_L):
    """(J_β (n_L, n_l), J_γ (n_l, n_L)) of Theorem 1 for the last hidden layer l = L-1.

    β(z) = φ_max σ(k_d W_L z), what the output does;  γ(z) = σ(Y z), what the apical dendrites hear.
    V_L (n_L,) is V̄ of the output in the forward phase.
    """
    L = max(params["W"])
    W, Y = params["W"][L], params["B"][L - 1]
    J_beta = (c.phi_max * sigma_derivative(V_L))[:, None] * (c.k_d * W)
    J_gamma = sigma_derivative(Y @ (c.phi_max * sigma(V_L)))[:, None] * Y
    return J_beta, J_gamma


def mu(J_beta, J_gamma):
    """The largest eigenvalue of (I - J_β J_γ)ᵀ (I - J_β J_γ): below 1, and with an error small
    enough, the hidden layer's target brings the output nearer to its own (Theorem 1)."""
    M = np.eye(len(J_beta)) - J_beta @ J_gamma
    return float(np.linalg.eigvalsh(M.T @ M)[-1])


def mean_rate_hz(phi):
    """The mean rate of a layer in Hz, from rates in spikes per ms."""
    return 1000 * float(np.mean(phi))


def rates_of(forward):
    """{l: mean rate in Hz} of the layers 1..L in the forward phase."""
    return {l: mean_rate_hz(phi) for l, phi in forward.phi.items()}


def target_of_theorem(c, params, phi_hidden, phi_wanted, V_L):
    """φ̃* = φ̄^f + γ(φ̄_L^t) - γ(φ_max σ(E V̄_L^f)), the target of Theorem 1."""
    Y = params["B"][max(params["W"]) - 1]
    return phi_hidden + sigma(Y @ phi_wanted) - sigma(Y @ (c.phi_max * sigma(V_L)))
