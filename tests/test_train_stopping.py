"""Stopped runs: by signals in every pass, by a reader that has gone, by a stdout that is full.

Within a batch, with a checkpoint, and resumed the run is the uninterrupted one, bit for bit.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from seldom import slow_but
from test_checkpoint import call, options, result

import data_prep.digits
import ref
from ref import begin as beginning
from ref import checkpoint, evaluate, evaluation, run, train
from ref.common.command import STOPPING

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
TRAIN = [sys.executable, "-m", "ref.train"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "small.h5"
    data_prep.digits.make(path, n_train=130, n_test=40)
    return path


@pytest.fixture
def signal_in(monkeypatch):
    """signal_in(where, n, number): send it to ourselves in call n of a function, "module.name" of
    ref; returns the calls so far, counted."""

    def arrange(where, n, number):
        def counting(*args, **kwargs):
            calls.append(1)
            if len(calls) == n:
                os.kill(os.getpid(), number)
            return real(*args, **kwargs)

        module, name = where.split(".")
        calls, real = [], getattr(getattr(ref, module), name)
        monkeypatch.setattr(f"ref.{where}", counting)
        return calls

    return arrange


@pytest.mark.parametrize("number", slow_but([signal.SIGINT, signal.SIGTERM], STOPPING),
                         ids=lambda n: signal.Signals(n).name)
@pytest.mark.parametrize(("where", "nth"), [
    ("evaluation.batch_of", 7),  # in training: 9 batches in an epoch, 5 for evaluation
    ("evaluation.batch_of", 11),  # validation
    ("evaluation.batch_of", 13),  # test
    ("alignment.compare", 1), ("alignment.compare", 2),
])
def test_every_signal_in_every_pass(where, nth, number, data, tmp_path, monkeypatch, capsys,
                                    signal_in):
    """Of 2 epochs; stopped after the batch that it came in, resumed to the same end."""
    monkeypatch.setattr(evaluation, "BATCH", 10)
    more = ["--angles", "--validation", 8]

    def line(out):
        return [*options(data, out, "sdtp", epochs=2), *more]

    assert call(monkeypatch, *line(tmp_path / "whole")) == 0
    out = tmp_path / "run"
    with monkeypatch.context():
        calls = signal_in(where, nth, number)
        capsys.readouterr()
        assert call(monkeypatch, *line(out)) == 128 + number
        assert len(calls) == nth
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"--resume {out}" in said
    assert checkpoint.load(out) is not None and (out / "parameters.h5").exists()
    assert call(monkeypatch, "--resume", out) == 0
    assert result(out) == result(tmp_path / "whole")


def test_evaluating_a_run_is_stopped_within_a_batch(data, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, *options(data, tmp_path / "run", "bp", epochs=1)) == 0
    monkeypatch.setattr(evaluation, "BATCH", 10)
    calls, real = [], evaluation.batch_of

    def counting(*args):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(evaluation, "batch_of", counting)
    monkeypatch.setattr(train, "main", evaluate.main)
    assert call(monkeypatch, tmp_path / "run") == 143
    assert len(calls) == 2


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("again", [False, True], ids=["new", "resumed"])
def test_stopped_before_training_begins(number, again, data, tmp_path, monkeypatch, capsys):
    """While the data are opened: one line that promises nothing that is not there."""
    out = tmp_path / "run"
    given = options(data, out, "bp", epochs=1)
    if again:
        assert call(monkeypatch, *given) == 0
        given = ["--resume", out, "--epochs", 2]
    capsys.readouterr()
    with monkeypatch.context() as patched:
        for module in (train, beginning):  # a run that is resumed, and a new one
            patched.setattr(module, "open_data", lambda *args: os.kill(os.getpid(), number))
        assert call(monkeypatch, *given) == 128 + number
    assert capsys.readouterr() == (
        "", "interrupted before training began; give the command again\n")
    assert out.exists() == again  # and again it is given:
    assert call(monkeypatch, *given) == 0


# ---- as processes --------------------------------------------------------------------------------


def begin(data, out, *more, program=TRAIN, **popen):
    """A long run; returns the process after its first epoch."""
    process = subprocess.Popen(
        [*program, *map(str, options(data, out, "bp", epochs=10**6)), *more], text=True,
        env=ENVIRONMENT, stderr=subprocess.PIPE, **{"stdout": subprocess.DEVNULL, **popen})
    give_up = time.monotonic() + 100
    while not (out / "metrics.csv").exists():
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.02)
    return process


def end(process):
    """(status, stderr)"""
    try:
        _, err = process.communicate(timeout=60)
        return process.returncode, err
    finally:
        process.kill()


def rows(out):
    return len((out / "metrics.csv").read_text().splitlines()) - 1


def test_ignored_signals_stay_ignored(data, tmp_path):
    """As nohup has it: SIGHUP changes nothing, SIGTERM does."""
    process = begin(data, tmp_path / "run",
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    before = rows(tmp_path / "run")
    give_up = time.monotonic() + 60
    while rows(tmp_path / "run") < before + 5 and time.monotonic() < give_up:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 143


SLOW_SAVE = ("import time, ref.checkpoint as c, ref.train as t; save = c.save\n"
             "def slow(*a):\n"
             "    save(*a); print('saving', flush=True); time.sleep(60)\n"
             "c.save = slow; t.main()")


@pytest.mark.parametrize(("second", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_a_second_signal_ends_at_once(second, status, data, tmp_path):
    """Even while the checkpoint is being written; SIGHUP, which comes twice by itself, does not."""
    line = [sys.executable, "-c", SLOW_SAVE, *options(data, tmp_path / "run", "bp")]
    process = subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE)
    while "saving" not in process.stdout.readline():
        assert process.poll() is None
    for number in (signal.SIGHUP, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.3)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(second)
    assert end(process) == (status, "")
    assert time.monotonic() - began < 30


def test_a_reader_that_has_gone(data, tmp_path):
    """| head -3: a checkpoint of what was reached, no complaint, status 141; it can go on."""
    out = tmp_path / "run"
    process = begin(data, out, stdout=subprocess.PIPE)
    lines = [process.stdout.readline() for _ in range(3)]
    process.stdout.close()
    assert lines[0].startswith("bp on dense 12") and lines[2].startswith("epoch   1 ")
    assert process.wait(60) == 141 and process.stderr.read() == ""
    arrays, state = checkpoint.load(out)
    assert len(state["rows"]) == rows(out) >= 2 and state["epoch"] == rows(out) + 1
    assert (out / "parameters.h5").exists()


def test_nobody_reads_from_the_beginning(data, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*TRAIN, *options(data, tmp_path / "run", "bp")], stdout=write,
                          stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_stdout_that_fills_up_on_the_way(data, tmp_path, monkeypatch, capsys):
    """The log's disk is full: what was reached is kept, one line says why, status 1."""
    real = run.lines.epoch_line

    def last_line(row, show):
        if row["epoch"] == 2:
            full = open("/dev/full", "w")  # noqa: SIM115
            monkeypatch.setattr(sys, "stdout", full)
        return real(row, show)

    monkeypatch.setattr(run.lines, "epoch_line", last_line)
    out = tmp_path / "run"
    line = [*options(data, out, "bp", epochs=9), "--checkpoint-every", "9"]
    assert call(monkeypatch, *line) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: stdout: No space left on device")
    assert "--resume" in said
    assert checkpoint.load(out)[1]["epoch"] == 3


@pytest.mark.parametrize("streams", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(streams, data, tmp_path):
    """No file of the run takes their places: the checkpoint stays whole, the run ends well."""
    command = " ".join(map(str, options("small.h5", "run", "bp", epochs=2))).replace(
        "dense 12, dense 9, softmax 10", "'dense 12, dense 9, softmax 10'")
    (tmp_path / "small.h5").write_bytes(data.read_bytes())
    done = subprocess.run(f"{sys.executable} -m ref.train {command} {streams}", shell=True,
                          cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert len(checkpoint.load(tmp_path / "run")[1]["rows"]) == 2
    assert re.match("epoch,", (tmp_path / "run" / "metrics.csv").read_text())
