"""runs.bench.units: both sides compute the same before they are timed; a line for each network."""

import re
import sys

import pytest

BRIEF = ["--arch", "resnet20,lenet-cifar", "--turns", 1, "--steps", 1, "--warm-up", 0, "--seconds",
         0.01, "--batch-size", 2, "--busy"]


def test_a_line_for_each_network(command, here):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    result = command("runs.bench.units", *BRIEF)
    assert result.status == 0, result
    found = re.findall(r"^(\S+): [\d.]+ ms, PyTorch [\d.]+ ms, ratio", result.out, re.M)
    assert found == ["resnet20", "lenet-cifar"]


def test_networks_that_differ_are_not_timed(command, here, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    conv2d = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *a: 1.5 * conv2d(*a) + 0.1)
    result = command("runs.bench.units", *BRIEF[2:], "--arch", "lenet-cifar")
    assert result.status == 1 and "lenet-cifar: losses" in result.err


def test_what_is_refused(command, here, monkeypatch):
    command.refused("runs.bench.units", "--busy", "--arch", "nosuch", names=[
        "nosuch" if "torch" in sys.modules else 'pip install -e ".[compare]"'])
    monkeypatch.setitem(sys.modules, "torch", None)
    command.refused("runs.bench.units", "--busy", names=['pip install -e ".[compare]"'])
