"""Segregated dendrites: kernels, spikes, lengths of phases, initial weights and feedback."""

import dendrite_models as models
import numpy as np
import pytest
from checks import assert_close, assert_same_bits

from ref.dendrites import constants, example, initial, kernel, rate, spikes

C = constants.Constants()


def test_constants_are_table_1():
    assert (C.C_m / C.g_l, C.P_0, C.P_1) == (10, pytest.approx(100), pytest.approx(500))
    for g_a, k_b, k_a in ((0, 0.857143, 0), (0.05, 0.8, 0.066667), (0.6, 0.461538, 0.461538)):
        c = constants.Constants(g_a=g_a)
        assert (c.k_b, c.k_a) == (pytest.approx(k_b, abs=1e-6), pytest.approx(k_a, abs=1e-6))
    assert C.k_d == pytest.approx(6 / 7)
    w = C.window(53)
    assert (w[:30] == 0).all() and w[30:] == pytest.approx(np.full(23, 1 / 23))
    assert np.flatnonzero(constants.Constants(averages="last-20").window(53))[0] == 33


def test_kernel_sums():
    """Σκ and Σκ² of the continuous kernel's samples, its unit area and its peak at 5.16 ms."""
    k = kernel.kappa(np.arange(1, 2000), 3, 10)
    assert k.sum() == pytest.approx(0.9972, abs=5e-5) == kernel.make(C, 0).mass
    assert (k * k).sum() == pytest.approx(0.03846, abs=5e-6)
    assert kernel.make(C, 10).mass == pytest.approx(0.5104, abs=5e-5)
    assert (kernel.make(C, 10).kappa ** 2).sum() == pytest.approx(0.02694, abs=5e-6)
    t = np.arange(1, 300000) * 1e-3
    fine = kernel.kappa(t, 3, 10)
    assert fine.sum() * 1e-3 == pytest.approx(1, abs=1e-6)
    assert t[fine.argmax()] == pytest.approx(5.16, abs=0.005)


def poisson(p, T, seed=0):
    return spikes.Poisson(np.random.default_rng(seed), C.phi_max).hold(0, np.asarray(p), T)


def test_counts_are_poisson():
    """Mean and variance φ, more than one spike in a step as often as e^-φ φ²/2 says; none in the
    dark; independent in time and between neurons."""
    p, T = np.array([0.0, 0.1, 0.5, 1.0]), 200_000
    N = poisson(p, T)
    assert not N[:, 0].any()
    for j, phi in enumerate(0.2 * p[1:], 1):
        sd = np.sqrt(phi / T)
        assert N[:, j].mean() == pytest.approx(phi, abs=4 * sd)
        assert N[:, j].var() == pytest.approx(phi, abs=6 * np.sqrt(phi * (1 + 2 * phi) / T))
        assert (N[:, j] == 2).mean() == pytest.approx(
            np.exp(-phi) * phi**2 / 2, abs=4 * np.sqrt(phi**2 / 2 / T))
    centred = N[:, 1:] - N[:, 1:].mean(axis=0)
    together = centred.T @ centred / T
    assert np.abs(together[np.triu_indices(3, 1)]).max() < 4 * 0.2 / np.sqrt(T)
    assert np.abs((centred[1:] * centred[:-1]).mean(axis=0)).max() < 4 * 0.2 / np.sqrt(T)


@pytest.mark.parametrize("memory", (10, 0))
def test_filtered_spikes_have_the_kernels_mean_and_variance(memory):
    """E[s] = m φ, Var[s] = φ Σκ²; Var V_b = Σ_j W_ij² φ_j Σκ² over inputs."""
    k = kernel.make(C, memory)
    x, T = np.array([0.3, 0.6, 1.0]), 100_000
    N, sums = poisson(x, T), {10: 0.02694, 0: 0.03846}
    trace, s = np.zeros((k.width, 3)), []
    for n in N:
        value, trace = k.step(trace, n)
        s.append(value)
    s, phi = np.array(s)[100:], 0.2 * x
    for j in range(3):  # within 4 standard deviations, 2 to 5 %
        assert s[:, j].mean() == pytest.approx(k.mass * phi[j], rel=4 / np.sqrt(phi[j] * T))
    assert s.var(axis=0) == pytest.approx(phi * sums[memory], rel=0.05)
    W = np.array([2.0, -1.0, 0.5])
    assert (s @ W).var() == pytest.approx((W**2 * phi).sum() * sums[memory], rel=0.05)


def test_averages_converge_to_the_mean_of_sigma_not_to_sigma_of_the_mean():
    """V̄ and s̄ go to the rate model's; φ̄ to E[σ(V)], which noise in V makes another number."""
    c, params, x, _ = models.make([7, 6, 3], scale=60.0)
    params["b"][1][:] = -8.0  # on the convex side of σ
    k = kernel.make(c, 10)
    want = rate.phase(c, k.mass, params, x)
    source = spikes.Poisson(np.random.default_rng(0), c.phi_max)
    T = 40_000
    state, V = models.rest(params, 10, c), []
    for t in range(0, T, 50):
        series = {}
        _, state = example.path(c)(c, k, params, state, x, 50, source, None, t, series=series)
        V.append(series["V"][1])
    V = np.concatenate(V)[50:]
    sd = V.std(axis=0)
    assert (np.abs(V.mean(axis=0) - want.V[1]) < 6 * sd * np.sqrt(20 / T)).all()
    jensen = (1 / (1 + np.exp(-V))).mean(axis=0) * c.phi_max - want.phi[1]
    assert np.abs(jensen).max() > 0.01  # of 0.2


def test_lengths_of_phases():
    """50 ms and a floored Wald(2, 1) draw: 1.52 ms more on average, none in 49 %."""
    rng = np.random.default_rng(0)
    extra = np.array([constants.lengths(C, rng) for _ in range(20_000)]).ravel() - 50
    assert extra.mean() == pytest.approx(1.52, abs=0.08)
    assert (extra == 0).mean() == pytest.approx(0.49, abs=0.01)
    assert (extra >= 10).mean() == pytest.approx(0.024, abs=0.003)


def test_plateau_windows():
    w = constants.plateau_windows(np.random.default_rng(0), 1000, 55)
    assert w.sum(axis=1) == pytest.approx(np.ones(1000))
    last = 54 - (w[:, ::-1] > 0).argmax(axis=1)
    assert set(last) <= set(range(49, 55)) and len(set(last)) >= 5


# ---- initial weights -----------------------------------------------------------------------------


def check_initial(N, mean, sd):
    W, b = initial.weights(np.random.default_rng(0), 2_000_000 // N, N, 0.2, np.float64)
    assert W.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(W.size) + 1e-6)
    assert W.std() == pytest.approx(sd, rel=2e-3)
    assert b.mean() == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("N, mean, sd", (
    (784, 0.018707, 0.504903), (500, 0.029333, 0.632115), (100, 0.146667, 1.410406)))
def test_initial_weights(N, mean, sd, monkeypatch):
    assert initial.moments(N, 0.2) == (pytest.approx(mean, abs=1e-6), pytest.approx(sd, abs=1e-6))
    check_initial(N, mean, sd)
    right = initial.weights
    monkeypatch.setattr(initial, "weights", lambda *args: right(*args, spread=2.0))
    with pytest.raises(AssertionError):
        check_initial(N, mean, sd)


@pytest.mark.parametrize("N", (3, 784))
def test_initial_weights_solve_their_equations(N):
    mean, sd = initial.moments(N, 0.2)
    nu, square = 0.05, mean**2 + sd**2
    assert 0.8 + N * nu * mean * 3 == pytest.approx(3, rel=1e-12)
    second = (0.64 + 2 * N * nu * 0.8 * mean * 3
              + nu**2 * (N * square * 18 + (N * N - N) * mean**2 * 9))
    assert second == pytest.approx(18, rel=1e-12)


def test_feedback():
    rng = np.random.default_rng
    sizes = [784, 500, 100, 10]
    own = initial.feedback(rng(0), sizes, 0.2, np.float64)
    assert {l: a.shape for l, a in own.items()} == {1: (500, 10), 2: (100, 10)}
    assert own[1].std() == pytest.approx(0.632, rel=0.03)
    assert own[2].std() == pytest.approx(1.41, rel=0.05)
    product = initial.feedback(rng(0), sizes, 0.2, np.float64, lower="product")
    assert_same_bits(product[2], own[2])
    assert product[1].std() == pytest.approx(8.9, rel=0.1)
    sparse = initial.feedback(rng(0), [784, 500, 10], 0.2, np.float64, "sparse")[1]
    unscaled = initial.feedback(rng(0), [784, 500, 10], 0.2, np.float64, "sparse-unscaled")[1]
    dense = initial.feedback(rng(0), [784, 500, 10], 0.2, np.float64)[1]
    assert (sparse == 0).sum() == 4000
    assert_close(sparse, 5 * unscaled)
    assert_same_bits(unscaled[unscaled != 0], dense[unscaled != 0])


def test_symmetric_feedback_follows_the_weights():
    _, params, _, _ = models.make(models.NETS["two"])
    initial.follow(params)
    assert_close(params["B"], {2: params["W"][3].T,
                               1: params["W"][2].T @ params["W"][3].T})
    exact = params["B"][2].copy()
    initial.follow(params, np.random.default_rng(0))
    assert 0 < np.abs(params["B"][2] - exact).std() < 0.1


def test_a_test_changes_nothing_and_needs_more_than_settling():
    c, params, x, _ = models.make(models.NETS["one"])
    kept = {s: {l: a.copy() for l, a in params[s].items()} for s in params}
    source = spikes.Poisson(np.random.default_rng(0), c.phi_max)
    k = kernel.make(c, 10)
    by_50 = example.present(c, k, params, x, 120, source)
    assert_same_bits(params, kept)
    n = models.drawn(c, params, x, None, (70, 50))
    known = [vars(example.present(c, k, params, x, 120, spikes.Given(n), block))
             for block in (50, 7)]
    assert_close(known[0], known[1])
    assert by_50.V[2].shape == by_50.phi[2].shape == (3,)
    with pytest.raises(ValueError, match="not longer than the settling time"):
        example.present(c, k, params, x, 30, source)
