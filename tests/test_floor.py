"""runs.floor counts the products that the equations ask for; runs.bench prints and writes them."""

import json

import numpy as np
import pytest

from runs import bench, floor

N = 4
LAYERS = "dense 8, dense 6, softmax 10"
M = {1: 784 * 8, 2: 8 * 6, 3: 6 * 10}  # multiply-adds of W_l h for an example


def counted(rule, **changes):
    trainer, images, labels = bench.setup(LAYERS, rule, N, **changes)
    x, y = bench.training.batch_of(trainer.net, images, labels, np, np.dtype(np.float32))
    return trainer, floor.products(trainer, x, y)


@pytest.mark.parametrize("rule, expected", [
    ("bp", 2 * sum(M.values()) + M[2] + M[3]),  # forward, dW; δ_1, δ_2
    ("fa", 2 * sum(M.values()) + M[2] + M[3]),
    ("dfa", 2 * sum(M.values()) + 8 * 10 + 6 * 10),  # B_l from the output
    ("dtp", 2 * sum(M.values()) + M[3] + 2 * M[2]  # first target; g_2 of ĥ_2 and of h_2
     + 3 * M[2]),  # f_2(h̃_1), g_2 of it, dV_2
    ("sdtp", 2 * sum(M.values()) + 2 * (M[2] + M[3]) + 3 * (M[2] + M[3])),
])
def test_multiply_adds(rule, expected):
    _, flop = counted(rule)
    assert flop == 2 * N * expected


def test_counting_changes_nothing():
    """The step taken while counting is an ordinary one, and the maps are put back."""
    counting, _ = counted("sdtp")
    plain, images, labels = bench.setup(LAYERS, "sdtp", N)
    bench.our_step(plain, images, labels)()
    for l in plain.params["W"]:
        assert np.array_equal(counting.params["W"][l], plain.params["W"][l])
    assert not isinstance(counting.net.map[1], floor.Counted)


def test_optimiser_bytes():
    trainer, _ = counted("bp")
    assert floor.optimiser_bytes(trainer) == 7 * 4 * (sum(M.values()) + 8 + 6 + 10)


def test_bench_writes_what_it_prints(command, tmp_path):
    out = tmp_path / "bench.json"
    result = command("runs.bench", "--arch", LAYERS, "--rule", "bp,dfa", "--batch-size", 4,
                     "--turns", 2, "--steps", 2, "--seconds", 0.01, "--threads", 1, "--json", out)
    assert result.status == 0, result.err
    written = json.loads(out.read_text())
    assert [r["rule"] for r in written["results"]] == ["bp", "dfa"]
    for r in written["results"]:
        assert r["floor_ratio_lowest"] <= r["floor_ratio"] <= r["floor_ratio_highest"]
        assert 0 < r["floor_ms"] and r["threads"] == 1
        assert f"{r['ref_ms']:.2f} ms a step" in result.out


@pytest.mark.parametrize("arguments, names", [
    (["--rule", "bq"], ["--rule bq", "sign-symmetry"]),
    (["--arch", "dense x"], ["dense x"]),
    (["--threads", "0"], ["--threads"]),
])
def test_what_cannot_be_timed(command, arguments, names):
    command.refused("runs.bench", *arguments, names=names)
