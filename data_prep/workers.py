"""Tasks done by several processes that end with this one, however it ends."""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
from multiprocessing import resource_tracker

from data_prep.hdf5 import DataError
from ref.common.command import STOPPING


def run(work, tasks, n_workers, advance):
    """Call work(task, tick) for every task, in n_workers processes; advance() for each tick().

    work and the tasks travel to the processes by pickle, so work is a module's function. Returns
    when all is done. Raises DataError as soon as a work raised DataError, OSError or MemoryError,
    or a process ended by itself. No process is left behind, after KeyboardInterrupt either; if
    this process is killed, the others end at their next tick().
    """
    waiting, busy, processes = list(reversed(tasks)), set(), []
    # spawn: a forked process would hold its siblings' pipes open, and never see that they broke.
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # a process of its own: begun now, it does not unblock ours
    # Ctrl-C, or a scheduler's SIGTERM, reaches all processes of the group: it is ours to end them.
    # Blocked, from birth on, these signals never reach them, and us a little later.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        for _ in range(min(n_workers, len(tasks))):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, work), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            give(ours, waiting.pop())
            busy.add(ours)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while busy:
            for pipe in multiprocessing.connection.wait(list(busy)):
                message = hear(pipe)
                if message is None:
                    advance()
                elif message:
                    raise DataError(message)
                elif waiting:
                    give(pipe, waiting.pop())
                else:
                    busy.remove(pipe)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        for process in processes:
            process.kill()  # they take no notice of terminate()
        for process in processes:
            process.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def give(pipe, task):
    """Send a process its next task. If it has just died, hear() will tell."""
    with contextlib.suppress(OSError):
        pipe.send(task)


def hear(pipe):
    """What a process says: None for a tick, "" for a task done, else what went wrong."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return "a worker process ended by itself (killed? out of memory? the disk full?)"


def serve(pipe, work):
    """What each process does: task after task, until it is ended or nobody listens any more."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            try:
                work(task, lambda: pipe.send(None))
                said = ""
            except (DataError, OSError) as error:
                said = str(error)
            except MemoryError:
                said = "out of memory: take fewer --workers"
            pipe.send(said)
