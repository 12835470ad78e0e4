"""runs.extrapolate: curves whose end is known; what its range and its look back are worth."""

import csv
import json

import numpy as np
import pytest
from run_folders import make

from runs.extrapolate import extrapolate, power_law

T = np.arange(1.0, 101)


def curve(a, b, c, noise=0.0, seed=0, t=T):
    return a + b * t**-c + noise * np.random.default_rng(seed).normal(size=len(t))


@pytest.mark.parametrize(("a", "b", "c"), [(30, 40, 0.5), (5, 60, 1.0), (0, 70, 0.1), (40, 9, 2)])
def test_a_power_law_goes_on_as_one(a, b, c):
    """To a tenth of what it still falls: c is sought on a grid."""
    found = extrapolate(curve(a, b, c), 500)
    falls = b * (100**-c - 500**-c)
    assert found["trend"] == pytest.approx(a + b * 100**-c, abs=0.05 * falls + 1e-3)
    for key in ("to", "low", "high"):
        assert found[key] == pytest.approx(a + b * 500**-c, abs=0.1 * falls + 1e-3)


@pytest.mark.parametrize("a", [10, -5])
def test_the_least_squares_are_those_of_lstsq(a):
    """With a = 0 where it would be negative."""
    y, least = curve(a, 60, 0.7, noise=0.1), []
    for c in np.geomspace(0.05, 3, 160):
        both = np.stack([np.ones(100), T**-c], 1)
        (found_a, _), squares, *_ = np.linalg.lstsq(both, y, rcond=None)
        if found_a < 0:
            squares = np.linalg.lstsq(both[:, 1:], y, rcond=None)[1]
        least.append(squares[0])
    (found,) = power_law(T, y[:, None], T).T
    assert ((found - y) ** 2).sum() == pytest.approx(min(least))


def test_the_range_holds_most_ends():
    """Of 20 noisy curves, whose true end is 30.9; a range of 90 % may miss some."""
    ranges = [extrapolate(curve(30, 20, 0.5, noise=0.5, seed=seed), 500) for seed in range(20)]
    inside = sum(r["low"] <= 30 + 20 * 500**-0.5 <= r["high"] for r in ranges)
    assert inside >= 15
    assert np.median([r["high"] - r["low"] for r in ranges]) < 2


@pytest.mark.parametrize("slope", [0, 0.05])
def test_what_does_not_fall_is_not_said_to(slope):
    """Without a trend, and rising, it stays at the mean of what was fitted."""
    y = 50 + slope * T + np.random.default_rng(0).normal(size=100)
    found = extrapolate(y, 500)
    assert found["to"] == pytest.approx(np.mean([y[k:].mean() for k in (7, 15, 30)]), abs=0.3)


def test_the_command(command, here):
    """A curve that turns in its second half: the first half's word is beside what came."""
    falls, turns = curve(40, 30, 0.5), np.concatenate([curve(40, 30, 0.5)[:50], np.full(50, 50.0)])
    for name, y in (("falls", falls), ("turns", turns)):
        make(here / name, test=list(y))
    result = command("runs.extrapolate", "falls", "turns", "--out", "o", "--to", "200")
    assert result.status == 0
    rows = {row["run"]: row for row in csv.DictReader((here / "o/extrapolated.csv").open())}
    for key, row in rows.items():
        assert float(row["half_to"]) == pytest.approx(43, abs=0.3), key
    assert float(rows["falls"]["last_ten"]) == pytest.approx(43, abs=0.2)
    assert float(rows["turns"]["last_ten"]) == 50
    assert float(rows["falls"]["to"]) == pytest.approx(40 + 30 * 200**-0.5, abs=0.2)
    assert float(rows["falls"]["best"]) == pytest.approx(43)
    assert "falls" in result.out and "in epoch 200" in result.out
    assert [run["epochs"] for run in json.loads((here / "o/extrapolated.json").read_text())["runs"]
            ] == [100, 100]


def test_refused(command, here):
    make(here / "short", test=[50.0] * 39)
    make(here / "long", test=[50.0] * 40)
    command.refused("runs.extrapolate", "short", names=["short", "39 epochs", "at least 40"])
    command.refused("runs.extrapolate", "long", "--to", 39, names=["--to 39", "40 epochs"])
    command.refused("runs.extrapolate", "nowhere", names=["nowhere"])
