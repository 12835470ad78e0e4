"""ref.train as a child of runs/jobs.py: it ends, with a checkpoint, when its parent does.

The parent holds the other end of our stdin and writes nothing to it. Its end of file says that the
parent wants us to stop, or is there no more, however it ended; SIGKILL gives it no time to tell us.
"""

import os
import signal
import threading
import time

from ref import train


def watch():
    """Wait for the end of stdin, then have this process stop as SIGTERM would."""
    while os.read(0, 1):
        pass
    # SIGTERM's own way to end a process stands before ref.train listens, and again once a signal
    # has stopped it: a second one would end it without a checkpoint
    while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        time.sleep(0.05)
    signal.raise_signal(signal.SIGTERM)


def main():
    threading.Thread(target=watch, daemon=True).start()
    train.main()


if __name__ == "__main__":
    main()
