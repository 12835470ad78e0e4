"""Which code this is: the version, and the git commit where the code lies in a clone of its own."""

import os
import subprocess
from pathlib import Path

from .. import __version__

PROJECT = Path(__file__).resolve().parents[2]
# all of them tracked, at the top of the repository: it is this project's, not one with a copy in it
OURS = ("ref/common/version.py", "data_prep/__init__.py", "runs/__init__.py", "NOTES.md")


def commit(project=PROJECT):
    """The commit of this code, with a + where tracked files differ from it.

    None where the code is not in a repository of its own: outside git, installed, or copied into a
    repository of somebody's, whose commit says nothing about this code.
    """
    try:
        if not os.path.samefile(_git(project, "rev-parse", "--show-toplevel"), project):
            return None
        _git(project, "ls-files", "--error-unmatch", *OURS)
        return _git(project, "describe", "--always", "--abbrev=12", "--dirty=+")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(project, *arguments):
    # within a hook, git says through these which repository is meant: it would not be ours
    environment = {key: value for key, value in os.environ.items() if key not in
                   ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")}
    done = subprocess.run(["git", "--no-optional-locks", "-C", str(project), *arguments],
                          capture_output=True, text=True, errors="surrogateescape", timeout=10,
                          check=True, env=environment)
    return done.stdout.strip()


def line():
    """What --version prints."""
    return f"ref {__version__}, commit {commit() or 'unknown'}"
