"""Several ranks of an MPI job: the numbers of one process; failures, signals and resumed runs.

They need mpi4py and an MPI library: pip install ".[mpich]". The gate has an environment with both.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mpi_steps
import numpy as np
import pytest

from ref.ranks import ALONE

pytest.importorskip("mpi4py", reason='needs mpi4py and an MPI library: pip install ".[mpich]"')
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
CASES = list(mpi_steps.cases())


def start(n, *arguments, **options):
    """mpiexec -n N python ARGUMENTS."""
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), sys.executable, *map(str, arguments)], env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# ---- the numbers of one process ------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """{ranks: {name: array}} of mpi_steps on 1, 2 and 3 ranks."""
    folder, found = tmp_path_factory.mktemp("ranks"), {}
    for n in (1, 2, 3):
        out = folder / f"{n}.npz"
        status, _, err = end(start(n, ROOT / "tests/mpi_steps.py", out))
        assert (status, err) == (0, "")
        found[n] = dict(np.load(out))
    return found


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]} {case[2]} {case[0][:5]}")
def test_every_rule_is_that_of_one_process(ranked, n, case):
    """Whatever the ranks: to 1e-12 of each array's largest entry, in float32 to 1e-5."""
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        alone = mpi_steps.train(*case, dtype, ALONE)
        assert alone
        for name, array in alone.items():
            error = np.abs(ranked[n][f"{dtype} {case} {name}"] - array).max(initial=0)
            assert error <= limit * max(np.abs(array).max(initial=0), 1e-30), (name, error)
