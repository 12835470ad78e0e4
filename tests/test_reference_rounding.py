"""The allowances of ref/reference/allowance.py: no right file is refused, no wrong one passes.

The long version, a thousand files: python -m pytest -m soak tests/test_reference_rounding.py, or
python tests/verify_study.py 1000.
"""

from dataclasses import replace

import numpy as np
import pytest
import right_files
from test_reference import run, verified
from verify_study import Verified, study

from ref import rules
from ref.reference import cli, update
from ref.reference.read import read
from ref.reference.report import report
from ref.reference.verify import Measure, by_replay, compare, first

ISSUE = ("--rule", "bp", "--arch", "mnist-fc", "--batch-size", "100", "--steps", "1",
         "--epsilon-form", "kingma")


@pytest.mark.parametrize("dtype", [
    pytest.param("float64", marks=pytest.mark.slow), "float32"])
@pytest.mark.parametrize("rule", rules.NAMES)
def test_right_files_agree_and_three_percent_are_found(rule, dtype, tmp_path):
    """Of every rule, in both types; the update of every parameter in turn is 3 % too small."""
    rng = np.random.default_rng([7, rules.NAMES.index(rule)])
    for _ in range(2):
        given, way = right_files.draw(rng, rule, dtype)
        found = Verified(right_files.made(tmp_path / "out.h5", given, way, rng))
        assert all(row.agrees for row in found.rows()), (given, way)
        for name, first_named in found.planted():
            assert first_named == name, given


@pytest.mark.soak
def test_a_thousand_right_files(tmp_path):
    """No false alarm. One planted error in a thousand may be beyond what the file can tell: where
    rounding decides a sign of W (sign-symmetry), or the change is as small as W's last bit."""
    found = study(1000, 11, tmp_path)
    print(dict(found))
    assert not found["false alarms"] and not found["named late"]
    assert found["not found"] <= found["planted"] / 1000


def content(tmp_path, *given):
    path = tmp_path / "out.h5"
    return cli.write(cli.parser().parse_args(["write", str(path), *map(str, given)]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_update_of_mnist_fc_that_is_too_small(dtype, tmp_path):
    """Adam's ε = 1e-8 divides gradients near zero by their own size, and hides nothing else."""
    right = Verified(content(tmp_path, *ISSUE, "--dtype", dtype))
    assert all(row.agrees for row in right.rows())
    for name in ("W_3", "b_1"):
        for k in (0.7, 0.97, 0.99, 1.01):
            wrong = right_files.scaled(right.content, 1, name, k)
            row = first(right.rows(wrong))
            assert row.quantity.name == f"step_1/after/{name}"


def test_eq_2_as_printed_on_mnist_fc(tmp_path):
    """g(ĥ) + [h - g(h)], sums in other orders, ε = 1e-8: refused by one number for an array."""
    given = ["--rule", "sdtp", "--arch", "mnist-fc", "--batch-size", "128", "--steps", "1",
             "--epsilon", "1e-8", "--inverse-epsilon", "1e-8", "--epsilon-form", "kingma"]
    for seed in range(2):
        rng = np.random.default_rng(seed)
        made = right_files.made(tmp_path / "out.h5", [*given, "--seed", str(seed)], "blocked",
                                type("Printed", (), {"random": lambda self: 0.4,
                                                     "integers": rng.integers})())
        assert by_replay("theirs", made).agrees


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gradient_that_is_zero_but_for_rounding(dtype, tmp_path):
    """All signs alike: Σ δ_L = 0, and Adam makes steps of lr of what rounding leaves of it."""
    given = ("--rule", "sign-symmetry", "--magnitude", "uniform", "--arch", "dense 6, softmax 4",
             "--in-shape", "3x3x1", "--epsilon", "1e-8", "--dtype", dtype, "--steps", "2")
    start = content(tmp_path, *given)
    start.arrays["init/W_2"][...] = np.abs(start.arrays["init/W_2"])
    (tmp_path / "out.h5").unlink()
    for way in ("naive", "permuted", "one by one"):
        rng = np.random.default_rng(1)
        made = right_files.remade(start, way, rng)
        result = by_replay("theirs", made)
        assert result.agrees, first(result.rows)
    assert np.abs(made.arrays["step_1/delta_1"]).max() < 1e-6  # it was


@pytest.mark.parametrize("alpha", [0.1, 0.001, 1e-8])
def test_a_target_is_held_to_its_displacement(alpha, tmp_path):
    """α is 0.1 % off, which is nothing beside h."""
    right = content(tmp_path, "--rule", "dtp", "--arch", "dense 9, dense 8, dense 7, softmax 4",
                    "--in-shape", "3x3x1", "--alpha", alpha)
    assert by_replay("theirs", right).agrees
    wrong = replace(right, setting={**right.setting, "alpha": 1.001 * alpha})
    assert first(by_replay("theirs", wrong).rows).quantity.name == "step_1/h_hat_3"


@pytest.mark.parametrize("way", ["permuted", "naive"])
@pytest.mark.parametrize("alpha", ["1e-6", "1e-8", "1e-10"])
def test_targets_nearer_than_float32_can_tell(alpha, way, tmp_path):
    """Right files in float64: most digits of h - ĥ are gone, and float32 shows nothing of it."""
    for seed in range(3):
        made = right_files.made(tmp_path / "out.h5", [
            "--rule", "dtp", "--arch", "dense 12, dense 12, dense 12, softmax 5", "--in-shape",
            "3x3x1", "--batch-size", "8", "--steps", "2", "--epsilon", "1e-8", "--epsilon-form",
            "kingma", "--alpha", alpha, "--seed", str(seed)], way, np.random.default_rng(seed))
        result = by_replay("theirs", made)
        assert result.agrees, first(result.rows)


def test_a_change_that_is_too_large_as_a_whole(tmp_path):
    """Every entry within its allowance, all on the same side."""
    right = Verified(content(tmp_path, "--rule", "bp", "--arch", "dense 9, softmax 4",
                             "--in-shape", "3x3x1", "--steps", "1"))
    name = "step_1/after/W_2"
    q = next(q for q in right.content.quantities if q.name == name)
    limit, _ = right.measure.allowed(q, right.ours)
    sign = np.sign(right.ours[name] - right.ours["init/W_2"])

    def row(array):
        arrays = {**right.content.arrays, name: array}
        rows = compare([q], arrays, right.ours, right.measure, right.given)
        return rows[0]

    assert row(right.ours[name] + 0.4 * limit * sign).agrees
    leaning = row(right.ours[name] + 0.9 * limit * sign)
    assert not leaning.agrees and leaning.wrong == 0 and leaning.lean > 0.8
    assert row(right.ours[name] + 0.9 * limit * np.resize([1, -1], sign.shape)).agrees
    wrong = replace(right.content, arrays={**right.content.arrays,
                                           name: right.ours[name] + 0.9 * limit * sign})
    assert "as a whole the change is too large" in "\n".join(report(by_replay("theirs", wrong)))


def test_against_a_file_that_holds_no_start(tmp_path, capsys):
    """Without inputs to replay, gradients in the file still say what an update may be."""
    for name, *more in (("a.h5",), ("b.h5", "--lr", "0.0097")):
        assert run(capsys, "write", tmp_path / name, "--rule", "bp", "--arch", "dense 9, softmax 4",
                   "--in-shape", "3x3x1", *(more or ("--lr", "0.01")))[0] == 0
    status, found = verified(capsys, tmp_path / "b.h5", "--against", tmp_path / "a.h5")
    assert status == 1 and found["first"]["name"].startswith("step_1/after/")
    start = read(tmp_path / "a.h5")
    measure = Measure(1e-9, 0.0, np.float64, start)
    rows = compare(start.quantities, start.arrays, dict(start.arrays), measure)
    assert all(row.agrees for row in rows)


def test_what_adam_makes_of_a_gradient_that_is_off():
    s = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    g = np.array([1.0, -1e-3, 0.0, 1e-12])
    off = update.of_adam(s, "kingma", [g], [np.full(4, 1e-10)])
    # d/dg of lr g / (|g| + ε) is lr ε / (|g| + ε)², or the range itself near zero
    assert np.allclose(off[:2], 0.1 * 1e-8 * 1e-10 / np.square(np.abs(g[:2]) + 1e-8), rtol=1e-2,
                       atol=1e-16)
    assert np.allclose(off[2:], 0.1 * 1e-10 / 1e-8, rtol=0.05)
    two = update.of_adam(s, "hat", [g, g], [np.full(4, 1e-3)] * 2)
    assert two[0] < 1e-3 and (two[1:] > 0.01).all()  # anything from -lr to lr
    assert not update.of_adam(s | {"epsilon": 0.0}, "hat", [0 * g], [0 * g]).any()


def test_adams_largest_step_lies_between():
    """Where g_2 may be almost anything, its ends do not make the largest step."""
    s = {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 0.0}
    g, a = [np.array([-2e-3]), np.array([2e-3])], [np.zeros(1), np.array([5e-2])]

    def u(x):
        m, v = 0.09 * g[0] + 0.1 * x, 0.001 * (0.999 * g[0]**2 + x**2)
        return m / np.sqrt(v) * np.sqrt(1 - 0.999**2) / (1 - 0.9**2)

    furthest = max(abs(u(x) - u(g[1])) for x in g[1] + np.linspace(-1, 1, 9999) * a[1])
    ends = max(abs(u(g[1] + side * a[1]) - u(g[1])) for side in (1, -1))
    assert ends < 0.9 * furthest
    assert np.allclose(update.of_adam(s, "hat", g, a), furthest, rtol=1e-3)
