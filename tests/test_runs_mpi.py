"""Runs over the ranks of an MPI job: the results of --jobs, signals, failures.

They need mpi4py and an MPI library, as test_mpi.py does.
"""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason='needs mpi4py and an MPI library: pip install ".[mpich]"')
from test_mpi import end, start  # noqa: E402

from ref import checkpoint  # noqa: E402
from runs import jobs  # noqa: E402
from runs.command import STOPPED  # noqa: E402

NAME = "search_dense-8-softmax-10_sdtp-parallel_tiny"
OUT, WORK = Path("runs/out/results"), Path("runs/out/work")


@pytest.fixture
def line(here, tiny):
    """A search of 4 configurations of 2 epochs."""
    return ["--rule", "sdtp", "--arch", "dense 8, softmax 10", "--data", tiny, "--configs", 4,
            "--epochs", 2, "--validation", 50]


def over(n, module, *arguments):
    """The command on n ranks: (status, stdout, stderr without what is said of matplotlib)."""
    status, out, err = end(start(n, "-m", module, *arguments, "--mpi"))
    return status, out, "".join(text for text in err.splitlines(keepends=True)
                                if "matplotlib" not in text)


@pytest.mark.parametrize("n", [1, 3])
def test_a_search_is_that_of_jobs(command, line, n):
    """And the same command again trains nothing, with more ranks or without them."""
    assert command("runs.search", *line, "--jobs", 2, "--keep", 2, "--keep-epochs", 3, "--out",
                   "other", "--work", "otherwork").status == 0
    status, out, err = over(n, "runs.search", *line)
    assert (status, err) == (0, "")
    assert f"training 4 of 4 runs, {n} at a time" in out
    status, out, err = over(2, "runs.search", *line, "--keep", 2, "--keep-epochs", 3)
    assert (status, err) == (0, "") and "training 2 of 2 runs, 2 at a time" in out
    for name in ("configs.csv", "curves.csv"):
        assert (OUT / NAME / name).read_bytes() == Path("other", NAME, name).read_bytes()
    assert "training" not in command("runs.search", *line, "--keep", 2, "--keep-epochs", 3).out


def test_a_table_is_that_of_jobs(command, tiny, here):
    line = ["--data", tiny, "--net", "fc", "--rows", "bp,fa,dfa", "--epochs", 2]
    assert command("runs.table1", *line, "--out", "other", "--work", "otherwork").status == 0
    assert over(3, "runs.table1", *line)[::2] == (0, "")
    name = "table1_mnist-fc_tiny.csv"
    assert (OUT / name).read_bytes() == Path("other", name).read_bytes()


def test_a_failed_run_does_not_stop_the_others(line):
    """Whichever rank trains it."""
    assert over(2, "runs.search", *line)[::2] == (0, "")
    for number in (0, 1):
        for name in ("checkpoint.h5", "checkpoint.previous.h5"):
            (WORK / NAME / f"config00{number}" / name).write_bytes(b"damaged")
    line[line.index("--epochs") + 1] = 3
    status, _, err = over(2, "runs.search", *line)
    assert status == 1 and err.startswith("error: 2 runs failed: ") and err.count("\n") == 1
    with open(OUT / NAME / "configs.csv") as file:
        found = [(row["state"], row["epochs"]) for row in csv.DictReader(file)]
    assert found == [("failed", "2")] * 2 + [("done", "3")] * 2


def ranks_of(mpiexec):
    """{rank: process id} of a running mpiexec: those below it that have a rank in MPI."""
    parents, found = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    for pid, parent in parents.items():
        if parents.get(parent) == mpiexec.pid:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found |= {int(w.split(b"=")[1]): pid for w in words if w.startswith(b"PMI_RANK=")}
    return found


@pytest.mark.parametrize("rank", [0, 2, None], ids=["of rank 0", "of rank 2", "of mpiexec"])
def test_a_signal_stops_all_with_checkpoints(command, line, rank):
    """One line, the tables as far as they are, and the same command goes on."""
    long = [*line]
    long[long.index("--epochs") + 1] = 20000
    process = start(3, "-m", "runs.search", *long, "--mpi")
    runs = [WORK / NAME / f"config00{number}" for number in range(3)]
    limit = time.monotonic() + 60
    while not all((run / "checkpoint.h5").exists() for run in runs):
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.02)
    if rank is None:
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(ranks_of(process)[rank], signal.SIGTERM)
    status, _, err = end(process)
    said = [text for text in err.splitlines() if "matplotlib" not in text]
    assert (status, said) == (128 + signal.SIGTERM, [STOPPED])
    with open(OUT / NAME / "configs.csv") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["stopped"] * 3 + ["missing"]
    most = 0
    for run in runs:
        assert "stopped in epoch" in (run / jobs.LOG).read_text()
        done = checkpoint.load(run)[1]["epoch"] - 1
        with open(run / "metrics.csv") as file:
            assert len(list(csv.DictReader(file))) == done
        most = max(most, done)
        config = json.loads((run / "config.json").read_text())
        config["arguments"]["epochs"] = 1  # so that a resumed run may have fewer than 20000
        (run / "config.json").write_text(json.dumps(config))
    line[line.index("--epochs") + 1] = most + 1
    assert over(2, "runs.search", *line)[::2] == (0, "")
    assert command("runs.search", *line, "--jobs", 2, "--out", "other", "--work", "ow").status == 0
    assert (OUT / NAME / "curves.csv").read_bytes() == Path("other", NAME,
                                                            "curves.csv").read_bytes()


@pytest.mark.parametrize(("more", "names"), [
    (["--jobs", 2], ["--jobs 2", "--mpi"]), (["--keep-epochs", 1], ["--keep-epochs 1"]),
    (["--data", "nothere"], ["nothere"])])
def test_bad_input_is_one_line(line, here, more, names):
    """Of rank 0 alone; all ranks end."""
    status, out, err = over(3, "runs.search", *line, *more)
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert all(name in err for name in names)
    assert not any(here.iterdir())
