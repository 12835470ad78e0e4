"""How every command reads its arguments, reports a problem and ends.

Exit status: 0 done; 1 the work failed on the way (the command says which); 2 something the user can
put right, in one line `error: ...` on stderr; 128 + n ended by signal n: 130 Ctrl-C, 143 SIGTERM,
129 SIGHUP, 138 SIGUSR1 (which SLURM can send before its time limit), 141 nobody reads stdout.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
                 if hasattr(signal, name))  # Windows has fewer
NOBODY_READS = 13  # SIGPIPE, which Windows has not


class UserError(Exception):
    """Something a user can put right; its text is one line: what is wrong, and what to do."""

    status = 2  # of a command that ends with it


class UsageError(UserError):
    """Arguments that don't fit together."""


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end; `number` says which."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a wrong argument in one line, like every other error, and
    has --version."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.add_argument("--version", action=_Version, help="print version and commit, and end")

    def print_help(self, file=None):
        """As argparse's, which says nothing where it can't be written."""
        if file:
            print(self.format_help(), end="", file=file)
        else:
            tell(self.format_help().rstrip())

    def error(self, message):
        raise SystemExit(say(f"error: {message} (see {self.prog} --help)", 2))


class _Version(argparse.Action):
    """Print version and commit; git is asked only then."""

    def __init__(self, option_strings, dest, help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS,
                         help=help)

    def __call__(self, parser, *_):
        from . import version

        tell(version.line())
        parser.exit()


def seed(text):
    """An argparse type: an integer from 0 to 2^128 - 1, which is as much as NumPy mixes in."""
    value = integer_at_least(text, 0)
    if value >= 1 << 128:
        raise argparse.ArgumentTypeError(f"{text!r} is not below 2^128")
    return value


def count(text):
    """An argparse type: an integer >= 1."""
    return integer_at_least(text, 1)


def new_file(text):
    """An argparse type: the path of a file to write, as a Path; not a folder."""
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name the file to write in it")
    return Path(text)


def integer_at_least(text, least):
    """`text` as an integer >= least. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or len(text) > 40 or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= {least}")
    return int(text)


def command_line(module, arguments=None):
    """The command as a user types it, for what records where it came from."""
    given = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", "-m", module, *given])


def one_line(error):
    """What an exception says, in one line, with the file's name where it has one."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}"
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def run(work, stopped="interrupted"):
    """Call work(), which returns an exit status or None, and end the process with it.

    Whatever the user can put right, and every way of being stopped, ends in one line on stderr.
    stopped  that line, after a signal
    """
    open_streams()
    listen(_raise_stopped)
    try:
        status = _status(work)
        tell()
    except BrokenPipeError:  # nobody reads any more, as behind `| head -1`: no reason to complain
        status = 128 + NOBODY_READS
    except UserError as error:
        status = say(f"error: {one_line(error)}", error.status)
    except OSError as error:
        status = say(f"error: {one_line(error)}", 2)
    except MemoryError as error:
        said = f" ({one_line(error)})" if str(error) else ""
        status = say(f"error: not enough memory{said}: free some, or ask for less", 2)
    except KeyboardInterrupt as stop:
        status = say(stopped, 128 + getattr(stop, "number", signal.SIGINT))
    discard_output()
    sys.exit(status)


def _status(work):
    """work's exit status, also where argparse ends it (--help, a wrong argument)."""
    try:
        return work() or 0
    except SystemExit as end:
        return end.code or 0


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


def listen(handler):
    """Have the stopping signals handled, but for those that the process was started to ignore
    (nohup ignores SIGHUP; a shell's background job may ignore SIGINT). Returns the old handlers."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, old in before.items():
        if old != signal.SIG_IGN:
            signal.signal(number, handler)
    return before


def insist():
    """From now on, another signal ends the process at once.

    Not SIGHUP: when a terminal closes, the system and the shell may both send it.
    """
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            hang_up = number == getattr(signal, "SIGHUP", None)
            signal.signal(number, signal.SIG_IGN if hang_up else signal.SIG_DFL)


def _raise_stopped(number, _):
    insist()
    raise Stopped(number)


@contextlib.contextmanager
def noticing(ask):
    """Within this, the first stopping signal calls ask(number) and interrupts nothing; a second one
    ends the process at once."""

    def notice(number, _):
        insist()
        ask(number)

    before = listen(notice)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is notice:
                signal.signal(number, handler)


def tell(*lines):
    """Lines on stdout, at once. Raises OSError with "stdout" as the name of the file."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "stdout"
        raise


def say(line, status=0):
    """A line on stderr; returns the status, which tells alone where stderr is full or broken."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    return status


def discard_output():
    """Flush what can be; what cannot must not make Python complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
