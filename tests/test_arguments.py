"""Arguments that name nothing, or nothing possible: one line, before any work is begun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
BP = ["--rule", "bp"]


@pytest.mark.parametrize(("module", "arguments"), [
    ("ref.train", ["--resume", "", *BP]), ("ref.train", ["--data", "", *BP]),
    ("ref.train", [*BP, "--out", ""]), ("ref.train", [*BP, "--data="]), ("ref.evaluate", [""]),
    ("ref.watch", [" ", "--once"]), ("runs.collect", ["run", "--name", ""]),
    ("runs.table1", ["--out", ""]), ("ref.reference.cli", ["verify", ""]),
    ("ref.reference.cli", ["write", "", *BP, "--arch", "mnist-fc"])])
def test_an_empty_argument_is_an_unset_variable(command, here, module, arguments):
    command.refused(module, *arguments, names=["empty"])


@pytest.mark.parametrize(("module", "arguments", "named"), [
    ("ref.train", [*BP, "--crop-padding", "1000000000"], "--crop-padding"),
    ("ref.train", [*BP, "--data=--"], "--data"),
    ("ref.train", [*BP, "--out", "x" * 300], "--out"),
    ("ref.train", [*BP, "--out", "file/run"], "file"),
    ("runs.table1", ["--out", "file"], "file"), ("runs.table1", ["--work", "file/work"], "file"),
    ("runs.search", [*BP, "--out", "y" * 300], "--out"),
    ("ref.reference.cli", ["verify", "x.h5", "--limit", "1e308"], "--limit"),
    ("ref.reference.cli", ["write", "x.h5", *BP, "--arch", "mnist-fc", "--in-shape", "3x3x1"],
     "3x3x1"),
    *((module, ["run", option, f"x.{wrong}"], f"x.{wrong}: the name must end in .{option[2:]}")
      for module, option in (("ref.plot", "--png"), ("ref.plot", "--svg"), ("ref.watch", "--png"))
      for wrong in ("jpg", "pdf")),
    ("ref.architectures", ["--arch", "mnist-fc", "--in-shape", "3x3x1"], "3x3x1"),
    ("runs.bench.__main__", ["--in-shape", "3x3x1"], "3x3x1"),
    ("runs.bench.__main__", ["--seconds", "nan"], "--seconds")])
def test_what_can_t_be(command, here, module, arguments, named):
    """A folder below a file, a name that is too long, numbers beyond use, an ignored shape."""
    (here / "file").write_text("")
    command.refused(module, *arguments, names=[named])


def test_threads_that_are_no_number(here):
    done = subprocess.run([sys.executable, "-m", "ref.architectures", "--arch", "mnist-fc"],
                          env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "²"}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    code = "from ref import parallel; print(parallel.threads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "²", "OMP_NUM_THREADS": "1"})
    assert done.stdout == "1\n"


# ---- signals, from the first import on -----------------------------------------------------------

MODULES = ["ref.train", "ref.evaluate", "ref.reference", "runs.report", "runs.bench",
           "data_prep.mnist"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_imports(here, module, number):
    """As soon as NumPy is being loaded: one line, the documented status."""
    process = subprocess.Popen([sys.executable, "-m", module, "--help"], env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "multiarray" not in maps.read_text():
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate()
    if process.returncode != 0:  # it was at its end before
        assert process.returncode in (128 + number, -number)
    assert err.count(b"\n") <= 1 and b"Traceback" not in err


def test_signals_of_somebodys_program_stay_theirs(here):
    code = ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); import ref; "
            "print(signal.getsignal(signal.SIGTERM) == signal.SIG_IGN,"
            " signal.getsignal(signal.SIGINT) is signal.default_int_handler)")
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True,
                          text=True)
    assert done.stdout == "True True\n"


def test_write_is_stopped_by_sigterm(here):
    """No file, no temporary one, one line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ref.reference", "write", "out.h5", *BP, "--arch", "mnist-fc",
         "--steps", "20"], env=ENVIRONMENT, stderr=subprocess.PIPE)
    while process.poll() is None and not signals_are_heard(process.pid):
        time.sleep(0.001)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode in (0, 143, -15) and err.count(b"\n") <= 1
    assert sorted(path.name for path in here.iterdir()) in ([], ["out.h5"])


def signals_are_heard(pid):
    """Whether SIGTERM has a handler (Linux tells)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
