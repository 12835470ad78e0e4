"""Random cases of tests/fuzz.py: a few seconds' worth, and an hour's (-m soak)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FUZZ = [sys.executable, str(ROOT / "tests/fuzz.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def run(*arguments):
    """(status, what it printed) of tests/fuzz.py."""
    done = subprocess.run([*FUZZ, *map(str, arguments)], env=ENVIRONMENT, capture_output=True,
                          text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("cases", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_a_few_cases(cases):
    """Files and options; what they are is the same every time."""
    status, said = run("--cases", cases, "--seed", "suite", "--kinds", "file,option")
    assert status == 0, said
    assert f"{cases} cases" in said and "0 wrong" in said


@pytest.mark.soak
@pytest.mark.parametrize(("where", "old", "new"), [
    ("ref/common/schema.py", "    return check(value, schema, path, error)", "    return value"),
    ("ref/common/command.py", "    except OSError as error:\n        return say(", "    except "
     "BlockingIOError as error:\n        return say("),
])
def test_it_finds_a_guard_that_is_not_there(tmp_path, where, old, new):
    """The same code without one of its guards is found out within 150 cases."""
    for name in ("ref", "runs", "data_prep", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    copy_of(tmp_path / Path(where).parts[0], ROOT / Path(where).parts[0])
    path = tmp_path / where
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    (tmp_path / "tests").unlink()
    copy_of(tmp_path / "tests", ROOT / "tests")
    done = subprocess.run([sys.executable, str(tmp_path / "tests/fuzz.py"), "--cases", "150",
                           "--seed", "1", "--kinds", "file,option"], capture_output=True, text=True,
                          env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1 and "traceback" in done.stdout, done.stderr


def copy_of(to, folder):
    """The Python files of a folder, in place of what is there."""
    to.unlink(missing_ok=True)
    for path in folder.rglob("*.py"):
        place = to / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())


@pytest.mark.soak
def test_an_hour():
    status, said = run("--minutes", 60, "--seed", os.getpid())
    assert status == 0, said
    print(said)
