"""Angles of a run's updates and feedback: to backpropagation's, to W, as computed here."""

import h5py
import numpy as np
import pytest
from training_runs import metrics, parameters

from ref import rules


@pytest.mark.parametrize("arguments", [["bp"], ["hybrid", "--mu", 1]], ids=lambda a: a[0])
def test_angle_of_bp_to_bp(train, arguments):
    """0 in every layer, up to the rounding of float32."""
    assert train("--rule", *arguments, "--angles", "--out", "run").status == 0
    angles = [float(metrics("run")[0][f"angle_{l}"]) for l in (1, 2, 3)]
    assert max(angles) < 1e-2
    ratios = [float(metrics("run")[0][f"norm_ratio_{l}"]) for l in (1, 2, 3)]
    assert ratios == pytest.approx([1, 1, 1], rel=1e-5)


@pytest.mark.parametrize("rule", [rule for rule in rules.NAMES if rule != "bp"])
def test_angle_at_the_output(train, rule):
    """0: every rule takes dL/dθ_L there; below it the others differ from BP."""
    # Kolen-Pollack's dW has the decay of W in it
    more = ("--decay", "0") if rule == "kolen-pollack" else ()
    assert train("--rule", rule, "--angles", "--out", "run", *more).status == 0
    below, output = (float(metrics("run")[0][f"angle_{l}"]) for l in (1, 3))
    assert output < 1e-4 and 1 < below < 179


def test_angles_in_degrees(train, tiny):
    """FA's angles to BP, from the weights that a run hardly changed, computed here."""
    assert train("--rule", "fa", "--optimizer", "sgd", "--lr", "1e-30", "--angles",
                 "--out", "run").status == 0
    p = {name: array.astype(float) for name, array in parameters("run").items()}
    with h5py.File(tiny) as data:  # all 200 examples are in the fixed batch
        h = [data["train/images"][:].reshape(200, 784) / 255]
        y = np.eye(10)[data["train/labels"][:]]
    for l in (1, 2):
        h.append(np.tanh(h[-1] @ p[f"W_{l}"].T))
    o = np.exp(h[2] @ p["W_3"].T)
    updates = []
    for symbol in "WB":
        d = {3: o / o.sum(axis=1, keepdims=True) - y}
        for l in (2, 1):
            d[l] = (1 - h[l] ** 2) * (d[l + 1] @ p[f"{symbol}_{l + 1}"])
        updates.append({l: (d[l].T @ h[l - 1]).ravel() for l in d})
    for l in (1, 2):
        u, v = (update[l] for update in updates)
        expected = np.degrees(np.arccos(u @ v / np.sqrt(u @ u * (v @ v))))
        assert float(metrics("run")[0][f"angle_{l}"]) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(("rule", "carried"), [
    (["fa"], lambda W, B: B),
    (["sign-symmetry", "--magnitude", "fixed"], lambda W, B: np.abs(B) * np.sign(W)),
    (["sign-symmetry"], lambda W, B: np.sqrt(2 / sum(W.shape)) * np.sign(W)),
    (["weight-mirror"], lambda W, B: B),
], ids=str)
def test_feedback_angles_in_degrees(train, rule, carried):
    """Between W_l and what is in its place on the way down, from the parameters at the end."""
    assert train("--rule", *rule, "--angles", "--out", "run").status == 0
    p = {name: array.astype(float) for name, array in parameters("run").items()}
    for l in (2, 3):
        W = p[f"W_{l}"]
        u, v = carried(W, p.get(f"B_{l}")).ravel(), W.ravel()
        expected = np.degrees(np.arccos(u @ v / np.sqrt(u @ u * (v @ v))))
        found = float(metrics("run")[-1][f"feedback_angle_{l}"])
        assert found == pytest.approx(expected, abs=1e-2)
        found = float(metrics("run")[-1][f"feedback_norm_ratio_{l}"])
        assert found == pytest.approx(np.sqrt(u @ u / (v @ v)), rel=1e-5)


def test_inverse_angles_in_degrees(train):
    """Between W_l and V_l, from the parameters at the end."""
    assert train("--rule", "sdtp", "--angles", "--inverse-lr", 0.1, "--out", "run").status == 0
    p = {name: array.astype(float) for name, array in parameters("run").items()}
    for l in (2, 3):
        u, v = p[f"V_{l}"].ravel(), p[f"W_{l}"].ravel()
        row = metrics("run")[-1]
        expected = np.degrees(np.arccos(u @ v / np.sqrt(u @ u * (v @ v))))
        assert float(row[f"inverse_angle_{l}"]) == pytest.approx(expected, abs=1e-2)
        ratio = float(row[f"inverse_norm_ratio_{l}"])
        assert ratio == pytest.approx(np.sqrt(u @ u / (v @ v)), rel=1e-5) and ratio > 1.1
