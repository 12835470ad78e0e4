"""Several ranks of an MPI job: the numbers of one process; failures, signals and resumed runs.

They need mpi4py and an MPI library: pip install ".[mpich]". The gate has an environment with both.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import mpi_steps
import numpy as np
import pytest

import data_prep.digits
from ref import ranks
from ref.common.command import UsageError
from ref.ranks import ALONE

pytest.importorskip("mpi4py", reason='needs mpi4py and an MPI library: pip install ".[mpich]"')
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
CASES = list(mpi_steps.cases())


def start(n, *arguments, **options):
    """mpiexec -n N python ARGUMENTS."""
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), sys.executable, *map(str, arguments)], env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# ---- the numbers of one process ------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """{ranks: {name: array}} of mpi_steps on 1, 2 and 3 ranks."""
    folder, found = tmp_path_factory.mktemp("ranks"), {}
    for n in (1, 2, 3):
        out = folder / f"{n}.npz"
        status, _, err = end(start(n, ROOT / "tests/mpi_steps.py", out))
        assert (status, err) == (0, "")
        found[n] = dict(np.load(out))
    return found


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]} {case[2]} {case[0][:5]}")
def test_every_rule_is_that_of_one_process(ranked, n, case):
    """Whatever the ranks: to 1e-12 of each array's largest entry, in float32 to 1e-5."""
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        alone = mpi_steps.train(*case, dtype, ALONE)
        assert alone
        for name, array in alone.items():
            error = np.abs(ranked[n][f"{dtype} {case} {name}"] - array).max(initial=0)
            assert error <= limit * max(np.abs(array).max(initial=0), 1e-30), (name, error)


@pytest.mark.parametrize("large", [1, 7, 100])
def test_gradients_of_any_layout_are_averaged(monkeypatch, large):
    """In columns, read-only, a part of a larger array that stays as it is."""
    from mpi4py import MPI

    monkeypatch.setattr(ranks, "LARGE", large)
    whole = np.arange(24.0).reshape(4, 6)
    given = {"columns": np.asfortranarray(whole), "part": whole[:, ::2], "small": np.ones(3),
             "one": np.broadcast_to(np.float64(2), (3, 4)), "rows": whole.copy()}
    expected = {name: array / 4 for name, array in given.items()}
    found, before = dict(given), whole.copy()
    ranks.Ranks(MPI, MPI.COMM_SELF).average(found, 2, 8)
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name
    assert np.array_equal(whole, before)


# ---- runs ----------------------------------------------------------------------------------------

LINE = ["--rule", "dtp", "--arch", "dense 16, dense 16, softmax 10", "--dtype", "float64",
        "--first-target", "hidden-mean", "--data", "d.h5", "--batch-size", "50"]
EVERY_STEP = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and in `whole` the run of one process."""
    folder = tmp_path_factory.mktemp("runs")
    data_prep.digits.make(folder / "d.h5", n_train=1010, n_test=101)
    line = [sys.executable, "-m", "ref.train", *LINE, "--epochs", "3", "--out", "whole"]
    subprocess.run(line, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return folder


def parameters(out):
    with h5py.File(out / "parameters.h5") as file:
        return {name: file[name][:] for name in file}


def assert_same_run(out, whole):
    ours, theirs = parameters(out), parameters(whole)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert np.abs(array - theirs[name]).max() <= 1e-9 * np.abs(theirs[name]).max(), name
    rows = [[line.split(",")[:4] for line in (run / "metrics.csv").read_text().splitlines()]
            for run in (out, whole)]
    assert rows[0][0] == rows[1][0] and len(rows[0]) == len(rows[1])
    for one, other in zip(rows[0][1:], rows[1][1:], strict=True):
        assert list(map(float, one)) == pytest.approx(list(map(float, other)), rel=1e-9)


def processes_below(pid):
    """Every process that descends from one, as /proc tells it."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == pid:
            yield int(stat.parent.name)
            yield from processes_below(int(stat.parent.name))


def ranks_of(process):
    """The process numbers of the ranks, and those of the processes that watch them."""
    found = []
    for pid in processes_below(process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[0] == sys.executable.encode() and b"--mpi" in words:
            found.append(pid)
    ranks = [pid for watcher in found for pid in processes_below(watcher)]
    return ranks, [pid for pid in found if pid not in ranks]


def when_training(out, process):
    """Return when it has written a checkpoint since we asked."""
    began, give_up = time.time_ns(), time.monotonic() + 100
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if (out / "checkpoint.h5").stat().st_mtime_ns > began:
                return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def train(n, *arguments, **options):
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), sys.executable, "-m", "ref.train", "--mpi", *arguments],
        env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_a_run_of_two_ranks_is_that_of_one_process(place):
    status, out, err = end(train(2, *LINE, "--epochs", "3", "--out", "two", cwd=place))
    assert (status, err) == (0, "") and len(out.splitlines()) == 7  # rank 0 alone prints
    assert_same_run(place / "two", place / "whole")


STREAMING = """
from functools import partial
from ref import begin, train

begin.open_data = partial(begin.open_data, memory_limit=0, window=200_000)
train.main()
"""


def test_data_that_are_streamed_and_augmented(place):
    """Each rank reads, cuts out and flips its own rows; the run is that of one process."""
    (place / "streaming.py").write_text(STREAMING)
    line = ["streaming.py", *LINE, "--epochs", "2", "--crop-padding", "2", "--flip", "horizontal"]
    alone = subprocess.run([sys.executable, *line, "--out", "streamed"], cwd=place, text=True,
                           env=ENVIRONMENT, check=True, capture_output=True).stdout
    status, out, err = end(start(2, *line, "--mpi", "--out", "shared", cwd=place))
    assert (status, err) == (0, "") and "crops" in out and "crops" in alone
    assert_same_run(place / "shared", place / "streamed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("whom", ["mpiexec", "rank", "watcher"])
def test_a_signal_stops_all_with_a_checkpoint(place, number, whom):
    if whom == "mpiexec" and number == signal.SIGUSR1:
        pytest.skip("mpiexec keeps this one for itself")
    out = place / f"{number.name}-{whom}"
    process = train(2, *LINE, "--epochs", "3000", "--out", out.name, *EVERY_STEP, cwd=place)
    when_training(out, process)
    ranks, watchers = ranks_of(process)
    os.kill({"mpiexec": process.pid, "rank": ranks[1], "watcher": watchers[1]}[whom], number)
    status, _, err = end(process)
    lines = [line for line in err.splitlines() if not line.startswith("[mpiexec@")]
    assert status == 128 + number
    assert len(lines) == 1 and f"--resume {out.name}" in lines[0]


def test_killed_ranks_end_all_and_the_run_goes_on(place):
    """20 random ranks at random moments: one line says which, and why; every other time resumed
    with another number of ranks."""
    chance, run = random.Random(1), place / "killed"
    line = [*LINE, "--epochs", "100", "--out", "killed"]
    subprocess.run([sys.executable, "-m", "ref.train", *LINE, "--epochs", "100", "--out", "long"],
                   cwd=place, env=ENVIRONMENT, check=True, capture_output=True)
    for kill in range(20):
        n = 2 + kill % 2
        process = train(n, *line, *EVERY_STEP, cwd=place)
        when_training(run, process)
        time.sleep(chance.uniform(0, 0.1))
        ranks, _ = ranks_of(process)
        assert len(ranks) == n
        os.kill(victim := chance.choice(ranks), signal.SIGKILL)
        at = time.monotonic()
        status, out, err = end(process)
        assert status != 0 and time.monotonic() - at < 10
        assert re.fullmatch(rf"error: rank \d, process {victim}, was killed by SIGKILL .*"
                            rf"--resume killed\n", err), err
        assert re.search(rf"^{n} ranks, processes .*\b{victim} on ", out, re.M)
        line = ["--resume", "killed"]
    status, _, err = end(train(2, "--resume", "killed", cwd=place))
    assert (status, err) == (0, "")
    assert_same_run(run, place / "long")


def test_an_error_of_all_is_said_once(place):
    status, out, err = end(train(3, *LINE, "--alpha", "-1", cwd=place))
    assert (status, out) == (2, "") and err.count("error: ") == err.count("\n")
    status, out, err = end(train(3, *LINE, "--out", "whole", cwd=place))
    assert (status, out, err.count("\n")) == (2, "", 1) and "already holds a run" in err


FAILING = """
import sys
from ref import run, train

real = run.Run.augment
def failing(self, *batch):
    if self.ranks.rank == 1 and self.trainer.t == 25:
        raise {error}
    return real(self, *batch)

run.Run.augment = failing
train.main()
"""


@pytest.mark.parametrize(("error", "said"), [
    ("MemoryError('of rank 1')", "error: rank 1 of 2: not enough memory (of rank 1)"),
    ("OSError(5, 'Input/output error', 'd.h5')", "error: rank 1 of 2: d.h5: Input/output error"),
])
def test_an_error_of_one_rank_ends_all_with_its_number(place, error, said):
    (place / "failing.py").write_text(FAILING.format(error=error))
    name = f"failing-{error[:3]}"
    status, _, err = end(start(2, "failing.py", "--mpi", *LINE, "--epochs", "9", "--out", name,
                               cwd=place))
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 1 and len(lines) == 1 and lines[0].startswith(said)
    assert f"--resume {name}" in lines[0]
    assert end(train(3, "--resume", name, cwd=place))[0] == 0


def test_nan_ends_all_with_one_line(place):
    status, _, err = end(train(2, *LINE, "--lr", "1e38", "--optimizer", "sgd", "--dtype",
                               "float32", "--epochs", "9",
                               "--out", "nan", cwd=place))
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 1 and len(lines) == 1 and "NaN or infinite" in lines[0]


def test_from_python(place):
    (place / "fit.py").write_text(f"""
import sys
import ref

run = ref.fit("dtp", {LINE[3]!r}, "d.h5", epochs=3, batch_size=50, dtype="float64",
              first_target="hidden-mean", mpi="--alone" not in sys.argv, out="fitted")
print(run.metrics["test_error"])
""")
    status, out, err = end(start(2, "fit.py", cwd=place))
    assert (status, err) == (0, "") and len(set(out.splitlines())) == 1
    assert_same_run(place / "fitted", place / "whole")


def test_without_mpi4py_it_says_what_to_install(place, monkeypatch, capsys):
    from ref import mpi

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[mpi\]"'):
        mpi.world()


def test_rules_with_a_trainer_of_their_own_are_refused(place):
    status, _, err = end(train(2, "--rule", "segregated-dendrites", "--arch",
                               "dense 5, softmax 10", "--data", "d.h5", cwd=place))
    assert status == 2 and "--mpi: the rule segregated-dendrites" in err
