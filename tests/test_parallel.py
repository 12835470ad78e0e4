"""Work shared out to threads: every piece once, errors told, and what threads may change."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from checks import defaults
from threadpoolctl import threadpool_info

from ref import architectures, evaluation, parallel, rules, training
from ref.linear.patches import Patches
from ref.network import initial_parameters
from ref.parallel import each, matmul, slices, threads

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


@pytest.mark.parametrize("n, size", [(10, 3), (9, 3), (1, 5), (4, 0), (0, 2)])
def test_slices_cover(n, size):
    pieces = slices(n, size, HOST)
    assert [k for piece in pieces for k in range(n)[piece]] == list(range(n))
    assert all(piece.stop - piece.start <= max(1, size) for piece in pieces)


class Library:
    """In the place of BLAS: which numbers of threads it was given."""

    def __init__(self, count=7):
        self.num_threads, self.given = count, []

    def set_num_threads(self, n):
        self.num_threads = n
        self.given.append(n)


@pytest.fixture
def library(monkeypatch):
    library = Library()
    monkeypatch.setattr(parallel, "_libraries", lambda: [library])
    return library


def test_one_product_has_all_threads_and_pieces_have_one_each(n_threads, library):
    A = Watched(library)
    assert A.during == []
    matmul(A, HOST)
    assert A.during == [n_threads] and library.num_threads == 7
    each(lambda piece: matmul(A, HOST), range(3), HOST)
    assert A.during[1:] == [1, 1, 1] and library.num_threads == 7
    each(lambda piece: each(lambda nested: matmul(A, HOST), range(2), HOST), range(2), HOST)
    assert A.during[4:] == 4 * [1] and library.num_threads == 7
    matmul(A, HOST)  # after pieces as before them
    assert A.during[8:] == [n_threads]


class Watched:
    """A matrix that notes how many threads BLAS has when it is multiplied."""

    def __init__(self, library):
        self.library, self.during = library, []

    def __matmul__(self, other):
        self.during.append(self.library.num_threads)


@pytest.mark.parametrize("work", [lambda: matmul(HOST, None),
                                  lambda: each(lambda piece: 1 / 0, range(9), HOST)])
def test_an_error_leaves_blas_its_threads(n_threads, library, work):
    with pytest.raises((TypeError, ZeroDivisionError, ValueError)):
        work()
    assert library.num_threads == 7
    test_one_product_has_all_threads_and_pieces_have_one_each(n_threads, library)


@pytest.mark.parametrize("n", [1, 2])
def test_the_library_is_found(n):
    """NumPy's own has the threads that it is given."""
    with parallel.blas(n):
        found = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert found == [n]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_product_is_laid_out_by_rows(n_threads, order):
    """As the optimiser needs a gradient."""
    A, B = (np.asarray(np.ones(shape, "f4"), order=order) for shape in ((300, 40), (40, 70)))
    assert matmul(A, B).flags.c_contiguous and matmul(A, B).dtype == np.float32


@pytest.mark.parametrize("layers", [
    "local 3x3x4/2, local 5x5x6/1, dense 700, softmax 10",
    "conv 3x3x4/2, conv 5x5x6/1, dense 60, softmax 10"])
@pytest.mark.parametrize("name", ["bp", "ao-sdtp"])
def test_a_step_does_not_depend_on_the_threads(monkeypatch, layers, name):
    """Three steps in float32 end bit for bit the same, where BLAS cuts no product for its own."""
    monkeypatch.setattr(parallel, "_libraries", lambda: [])
    monkeypatch.setattr(parallel, "SIDE_BY_SIDE", 1)
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


@pytest.mark.parametrize("given", [None, "7"])
def test_blas_soon_sleeps_and_children_get_what_was_given(given):
    """ref shortens OpenBLAS's look-out while NumPy is loaded, and leaves the variable as it was."""
    name = "OPENBLAS_THREAD_TIMEOUT"
    code = f"""
import os, sys
class Loaded:
    def find_spec(self, module, *rest):
        if module == "numpy":
            print(os.environ.get({name!r}))
sys.meta_path.insert(0, Loaded())
import ref
print(os.environ.get({name!r}))"""
    env = {k: v for k, v in os.environ.items() if k != name} | ({name: given} if given else {})
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True,
                          text=True, check=True).stdout
    assert said.split() == ([given, given] if given else ["20", "None"])


TRAINED = """
import hashlib, ref, numpy as np
from ref.network import flat
trainer = ref.Trainer("sdtp", "dense 300, dense 200, softmax 10", in_shape=(20, 20, 1), seed=3)
rng = np.random.default_rng(0)
for _ in range(3):
    x = rng.random((64, 20, 20, 1), dtype="f4")
    out = trainer.step(x, np.eye(10, dtype="f4")[rng.integers(0, 10, 64)])
bits = b"".join(p.tobytes() for p in flat(trainer.params).values())
print(hashlib.sha256(bits).hexdigest(), float(out["loss"].mean()))
"""


def test_results_are_a_function_of_the_number_of_threads():
    """Bit for bit; with another number of them the same up to rounding."""
    said = [subprocess.run([sys.executable, "-c", TRAINED], text=True, check=True,
                           capture_output=True, env={**os.environ, "OPENBLAS_NUM_THREADS": n}
                           ).stdout.split() for n in ("2", "2", "1", "1")]
    assert said[0] == said[1] and said[2] == said[3]
    assert float(said[0][1]) == pytest.approx(float(said[2][1]), rel=1e-4)


@pytest.mark.parametrize("rows, of_a_row, tile", [
    (1024, 144 * 16, 256), (256, 288 * 32, 64),  # resnet20's first two stages
    (64, 576 * 64, 0),                           # wide: OpenBLAS's own copying pays
    (121, 25, 121), (31, 25, 0), (1021, 1000, 0),
])
def test_small_products_fill_their_rows(rows, of_a_row, tile):
    x = np.zeros(1)
    assert parallel.small_product(rows, of_a_row, x) == tile
    assert tile * of_a_row <= 10**6
