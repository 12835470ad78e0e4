"""Train several runs, a few processes at a time; go on with those that have begun.

Each run is `python -m ref.train` in a process and a session of its own with one BLAS thread, and
keeps what it prints in log.txt of its folder. It stops with a checkpoint when we do, however we end
(child.py). A run that diverged would do so again: its folder keeps the reason in `diverged`, and it
is not tried again while that file is there.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ref
from ref import folder
from ref.common import files
from ref.common.command import tell
from ref.common.schema import read_text
from ref.config import read as read_config

from .records import DIVERGED

LOG = "log.txt"
POLL = 0.05  # seconds
WAIT = 60  # seconds for a process that trains in the folder to end; a batch may take many


@dataclass(frozen=True)
class Job:
    """A run that there shall be: ref.train's arguments without --out and --epochs."""

    out: Path
    arguments: tuple
    epochs: int


@dataclass(frozen=True)
class Outcome:
    """How a job stands: "done", "diverged" or "failed", and why."""

    state: str
    reason: str = ""


def standing(job):
    """The outcome that the folder tells of already, or None where there is training to do."""
    if len(folder.read_metrics(job.out)) >= job.epochs:
        return Outcome("done")
    if (job.out / DIVERGED).exists():
        return Outcome("diverged", read_text(job.out / DIVERGED, folder.FolderError).strip())
    return None


def command_of(job):
    """ref.train's command line that begins the run, or goes on with it."""
    line = [sys.executable, "-m", "runs.child"]
    if not (job.out / "config.json").exists():
        return [*line, *map(str, job.arguments), "--epochs", str(job.epochs), "--out", str(job.out)]
    started = read_config(job.out)["arguments"]["epochs"] or 0
    data = job.arguments[job.arguments.index("--data") + 1]  # where it is now
    return [*line, "--resume", str(job.out), "--epochs", str(max(started, job.epochs)),
            "--data", str(data)]


def environment():
    """Ours, with one thread, and with this very code wherever we were called from."""
    paths = [str(Path(ref.__file__).parents[1]), str(Path(__file__).parents[1]),
             os.environ.get("PYTHONPATH")]
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Process:
    """A job being trained."""

    def __init__(self, job):
        self.job = job
        command = command_of(job)
        job.out.mkdir(parents=True, exist_ok=True)
        self.log = job.out / LOG
        self.begin = self.log.stat().st_size if self.log.exists() else 0
        with files.open_plain(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, "ab") as log:
            # a session of its own: Ctrl-C reaches us alone, and we ask each child just once
            self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log,
                                          env=environment(), start_new_session=True)

    def ask_to_stop(self):
        """End of file on the child's stdin: it finishes its batch and writes a checkpoint."""
        self.popen.stdin.close()

    def wait(self):
        """Return when it has ended."""
        self.popen.wait()

    def end(self):
        """Have it end, for those who do not want to wait longer."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)

    def outcome(self):
        """None while it runs."""
        status = self.popen.poll()
        if status is None:
            return None
        self.popen.stdin.close()
        if status == 0:
            return Outcome("done")
        with open(self.log, "rb") as log:
            log.seek(self.begin)
            lines = log.read().decode(errors="replace").split("\n")
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        reason = errors[-1] if errors else f"ended with status {status}; see {self.log}"
        if status == 1 and re.match(r"epoch \d+: ", reason):
            content = f"{reason}\n".encode()
            files.write(self.job.out / DIVERGED, lambda part: part.write_bytes(content))
            return Outcome("diverged", reason)
        return Outcome("failed", reason)


def wait_for(job, tell=tell):
    """Return when nobody trains in the job's folder: a child of a command that was killed may be
    writing its checkpoint. After WAIT seconds ref.train itself will say so."""
    lock, said, end = job.out / folder.LOCK, False, time.monotonic() + WAIT
    while lock.exists() and time.monotonic() < end:
        try:
            files.lock(lock, "taken").close()
            return
        except files.Taken:
            if not said:
                tell(f"{job.out}: another process is training in this folder; waiting for it, "
                     f"{WAIT} s at most")
            said = True
            time.sleep(POLL)


def run(jobs, at_once=1, tell=tell, begin=None):
    """Train all jobs; {job: Outcome}. One that fails does not stop the others.

    tell   called with a line as a job ends
    begin  gives what is like Process, for a job to be trained; Process itself if not given
    When this is interrupted the children are asked to write a checkpoint and waited for.
    """
    outcomes = {job: outcome for job in jobs if (outcome := standing(job))}
    waiting = [job for job in jobs if job not in outcomes]
    if waiting:
        tell(f"training {len(waiting)} of {len(jobs)} runs, {min(at_once, len(waiting))} at a "
             f"time, in {os.path.commonpath([job.out for job in waiting])}")
    running = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                wait_for(waiting[0], tell)
                running.append((begin or Process)(waiting.pop(0)))
            time.sleep(POLL)
            for process in list(running):
                if outcome := process.outcome():
                    running.remove(process)
                    outcomes[process.job] = outcome
                    tell(f"[{len(outcomes)}/{len(jobs)}] {process.job.out.name}: "
                         f"{summary(process.job, outcome)}")
    finally:
        stop(running)
    return outcomes


def summary(job, outcome):
    """How a job ended, in a few words."""
    rows = folder.read_metrics(job.out)
    if outcome.state != "done":
        return f"{outcome.state} ({outcome.reason})"
    if not rows:
        return "0 epochs"
    best = min(rows, key=lambda row: row["test_error"])
    return (f"{len(rows)} epochs, best test error {best['test_error']:.4g} "
            f"(epoch {best['epoch']:.0f})")


def stop(running):
    """Have the children stop with a checkpoint; a second interruption ends those that still run."""
    for process in running:
        process.ask_to_stop()
    try:
        for process in running:
            process.wait()
    except KeyboardInterrupt:
        for process in running:
            process.end()
        raise
