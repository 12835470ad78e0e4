"""The ranks of an MPI job: mpiexec -n 4 python -m ref.train --mpi ...

mpi4py is asked for only with --mpi, and only here.
"""

import contextlib
import os
import select
import threading

import numpy as np

from .common.command import UsageError, one_line, say
from .ranks import Ranks


def world():
    """The Ranks of this job. Raises UsageError where mpi4py or its MPI library can't be used."""
    # our own line is enough: MPICH would print one for every rank
    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"--mpi: mpi4py can't be used ({one_line(error)}); with an MPI library "
                         'there, pip install ".[mpi]"; without one, ".[mpich]"') from None
    node = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
    share_out_cores(node.Get_size())
    ranks = Ranks(MPI, MPI.COMM_WORLD, node.Get_rank())
    watch(ranks, node)
    return ranks


def share_out_cores(processes):
    """Leave each of the ranks on one machine its share of the CPUs, unless a number is given."""
    if not any(os.environ.get(f"{name}_NUM_THREADS") for name in ("OPENBLAS", "OMP")):
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        os.environ["OPENBLAS_NUM_THREADS"] = str(max(1, cpus // processes))


def watch(ranks, node):
    """Have a thread end this rank, with one line from one of them, when another one on this machine
    is killed: who waits in an MPI call for a rank that is gone may wait for ever.

    mpiexec and srun end the others too; which rank it was they do not say. A rank that ends with a
    line of its own has set its flag in memory that all on the machine share.
    """
    if not hasattr(os, "pidfd_open"):  # not Linux
        return
    MPI, own = ranks.MPI, node.Get_rank()
    window = MPI.Win.Allocate_shared(1, comm=node)
    flags = {r: np.frombuffer(window.Shared_query(r)[0], np.uint8) for r in range(node.Get_size())}
    flags[own][:] = 0
    peers, handles = node.allgather((ranks.rank, os.getpid())), {}
    for r, (rank, pid) in enumerate(peers):
        if r != own:
            with contextlib.suppress(OSError):
                handles[os.pidfd_open(pid)] = r, rank, pid
    ranks.flag, ranks.window = flags[own], window

    def wait():
        poll = select.poll()
        for handle in handles:
            poll.register(handle, select.POLLIN)
        dead = [handles[handle] for handle, _ in poll.poll()]
        r, rank, pid = dead[0]
        if flags[r][0] or flags[own][0]:  # it has said why, or all of us are at the end
            return
        gone = {r for r, _, _ in dead}
        if own == min(set(range(len(peers))) - gone):
            say(f"error: rank {rank} of {ranks.size} (process {pid}) is gone, killed or crashed; "
                "the last checkpoint is whole")
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
