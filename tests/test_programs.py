"""The programs of an installation, what `python -m ref` lists, and completion in the shell."""

import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import ref

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def said():
    """What setup.py tells setuptools."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is not installed")
    found, before = {}, setuptools.setup
    setuptools.setup = lambda **keywords: found.update(keywords)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = before
    return found


def programs(said):
    """{program: (module, function)}."""
    return {name.strip(): tuple(where.strip().split(":")) for name, where in
            (line.split("=") for line in said["entry_points"]["console_scripts"])}


def test_every_program_is_a_command(said, command, here):
    """It says its version, as `python -m` would."""
    for name, (module, function) in programs(said).items():
        assert callable(getattr(importlib.import_module(module), function))
        result = command(module, "--version")
        assert (result.status, result.out.split(",")[0]) == (0, f"ref {ref.__version__}"), name


def test_every_package_is_installed(said, monkeypatch):
    monkeypatch.chdir(ROOT)
    from setuptools import find_packages
    packages = find_packages(include=["ref*", "data_prep*", "runs*"])
    folders = {str(path.parent.relative_to(ROOT)).replace("/", ".") for top in
               ("ref", "data_prep", "runs") for path in (ROOT / top).rglob("*.py")}
    assert folders == set(packages)


def test_the_list_has_every_program(said):
    done = subprocess.run([sys.executable, "-m", "ref"], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    page = (ROOT / "ref" / "commands.md").read_text()
    for name, (module, _) in programs(said).items():
        module = module.removesuffix(".cli")
        assert f"python -m {module} " in done.stdout
        assert f"| `{name}` | `python -m {module}` |" in page


def test_completion(here):
    """Rules, options, and files where nothing else fits: asked of bash itself."""
    pytest.importorskip("shtab", reason="shtab is not installed (extra: completion)")
    script = subprocess.run(
        [sys.executable, "-m", "shtab", "--shell", "bash", "--prog", "ref-train", "--prefix",
         "ref_train", "ref.train.parser"], cwd=ROOT, capture_output=True, text=True, check=True)
    ask = """
        complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                           _shtab_ref_train; echo "${COMPREPLY[@]}"; }
        complete_words ref-train --rule s
        complete_words ref-train --sch
    """
    done = subprocess.run(["bash", "-c", script.stdout + ask], capture_output=True, text=True,
                          check=True)
    assert done.stdout.splitlines() == ["sdtp sign-symmetry segregated-dendrites", "--schedule"]


@pytest.mark.parametrize(("word", "named"), [
    ("train", "python -m ref.train"), ("fit", "python -m ref lists them")])
def test_a_command_is_a_module(word, named):
    done = subprocess.run([sys.executable, "-m", "ref", word, "--rule", "fa"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == f"error: {word}: commands are modules: {named}\n"
