"""runs.inverses: Jacobians and their angles, known where they can be told by hand; the command."""

import csv

import numpy as np
import pytest
from seldom import slow_but

import ref
from ref import architectures, folder, rules
from ref.network import f, initial_parameters
from ref.training import initial_stream
from runs import inverses, paper


def made(name, line, shape):
    rule = rules.get(name)
    net = rule.build(architectures.build(line, shape), {"aux": 3, "inverse": "same"})
    params = initial_parameters(net, initial_stream(0), np.dtype("float64"))
    return rule, net, params


@pytest.mark.parametrize("line", [
    "dense 5, dense 4, softmax 3", "local 2x2x2, conv 2x2x3/2, softmax 3"])
def test_a_jacobian_is_that_of_differences(line):
    _, net, params = made("sdtp", line, (4, 3, 1))
    rng = np.random.default_rng(0)
    for l in (2, 3):
        h = rng.normal(size=net.shape(l - 1))
        J = inverses.jacobian(lambda h, l=l: f(net, params, l, h), h)
        assert J.shape == (np.prod(net.shape(l)), h.size)
        for k in range(h.size):
            step = 1e-6 * np.eye(h.size)[k].reshape(h.shape)
            expected = (f(net, params, l, (h + step)[None]) - f(net, params, l, (h - step)[None]))
            np.testing.assert_allclose(J[:, k], expected.ravel() / 2e-6, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5)])
def test_the_pseudo_inverse(shape):
    """NumPy's own, and without directions that f as good as loses."""
    J = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(inverses.pseudo_inverse(J), np.linalg.pinv(J), atol=1e-9)
    U, s, V = np.linalg.svd(J, full_matrices=False)
    s[-1] = s[0] * inverses.CUT / 10
    lost = inverses.pseudo_inverse((U * s) @ V)
    np.testing.assert_allclose(lost, (V.T[:, :-1] / s[:-1]) @ U.T[:-1], atol=1e-9)


def identity(V_of):
    """A network of identities, W_2 (4, 5), and V_2 from W_2."""
    rule, net, params = made("sdtp", "dense 5 identity, dense 4 identity, softmax 3", (2, 1, 3))
    params["V"][2][...] = V_of(params["W"][2])
    return inverses.look(net, rule, params, np.random.default_rng(2).normal(size=(3, 2, 1, 3)))[2]


def test_known_angles():
    """V like W is used transposed: V = W is the transpose, V = (W⁺)ᵀ the inverse."""
    found = identity(lambda W: 3 * W)
    assert found["to_transpose"] == pytest.approx(0, abs=1e-5) and found["to_inverse"] > 5
    found = identity(lambda W: np.linalg.pinv(W).T)
    assert found["to_inverse"] == pytest.approx(0, abs=1e-5) and found["to_transpose"] > 5
    found = identity(lambda W: -W)
    assert found["to_transpose"] == pytest.approx(180, abs=1e-5)


def test_the_loss_is_of_the_reconstruction():
    """An inverse that gives nothing leaves all of h_1."""
    rule, net, params = made("sdtp", "dense 5, dense 4, softmax 3", (2, 1, 3))
    x = np.random.default_rng(3).normal(size=(3, 2, 1, 3))
    params["V"][2][...] = 0
    h = np.tanh(x.reshape(3, -1) @ params["W"][1].T)
    found = inverses.look(net, rule, params, x)
    assert found.keys() == {2, 3}
    assert found[2]["loss"] == pytest.approx((h**2).sum(axis=1).mean())


@pytest.mark.parametrize("row", slow_but(
    ["sdtp-alternating"], ["sdtp-alternating", "ao-sdtp-parallel"]))
def test_the_command(command, here, tiny, row):
    """Two runs a seed; frozen inverses are those that were drawn; a row for each inverse."""
    line = ["runs.inverses", "--data", tiny, "--row", row, "--epochs", 1, "--seeds", "0,1",
            "--examples", 1, "--jobs", 2]
    result = command(*line)
    assert result.status == 0, result
    assert "trained" in result.out and "frozen" in result.out
    with open(f"runs/out/results/inverses_mnist-fc_{row}_tiny.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["inverses"], r["seed"], r["layer"]) for r in rows] == [
        (kind, seed, l) for seed in "01" for kind in ("trained", "frozen") for l in "23456"]
    rule, schedule = paper.method(row)
    drawn = ref.Trainer(rule, "mnist-fc", seed=1, schedule=schedule).params["V"]
    for kind, other in (("trained", ""), ("frozen", "_inverse_lr1e-30")):
        name = f"mnist-fc_{row}{other}_tiny_seed1".replace("_inverse", "-inverse")
        kept = folder.read_parameters(f"runs/out/work/{name}")
        assert all((kept[f"V_{l}"] == V).all() == (kind == "frozen") for l, V in drawn.items())
    with open(f"runs/out/work/mnist-fc_{row}_tiny_seed1/metrics.csv") as file:
        (metrics,) = csv.DictReader(file)
    for r in rows:
        if (r["inverses"], r["seed"]) == ("trained", "1"):  # g_l gives the target of layer l - 1
            assert float(r["angle_of_dW"]) == float(metrics[f"angle_{int(r['layer']) - 1}"])
            assert float(r["last_test_error"]) == float(metrics["test_error"])
        assert 0 < float(r["angle_of_dW"]) < 180 and 0 < float(r["to_inverse"]) < 180


def test_bad_input(command, here, tiny):
    for more, named in ((["--row", "bp"], "it has no inverses; there are dtp-parallel"),
                        (["--row", "magic"], "no such row"), (["--examples", 0], "--examples"),
                        (["--data", "nothere.h5"], "nothere.h5")):
        command.refused("runs.inverses", "--data", tiny, *more, names=[named])
