"""The ranks of an MPI job: mpiexec -n 4 python -m ref.train --mpi ...

mpi4py is asked for only with --mpi, and only here.
"""

import os

from .common.command import UsageError, one_line
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
    return Ranks(MPI, MPI.COMM_WORLD, node.Get_rank())


def share_out_cores(processes):
    """Leave each of the ranks on one machine its share of the CPUs, unless a number is given."""
    if not any(os.environ.get(f"{name}_NUM_THREADS") for name in ("OPENBLAS", "OMP")):
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        os.environ["OPENBLAS_NUM_THREADS"] = str(max(1, cpus // processes))


def opening(ranks, backend):
    """The line that names the ranks' processes: of one that is killed mpiexec gives the number."""
    where = ranks.comm.gather(f"{os.getpid()} on {ranks.MPI.Get_processor_name()}")
    if ranks.rank:
        return None
    how = "" if backend == "numpy" else "; gradients go through host memory"
    return f"{ranks.size} ranks, processes {', '.join(where)}{how}"
