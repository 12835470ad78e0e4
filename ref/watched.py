"""A rank in a child process, so that there is somebody to say that it was killed.

Whoever is killed (SIGKILL: the memory ran out, or somebody did it) says nothing, and mpiexec tells
little. So with --mpi the process that mpiexec has started only waits: it hands signals on to its
child, which is the rank, and ends as that does.
"""

import ctypes
import os
import signal
import time

from .common.command import STOPPING, discard_output, say

RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")  # of MPICH, Open MPI, ...
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def go_on_in_child(again):
    """Return in a child process; this one ends when that does, with its exit status.

    again  words for a line about a child that was killed: how the run goes on
    Nothing is done where there is no fork or no prctl (not Linux).
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, TypeError, AttributeError):
        return
    parent, child = os.getpid(), os.fork()
    if not child:
        os.setpgid(0, 0)  # a signal to all of a terminal's processes comes once, from the parent
        prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it has gone already
            os._exit(1)
        return
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(child, number))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        rank = next((f"rank {os.environ[name]}" for name in RANKS if name in os.environ), "a rank")
        why = " (did the memory run out?)" if -status == signal.SIGKILL else ""
        say(f"error: {rank}, process {child}, was killed by {signal.Signals(-status).name}{why}; "
            f"all end; {again}")
        time.sleep(0.5)  # mpiexec must have read the line: it drops what comes with the end
        status = 128 - status
    discard_output()
    os._exit(status)
