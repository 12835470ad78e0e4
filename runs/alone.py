"""A function's result from a process of its own, which ends when this one does."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker

from ref.common.command import STOPPING, UserError


def alone(work, *arguments):
    """work(*arguments) in a new process. Raises what it raises, UserError where it was killed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments), daemon=True)
    resource_tracker.ensure_running()  # a process of its own: begun now, it does not unblock ours
    # a terminal's Ctrl-C reaches both: from birth on the child has no ears for it, we tell of it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    try:
        raised, value = ours.recv()
        process.join(10)  # it ends by itself, and clears up what it has
    except EOFError:
        process.join()
        raise UserError(f"a process that measured was ended (status {process.exitcode}): is there "
                        "enough memory?") from None
    finally:
        process.kill()
        process.join()
    if raised:
        raise value
    return value


def _answer(pipe, work, arguments):
    threading.Thread(target=_follow, daemon=True).start()
    try:
        answer = False, work(*arguments)
    except Exception as error:
        answer = True, error
    pipe.send(answer)
    pipe.close()


def _follow():
    """End this process when its parent has ended, however it did."""
    multiprocessing.parent_process().join()
    os._exit(1)
