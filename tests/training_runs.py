"""Short runs of ref.train: their arguments, and what they leave, read back."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "dense 8, dense 8, softmax 10"


def metrics(run):
    with open(Path(run) / "metrics.csv") as file:
        return list(csv.DictReader(file))


def config(run):
    return json.loads((Path(run) / "config.json").read_text())


def parameters(run):
    with h5py.File(Path(run) / "parameters.h5") as file:
        return {name: file[name][:] for name in file}


def assert_same_parameters(a, b, symbols=""):
    """Bit for bit, those whose names begin with one of the symbols."""
    a, b = parameters(a), parameters(b)
    assert a.keys() == b.keys() or symbols
    names = [name for name in a if name.startswith(tuple(symbols) or "")]
    assert names
    for name in names:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        assert a[name].tobytes() == b[name].tobytes(), name


def assert_no_halves(folder):
    assert [p for p in Path(folder).rglob("*") if p.suffix in (".part", ".tmp")] == []


def start(arguments, **options):
    """python -m ref.train in the current folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "ref.train", *map(str, arguments)], text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
