"""What a command does about a signal while Python still loads it.

`python -m ref.train` loads NumPy and HDF5 for some tenths of a second before command.run listens to
signals. Until then nothing has begun: a signal ends it with one line and the documented status. The
packages import this before all else; it loads next to nothing. Where
they are imported by somebody's own program, its signals stay as they are.
"""

import os
import signal
import sys

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
                 if hasattr(signal, name))  # Windows has fewer
PACKAGES = ("ref", "data_prep", "runs")
STOPPED = "interrupted before anything began"


def is_command():
    """Whether `python -m` is just looking for one of our modules."""
    return sys.argv[:1] == ["-m"] and any(
        word.removeprefix("-m").partition(".")[0] in PACKAGES for word in sys.orig_argv[1:])


def end(number, _):
    """End the process, which holds nothing that has to be put away."""
    if sys.stderr is not None:  # else its number may be that of a file
        try:
            os.write(2, f"{STOPPED}\n".encode())
        except OSError:
            pass
    os._exit(128 + number)


def listen():
    """Have the stopping signals end a command, but for those it was started to ignore."""
    if is_command():
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, end)


listen()
