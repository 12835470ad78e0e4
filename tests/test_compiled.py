"""Adam's compiled loop gives NumPy's bits, and a numba that fails leaves NumPy's formula."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from checks import assert_same_bits
from test_optim import SETTING, normal, trained

from ref import compiled, parallel
from ref.optim import adam

SHAPES = {"W_1": (300, 70), "b_1": (11,), "W_2": (2 * parallel.BLOCK + 3,), "W_3": (0, 4)}


@pytest.fixture(autouse=True)
def afresh():
    compiled._compiled.cache_clear()
    yield
    compiled._compiled.cache_clear()


def formula(*arrays):
    """In the place of NumPy's update, where it should not be called."""
    raise AssertionError("not compiled")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["hat", "kingma"])
@pytest.mark.parametrize("scale", [1, 1e-20, 1e18])
def test_the_same_bits(monkeypatch, dtype, form, scale):
    """Ten steps of both, of gradients so small that v vanishes, and so large that it overflows."""
    pytest.importorskip("numba", reason="numba is not installed (extra: fast)")
    assert compiled.adam(formula, *6 * (0.5,)) is not formula
    params = normal(0, SHAPES, dtype)
    grads = [{k: (scale * g).astype(dtype) for k, g in normal(t, SHAPES, dtype).items()}
             for t in range(1, 11)]
    results = []
    with np.errstate(all="ignore"):
        for side_by_side in (1 << 60, 1):
            monkeypatch.setattr(parallel, "SIDE_BY_SIDE", side_by_side)
            monkeypatch.setattr(parallel, "threads", lambda: 2)
            monkeypatch.setattr(parallel, "_pool", None)
            results.append(trained(adam, grads, params, **SETTING, epsilon_form=form))
        monkeypatch.setattr(compiled, "adam", lambda formula, *numbers: formula)
        results.append(trained(adam, grads, params, **SETTING, epsilon_form=form))
    for other in results[1:]:
        assert_same_bits(other, results[0])


def test_it_is_the_loop_that_runs():
    pytest.importorskip("numba", reason="numba is not installed (extra: fast)")
    arrays = [np.ones(5, np.float32) for _ in range(4)]
    compiled.adam(formula, 0.9, 0.1, 0.99, 0.01, 0.5, 0.0)(*arrays)
    assert arrays[0][0] == 0.5
    with pytest.raises(AssertionError, match="not compiled"):  # another dtype than the two
        compiled.adam(formula, *6 * (0.5,))(*(a.astype(np.float16) for a in arrays))


def broken(*args, **kwargs):
    raise SystemError("compiled against another NumPy")


@pytest.mark.parametrize("numba", [
    None,  # not installed
    SimpleNamespace(config=SimpleNamespace(DISABLE_JIT=0), njit=broken),
    SimpleNamespace(config=SimpleNamespace(DISABLE_JIT=1)),  # NUMBA_DISABLE_JIT: pure Python
], ids=["missing", "broken", "disabled"])
def test_without_numba_the_formula_stays(monkeypatch, numba):
    monkeypatch.setitem(sys.modules, "numba", numba)
    assert compiled.adam(formula, *6 * (0.5,)) is formula
