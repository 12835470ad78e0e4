"""stdout and stderr: closed, full or broken, and read by terminals, which obey what they read."""

import contextlib
import os
import sys


def printable(text, besides=""):
    """A text without control characters, which steer a terminal: \\x1b for an escape.

    besides  those that may stay
    """
    return "".join(c if c.isprintable() or c in besides or "\udc80" <= c <= "\udcff" else
                   c.encode("unicode_escape").decode() for c in text)


def open_streams():
    """Give a process that was started with closed streams (2>&-) something to write to, before any
    file takes their numbers; and let names be printed that the terminal has no letters for."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(os.devnull, "w", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, nowhere)  # for the whole process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(*lines, raw=False):
    """Lines on stdout, at once. Raises OSError with "stdout" as the name of the file.

    raw  with the control characters that are in them
    """
    try:
        for line in lines:
            print(line if raw else printable(line, besides="\n"))
        sys.stdout.flush()
    except OSError as error:
        error.filename = "stdout"
        raise


def say(line, status=0):
    """A line on stderr; returns the status, which tells alone where stderr is full or broken."""
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)
    return status


def discard_output():
    """Flush what can be; what cannot must not make Python complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
