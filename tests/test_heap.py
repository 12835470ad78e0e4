"""ref/heap.py: freed memory stays with the process."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from ref import heap

# Arrays of a step: allocated one after another, used, freed together.
STEPS = """
import resource
import numpy as np
{before}

def step():
    arrays = [np.empty(200_000, np.float32) for _ in range(8)]
    for a in arrays:
        a[:] = 1

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

step()
before = faults()
for _ in range(50):
    step()
print(faults() - before)
"""
WORK_BEGINS = "import ref; ref.Trainer('bp', 'dense 2, softmax 2', in_shape=(1, 1, 1))"
PAGES_OF_A_STEP = 8 * 200_000 * 4 // 4096


def faults(before=""):
    """Page faults of 50 steps in a fresh process that has begun with this code."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", STEPS.format(before=before)], env=settings,
                          capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds")
def test_a_step_meets_no_fresh_pages():
    assert faults(WORK_BEGINS) < PAGES_OF_A_STEP < faults()
    assert faults("import ref") > PAGES_OF_A_STEP  # an import changes nothing for its user


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    def none(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    heap.keep_freed_memory()
