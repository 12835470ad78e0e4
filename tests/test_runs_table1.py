"""runs.table1: every row trained, gone on with, skipped, or reported as failed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import content, noise_images
from run_folders import make
from seldom import slow_but

from ref import checkpoint, folder
from ref.data import open_data
from runs import jobs, records
from runs.command import STOPPED

ROOT = Path(__file__).resolve().parents[1]
OUT, WORK = Path("runs/out/results"), Path("runs/out/work")
RECORDED = Path("runs/results")


@pytest.fixture
def table1(command, here, tiny):
    return lambda *arguments: command("runs.table1", "--data", tiny, "--epochs", 2, *arguments)


def table_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def table(path="runs/out/results/table1_mnist-fc_tiny.csv"):
    with open(path) as file:
        return {row["rule"] + (row["schedule"] and f"-{row['schedule']}"): row
                for row in csv.DictReader(file)}


def metrics(run, but=("seconds",)):
    with open(run / "metrics.csv") as file:
        return [{k: v for k, v in row.items() if k not in but} for row in csv.DictReader(file)]


def test_rows_seeds_and_going_on(table1):
    """Folders, records and the table; nothing is trained twice; more epochs go on."""
    rows = ["--rows", "bp,dtp-alternating", "--seeds", "0,3", "--jobs", 2]
    result = table1(*rows)
    assert result.status == 0, result
    names = ["mnist-fc_bp_tiny", "mnist-fc_bp_tiny_seed3", "mnist-fc_dtp-alternating_tiny",
             "mnist-fc_dtp-alternating_tiny_seed3"]
    assert sorted(p.name for p in WORK.iterdir()) == names
    for name in names:
        assert (WORK / name / "checkpoint.h5").exists()
        assert sorted(p.name for p in (OUT / name).iterdir()) == ["config.json", "metrics.csv"]
        assert len(metrics(OUT / name)) == 2
    config = json.loads((OUT / names[3] / "config.json").read_text())
    assert config["arguments"]["seed"] == 3
    assert config["hyperparameters"]["schedule"] == "alternating"
    assert config["versions"]["threads"] == 1

    found = table()
    assert found.keys() == {"bp", "dtp-alternating"}
    best = [min(float(row["test_error"]) for row in metrics(OUT / name)) for name in names[:2]]
    assert float(found["bp"]["test"]) == pytest.approx(sum(best) / 2)
    assert [float(found["bp"][f"test_{end}"]) for end in ("low", "high")] == sorted(best)
    assert [found["bp"][key] for key in ("epochs", "seeds", "paper_test")] == ["2/2", "2", ""]
    about = json.loads((OUT / "table1_mnist-fc_tiny.json").read_text())
    assert about["command"].startswith("python -m runs.table1 --data") and about["seeds"] == [0, 3]

    before = {name: (WORK / name / "checkpoint.h5").stat().st_mtime_ns for name in names}
    assert "training" not in table1(*rows).out
    assert before == {name: (WORK / name / "checkpoint.h5").stat().st_mtime_ns for name in names}
    first = metrics(OUT / names[0])
    assert "training 1 of 1" in table1("--rows", "bp", "--epochs", 3).out
    assert metrics(OUT / names[0])[:2] == first and len(metrics(OUT / names[0])) == 3


def test_interrupted(table1, tiny, here):
    """Ctrl-C, which a terminal sends to the whole process group, stops the children with a
    checkpoint; the same command again ends as if nothing had been."""
    line = ["--data", str(tiny), "--epochs", "3000", "--rows", "bp,fa", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "runs.table1", *line], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True)
    runs = [WORK / f"mnist-fc_{row}_tiny" for row in ("bp", "fa")]
    end = time.monotonic() + 60
    while not all((run / "checkpoint.h5").exists() for run in runs):
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    said = [line for line in err.splitlines() if "matplotlib" not in line]
    assert said == [STOPPED]
    counts = [len(metrics(run)) for run in runs]
    assert all(0 < n < 3000 for n in counts)
    # 3 epochs more than it has, on either side
    epochs = str(max(counts) + 3)
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        config["arguments"]["epochs"] = 1  # so that a resumed run may have fewer than 3000
        (run / "config.json").write_text(json.dumps(config))
    assert table1(*line, "--epochs", epochs).status == 0
    assert table1(*line, "--epochs", epochs, "--work", "whole", "--out", "other").status == 0
    for run in runs:
        assert metrics(OUT / run.name) == metrics(Path("other") / run.name)
        assert len(metrics(OUT / run.name)) == int(epochs)


@pytest.mark.parametrize("how", slow_but([signal.SIGKILL], [signal.SIGKILL, signal.SIGHUP]))
def test_children_of_a_command_that_is_killed(table1, tiny, here, how):
    """They write a checkpoint and end, though nobody can ask them to; the same command again
    waits for them, and goes on."""
    line = ["--data", str(tiny), "--rows", "bp,fa", "--jobs", "2", "--epochs", "20000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "runs.table1", *line], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
        # SIGHUP may be off in a parent, as under nohup
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    runs = [WORK / f"mnist-fc_{row}_tiny" for row in ("bp", "fa")]
    end = time.monotonic() + 60
    while not all((run / "checkpoint.h5").exists() for run in runs):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    process.wait()
    counts = []
    for run in runs:
        jobs.wait_for(jobs.Job(run, (), 1), [].append)
        folder.lock(run).close()  # nobody holds it any more
        assert "stopped in epoch" in (run / jobs.LOG).read_text()
        _, state = checkpoint.load(run)
        counts.append(len(metrics(run)))
        assert state["epoch"] == counts[-1] + 1  # what it was in when it was stopped
        config = json.loads((run / "config.json").read_text())
        config["arguments"]["epochs"] = 1  # so that a resumed run may have fewer than 20000
        (run / "config.json").write_text(json.dumps(config))
    assert table1(*line, "--epochs", max(counts) + 1).status == 0
    assert [len(metrics(run)) for run in runs] == [max(counts) + 1] * 2


def test_one_row_fails(table1):
    """A damaged checkpoint stops its row alone, and the table says so."""
    assert table1("--rows", "bp,fa").status == 0
    for name in ("checkpoint.h5", "checkpoint.previous.h5"):
        (WORK / "mnist-fc_fa_tiny" / name).write_bytes(b"damaged")
    result = table1("--rows", "bp,fa,dfa", "--epochs", 3)
    assert result.status == 1 and "Traceback" not in result.err
    found = table()
    assert [found[row]["epochs"] for row in ("bp", "fa", "dfa")] == ["3", "2", "3"]
    assert "no whole checkpoint is left" in found["fa"]["problem"]
    assert found["bp"]["problem"] == found["dfa"]["problem"] == ""


def test_a_run_that_diverged(here, tiny):
    """It is told from other failures, kept, and not tried again; its neighbour ends."""
    line = ("--rule", "bp", "--arch", "dense 8, softmax 10", "--data", tiny)
    good, bad = (jobs.Job(here / name, (*line, "--lr", lr), 2)
                 for name, lr in (("good", "1e-3"), ("bad", "3e38")))
    said = []
    outcomes = jobs.run([bad, good], 1, said.append)
    assert outcomes[good].state == "done" and outcomes[bad].state == "diverged"
    assert "became NaN or infinite" in outcomes[bad].reason
    assert len(said) == 3 and "became NaN" in said[1]
    assert records.read(bad.out).diverged == outcomes[bad].reason
    log = (bad.out / "log.txt").read_bytes()
    assert jobs.run([bad, good], 1, said.append) == outcomes and len(said) == 3
    assert (bad.out / "log.txt").read_bytes() == log


def test_a_diverged_row_in_the_table(table1, tiny):
    make(WORK / "mine", "bp", data="tiny", test=[80, 70], epochs=9,
         digest=open_data(tiny).digest)
    (WORK / "mine" / jobs.LOG).write_text("")
    (WORK / "mine" / "diverged").write_text("epoch 3: NaN\n")
    result = table1("--rows", "bp", "--epochs", 9)
    assert result.status == 1 and "diverged" in result.out
    row = table()["bp"]
    assert (row["test"], row["seeds"], row["diverged"]) == ("", "", "1")
    assert row["problem"] == "seed 0 diverged: epoch 3: NaN"


def test_runs_made_by_hand_are_let_alone(table1, command, tiny):
    """Even below --work, with the same settings and fewer epochs: nobody asked to go on there."""
    assert command("ref.train", "--rule", "bp", "--data", tiny, "--epochs", 2, "--lr", "0.1",
                   "--out", WORK / "other").status == 0
    assert command("ref.train", "--rule", "bp", "--data", tiny, "--epochs", 1, "--out",
                   WORK / "byhand").status == 0
    byhand = content(WORK / "byhand")
    (WORK / "mnist-fc_bp_tiny").mkdir()
    (WORK / "mnist-fc_bp_tiny" / "notes.txt").write_text("somebody's")
    assert table1("--rows", "bp").status == 0
    assert sorted(p.name for p in WORK.iterdir()) == [
        "byhand", "mnist-fc_bp_tiny", "mnist-fc_bp_tiny-2", "other"]
    assert content(WORK / "byhand") == byhand
    assert [p.name for p in (WORK / "mnist-fc_bp_tiny").iterdir()] == ["notes.txt"]
    assert metrics(OUT / "mnist-fc_bp_tiny") == metrics(WORK / "mnist-fc_bp_tiny-2")


def test_what_is_recorded_is_shown_beside_yours(table1, command):
    """The epochs asked for are trained, though more are recorded; both are marked, with their own
    epochs; nothing that is recorded changes, and every file that is written is named."""
    make(RECORDED / "a", "bp", data="tiny", test=[9, 8, 7, 6])
    make(RECORDED / "b", "bp", data="tiny", test=[5], seed=1)
    before = content(RECORDED)
    result = table1("--rows", "bp,fa", "--epochs", 1)
    assert result.status == 0 and "training 2 of 2" in result.out
    assert content(RECORDED) == before
    found = table_rows("runs/out/results/table1_mnist-fc_tiny.csv")
    assert [(r["rule"], r["whose"], r["epochs"], r["seeds"]) for r in found] == [
        ("bp", "recorded", "4/1", "2"), ("bp", "yours", "1", "1"), ("fa", "yours", "1", "1")]
    assert float(found[0]["test"]) == 5.5
    assert float(found[1]["test"]) == float(metrics(WORK / "mnist-fc_bp_tiny")[0]["test_error"])
    lines = [line.split()[:3] for line in result.out.splitlines()]
    assert ["BP", "recorded", "4/1"] in lines and ["BP", "yours", "1"] in lines
    written = {path for path in OUT.iterdir() if path.is_file()}
    assert {Path(line.removeprefix("wrote ")) for line in result.out.splitlines()
            if line.startswith("wrote ")} == written
    # again, with more and with fewer: the same run goes on, and is shown as it was then
    assert table1("--rows", "bp", "--epochs", 3).status == 0
    assert "training" not in table1("--rows", "bp", "--epochs", 1).out
    (again,) = [r for r in table_rows("runs/out/results/table1_mnist-fc_tiny.csv")
                if r["whose"] == "yours"]
    assert again == found[1]


def test_recording(table1):
    """With --out runs/results: enough epochs are recorded: skipped; fewer: trained and recorded."""
    make(RECORDED / "a", "bp", data="tiny", test=[9, 8])
    asked = ("--rows", "bp", "--out", RECORDED)
    assert "training" not in table1(*asked).out and not WORK.exists()
    assert "training 1" in table1(*asked, "--epochs", 3).out
    assert len(metrics(WORK / "mnist-fc_bp_tiny")) == 3
    (row,) = table_rows("runs/results/table1_mnist-fc_tiny.csv")
    assert (row["whose"], row["epochs"]) == ("recorded", "3")


def test_other_data_of_the_same_name(table1, here):
    """A run of another file is neither shown as this one's nor gone on with."""
    for seed in (1, 2):
        (here / str(seed)).mkdir()
        data = noise_images(here / str(seed) / "tiny.h5", seed=seed)
        assert table1("--rows", "bp", "--epochs", seed, "--data", data).status == 0
    assert sorted((p.name, len(metrics(p))) for p in WORK.iterdir()) == [
        ("mnist-fc_bp_tiny", 1), ("mnist-fc_bp_tiny-2", 2)]
    assert table1("--rows", "bp", "--epochs", 3, "--data", here / "1" / "tiny.h5").status == 0
    assert len(metrics(WORK / "mnist-fc_bp_tiny")) == 3


def test_the_paper_beside_it(table1, here):
    """Real numbers only for the paper's own data set."""
    noise_images(here / "mnist.h5")
    make(RECORDED / "a", "bp", test=[2.0] * 9 + [1.5], train=[0.5] * 9 + [0.25])
    result = table1("--data", "mnist.h5", "--rows", "bp,tp-parallel", "--out", RECORDED)
    assert result.status == 0
    found = table("runs/results/table1_mnist-fc.csv")
    assert float(found["bp"]["test_difference"]) == pytest.approx(1.5 - 1.48)
    assert (found["bp"]["train"], found["bp"]["paper_train"]) == ("0.25", "0.0")
    assert found["tp-parallel"]["paper_test"] == found["tp-parallel"]["test_difference"] == ""


def test_pictures(table1, here):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plots)")
    make(OUT / "a", "bp", data="tiny")
    assert table1("--rows", "bp").status == 0
    png = (OUT / "table1_mnist-fc_tiny.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    assert len(png) > 5000


def test_without_matplotlib(table1, monkeypatch):
    """A clear line in place of the picture; everything else is there."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    make(OUT / "a", "bp", data="tiny")
    result = table1("--rows", "bp")
    assert result.status == 0 and table()["bp"]["seeds"] == "1"
    assert result.err == ('no table1_mnist-fc_tiny.png: pictures need matplotlib: '
                          'pip install -e ".[plots]"\n')
    assert not list(OUT.glob("*.png"))


@pytest.mark.parametrize(("arguments", "names"), [
    (["--rows", "bp,nonsense"], ["--rows", "nonsense"]),
    (["--rows", "dtp"], ["--rows", "dtp"]),  # it has schedules
    (["--rows", "bp-conv"], ["bp-conv"]),  # fc has none
    (["--rows", ""], ["--rows"]),
    (["--seeds", "0,-1"], ["--seeds"]), (["--seeds", "x"], ["--seeds"]),
    (["--epochs", "0"], ["--epochs"]), (["--jobs", "0"], ["--jobs"]), (["--net", "x"], ["--net"]),
    (["--data", "nothere"], ["nothere"]), (["--data", "bad.h5"], ["bad.h5"]),
    (["--data", "wide.h5"], ["wide.h5", "8x9x1"]),
    (["--out", "bad.h5"], ["--out", "bad.h5"]), (["--work", "bad.h5"], ["--work", "bad.h5"]),
])
def test_bad_input(command, here, tiny, arguments, names):
    Path("bad.h5").write_bytes(b"not HDF5")
    noise_images(here / "wide.h5", shape=(8, 9, 1))
    command.refused("runs.table1", "--data", tiny, *arguments, names=names)


def test_a_folder_that_is_being_trained(table1, here, tiny, monkeypatch):
    """Another process holds the lock: we wait, saying so; in the end that row fails."""
    assert table1("--rows", "bp").status == 0
    monkeypatch.setattr(jobs, "WAIT", 0.5)
    lock = folder.lock(WORK / "mnist-fc_bp_tiny")
    result = table1("--rows", "bp", "--epochs", 3)
    lock.close()
    assert result.status == 1 and result.out.count("waiting for it") == 1
    assert "failed: " in table()["bp"]["problem"]
    assert "another process is training" in table()["bp"]["problem"]
