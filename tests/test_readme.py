"""Every command in a code block of the documents is run, each block in its order.

They are run as they stand, but for the replacements in COMMANDS: small data, one or two epochs, a
small network where the real one is large. A command that is not run is in the gate (.ci/run), or
the text says that it is long, and how long. A command that this file does not know fails.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_images
from test_data_mnist import idx

ROOT = Path(__file__).resolve().parents[1]
GATE, LONG = "run by .ci/run", "not run: long"
EPOCH = ("", " --epochs 1")  # "": to add at the end
BRIEF = ("", " --turns 1 --steps 1 --warm-up 0 --seconds 0.01 --batch-size 2 --busy")
HERE = ("cupy", "numpy") if importlib.util.find_spec("cupy") is None else ("", "")
NO_TORCH = (" --against torch", "") if importlib.util.find_spec("torch") is None else ("", "")
NO_PLOTS = importlib.util.find_spec("matplotlib") is None
# without mpi4py the same command, as one process
RANKS = ([("", "")] if importlib.util.find_spec("mpi4py") else
         [("mpiexec -n 2 ", ""), (" --mpi", "")])
SMALL = "\"local 3x3x2/4, softmax 10\""

DOCUMENTS = ("README.md", "NOTES.md", "data_prep/README.md", "runs/README.md",
             "runs/results/discussion.md", "runs/results/inverses.md", "runs/speed.md",
             "runs/scaling.md", "ref/reference/FORMAT.md",
             "ref/reference/residual.md", "ref/commands.md", "ref/dendrites/README.md",
             "ref/plots.md", "ref/protocol.md",
             "ref/linear/README.md", "ref/units/README.md", "ref/export.md", "ref/gpu.md",
             "ref/mpi.md",
             "tests/soak.md")
# blocks that begin so: rooms, verify's answer, what the main job prints
NO_COMMANDS = ("ref/common/", "first to differ:", "epoch  19")

# how a command begins: what to replace in it, or why it is not run
COMMANDS = {
    "python3 -m venv .venv && .venv/bin/pip install -e . &&": GATE,
    "python3 -m venv .venv && .venv/bin/pip install -e \".[test]\" &&": GATE,
    "python -m data_prep.mnist": [("", " --source raw")],
    "python -m ref.train --rule fa --data mnist": [("--epochs 30", "--epochs 1")],
    "python -m ref.train --rule sdtp --schedule alternating --data mnist --angles": [EPOCH],
    "python -m ref.train --rule dtp --arch mnist-lc --data mnist": [("mnist-lc", SMALL), EPOCH],
    "python -m ref.train --rule bp --arch \"local 3x3x32/2, dense 256, softmax 10\"": [EPOCH],
    "python -m ref.train --rule fa --arch \"dense 32, softmax 2\" --data mine": [],
    "python -m data_prep.cifar10": LONG,
    "python -m ref.train --rule dfa --arch cifar-lc": [("cifar-lc", SMALL), EPOCH],
    "python -m ref.train --rule sdtp --arch mnist-autoencoder --data mnist": [EPOCH],
    "python -m ref.evaluate runs/out/mnist-fc_fa_mnist_seed0": [],
    "python -m ref.architectures": [],
    "python -m ref.architectures --arch resnet20": [],
    "python -m ref.train --rule sign-symmetry --arch resnet20 --data cifar10": LONG,
    "python -m ref.train --rule fa --arch \"conv 3x3x8 pad 1 bn relu,": [
        ("", " --data mnist"), EPOCH],
    "python -m ref.train --resume runs/out/mnist-fc_fa_mnist_seed0": [("60", "2")],
    "python -m runs.table1 --data mnist --net fc": [("--epochs 500 --seeds 0,1,2",
                                                     "--epochs 1 --seeds 0 --rows bp,fa")],
    "python -m runs.table1 --data cifar10": [("--rows bp,fa,dfa,dtp-alternating", "--rows bp"),
                                             ("--epochs 30", "--epochs 1")],
    "python -m runs.figure2": [],
    "python -m runs.figure8": [],
    "python -m runs.figure4": [("0,64,512,1000", "0"), ("--epochs 30", "--epochs 1")],
    "python -m runs.inverses": [("--epochs 40", "--epochs 1 --seeds 0 --examples 1")],
    "python -m runs.figure6_7": [("--epochs 50", "--epochs 1 --jobs 2")],
    "python -m runs.search": [("--configs 60 --epochs 5", "--configs 2 --epochs 1"),
                              ("--keep 5 --keep-epochs 30", "--keep 1 --keep-epochs 2"),
                              ("", " --validation 50")],
    "python -m runs.figure5": [],
    "python -m runs.scaling": [("", " --seconds 1e-3,1e-2")],
    "python -m runs.scaling.measured": [("cifar-fc,mnist-lc", "mnist-fc --seconds 0.1")],
    "mpiexec -n 2 python -m runs.scaling.measured": [
        *RANKS, ("cifar-fc,mnist-lc", "mnist-fc --seconds 0.1")],
    "python -m runs.extrapolate runs/results/cifar-fc_bp": [],
    "python -m runs.collect runs/out/mnist-fc_fa_mnist_seed0": [],
    "python -m runs.report": [],
    "python -m ref.watch runs/out/mnist-fc_*": [("", " --once")],
    "python -m runs.bench --arch mnist-fc,cifar-lc": [("mnist-fc,cifar-lc", "mnist-fc"), NO_TORCH,
                                                      BRIEF],
    "python -m ref.train --rule fa --data mnist --epochs 3": [("--epochs 3", "--epochs 1")],
    "python -m ref.train --rule sdtp --data mnist --epochs 3": [("--epochs 3", "--epochs 1")],
    "python -m ref.train --rule fa --optimizer sgd --momentum 0.9": [("--epochs 30", "--epochs 1")],
    "python -m ref.train --rule sign-symmetry --optimizer batch-manhattan": [EPOCH],
    "python -m ref.train --rule dtp --inverse-steps 3": [EPOCH],
    "python -m ref.train --rule bp --arch \"dense 64 relu, softmax 10\" --validation 2000": [EPOCH],
    "python -m ref.evaluate runs/out/picked --best": [],
    "python -m ref.plot runs/out/a runs/out/b": [],
    "python -m ref.plot runs/out/a runs/out/b --what angles,norms": [
        (" --png angles.png", "") if NO_PLOTS else ("", "")],
    "python -m ref.plot runs/out/b --what inverse-loss": [
        (" --svg inverses.svg", "") if NO_PLOTS else ("", "")],
    "python -m ref.plot runs/results/mnist-fc_fa*": [],
    "python -m ref.train --rule dtp --data mnist --epochs 3": [("--epochs 3", "--epochs 1")],
    "python -m ref.export runs/out/mine --to torch": [
        ("torch", "npz") if importlib.util.find_spec("torch") is None else ("", "")],
    "python -m ref.export runs/out/mine --to npz": [],
    "python -m ref.train --rule fa --data mnist --epochs 3 --init": [("--epochs 3", "--epochs 1")],
    "python -m runs.bench.epoch": LONG,
    "python -m runs.bench.units": LONG,
    "python -m runs.bench.local": LONG if importlib.util.find_spec("torch") is None else [BRIEF],
    "python -m ref.train --rule fa --data mnist --epochs 30 --angles": [("30", "1")],
    "python -m ref.train --rule dtp --data mnist --epochs 30 --angles": [("30", "1")],
    "python -m ref.plot runs/out/fa runs/out/dtp": [
        (" --png both.png", "") if NO_PLOTS else ("", "")],
    "python -m ref.export runs/out/fa --to torch": [
        ("torch", "npz") if importlib.util.find_spec("torch") is None else ("", "")],
    "python -m ref.train --rule dtp --arch mnist-lc --show": [],
    "python -m ref": [],
    "python -m ref.train --version": [],
    "python -m ref.train --rule dtp --arch mnist-fc --show": [],
    "python -m ref.train --rule dtp --schedule alternating --lr 0.001 --show": [],
    "python -m shtab --shell bash": [
        ("", "") if importlib.util.find_spec("shtab") else ("python -m shtab", "echo")],
    "echo \"complete -o default": [],
    "python -m ref.train --rule segregated-dendrites --arch": [EPOCH],
    "python -m ref.train --rule segregated-dendrites --model rates": [EPOCH],
    "python -m runs.dendrites raster": [],
    "python -m runs.dendrites first": [("", " --images 5 --only \"no hidden\"")],
    "python -m runs.dendrites figure7": [("", " --images 100")],
    "python -m runs.dendrites figure6": [("--epochs 20 --jobs 2",
                                          "--epochs 1 --only \"no hidden\"")],
    "python -m ref.reference write dendrites.h5": [],
    "python -m ref.reference verify dendrites.h5": [],
    "python -m ref.reference write dtp.h5": [],
    "python -m ref.reference write lc.h5": [("mnist-lc", SMALL + " --in-shape 28x28x1")],
    "python -m ref.reference verify lc.h5": [],
    "python -m ref.reference verify MINE.h5 --against dtp.h5": [("MINE.h5", "dtp.h5")],
    ".venv/bin/pip install -e \".[mpich]\"": LONG,
    "mpiexec -n 2 python -m ref.train --mpi --rule dtp": [*RANKS, EPOCH],
    "mpiexec -n 3 python -m ref.train --mpi --resume": [
        (a.replace("2", "3"), b) for a, b in RANKS] + [("30", "2")],
    ".venv/bin/pip install \"cupy-cuda12x[ctk]\"": LONG,
    ".venv/bin/pip install \"cupy-cuda13x[ctk]\"": LONG,
    "python -m pytest -rs tests/test_gpu.py": GATE,
    "python -m ref.train --rule sdtp --arch mnist-lc --data mnist --backend cupy": [
        HERE, ("mnist-lc", SMALL), EPOCH],
    "CUDA_VISIBLE_DEVICES=1 python -m ref.train --rule bp --backend cupy": [
        HERE, ("", " --data mnist"), EPOCH],
    "python -m ref.evaluate RUN --backend cupy": [HERE,
                                                  ("RUN", "runs/out/mnist-fc_fa_mnist_seed0")],
    "python -m ref.reference write gpu.h5": [HERE],
    "python -m ref.reference verify gpu.h5": [],
    "python -m runs.bench --backend cupy": [
        HERE, ("cifar-lc", "\"local 3x3x2/2, dense 10, softmax 10\""), BRIEF],
}


def blocks(kind):
    """[(document, first line, lines of the block)] of the code blocks that begin with ```kind."""
    found = []
    for name in DOCUMENTS:
        inside = None
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if line.startswith("```"):
                if inside is None:
                    inside = (line[3:], number, [])
                else:
                    if inside[0] == kind:
                        found.append((name, *inside[1:]))
                    inside = None
            elif inside is not None:
                inside[2].append(line)
    return found


def commands(lines):
    """[(command, comment)] of a block: lines that end in a backslash go on, # begins a comment."""
    found, command, comment = [], "", ""
    for line in lines:
        code, _, said = line.partition("  #") if "  #" in line else line.partition(" # ")
        command, comment = f"{command} {code.strip().removesuffix(chr(92)).strip()}", comment + said
        if not code.rstrip().endswith("\\"):
            if command.strip():
                found.append((command.strip(), comment.strip()))
            command, comment = "", ""
    return found


BLOCKS = [(f"{name}:{number}", commands(lines)) for name, number, lines in blocks("")
          if not lines[0].startswith(NO_COMMANDS)]
EVERY = [line for _, lines in BLOCKS for line in lines]


def entry(command):
    """The key of COMMANDS for a command: the longest that it begins with. None if there is none."""
    return max((key for key in COMMANDS if f"{command} ".startswith(f"{key} ")), key=len,
               default=None)


def test_the_blocks_are_found():
    """So that a change of layout can't hide the commands."""
    assert len(BLOCKS) >= 7 and len(EVERY) >= 35
    assert len(blocks("")) == len(BLOCKS) + len(NO_COMMANDS)
    kinds = {line[3:] for name in DOCUMENTS
             for line in (ROOT / name).read_text().splitlines() if line.startswith("```")}
    assert kinds == {"", "python", "bibtex", "sh"}
    assert commands(["a b \\", "    c   # d", "", "e # f", "g  # h"]) == [
        ("a b c", "d"), ("e", "f"), ("g", "h")]


@pytest.mark.parametrize("command", [command for command, _ in EVERY])
def test_every_command_is_known(command):
    assert entry(command), f"how is it run? add it to COMMANDS: {command}"


def test_none_is_known_that_is_not_there():
    assert {entry(command) for command, _ in EVERY} == set(COMMANDS)


@pytest.mark.parametrize(("command", "comment"), EVERY)
def test_what_is_not_run_says_how_long_it_is(command, comment):
    if COMMANDS.get(entry(command)) == LONG:
        assert re.search(r"long: .*(\d (s|min|h|days?)\b|minutes|hours|days)", comment), comment
    if COMMANDS.get(entry(command)) == GATE:
        gate = (ROOT / ".ci" / "run").read_text()
        assert "Set-up" in gate if "venv .venv" in command else command.split()[-1] in gate


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like a user's clone: data, what is recorded, a run; and how to run a line there."""
    place = tmp_path_factory.mktemp("clone")
    (place / "bin").mkdir()
    (place / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (place / "bin" / "python").chmod(0o755)
    for folder in ("raw", "data", "runs"):
        (place / folder).mkdir()
    (place / "runs" / "results").symlink_to(ROOT / "runs" / "results")
    rng = np.random.default_rng(0)
    for stem, n in (("train", 200), ("t10k", 100)):
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8)
        (place / "raw" / f"{stem}-images-idx3-ubyte").write_bytes(idx(images))
        (place / "raw" / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels % 10))
    noise_images(place / "data" / "mnist.h5")
    noise_images(place / "data" / "cifar10.h5", shape=(32, 32, 3))
    (own_data,) = [code for *_, code in blocks("python") if any("mine.h5" in line for line in code)]
    (place / "example.py").write_text("\n".join(own_data))  # whose data a command trains on
    for line in ("python example.py", "python -m ref.train --rule fa --data mnist --epochs 1"):
        done = shell(place, line)
        assert done.returncode == 0, done.stderr
    return place


def shell(place, line):
    return subprocess.run(
        ["bash", "-c", line], cwd=place, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1",
             "PATH": f"{place / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"})


def replaced(command):
    """The command with its replacements; None for one that is not run here."""
    changes = COMMANDS[entry(command)]
    if changes in (GATE, LONG):
        return None
    for old, new in changes:
        assert old in command, f"{old!r} is not in {command!r}"
        command = command.replace(old, new, 1) if old else command + new
    return command


@pytest.mark.slow  # .ci/run runs it
@pytest.mark.parametrize("lines", [lines for _, lines in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_commands(place, lines):
    """Each ends well, without a traceback."""
    recorded = {p: p.stat().st_mtime_ns for p in (ROOT / "runs" / "results").rglob("*")}
    for command, _ in lines:
        line = entry(command) and replaced(command)
        if line is None:
            continue
        done = shell(place, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, line
        if " runs." in line and " --once" not in line:  # a person's files are not the repository's
            assert not re.search(r"^wrote runs/results", done.stdout, re.M), done.stdout
    assert recorded == {p: p.stat().st_mtime_ns for p in (ROOT / "runs" / "results").rglob("*")}


@pytest.mark.slow  # .ci/run runs it
@pytest.mark.parametrize("example", blocks("python"), ids=lambda e: f"{e[0]}:{e[1]}")
def test_python_examples(place, example):
    """Each runs as a program, where what it imports is installed; a file that it writes to be
    verified is right."""
    code = "\n".join(example[2])
    for name in re.findall(r"^(?:import|from) (.+?)(?: import .*| as .*)?$", code, re.M):
        for package in name.split(","):
            pytest.importorskip(package.split()[0].split(".")[0])
    folder = place / f"example{example[1]}"
    folder.mkdir()
    (folder / "example.py").write_text(code)
    done = shell(place, f"cd {folder.name} && python example.py")
    assert done.returncode == 0, done.stdout + done.stderr
    if (folder / "THEIRS.h5").exists():
        done = shell(place, f"cd {folder.name} && python -m ref.reference verify THEIRS.h5")
        assert done.returncode == 0, done.stdout + done.stderr
