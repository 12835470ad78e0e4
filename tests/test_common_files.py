"""Files written whole, by several at once or by one that is killed; files that are none; names."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import content

from ref.common import files, names, reading
from ref.common.command import UserError

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
WRITER = """
import sys, time
from ref.common import command, files
def fill(path):
    path.write_text(sys.argv[1] * 100_000)
    print("open", flush=True)
    time.sleep(float(sys.argv[2]))
command.run(lambda: files.write("file", fill), "stopped")
"""


def writer(text, seconds):
    """A process that is writing the file `file` here, and takes its time."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, text, str(seconds)], env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


# ---- writing -------------------------------------------------------------------------------------


def test_three_writers_at_once(here):
    """None fails, none sees another's half; the last one to end has the file."""
    processes = [writer(text, 0.5) for text in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert re.fullmatch(r"a{100000}|b{100000}|c{100000}", Path("file").read_text())
    assert os.listdir() == ["file"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_writer_leaves_nothing(here, number):
    process = writer("a", 60)
    process.send_signal(number)
    assert process.wait() == 128 + number and process.stderr.read() == "stopped\n"
    assert os.listdir() == []


def test_what_a_killed_writer_left_goes_with_the_next(here):
    """Its own kind alone, and not that of a writer who lives."""
    killed, alive = writer("a", 60), writer("b", 60)
    killed.kill()
    killed.wait()
    Path(".mine.tmp").write_text("somebody's")
    Path(".ref-mine.tmp").write_text("somebody's")
    assert len(os.listdir()) == 4
    files.write("other", lambda path: path.write_text("whole"))
    left = sorted(os.listdir())
    assert len(left) == 4 and left[-1] == "other" and f"-{alive.pid}-" in "".join(left)
    alive.kill()
    alive.wait()


def test_several_files_or_none(here):
    """A disk that is full at the second file leaves the first one as it was."""
    Path("a").write_text("old")

    def full(path):
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        files.write_all({"a": lambda path: path.write_text("new"), "b": full})
    assert content(here) == {here / "a": b"old"}
    files.write_all({"a": lambda path: path.write_text("new"),
                     "b": lambda path: path.write_text("too")})
    assert content(here) == {here / "a": b"new", here / "b": b"too"}


@pytest.mark.parametrize("write", [
    files.write, lambda path, fill: files.write_all({path: fill})], ids=["one", "several"])
def test_a_folder_that_is_not_there_is_made(here, write):
    write("new/below/file", lambda path: path.write_text("whole"))
    assert Path("new/below/file").read_text() == "whole"
    with pytest.raises(UserError, match="cannot make the folder new/below/file: a file is in its"):
        write("new/below/file/x", lambda path: path.write_text("whole"))
    with pytest.raises(FileNotFoundError) as caught:  # a run's, which somebody took away
        files.write("gone/file", lambda path: path.write_text("whole"), make=False)
    assert str(caught.value.filename) == "gone/file" and not Path("gone").exists()


def test_errors_name_the_file_that_was_asked_for(here):
    """Not the temporary one, of which nobody has heard."""

    def fill(path):
        path.unlink()
        path.read_text()

    for write in (files.write, lambda path, fill: files.write_all({path: fill})):
        with pytest.raises(FileNotFoundError) as caught:
            write("file", fill)
        assert caught.value.filename == "file"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_opened_for_writing_is_a_plain_file(here, kind):
    """A lock or a log in a stranger's folder may be a link to a file of ours."""
    Path("ours").write_text("ours")
    os.symlink("ours", "there") if kind == "link" else os.mkfifo("there")
    words = {"link": "Too many levels", "pipe": "a pipe, socket or device, where a file"}[kind]
    with pytest.raises(OSError, match=words):
        files.open_plain("there", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError):
        files.open_plain("there", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with pytest.raises(OSError):
        files.lock("there", "taken")
    assert Path("ours").read_text() == "ours"


# ---- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make, words", [
    (os.mkfifo, "pipe, socket or device"), (os.mkdir, "a folder"), (None, "no such file"),
    (lambda path: os.symlink("/dev/zero", path), "pipe, socket or device"),
    (lambda path: Path(path).write_bytes(bytes(11)), "11 bytes, where at most 10"),
    (lambda path: Path(path).write_bytes(b"\xff"), "not a text file"),
])
def test_what_is_not_read(here, make, words):
    """At once, in one line."""
    if make:
        make("there")
    begun = time.monotonic()
    with pytest.raises(UserError, match=words):
        reading.read_text("there", 10)
    assert time.monotonic() - begun < 1


def test_a_large_file_is_not_taken_into_memory(here):
    with open("sparse", "wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UserError, match="3221225472 bytes, where at most 67108864 are read"):
        reading.read_bytes("sparse")


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["mnist", "mnist-fc_dtp-alternating-lr0.0006", "données_1e-05"])
def test_a_good_name_stays(text):
    assert names.file_name(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "../E", "/etc/passwd", "x/../../../E", "a\0b",
                                  "a\nb", "\x1b[31m", ".hidden", "a" * 300, "ä" * 150, "a\\b",
                                  "C:x", "\udcff", "<nul>"])
def test_a_name_leads_nowhere(text, here):
    name = names.file_name(text)
    assert name != text and name == names.file_name(text)
    made = here / name
    made.mkdir()
    assert made.resolve().parent == here and os.listdir() == [name]
    assert not name.startswith(".") and name.isprintable() and len(os.fsencode(name)) < 230


def test_names_that_become_alike_are_told_apart():
    assert len({names.file_name(text) for text in ("x/y", "x-y", "x\\y", "x y")}) == 4
