"""The machine and the versions that a result was measured with, for its record."""

import os
import platform
from pathlib import Path

import h5py
import numpy as np

from . import __version__, backend
from .common import version
from .parallel import threads


def processor():
    """The processor's name, "" where the system does not tell (Linux tells in /proc/cpuinfo)."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def describe():
    """{what: value} of the machine, and the threads that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": usable,
        "threads": threads(),
    }


def versions(backend_name="numpy"):
    """What a result depends on, for config.json."""
    return {
        "ref": __version__,
        "commit": version.commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        **describe(),
        **backend.versions(backend_name),
    }
