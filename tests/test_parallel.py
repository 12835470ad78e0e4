"""Work shared out to threads: every piece once, errors told, and what threads may change."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from checks import defaults

from ref import architectures, evaluation, parallel, rules, training
from ref.linear.patches import Patches
from ref.network import initial_parameters
from ref.parallel import each, later, matmul, slices, threads

HOST = np.zeros(1)


@pytest.fixture(params=[1, 2, 3])
def n_threads(request, monkeypatch):
    monkeypatch.setattr(parallel, "threads", lambda: request.param)
    monkeypatch.setattr(parallel, "_pool", None)
    return request.param


def test_each_piece_once(n_threads):
    done = []
    each(done.append, range(1000), HOST)
    assert sorted(done) == list(range(1000))


def test_pieces_run_side_by_side(monkeypatch):
    """Two pieces that wait for each other come through."""
    monkeypatch.setattr(parallel, "threads", lambda: 2)
    monkeypatch.setattr(parallel, "_pool", None)
    both = threading.Barrier(2, timeout=20)
    each(lambda piece: both.wait(), range(2), HOST)


@pytest.mark.parametrize("where", ["first", "last"])
def test_an_error_in_a_piece_is_the_callers(n_threads, where):
    bad = 0 if where == "first" else 49

    def work(piece):
        if piece == bad:
            raise ValueError("piece")

    with pytest.raises(ValueError, match="piece"):
        each(work, range(50), HOST)
    test_each_piece_once(n_threads)  # and the threads go on


def test_pieces_within_pieces(n_threads):
    done = []
    each(lambda i: each(lambda j: done.append((i, j)), range(7), HOST), range(7), HOST)
    assert sorted(done) == [(i, j) for i in range(7) for j in range(7)]


def test_later(n_threads):
    assert later(divmod, 7, 4)() == (1, 3)
    result = later(divmod, 7, 0)
    with pytest.raises(ZeroDivisionError):
        result()


@pytest.mark.parametrize("n, size", [(10, 3), (9, 3), (1, 5), (4, 0), (0, 2)])
def test_slices_cover(n, size):
    pieces = slices(n, size, HOST)
    assert [k for piece in pieces for k in range(n)[piece]] == list(range(n))
    assert all(piece.stop - piece.start <= max(1, size) for piece in pieces)


@pytest.mark.parametrize("m, k, n", [(300, 40, 7), (7, 40, 300), (64, 64, 64)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_product_in_pieces(n_threads, monkeypatch, m, k, n, order):
    monkeypatch.setattr(parallel, "LARGE", 1000)
    rng = np.random.default_rng(0)
    A = np.asarray(rng.standard_normal((m, k)), order=order)
    B = np.asarray(rng.standard_normal((k, n)), order=order)
    C = matmul(A, B)
    assert np.allclose(C, A @ B, rtol=1e-12, atol=1e-12)
    assert C.flags.c_contiguous  # as the optimiser needs a gradient
    assert matmul(A.astype("f4"), B.astype("f4")).dtype == np.float32


@pytest.mark.parametrize("layers", [
    "local 3x3x4/2, local 5x5x6/1, dense 700, softmax 10",
    "conv 3x3x4/2, conv 5x5x6/1, dense 60, softmax 10"])
@pytest.mark.parametrize("name", ["bp", "ao-sdtp"])
def test_a_step_does_not_depend_on_the_threads(monkeypatch, layers, name):
    """Three steps in float32 end bit for bit the same, but for large products cut elsewhere."""
    monkeypatch.setattr(parallel, "LARGE", 1 << 40)
    monkeypatch.setattr(parallel, "BLOCK", 1 << 12)
    for module in ("local", "conv"):
        monkeypatch.setattr(f"ref.linear.{module}.CACHE", 1 << 13)
    monkeypatch.setattr("ref.linear.conv.BLOCK", 1 << 15)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 14, 14, 2), dtype=np.uint8)
    labels = rng.integers(0, 10, 12)
    ends = []
    for count in (1, 2, 3):
        monkeypatch.setattr(parallel, "threads", lambda count=count: count)
        monkeypatch.setattr("ref.training.later", later)
        monkeypatch.setattr(parallel, "_pool", None)
        rule = rules.get(name)
        net = rule.extend(architectures.build(layers, (14, 14, 2)))
        params = initial_parameters(net, training.initial_stream(0), np.float32)
        setting = defaults(rule) | {
            "optimizer": "adam", "epsilon_form": "hat", "order": "targets-first", "sigma": 0.1,
            **{f"{prefix}{key}": value for prefix in ("", "inverse_") for key, value in
               {"lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}.items()}}
        setting.setdefault("reduction", "sum")
        trainer = training.Trainer(net, rule, params, setting, seed=0)
        for _ in range(3):
            trainer.step(*evaluation.batch_of(net, images, labels, np, np.dtype("float32")))
        ends.append(params)
    for other in ends[1:]:
        for symbol, layers_ in ends[0].items():
            for l, p in layers_.items():
                assert np.array_equal(p, other[symbol][l]), (symbol, l)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_every_other_block_of_rows_touches_other_inputs(kernel, stride):
    """So that threads may add to one image; and no block is larger than that needs."""
    geometry = Patches((40, 40, 1), (kernel, kernel), stride)
    rows = geometry.disjoint_rows()

    def first_two_apart(rows):
        last_of_first = stride * (rows - 1) + kernel - 1
        return last_of_first < stride * 2 * rows  # where the block after the next begins

    assert first_two_apart(rows) and (rows == 1 or not first_two_apart(rows - 1))


@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_limits_the_threads(monkeypatch, variable):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    every = threads()
    assert every == len(os.sched_getaffinity(0))
    monkeypatch.setenv(variable, "1")
    assert threads() == 1
    monkeypatch.setenv(variable, "many")
    assert threads() == every


def test_blas_gets_one_thread_and_children_what_was_given():
    """ref holds BLAS to one thread, and leaves the variable as it found it."""
    code = ("import os, ref; import numpy; from ref.parallel import threads;"
            "print(os.environ.get('OPENBLAS_NUM_THREADS'), threads())")
    for given, expected in ((None, f"None {len(os.sched_getaffinity(0))}"), ("1", "1 1")):
        env = {k: v for k, v in os.environ.items()
               if k not in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
        env |= {"OPENBLAS_NUM_THREADS": given} if given else {}
        said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True,
                              text=True, check=True).stdout
        assert said.strip() == expected
