"""Every test marked slow is run by the gate, .ci/run; those marked soak are in tests/soak.md."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"\b(?:mark\.(slow|soak)|(slow)_but)\b")
PARTS = {"-k", "--deselect", "--ignore", "--ignore-glob", "-x", "--maxfail"}  # leave tests out


def marked(folder):
    """{slow or soak: the files with a test so marked}."""
    files = {"slow": set(), "soak": set()}
    for path in folder.glob("test_*.py"):
        if path.name != Path(__file__).name:
            for groups in MARKED.findall(path.read_text()):
                files[next(filter(None, groups))].add(f"tests/{path.name}")
    return files


def slow_lines(script):
    """The words that follow `-m slow` of each line of pytest, after the environment it runs in."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "pytest" in words and "slow" in words:
            environment = re.search(r"\$work/(\w+)/", line)[1]
            yield environment, words[words.index("pytest") + 1:]


def whole(words):
    """Whether pytest, given these words, runs all that is marked slow."""
    return not any(word.startswith("tests/") or word.split("=")[0] in PARTS for word in words)


def test_the_gate_runs_every_slow_test():
    lines = dict(slow_lines((ROOT / ".ci" / "run").read_text()))
    assert [environment for environment, words in lines.items() if whole(words)] == ["main"]
    assert {"-m", "slow"} <= set(lines["main"])


def test_slow_tests_that_need_pytorch_are_run_where_it_is():
    """Those of whole files; an example of README.md asks for what it imports."""
    script = (ROOT / ".ci" / "run").read_text()
    named = set(dict(slow_lines(script))["torch"]) | {"tests/test_readme.py"}
    for name in marked(ROOT / "tests")["slow"]:
        whole_file = re.search(r"^(?:\w+ = )?pytest\.importorskip\(\"(torch|jax|mpi4py|cupy)",
                               (ROOT / name).read_text(), re.M)
        assert not whole_file or name in named, name


def test_a_line_that_leaves_some_out_is_found():
    script = '"$work/main/bin/python" -m pytest -q -m slow{}\n'
    for more, runs_all in (("", True), (" tests/test_a.py", False), (" \\\n  -k name", False),
                           (" --ignore=tests/test_a.py", False)):
        (_, words), = slow_lines(script.format(more))
        assert whole(words) is runs_all, more


def test_soaks_are_in_their_table():
    table = (ROOT / "tests" / "soak.md").read_text()
    for name in marked(ROOT / "tests")["soak"]:
        assert name in table, name
