"""How commands begin and end, whatever their streams, their locale and the names they are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import make
from seldom import slow_but

from ref.common import version

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
BUFFERED = {key: value for key, value in ENVIRONMENT.items() if key != "PYTHONUNBUFFERED"}
MODULES = ["ref", "ref.train", "ref.evaluate", "ref.watch", "ref.architectures",
           "ref.reference"]
# They all end by the same few lines of ref/common/command.py: the suite tries two of them, the
# second with the longest output.
every_module = pytest.mark.parametrize("module", slow_but(["ref.train", "ref.reference"], MODULES))
LONG = "ao-sdtp_local_parallel.h5"  # its table is longer than the buffer of stdout
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def shell(command, **more):
    """A command line, PYTHON standing for this one; (status, stdout, stderr) of bash, in which a
    pipe has the status of its first part."""
    script = f"{command.replace('PYTHON', sys.executable)}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env={**BUFFERED, **more},
                          capture_output=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def prints(here):
    """{module: a command line that prints something and ends well}."""
    make(here / "run")
    return {"ref": "", "ref.train": "--help", "ref.evaluate": "--help",
            "ref.watch": "run --once", "ref.architectures": "--arch mnist-fc",
            "ref.reference": f"verify {ROOT}/tests/reference/{LONG}"}


@every_module
@pytest.mark.parametrize(("streams", "status"), [
    ("", 0), ("2>&-", 0), (">&-", 0), ("<&- >&- 2>&-", 0), ("| head -1", None),
    pytest.param(">&- 2>&-", 0, marks=pytest.mark.slow),
    pytest.param("2>&- | head -1", None, marks=pytest.mark.slow)])
def test_streams(prints, module, streams, status):
    """Not a word of complaint; `| head -1` may have read all there was (0), or not (141)."""
    found, out, err = shell(f"PYTHON -m {module} {prints[module]} {streams}")
    assert found in ((0, 141) if status is None else (status,)) and err == b""
    assert bool(out) == (">&-" not in streams.replace("2>&-", ""))


@every_module
@pytest.mark.parametrize("environment", [BUFFERED, {**BUFFERED, "PYTHONUNBUFFERED": "1"}],
                         ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("what", ["", "--help", pytest.param("--version", marks=pytest.mark.slow)])
def test_nobody_reads(prints, module, what, environment):
    """A pipe whose other end is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", module, *(what or prints[module]).split()],
                          stdout=write, stderr=subprocess.PIPE, env=environment)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@needs_full
@every_module
@pytest.mark.parametrize("what", ["", "--help", pytest.param("--version", marks=pytest.mark.slow)])
def test_a_full_disk_behind_stdout(prints, module, what):
    line = f"PYTHON -m {module} {what or prints[module]} > /dev/full"
    for more in ({}, {"PYTHONUNBUFFERED": "1"}):
        assert shell(line, **more)[::2] == (2, b"error: stdout: No space left on device\n")


@every_module
@pytest.mark.parametrize("stderr", ["2>&-", pytest.param("2>/dev/full", marks=needs_full),
                                    "2> >(true)"])
def test_an_error_that_cannot_be_said(here, module, stderr):
    """The status alone tells."""
    status, out, err = shell(f"PYTHON -m {module} --nosuch {stderr}")
    assert (status, out, err) == (2, b"", b"")


@pytest.mark.slow  # .ci/run runs it
@pytest.mark.parametrize("locale", [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    *(pytest.param(locale, marks=pytest.mark.slow) for locale in (
        {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}))], ids=str)
@pytest.mark.parametrize("name", [b"\xff\xfe", "läufe σ 学".encode()])
def test_names_that_are_no_utf_8(here, tiny, locale, name):
    """Of a run's folder and its data: trained, evaluated, watched and, not there, refused."""
    folder = os.path.join(os.fsencode(here), name)
    os.mkdir(folder)
    data = os.path.join(folder, b"data" + name + b".h5")
    with open(data, "wb") as file:
        file.write(tiny.read_bytes())
    run = os.path.join(folder, b"run")
    for line in (["ref.train", "--rule", "bp", "--arch", "dense 8, softmax 10", "--epochs", "1",
                  "--data", data, "--out", run],
                 ["ref.train", "--resume", run, "--epochs", "2"],
                 ["ref.train", "--rule", "bp", "--arch", "dense 8, softmax 10", "--epochs", "1",
                  "--data", data],
                 ["ref.evaluate", run], ["ref.watch", run, "--once"]):
        done = subprocess.run([sys.executable, "-m", *line], env={**ENVIRONMENT, **locale},
                              cwd=here, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b""), (line, done.stderr)
    for line in (["ref.train", "--rule", "bp", "--data", run + b".h5"], ["ref.evaluate", folder],
                 ["ref.watch", folder], ["ref.train", "--rule", name]):
        done = subprocess.run([sys.executable, "-m", *line], env={**ENVIRONMENT, **locale},
                              cwd=here, capture_output=True)
        assert done.returncode == 2 and done.stderr.startswith(b"error: ")
        assert done.stderr.count(b"\n") == 1


# ---- which code this is --------------------------------------------------------------------------


@every_module
def test_version(here, module):
    status, out, err = shell(f"PYTHON -m {module} --version")
    assert (status, err) == (0, b"") and out.startswith(b"ref ") and b", commit " in out
    assert out.count(b"\n") == 1


def test_the_commands_there_are(here):
    status, out, _ = shell("PYTHON -m ref")
    assert status == 0 and all(f"python -m {m}".encode() in out for m in MODULES if m != "ref")
    assert len(out.splitlines()) < 20


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@y",
                    *arguments], check=True, capture_output=True)


@pytest.fixture
def copied(tmp_path):
    """copied(folder): what a copy of this code has at its top, in that folder."""

    def make_copy(folder):
        for name in (*version.OURS, "ref/__init__.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
        return folder

    return make_copy


def test_the_commit_of_a_clone(tmp_path, copied, monkeypatch):
    """Its own, with a + when something was changed; whatever a hook has set in the environment."""
    project = copied(tmp_path / "clone")
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "x")
    found = version.commit(project)
    assert found and len(found) == 12
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nosuch"))
    assert version.commit(project) == found
    (project / "NOTES.md").write_text("changed")
    assert version.commit(project) == found + "+"


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("place", ["vendored/ref-project", "."])
def test_a_copy_in_somebodys_repository_has_no_commit(tmp_path, copied, place, tracked):
    """Neither below their files, nor (if it is not tracked) at the top of them."""
    (tmp_path / "theirs.txt").write_text("theirs")
    git(tmp_path, "init")
    git(tmp_path, "add", "theirs.txt")
    git(tmp_path, "commit", "-m", "theirs")
    project = copied(tmp_path / place)
    if tracked and place != ".":
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", "copied")
    assert version.commit(project) is None


def test_only_ref_copied_to_the_top_of_somebodys_repository(tmp_path, copied):
    project = copied(tmp_path)
    for name in version.OURS[1:]:
        (tmp_path / name).unlink()
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "theirs")
    assert version.commit(project) is None


def test_no_repository(tmp_path, copied):
    assert version.commit(copied(tmp_path)) is None
