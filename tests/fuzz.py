"""Broken files, odd arguments, closed streams and signals, at random, to every command.

    python tests/fuzz.py --minutes 20 --seed 1      a soak: how many cases of each command ended how
    python tests/fuzz.py --cases 50 --seed 1        so many
    python tests/fuzz.py --seed 1 --only 17 --keep  one of them again; its folder is kept

A case is a function of the seed and its number. It is accepted where the command did its work, or
ended with a documented status and one line at most; without a traceback, in time, within 1 GB, with
no temporary file left and nothing written beside the folders that it was given. Commands and their
options are taken from the parsers: a new one is tried without being listed here.
"""

import argparse
import collections
import importlib
import os
import pkgutil
import random
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.update(OPENBLAS_NUM_THREADS="1", PYTHONPATH=f"{ROOT}")

import fuzz_changes  # noqa: E402
import fuzz_corpus  # noqa: E402
import fuzz_options  # noqa: E402
import fuzz_streams  # noqa: E402

GIB = 1 << 30
SECONDS, PATIENCE = 20, fuzz_streams.PATIENCE  # when work is asked to stop; when it is a hang
STATUSES = {0, 1, 2, 129, 130, 138, 141, 143}
TEMPORARY = (".tmp", ".part")
TRACEBACK = 70  # the status of a process here that ends in one


@dataclass
class Case:
    """line  the command line after `python -m`;  what  was changed;  kind  of case
    allowed  places below the folder that may be written to, None: the arguments name them"""

    kind: str
    line: list
    what: str = ""
    allowed: tuple = None
    streams: dict = field(default_factory=dict)
    delay: float = None  # seconds after which signal `number` is sent
    number: int = None

    @property
    def command(self):
        two = self.line[0] in ("ref.reference", "python") and self.line[1:2]
        return " ".join([self.line[0], *two]) if two and two[0].isalpha() else self.line[0]


def carry_out(line):
    """What `python -m` does; its exit status. An exception is printed as Python prints it."""
    sys.argv = ["-m", *line[1:]]
    try:
        if line[0] == "python":
            return from_python(line[1])
        for name in (line[0], f"{line[0]}.__main__"):  # it is to be loaded as __main__
            sys.modules.pop(name, None)
        runpy.run_module(line[0], run_name="__main__", alter_sys=True)
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return TRACEBACK


def from_python(name):
    """A few lines of Python; a UserError is its one line."""
    from ref.common.command import UserError

    try:
        exec(fuzz_corpus.PYTHON[name], {})
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def forked(line, folder, err):
    """The process id of a copy of this process that carries out the line in the folder."""
    child = os.fork()
    if child:
        return child
    status = TRACEBACK
    try:
        os.setsid()
        os.chdir(folder)
        if "matplotlib" not in sys.modules:
            sys.modules["matplotlib"] = None  # pictures take longer than all else
        resource.setrlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (GIB, GIB))
        nowhere = os.open(os.devnull, os.O_RDWR)
        said = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, stream in ((0, nowhere), (1, nowhere), (2, said)):
            os.dup2(stream, number)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
        status = carry_out(line)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run(case, folder):
    """(status, seconds, peak bytes, what it said on stderr, whether it had to be stopped)."""
    err, stopped = folder.parent / "stderr", False
    if case.kind == "stream":
        return fuzz_streams.run(case, folder, err)
    child = forked(case.line, folder, err)
    for past in fuzz_streams.ticks(child):
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if past > SECONDS and not stopped:
            os.kill(child, signal.SIGTERM)  # work may be long: it ends when asked to
            stopped = True
        if past > PATIENCE:
            os.kill(child, signal.SIGKILL)
    try:
        os.killpg(child, signal.SIGKILL)  # what it has left behind
    except ProcessLookupError:
        pass
    status = os.waitstatus_to_exitcode(status)
    return (status, past, used.ru_maxrss * 1024,
            err.read_text(errors="replace"), stopped)


def there(folder):
    """{file: (size, time)} of all below the folder."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def judge(case, root, before, result):
    """What is wrong with how a case ended: "" if nothing."""
    status, seconds, peak, said, stopped = result
    problems = []
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    if "Traceback" in said or "Exception ignored" in said or status == TRACEBACK:
        problems.append("traceback")
    elif status not in STATUSES and not (case.delay is not None and -status == case.number):
        problems.append(f"status {status}")
    elif status == 2 and len(lines) != 1 and "2" not in case.streams:
        problems.append(f"{len(lines)} lines")
    elif len(lines) > 1 and case.kind == "stream":
        problems.append(f"{len(lines)} lines")
    if seconds > PATIENCE or (stopped and case.kind == "file"):
        problems.append("hang")
    if peak > GIB:
        problems.append(f"{peak / GIB:.1f} GiB")
    if case.kind == "file" and "not enough memory" in said:
        problems.append("memory")
    after = there(root)
    if left := [path.name for path in {*after} - {*before} if path.name.endswith(TEMPORARY)]:
        problems.append(f"left {left[0]}")
    if case.allowed is not None:
        places = [root / "cwd" / place for place in case.allowed]
        changed = [path for path in {*before, *after} if before.get(path) != after.get(path)
                   and path != root / "stderr" and not any(p in path.parents for p in places)]
        if changed:
            problems.append(f"wrote {changed[0].relative_to(root)}")
    return "; ".join(problems)


def file_case(folder, rng):
    """One changed file, and a command that reads it."""
    while True:
        pattern, lines = rng.choice(fuzz_corpus.READERS)
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        if paths and rng.random() < fuzz_corpus.RARE.get(pattern, 1):
            break
    path = rng.choice(paths)
    what = f"{path.relative_to(folder)}: {fuzz_changes.change(path, rng)}"
    line = rng.choice(lines)
    named = ("runs/results",) if "runs/results" in line else ()
    return Case("file", line, what, allowed=(*fuzz_corpus.PLACES, *named))


def make_case(folder, rng, kinds):
    kind = rng.choice(kinds)
    if kind == "file":
        return file_case(folder, rng)
    if kind == "option":
        line, what = fuzz_options.draw(rng)
        return Case("option", line, what)
    return fuzz_streams.draw(rng, Case)


def one(corpus, seed, number, kinds, keep=False):
    """(case, result, problem) of one case in a folder of its own."""
    rng = random.Random(f"{seed}/{number}")
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        folder = root / "cwd"
        shutil.copytree(corpus, folder)
        os.mkfifo(folder / "fifo")
        (root / "outside.h5").write_bytes(b"outside")
        case = make_case(folder, rng, kinds)
        before = there(root)
        result = run(case, folder)
        problem = judge(case, root, before, result)
    finally:
        if keep:
            print(f"kept: {root / 'cwd'}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    return case, result, problem


def commands():
    """Every module that `python -m` can carry out."""
    for package in ("ref", "data_prep", "runs"):
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            spec = importlib.util.find_spec(module.name)
            if spec.origin and 'if __name__ == "__main__"' in Path(spec.origin).read_text():
                yield module.name.removesuffix(".__main__")


def prepare(folder):
    """The corpus, made by the commands; and every module loaded, once for all cases."""
    fuzz_options.load(sorted({*commands(), "ref.reference"}))

    def made(line):
        err = folder.parent / "stderr"
        _, status = os.waitpid(forked(line, folder, err), 0)
        if status:
            raise SystemExit(f"{' '.join(line)}: {err.read_text()}")

    fuzz_corpus.build(folder, made)


def report(counts, failures, seconds):
    """A row a command: cases, done, refused, stopped, failed."""
    kinds = ("cases", "done", "refused", "ended 1", "stopped", "wrong")
    print(f"{'command':22}" + "".join(f"{kind:>9}" for kind in kinds))
    for name in sorted(counts):
        print(f"{name:22}" + "".join(f"{counts[name][kind]:9}" for kind in kinds))
    total = sum(found["cases"] for found in counts.values())
    print(f"{total} cases in {seconds:.0f} s, {len(failures)} wrong")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--minutes", type=float)
    p.add_argument("--cases", type=int)
    p.add_argument("--seed", default="1")
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--only", type=int)
    p.add_argument("--keep", action="store_true")
    p.add_argument("--kinds", default="file,file,file,option,option,stream")
    args = p.parse_args()
    start, counts, failures = time.monotonic(), collections.defaultdict(collections.Counter), []
    with tempfile.TemporaryDirectory(prefix="fuzz-corpus-") as made:
        corpus = Path(made, "corpus")
        corpus.mkdir()
        prepare(corpus)
        number = args.first if args.only is None else args.only
        while True:
            case, result, problem = one(corpus, args.seed, number, args.kinds.split(","), args.keep)
            found = counts[case.command]
            found["cases"] += 1
            status = result[0]
            found["wrong" if problem else {0: "done", 2: "refused", 1: "ended 1"}.get(
                status, "stopped")] += 1
            if problem or args.only is not None:
                failures += [number] if problem else []
                print(f"{number} {problem or 'right'} [{status}, {result[1]:.1f} s, "
                      f"{result[2] >> 20} MiB] {case.kind}: {' '.join(case.line)!r} | {case.what}\n"
                      f"    {result[3][-3000 if args.only is not None else -300:]!r}", flush=True)
            number += 1
            if (args.only is not None or args.cases and number - args.first >= args.cases
                    or args.minutes and time.monotonic() - start > 60 * args.minutes):
                break
    report(counts, failures, time.monotonic() - start)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
