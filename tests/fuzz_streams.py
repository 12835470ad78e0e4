"""Streams that are closed, full or broken, and signals at any moment, in a process of its own."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import fuzz_corpus
import fuzz_options

ROOT = Path(__file__).resolve().parents[1]
STREAMS = ["closed", "full", "broken"]
SIGNALS = [signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PATIENCE = 60


def draw(rng, Case):
    """A command that does a little work, asks for help or is wrong, with something in its way."""
    name = rng.choice(sorted(fuzz_options.parsers))
    line = [*name.split(), *fuzz_corpus.BASES.get(name, [])]
    rest = rng.choice([None, None, None, ["--help"], ["--nosuch"]])
    if rest:
        line = [*name.split(), *rest]
    if rng.random() < 0.6:
        number = rng.choice(SIGNALS)
        # from the first moment at which this code is asked: Python's own beginning is not ours
        delay = rng.choice([rng.uniform(0, 0.5), rng.uniform(0, 3)])
        return Case("stream", line, f"{signal.Signals(number).name} after {delay:.3f} s",
                    delay=delay, number=int(number))
    streams = {str(k): rng.choice(STREAMS) for k in rng.sample([1, 2], rng.choice([1, 1, 2]))}
    return Case("stream", line, str(streams), streams=streams)


def run(case, folder, err):
    """As fuzz.run."""
    handles = {"0": os.open(os.devnull, os.O_RDWR)}
    handles["1"], handles["2"] = handles["0"], os.open(err, os.O_WRONLY | os.O_CREAT)
    closed = [int(k) for k, how in case.streams.items() if how == "closed"]
    for key, how in case.streams.items():
        if how == "full":
            handles[key] = os.open("/dev/full", os.O_WRONLY)
        elif how == "broken":
            read, handles[key] = os.pipe()
            os.close(read)

    def prepare():
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for key, handle in handles.items():
            os.dup2(handle, int(key))
        for number in closed:
            os.close(number)

    process = subprocess.Popen([sys.executable, "-m", *case.line], cwd=folder, preexec_fn=prepare,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    for handle in set(handles.values()):
        os.close(handle)
    if case.delay is not None:
        wait_for_us(process)
        time.sleep(case.delay)
        process.send_signal(case.number)
    for past in ticks(process.pid):
        if (status := process.poll()) is not None:
            break
        if past > PATIENCE:
            process.kill()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    said = Path(err).read_text(errors="replace") if err.exists() else ""
    return status, past, 0, said, False


def ticks(pid):
    """Seconds so far, at every look; without those in which this process, or that, was stopped."""
    past, last = 0.0, time.monotonic()
    while True:
        yield past
        time.sleep(0.002)
        now = time.monotonic()
        past += 0.0 if is_stopped(pid) else min(now - last, 0.1)
        last = now


def is_stopped(pid):
    """Whether somebody has stopped a process for the time being (SIGSTOP)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "T"
    except OSError:
        return False


def wait_for_us(process):
    """Return when Python is past its own beginning: it has this project's files or NumPy open."""
    end = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < end:
        try:
            if "multiarray" in Path(f"/proc/{process.pid}/maps").read_text():
                return
        except OSError:
            return
        time.sleep(0.001)
