"""A function's result from a process of its own, which ends when this one does."""

import multiprocessing
import os
import signal
import threading

from ref.common.command import UserError


def alone(work, *arguments):
    """work(*arguments) in a new process. Raises what it raises, UserError where it was killed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        raised, value = ours.recv()
    except EOFError:
        process.join()
        raise UserError(f"a process that measured was ended (status {process.exitcode}): is there "
                        "enough memory?") from None
    finally:
        process.terminate()
        process.join()
    if raised:
        raise value
    return value


def _answer(pipe, work, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C: the parent tells of it
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
