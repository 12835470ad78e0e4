"""Long checks, not in the fast suite: python -m pytest -m soak tests/test_soak.py

Their last recorded figures are in tests/soak.md.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import data_prep.digits
from ref import checkpoint, folder, rules
from ref.common import files

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1",
               "OMP_NUM_THREADS": "1"}
DENSE, NORMED = (["--arch", net] for net in (
    "dense 128, dense 128, softmax 10", "dense 128 bn, dense 128 bn, softmax 10"))
SPIKING = ["--arch", "dense 40, softmax 10", "--test-ms", "60"]  # an example at a time
RUNS = [(name, schedule, DENSE) for name in rules.NAMES
        for schedule in (("parallel", "alternating") if ("V" in rules.get(name).symbols)
                         else (None,))]
RUNS += [(name, None, SPIKING) for name in rules.WITH_OWN_NETWORK] + [("bp", None, NORMED)]
STAGES = (  # what a killed run has come to; None: not even to its first line
    None, None, "run", "run/.lock", "run/config.json", "run/config.json", "run/metrics.csv",
    "run/metrics.csv", "run/metrics.csv",
)
WRITTEN = ("run/config.json", "run/metrics.csv")  # anew by each process


def result(out):
    rows = [line.rsplit(",", 1)[0] for line in (out / "metrics.csv").read_text().splitlines()]
    return rows, {name: a.tobytes() for name, a in folder.read_parameters(out).items()}


def stop(command, folder, stage, seconds):
    """Start the command, wait for a stage and some seconds more, kill it. Whether it had ended."""
    begun = time.time_ns()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, cwd=folder)

    def has_come():
        path = folder / stage
        return path.exists() and (stage not in WRITTEN or path.stat().st_mtime_ns > begun)

    while stage and process.poll() is None and not has_come():
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (-9, 0), process.stderr.read()
    return process.returncode == 0


@pytest.mark.parametrize(("rule", "schedule", "network"), RUNS)
def test_twenty_sigkills(rule, schedule, network, tmp_path):
    """A float32 run that is killed 20 times ends bit for bit as the whole one: from the first
    moment on, nine times before its first checkpoint, the others wherever it is then."""
    n = 60 if network is SPIKING else 1500
    data_prep.digits.make(tmp_path / "d.h5", n_train=n, n_test=max(20, n // 8))
    line = [sys.executable, "-m", "ref.train", "--rule", rule, "--data", "d.h5", *network,
            "--epochs", "30", *(["--schedule", schedule] if schedule else [])]
    subprocess.run([*line, "--out", "whole"], env=ENVIRONMENT, check=True, capture_output=True,
                   cwd=tmp_path)
    out, moments = tmp_path / "run", random.Random(len(rule))
    resume = [sys.executable, "-m", "ref.train", "--resume", "run"]
    rarely = ["--checkpoint-every", "1000", "--checkpoint-minutes", "1000"]
    often = ["--checkpoint-every", "1", "--checkpoint-minutes", "0.0005"]
    kills = 0
    while kills < len(STAGES):
        stage, begun = STAGES[kills], (out / "config.json").exists()
        if stop([*resume, *rarely] if begun else [*line, *rarely, "--out", "run"], tmp_path,
                stage, moments.uniform(0, 0.1 if stage else 1.0)):
            shutil.rmtree(out)  # it was done before we were, on a busy machine: once more
            continue
        assert not checkpoint.exists(out)
        kills += 1
    while kills < 20:
        stop([*resume, *often], tmp_path, "run/config.json", moments.uniform(0.2, 2.5))
        kills += 1
    assert len(folder.read_metrics(out)) > 0 and checkpoint.exists(out)
    subprocess.run([*resume, *often], env=ENVIRONMENT, check=True, capture_output=True,
                   cwd=tmp_path)
    assert result(out) == result(tmp_path / "whole")
    assert not list(out.glob(files.TEMPORARY))


READER = """
import resource, sys, time
import h5py, numpy as np
from ref.data import open_data
data = open_data(sys.argv[1])
seen, ranks = np.zeros(len(data.train), np.uint8), []
start = time.perf_counter()
for images, labels in data.train.epoch(100, seed=0, epoch=1):
    flat = images.reshape(len(images), -1)
    rows = flat[:, :4].copy().view("<u4").ravel()  # each image carries its own number
    seen[rows] += 1
    ranks.append(rows)
seconds = time.perf_counter() - start
ranks = np.concatenate(ranks) / len(data.train)
thirds = [abs(part.mean() - 0.5) for part in np.array_split(ranks, 10)]
print(int((seen == 1).all()), seconds, max(thirds), np.corrcoef(ranks[:-1], ranks[1:])[0, 1],
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
SEQUENTIAL = """
import sys, time
import h5py
with h5py.File(sys.argv[1]) as file:
    images = file["train/images"]
    start = time.perf_counter()
    for k in range(0, len(images), 1024):
        images[k : k + 1024]
    print(time.perf_counter() - start)
"""


def test_streaming_four_gigabytes(tmp_path):
    """Under 1 GB resident, at 0.6 of a sequential read's rate, every example once, well mixed."""
    n, path = 29_000, tmp_path / "large.h5"  # 29,000 images of 224 x 224 x 3: 4.37 GB
    with h5py.File(path, "w") as file:
        file.attrs.update(format="ref-data", version=1, name="large", classes='["a", "b"]')
        for part, size in (("train", n), ("test", 10)):
            images = file.create_dataset(f"{part}/images", (size, 224, 224, 3), np.uint8,
                                         chunks=(2, 224, 224, 3))
            for start in range(0, size, 500):
                block = np.zeros((min(500, size - start), 224, 224, 3), np.uint8)
                flat = block.reshape(len(block), -1)
                flat[:, :4] = np.arange(start, start + len(block), dtype="<u4")[:, None].view("u1")
                images[start : start + len(block)] = block
            file[f"{part}/labels"] = np.arange(size) % 2

    def run(script):
        done = subprocess.run([sys.executable, "-c", script, str(path)], env=ENVIRONMENT,
                              check=True, capture_output=True, text=True)
        return [float(word) for word in done.stdout.split()]

    run(SEQUENTIAL)  # so that both find the file in the same state of the system's cache
    ratios = []
    for _ in range(3):
        (plain,) = run(SEQUENTIAL)
        once, seconds, bias, correlation, resident = run(READER)
        ratios.append(plain / seconds)
    print(f"rate {np.median(ratios):.2f} of sequential ({ratios}), {resident:.0f} MiB resident, "
          f"decile bias {bias:.4f}, neighbour correlation {correlation:.4f}")
    assert once == 1
    assert resident < 1000
    assert abs(correlation) < 0.05
    assert np.median(ratios) >= 0.6


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB, room for two checkpoints of mnist-fc but not three."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tmp_path)],
                             capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("taken", [3, 13], ids=["later", "before the first checkpoint"])
def test_a_full_disk_loses_nothing(taken, small_disk, tmp_path_factory):
    """The run stops with one line; with room again it goes on to the end it would have had."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    data_prep.digits.make(elsewhere / "d.h5", n_train=2000, n_test=200)
    line = [sys.executable, "-m", "ref.train", "--rule", "fa", "--epochs", "5",
            "--data", str(elsewhere / "d.h5")]

    def run(command):
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)

    assert run([*line, "--out", str(elsewhere / "whole")]).returncode == 0
    fill = small_disk / "fill"
    out = small_disk / "run"
    fill.write_bytes(bytes(taken << 20))
    done = run([*line, "--out", str(out)])
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "No space left" in done.stderr
    assert ("has no checkpoint yet" in done.stderr) == (taken == 13)
    done = None
    for _ in range(9):  # each time there is room for one more checkpoint
        fill.unlink(missing_ok=True)
        (out / "checkpoint.previous.h5").unlink(missing_ok=True)
        done = run([sys.executable, "-m", "ref.train", "--resume", str(out)])
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert result(out) == result(elsewhere / "whole")
