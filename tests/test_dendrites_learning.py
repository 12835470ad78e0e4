"""Segregated dendrites: the local updates against gradients, limits and Theorem 1."""

import dendrite_models as models
import numpy as np
import pytest
from checks import assert_close

from ref.dendrites import compartments, learning, measures, rate, spikes

STEP = 1e-30  # of the complex derivative


def at_rest(sizes=(7, 6, 5, 3), mass=0.5, **given):
    """(c, params, forward, target): Means of a model without spikes, s̄ = m φ̄."""
    c, params, x, y = models.make(list(sizes), scale=4.0, **given)
    return c, params, rate.phase(c, mass, params, x), rate.phase(c, mass, params, x, y)


def of_frozen_target(c, params, forward, target, l):
    """{"W", "b"}: the numeric gradient of L_l (23, 30), with V̄ = k (W s̄ + b) and s̄, φ* frozen."""
    L = max(params["W"])
    k = c.k_d if l == L else c.k_b
    alpha_f, alpha_t = learning.plateaus(forward), learning.plateaus(target)
    wanted = target.phi[L] if l == L else (
        c.phi_max * compartments.sigma(forward.V[l]) + alpha_t[l] - alpha_f[l])

    def loss(W, b):
        d = wanted - c.phi_max * compartments.sigma(k * (W @ forward.s[l - 1] + b))
        return (d * d).sum()

    found = {}
    for symbol in ("W", "b"):
        array = params[symbol][l]
        found[symbol] = np.empty_like(array)
        for place in np.ndindex(array.shape):
            moved = {s: params[s][l].astype(complex) for s in ("W", "b")}
            moved[symbol][place] += 1j * STEP
            found[symbol][place] = loss(**moved).imag / STEP
    return found


def check_half_of_the_gradient():
    c, params, forward, target = at_rest()
    G = learning.gradients(c, forward, target)
    for l in (1, 2, 3):
        want = of_frozen_target(c, params, forward, target, l)
        assert_close({"W": np.outer(G[l], forward.s[l - 1]), "b": G[l]},
                     {s: a / 2 for s, a in want.items()}, 1e-11)


def test_the_rule_is_half_of_the_gradient_of_its_losses():
    check_half_of_the_gradient()


def test_a_factor_two_in_the_rule_is_seen(monkeypatch):
    right = learning.sigma_derivative
    monkeypatch.setattr(learning, "sigma_derivative", lambda V: 2 * right(V))
    with pytest.raises(AssertionError, match="off by"):
        check_half_of_the_gradient()


def test_updates_are_the_equations():
    """(29, 35), and the unit of rates cancels in a bias's update: P_0 φ_max = 20."""
    c, params, x, y = models.make(models.NETS["two"])
    x[2] = 0  # a silent pixel
    found = models.image(c, params, x, y, (52, 50), spikes.Poisson(np.random.default_rng(0), .2))
    new = models.updated(c, params, found, eta=0.2, eta_L=0.3)
    G, s = found.G, found.forward.s
    P = {1: 0.2 * 20 / 0.2, 2: 0.2 * 20 / 0.2, 3: 0.3 * 20 / 0.2**2}
    assert_close(new["b"], {l: params["b"][l] - P[l] * G[l] for l in G})
    assert_close(new["W"], {l: params["W"][l] - P[l] * np.outer(G[l], s[l - 1]) for l in G})
    assert (new["W"][1][:, 2] == params["W"][1][:, 2]).all()


def test_small_errors_give_direct_feedback_alignment():
    """α^t - α^f → σ'(Y φ^f) ∘ Y (φ^t - φ^f): DFA with B = diag(σ') Y and the raw difference."""
    c, params, forward, target = at_rest()
    d = 1e-6 * (target.phi[3] - forward.phi[3])
    near = rate.steps.Means(target.s, target.V, target.phi, {
        l: params["B"][l] @ (0.5 * (forward.phi[3] + d)) for l in (1, 2)})
    alpha_f, alpha_t = learning.plateaus(forward), learning.plateaus(near)
    for l in (1, 2):
        slope = compartments.sigma_derivative(forward.V_a[l])
        assert_close(alpha_t[l] - alpha_f[l], slope * (params["B"][l] @ (0.5 * d)), 1e-5)


def test_losses_of_a_hidden_layer_are_of_its_plateaus():
    """With φ̄ = φ_max σ(V̄), as without spikes, L_l = ‖α^t - α^f‖² (32)."""
    c, _, forward, target = at_rest()
    alpha_f, alpha_t = learning.plateaus(forward), learning.plateaus(target)
    found = learning.losses(c, forward, target)
    for l in (1, 2):
        assert found[l] == pytest.approx(((alpha_t[l] - alpha_f[l]) ** 2).sum(), rel=1e-12)
    assert found[3] == pytest.approx(((target.phi[3] - forward.phi[3]) ** 2).sum(), rel=1e-12)


# ---- measures ------------------------------------------------------------------------------------


def test_backpropagation_is_the_gradient_of_the_outputs_loss():
    """Numerically, through a network whose s̄ is φ_max σ(V̄): mass 1."""
    c, params, forward, target = at_rest(mass=1.0)
    G = learning.gradients(c, forward, target)
    ours = measures.backpropagated(c, params, forward, G[3])
    for l in (1, 2):
        want = np.empty_like(ours[l])
        for i in range(len(want)):
            b = {m: array.astype(complex) for m, array in params["b"].items()}
            b[l][i] += 1j * STEP
            out = rate.phase(c, 1.0, {**params, "b": b}, forward.s[0] / c.phi_max)
            d = target.phi[3] - out.phi[3]
            want[i] = (d * d).sum().imag / STEP
        assert_close(ours[l], want / 2, 1e-11)


def test_the_angle_of_updates_is_that_of_their_G():
    c, params, forward, target = at_rest()
    G = learning.gradients(c, forward, target)
    found = measures.angles(c, params, type("", (), {"forward": forward, "G": G}))
    theirs = measures.backpropagated(c, params, forward, G[3])
    for l in (1, 2):
        s = forward.s[l - 1]
        assert found[l] == pytest.approx(
            measures.angle(np.outer(G[l], s), np.outer(theirs[l], s)), abs=1e-9)
        assert 1 < found[l] < 179
    assert measures.angle([1, 0], [1, 1]) == pytest.approx(45)
    assert np.isnan(measures.angle([0, 0], [1, 1]))


def test_mu_is_the_squared_norm():
    c, params, forward, _ = at_rest()
    J_beta, J_gamma = measures.jacobians(c, params, forward.V[3])
    assert measures.mu(J_beta, J_gamma) == pytest.approx(
        np.linalg.norm(np.eye(3) - J_beta @ J_gamma, 2) ** 2, rel=1e-12)


def test_jacobians_are_derivatives():
    c, params, forward, _ = at_rest(mass=1.0)
    W, Y, V = params["W"][3], params["B"][2], forward.V[3]
    J_beta, J_gamma = measures.jacobians(c, params, V)
    for j in range(5):  # β at the forward phase, whose bias is part of V̄
        dV = c.k_d * W[:, j] * 1j * STEP
        assert_close((c.phi_max * compartments.sigma(V + dV)).imag / STEP, J_beta[:, j], 1e-11)
    phi = c.phi_max * compartments.sigma(V)
    for i in range(3):
        z = phi.astype(complex)
        z[i] += 1j * STEP
        assert_close(compartments.sigma(Y @ z).imag / STEP, J_gamma[:, i], 1e-11)


@pytest.mark.parametrize("aligned", (True, False))
def test_theorem_1(aligned):
    """With μ < 1 the hidden layer's target brings the output nearer to its target."""
    c, params, forward, _ = at_rest(sizes=(7, 6, 3), mass=1.0)
    W, phi_hidden = params["W"][2], forward.phi[1]

    def beta(z):
        return c.phi_max * compartments.sigma(c.k_d * (W @ z + params["b"][2]))

    V = forward.V[2]
    J_beta = measures.jacobians(c, params, V)[0]
    inverse = np.linalg.pinv(J_beta) * (1 if aligned else -1)
    params["B"][1] = 4 * inverse / np.abs(inverse).max()  # σ' is up to 1/4: nearly J_β J_γ ∝ I
    J_gamma = measures.jacobians(c, params, V)[1]
    size = np.trace(J_beta @ J_gamma) / 3
    params["W"][2] = W = W / abs(size)  # μ near 0, or near 4
    params["b"][2] = V / c.k_d - W @ phi_hidden  # the same V̄
    J_beta = measures.jacobians(c, params, V)[0]
    mu = measures.mu(J_beta, J_gamma)
    assert (mu < 1) == aligned
    wanted = beta(phi_hidden) + 1e-4 * np.array([1.0, -2.0, 0.5])
    target = measures.target_of_theorem(c, params, phi_hidden, wanted, V)
    before = ((wanted - beta(phi_hidden)) ** 2).sum()
    after = ((wanted - beta(target)) ** 2).sum()
    assert (after < before) == aligned
    assert after <= (mu + 1e-2) * before
