"""runs.bench.epoch times ref.train's epochs beside a PyTorch loop that learns as well."""

import re
import sys
from argparse import Namespace

import pytest

from runs.bench import epoch


def test_both_sides(command, here, tiny):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    result = command("runs.bench.epoch", "--data", tiny, "--turns", 1, "--epochs", 1, "--busy")
    assert result.status == 0, result.err
    ours, theirs, ratio = map(float, re.search(
        r"batch 100: +([\d.]+) s, PyTorch \S+ ([\d.]+) s, ratio ([\d.]+) ", result.out).groups())
    assert ours > 0 and theirs > 0 and ratio > 0


def test_the_loop_learns(digits):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    args = Namespace(threads=1, epochs=5, data=str(digits))
    for side in (epoch.our_epochs, epoch.their_epochs):
        seconds, errors = side(args)
        assert len(seconds) == len(errors) == 5
        assert errors[-1] < 60  # of 90 by chance


def test_without_pytorch(command, here, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    command.refused("runs.bench.epoch", "--busy", names=['pip install -e ".[compare]"'])
