"""How a run of ref.train ends: done, diverged, interrupted, on a full disk; what is then left."""

import errno
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from training_runs import assert_no_halves, assert_same_parameters, metrics, parameters, start

from ref import training


def test_a_run_is_quiet_where_stderr_is_no_terminal_and_does_not_depend_on_the_process(
        base, train, here):
    """The same run here and elsewhere, with other hashes and threads: the same bits."""
    arguments = ["--rule", "sdtp", "--epochs", 2]
    process = start([*base, *arguments, "--out", "elsewhere"],
                    env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"})
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 5  # two to begin with, two epochs, the best
    assert train(*arguments, "--out", "run").status == 0
    assert_same_parameters("run", "elsewhere")


@pytest.mark.parametrize("rule", ["bp", "dtp"])
def test_divergence(base, here, rule):
    """A learning rate of 1e38 overflows float32: one line with the epoch, the layer and a hint."""
    process = start([*base, "--rule", rule, "--optimizer", "sgd", "--lr", "1e38",
                     "--epochs", 9, "--out", "run"])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "best test error" not in out
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert re.search(r"epoch \d", err) and "NaN or infinite" in err and "--lr" in err
    assert re.search(r"layer \d", err)
    assert_no_halves("run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c(base, here, number):
    """What was reached so far is kept, whole."""
    process = start([*base, "--epochs", 10**6, "--out", "run"],  # SIGINT may be off in a parent
                    preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    try:
        give_up = time.monotonic() + 300
        while not Path("run/metrics.csv").exists() and time.monotonic() < give_up:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert err.count("\n") == 1 and "--resume run" in err
    rows = metrics("run")
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1)) != []
    assert parameters("run").keys() == {"W_1", "W_2", "W_3", "b_1", "b_2", "b_3"}
    assert_no_halves("run")


STEPS = 4  # of an epoch of the base arguments


@pytest.fixture
def after_step(monkeypatch):
    """after_step(n, do): call do(trainer) when step n is over."""

    def arrange(n, do):
        def step(trainer, *args, **kwargs):
            out = real(trainer, *args, **kwargs)
            if trainer.t == n:
                do(trainer)
            return out

        real = training.Trainer.step
        monkeypatch.setattr(training.Trainer, "step", step)

    return arrange


def spoil(symbol, l):
    def do(trainer):
        trainer.params[symbol][l].flat[0] = np.nan

    return do


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_test_loss_that_is_nan_stops_the_run(train, after_step):
    """A weight that overflows in an epoch's last update: no NaN is reported as a result."""
    after_step(3 * STEPS, spoil("W", 2))
    result = train("--epochs", 3, "--out", "run")
    assert result.status == 1
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "epoch 3" in result.err and "layer 2" in result.err and "W_2" in result.err
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("rule", "l", "named"), [
    ("sdtp", 3, "inverse_loss_3"), ("dtp", 2, "inverse_loss_2"), ("hybrid", 2, "inverse_loss_2"),
])
def test_an_inverse_that_is_nan_stops_the_run(train, after_step, rule, l, named):
    """It is named, and the epochs before are kept."""
    after_step(2 * STEPS, spoil("V", l))
    result = train("--rule", rule, "--epochs", 5, "--out", "run")
    assert result.status == 1
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "epoch 3" in result.err and named in result.err and "--inverse-lr" in result.err
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_third_epoch(train, after_step, number):
    """The epochs before, and the parameters after the last step."""
    kept = {}

    def interrupt(trainer):
        kept.update({l: W.copy() for l, W in trainer.params["W"].items()})
        os.kill(os.getpid(), number)

    after_step(2 * STEPS + 2, interrupt)
    result = train("--epochs", 5, "--out", "run")
    assert (result.status, result.err.count("\n")) == (128 + number, 1)
    assert [row["epoch"] for row in metrics("run")] == ["1", "2"]
    for l, W in kept.items():
        assert (parameters("run")[f"W_{l}"] == W).all()


@pytest.mark.parametrize("name", ["metrics.csv", "parameters.h5"])
def test_a_full_disk_leaves_whole_files(train, after_step, monkeypatch, name):
    """Writing fails after the second epoch: one line, and what was there before stays."""

    def replace(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    real = os.replace
    after_step(2 * STEPS, lambda trainer: monkeypatch.setattr(os, "replace", replace))
    result = train("--epochs", 2, "--out", "run")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert result.err.startswith("error: ") and name in result.err and "No space" in result.err
    assert len(metrics("run")) == (1 if name == "metrics.csv" else 2)
    assert_no_halves("run")
