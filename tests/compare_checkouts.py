"""Whether two checkouts train alike, bit for bit: python tests/compare_checkouts.py OLD NEW

Trains every rule that OLD has, with each schedule, in both, and compares metrics.csv (but for the
seconds) and every array of parameters.h5. On one machine; each run in one thread. For changes that
must not change a number.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np


def printed(checkout, code):
    """What a program prints that imports a checkout's ref."""
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, text=True, check=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": str(checkout)})
    return done.stdout.split()


def rules_of(old, new):
    """(rule, schedule or "") of every way to train: OLD's rules, NEW's schedules for them."""
    several = printed(new, "from ref.settings import rules_with; print(*rules_with('schedule'))")
    return [(rule, schedule) for rule in printed(old, "from ref import rules; print(*rules.NAMES)")
            for schedule in (("parallel", "alternating") if rule in several else ("",))]


def train(checkout, folder, arch, rule, schedule, data, epochs):
    """Train; {what: array} of the run's metrics and parameters."""
    command = [sys.executable, "-m", "ref.train", "--rule", rule, "--arch", arch, "--data", data,
               "--epochs", str(epochs), "--out", str(folder)]
    command += ["--schedule", schedule] if schedule else []
    done = subprocess.run(command, cwd=folder.parent, text=True, capture_output=True, env={
        **os.environ, "PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(command[1:])}\n{done.stderr}")
    with open(folder / "metrics.csv") as file:
        rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    with h5py.File(folder / "parameters.h5") as file:
        # an old name of ao-sdtp's fixed arrays had a layer's number
        arrays = {"W_z" if name.startswith("W_z") else "b_z" if name.startswith("b_z") else name:
                  file[name][()] for name in file}
    return rows, arrays


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("old", type=Path)
    p.add_argument("new", type=Path)
    p.add_argument("--arch", default="mnist-fc,mnist-lc")
    p.add_argument("--data", default="digits", help="a data set's file (default %(default)s)")
    p.add_argument("--epochs", type=int, default=2)
    args = p.parse_args()
    different = 0
    for arch in args.arch.split(","):
        for rule, schedule in rules_of(args.old.resolve(), args.new.resolve()):
            with tempfile.TemporaryDirectory() as where:
                rows, arrays = zip(*(
                    train(checkout.resolve(), Path(where) / name, arch, rule, schedule, args.data,
                          args.epochs)
                    for name, checkout in (("old", args.old), ("new", args.new))), strict=True)
            same = rows[0] == rows[1] and arrays[0].keys() == arrays[1].keys() and all(
                np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
            different += not same
            print(f"{arch} {rule} {schedule}: {'identical' if same else 'DIFFERENT'}", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
