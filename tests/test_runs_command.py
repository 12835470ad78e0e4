"""Every command of runs/: how it begins and ends, what it writes where, and its processes' end."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from seldom import slow_but
from test_command import BUFFERED, needs_full, shell

from ref.common.command import UserError
from runs import command as shared
from runs.alone import alone

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts)
                 for path in (ROOT / "runs").rglob("*.py")
                 if "\ndef main()" in path.read_text() and path.stem != "child")
# as in test_command.py; the two start differently, as a module and as a package
every_module = pytest.mark.parametrize("module", slow_but(["runs.table1", "runs.bench.__main__"],
                                                          MODULES))


def test_modules():
    assert {"runs.table1", "runs.search", "runs.bench.__main__", "runs.report"} < set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_version_help_and_a_wrong_option(command, here, module):
    assert command(module, "--version").out.startswith("ref ")
    assert command(module, "--help").out.startswith("usage:")
    command.refused(module, "--nosuch", names=["--help"])
    assert not any(here.iterdir())


@every_module
def test_streams(here, module):
    """A closed stderr, a stdout that nobody reads, one that is full: no word of complaint."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", module, "--help"], stdout=write,
                          stderr=subprocess.PIPE, env=BUFFERED)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    assert shell(f"PYTHON -m {module} --nosuch 2>&-") == (2, b"", b"")


@needs_full
@every_module
def test_a_full_disk_behind_stdout(here, module):
    found = shell(f"PYTHON -m {module} --help > /dev/full")
    assert found[::2] == (2, b"error: stdout: No space left on device\n")


@pytest.mark.parametrize("module", MODULES)
def test_what_is_recorded_is_no_default(module):
    """Nothing is written to runs/results unless it is named."""
    source = importlib.import_module(module)
    parser = source.parser("runs.x", "doc") if module in ("runs.figure2", "runs.figure8") else (
        source.parser())
    given = vars(parser.parse_args({"runs.search": ["--rule", "bp"],
                                    "runs.collect": ["run"],
                                    "runs.extrapolate": ["run"],
                                     "runs.dendrites.__main__": ["first"]}.get(module, [])))
    for option in ("out", "work"):
        if option in given:
            assert not shared.is_record(given[option])
            assert shared.whose(given[option] / "run") == "yours"
    assert "out" in given or module.startswith("runs.bench.")


def test_whose(here):
    assert shared.whose("runs/results/a") == "recorded"
    assert shared.whose(here / "runs" / "results" / "a" / "metrics.csv") == "recorded"
    for path in ("runs/out/results/a", "runs/results", "runs/results2/a", "elsewhere"):
        assert shared.whose(path) == "yours"


@pytest.mark.slow  # .ci/run runs it
def test_nobody_reads_on(here, tiny):
    """Who reads goes away while runs train: the command ends with 141 when it has the next line to
    print, and the run that was still going has a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runs.search", "--rule", "bp", "--arch", "dense 8, softmax 10",
         "--data", tiny, "--configs", "2", "--epochs", "200", "--validation", "50"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=BUFFERED)
    assert b"training 2 of 2" in process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(timeout=60), err) == (141, b"")
    jobs_of = sorted((here / "runs" / "out" / "work").glob("*/config*"))
    assert (jobs_of[0] / "checkpoint.h5").exists() and len(jobs_of) == 1


def sleep_long(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(100)


def fail(error):
    raise error


def test_alone(here):
    """Results and errors come back; a process that is killed is told of."""
    assert alone(divmod, 7, 2) == (3, 1)
    with pytest.raises(UserError, match="what is wrong"):
        alone(fail, UserError("what is wrong"))
    with pytest.raises(UserError, match="was ended"):
        alone(os._exit, 3)


def test_alone_ends_with_its_parent(here):
    code = "from test_runs_command import *\nif __name__ == '__main__': alone(sleep_long, 'pid')"
    (here / "script.py").write_text(code)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen([sys.executable, "script.py"], env={**BUFFERED, "PYTHONPATH": paths})
    end = time.monotonic() + 60
    while not (here / "pid").exists() or not (here / "pid").read_text():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    child = int((here / "pid").read_text())
    process.kill()
    process.wait()
    while Path(f"/proc/{child}/stat").exists() and (
            Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"):
        assert time.monotonic() < end
        time.sleep(0.02)
