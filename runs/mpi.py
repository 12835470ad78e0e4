"""Runs over the ranks of an MPI job: mpiexec -n 4 python -m runs.search --mpi ...

Each rank trains one run at a time, in a process of its own as with --jobs. Rank 0 keeps the books:
it hands out the jobs, trains too, and writes the tables. The runs' folders must be on a file system
that all machines share. Messages:

    from rank 0     (TRAIN, job), (STOP, None) with a checkpoint, (END, None): there is no more
    to rank 0       (rank, OUTCOME, jobs.Outcome), (rank, SIGNAL, its number), (rank, ENDED, None)

A signal to any rank stops all, as it stops a command with --jobs. Where
a rank is killed, mpiexec or srun ends the others, and the tables stay as they were. Every run has
its checkpoint.
"""

import time

from ref import mpi
from ref.common.command import Stopped, UsageError, insist, listen, noticing, one_line, say

from . import jobs

TRAIN, STOP, END, OUTCOME, SIGNAL, ENDED = "train", "stop", "end", "outcome", "signal", "ended"


def carry_out(work, args):
    """work(args) on rank 0 with its jobs on all ranks; returns the exit status, 0 of the others."""
    signals = []
    with noticing(signals.append):  # from before rank 0 counts on this one
        ranks = mpi.world()
        if ranks.rank:
            return serve(ranks, signals)
    crew = Crew(ranks.comm)
    try:
        if signals:
            raise Stopped(signals[0])
        if args.jobs > 1:
            raise UsageError(f"--jobs {args.jobs}: with --mpi each rank trains one run at a time; "
                             "leave it out, and start as many ranks")
        args.jobs, args.begin = ranks.size, crew.begin
        return work(args)
    finally:
        crew.end()


class Crew:
    """The ranks, for rank 0: what each of them trains."""

    def __init__(self, comm):
        self.comm = comm
        self.held = dict.fromkeys(range(comm.Get_size()))  # {rank: a process, None before any}
        self.ended, self.signal = {0}, None

    def begin(self, job):
        """Have a rank that trains nothing train the job; gives what is like jobs.Process."""
        rank = next(r for r, process in self.held.items() if process is None or process.outcome())
        self.held[rank] = Elsewhere(self, rank, job) if rank else jobs.Process(job)
        return self.held[rank]

    def hear(self):
        """Take what the others have sent."""
        while self.comm.Iprobe():
            rank, kind, value = self.comm.recv()
            if kind == OUTCOME:
                self.held[rank].found = value
            elif kind == SIGNAL:
                self.signal = self.signal or value
            else:
                self.ended.add(rank)

    def end(self):
        """Have all other ranks end, and wait for them."""
        for rank in self.held:
            if rank:
                self.comm.send((END, None), rank)
        while len(self.ended) < len(self.held):
            self.hear()
            time.sleep(jobs.POLL)


class Elsewhere:
    """A job that another rank trains, like jobs.Process."""

    def __init__(self, crew, rank, job):
        self.crew, self.rank, self.job, self.found = crew, rank, job, None
        crew.comm.send((TRAIN, job), rank)

    def ask_to_stop(self):
        self.crew.comm.send((STOP, None), self.rank)

    def wait(self):
        while not self.found:
            self.crew.hear()
            time.sleep(jobs.POLL)

    def end(self):
        self.crew.comm.send((END, None), self.rank)

    def outcome(self):
        """None while it runs. Raises Stopped where any rank has got a signal."""
        self.crew.hear()
        if self.crew.signal and not self.found:
            number, self.crew.signal = self.crew.signal, None
            listen(lambda *_: insist())  # the same signal may come to us too: it is not the second
            raise Stopped(number)
        return self.found


def serve(ranks, signals):
    """Train what rank 0 says until it says that there is no more.

    signals  a list that the numbers of signals are put in as they come
    """

    def tell(kind, value=None):
        ranks.comm.send((ranks.rank, kind, value), 0)

    process = None
    try:
        while True:
            if signals:
                tell(SIGNAL, signals.pop())
            if ranks.comm.Iprobe(source=0):
                order, job = ranks.comm.recv(source=0)
                if order == TRAIN:
                    try:
                        process = jobs.Process(job)
                    except OSError as error:
                        tell(OUTCOME, jobs.Outcome("failed", one_line(error)))
                elif process:
                    process.ask_to_stop() if order == STOP else process.end()
                if order == END:
                    tell(ENDED)
                    return 0
            elif process and (outcome := process.outcome()):
                process = None
                tell(OUTCOME, outcome)
            else:
                time.sleep(jobs.POLL)
    except OSError as error:
        say(f"error: {ranks.who}{one_line(error)}; every run has its checkpoint")
        ranks.abort(1)
    except Exception:
        ranks.fail()
