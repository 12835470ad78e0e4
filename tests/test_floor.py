"""The floor counts the products that the equations ask for; runs.bench prints and writes it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from runs.bench import floor, load, pair

BENCH = "runs.bench.__main__"
N = 4
LAYERS = "dense 8, dense 6, softmax 10"
M = {1: 784 * 8, 2: 8 * 6, 3: 6 * 10}  # multiply-adds of W_l h for an example


def counted(rule, **changes):
    trainer, images, labels = pair.setup(LAYERS, rule, N, **changes)
    x, y = pair.batch(trainer, images, labels)
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
    plain, images, labels = pair.setup(LAYERS, "sdtp", N)
    pair.our_step(plain, images, labels)()
    for l in plain.params["W"]:
        assert np.array_equal(counting.params["W"][l], plain.params["W"][l])
    assert not isinstance(counting.net.map[1], floor.Counted)


def test_optimiser_bytes():
    trainer, _ = counted("bp")
    assert floor.optimiser_bytes(trainer) == 7 * 4 * (sum(M.values()) + 8 + 6 + 10)


@pytest.mark.slow  # .ci/run runs it
def test_bench_writes_what_it_prints(command, tmp_path):
    out = tmp_path / "bench.json"
    result = command(BENCH, "--arch", LAYERS, "--rule", "bp,dfa", "--batch-size", 4,
                     "--turns", 2, "--steps", 2, "--seconds", 0.01, "--threads", 1, "--json", out,
                     "--busy")
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
    (["--against", "cobol"], ["--against cobol", "torch"]),
])
def test_what_cannot_be_timed(command, here, arguments, names):
    command.refused(BENCH, *arguments, names=names)


def test_a_busy_machine(command, here, monkeypatch):
    """No ratios beside other work: refused before a pair and after it, unless --busy."""
    monkeypatch.setattr(load, "look", lambda: 1.2)
    command.refused(BENCH, names=["busy", "1.20", "--busy"])
    monkeypatch.setattr(load, "look", lambda: 0.1)
    monkeypatch.setattr(load.Watch, "others", lambda watch: 0.9)
    monkeypatch.setattr(f"{BENCH}.alone", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr(floor, "limits", lambda xp, seconds: (1e11, 1e10))
    command.refused(BENCH, "--arch", LAYERS, *BRIEF, names=["busy", "0.90", "--busy"])
    others = [0.9, 0.9, 0.0]  # the third time a turn is alone
    monkeypatch.setattr(load.Watch, "others", lambda watch: others.pop(0))
    assert command(BENCH, "--arch", LAYERS, *BRIEF).status == 0 and not others
    monkeypatch.setattr(load.Watch, "others", lambda watch: 0.9)
    result = command(BENCH, "--arch", LAYERS, *BRIEF, "--busy")
    assert result.status == 0
    assert "take 0.10 of" in result.out and "took 0.90 of" in result.out


BRIEF = ("--turns", 1, "--steps", 1, "--warm-up", 0)


def test_others(monkeypatch):
    """What all processors did, less what this process did; nothing where it can't be told."""
    states = [(10.0, 5.0, 1.0), (14.0, 11.0, 3.0)]  # 6 s of work in 4 s, 2 of them ours
    monkeypatch.setattr(load, "_state", lambda: states.pop(0))
    assert load.Watch().others() == 1.0
    monkeypatch.setattr(load, "_state", lambda: None)
    assert load.Watch().others() is None
    assert not load.too_much(None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/stat is Linux's")
def test_a_process_that_spins_is_seen():
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert load.look() > load.MOST
    finally:
        spinning.kill()
        spinning.wait()
