"""How every command reads its arguments, reports a problem and ends.

Exit status: 0 done; 1 the work failed on the way (the command says which); 2 something the user can
put right, in one line `error: ...` on stderr; 128 + n ended by signal n: 130 Ctrl-C, 143 SIGTERM,
129 SIGHUP, 138 SIGUSR1 (which SLURM can send before its time limit), 141 nobody reads stdout.
"""

import argparse
import contextlib
import os
import re
import shlex
import signal
import sys
from pathlib import Path

from .early import STOPPING
from .streams import discard_output, open_streams, printable, say, tell  # noqa: F401 - and for all

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
        super().__init__(*arguments, **{"formatter_class": _Paragraphs} | options)
        self.add_argument("--version", action=_Version, help="print version and commit, and end")

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        for before, word in zip([None, *args], args, strict=False):
            option, equals, value = word.partition("=")
            of_option = word.startswith("--") and equals
            if not (value if of_option else word).strip():
                option = option if of_option else before if (before or "").startswith("-") else None
                self.error(f"argument {option or repr(word)}: it is empty: is a variable unset?")
            if of_option and value == "--":  # argparse would make a list of it
                self.error(f"argument {option}: expected one argument")
        return super().parse_known_args(args, namespace)

    def print_help(self, file=None):
        """As argparse's, which says nothing where it can't be written."""
        if file:
            print(self.format_help(), end="", file=file)
        else:
            tell(self.format_help().rstrip())

    def error(self, message):
        raise SystemExit(say(f"error: {one_line(message)} (see {self.prog} --help)", 2))


class _Paragraphs(argparse.HelpFormatter):
    """A description keeps its paragraphs."""

    def _fill_text(self, text, width, indent):
        fill = super()._fill_text
        return "\n\n".join(fill(part, width, indent) for part in text.split("\n\n"))


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


def image_shape(text):
    """An argparse type: HxWxC, as (H, W, C)."""
    found = re.fullmatch(r"0*([1-9]\d{0,4})x0*([1-9]\d{0,4})x0*([1-9]\d{0,4})", text, re.A)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is not HEIGHTxWIDTHxCHANNELS, such as 28x28x1")
    return tuple(int(n) for n in found.groups())


def new_file(text):
    """An argparse type: the path of a file to write, as a Path; not a folder."""
    if _exists(text) and Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name the file to write in it")
    check_place(Path(text).parent)
    return Path(text)


def new_file_ending(*endings):
    """An argparse type: new_file of a kind, told by the end of its name: ".png"."""

    def convert(text):
        path = new_file(text)
        check_ending(path, endings, argparse.ArgumentTypeError)
        return path

    return convert


def check_ending(path, endings, error=UsageError):
    """Raise an error unless a name ends as files of its kind do: others go by that."""
    if Path(path).suffix.lower() not in endings:
        raise error(f"{path}: the name must end in {' or '.join(endings)}")


def new_folder(text):
    """An argparse type: the path of a folder to write to, there or not yet, as a Path."""
    if _exists(text) and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file: name a folder")
    check_place(Path(text))
    return Path(text)


def check_place(folder):
    """Raise ArgumentTypeError where nothing can be written in a folder, which need not be there:
    found out now, not after all work is done."""
    above = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
    if not above.is_dir():
        raise argparse.ArgumentTypeError(
            f"{folder} can't be a folder: a file is in its place, {above}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{folder}: nothing can be written in {above}")


def _exists(path):
    """Whether there is such a file or folder. Raises ArgumentTypeError for no possible name."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{str(path)[:80]}: {why}") from None
    return True


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
    """What an exception says, or a text, in one line, with the file's name where it has one."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return printable(f"{name}{error.strerror}")
    text = str(error).strip()
    if not isinstance(error, (UserError, str)):  # a library's: the first line says it
        text = next(iter(text.splitlines()), "")
    return printable(text) or type(error).__name__


def run(work, stopped="interrupted"):
    """Call work(), which returns an exit status or None, and end the process with it.

    Whatever the user can put right, and every way of being stopped, ends in one line on stderr.
    stopped  that line, after a signal
    """
    open_streams()
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _raise_again
    try:
        listen(_raise_stopped)
        status = _end_of(work)
        insist()  # all is done: Python's own end is nothing to be stopped in
    except KeyboardInterrupt as stop:
        status = say(stopped, 128 + getattr(stop, "number", signal.SIGINT))
    discard_output()
    sys.exit(status)


def _end_of(work):
    """work's exit status; whatever is wrong has been said in one line."""
    try:
        status = _status(work)
        tell()
        return status
    except BrokenPipeError:  # nobody reads any more, as behind `| head -1`: no reason to complain
        return 128 + NOBODY_READS
    except UserError as error:
        return say(f"error: {one_line(error)}", error.status)
    except OSError as error:
        return say(f"error: {one_line(error)}", 2)
    except MemoryError as error:
        said = f" ({one_line(error)})" if str(error) else ""
        return say(f"error: not enough memory{said}: free some, or ask for less", 2)


def _status(work):
    """work's exit status, also where argparse ends it (--help, a wrong argument)."""
    try:
        return work() or 0
    except SystemExit as end:
        return end.code or 0


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


def _raise_again(unraisable):
    """A signal may come while Python calls what can't raise (__del__): it comes once more then."""
    stop = unraisable.exc_value
    if isinstance(stop, Stopped):
        signal.signal(stop.number, _raise_stopped)
        signal.raise_signal(stop.number)
    else:
        sys.__unraisablehook__(unraisable)


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
