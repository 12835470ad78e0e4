"""runs.bench.local: both sides compute the same before they are timed; a line for each."""

import re
import sys

import pytest

BRIEF = ["--turns", 1, "--steps", 1, "--warm-up", 0, "--seconds", 0.01, "--batch-size", 2, "--busy"]


def test_a_line_for_each_layer_and_side(command, here):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    result = command("runs.bench.local", *BRIEF)
    assert result.status == 0
    found = re.findall(r"^ *(\S+) -> (\S+), (up|all three) *: +[\d.]+ ms, PyTorch +[\d.]+ ms",
                       result.out, re.M)
    assert len(found) == 10 and found[0] == ("28x28x1", "3x3x32/2", "up")


def test_layers_that_differ_are_not_timed(command, here, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    einsum = torch.einsum
    monkeypatch.setattr(torch, "einsum", lambda *a: 1.001 * einsum(*a))
    result = command("runs.bench.local", *BRIEF)
    assert result.status == 1 and "differ by 1e-03" in result.err


def test_without_pytorch(command, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    command.refused("runs.bench.local", "--busy", names=['pip install -e ".[compare]"'])
