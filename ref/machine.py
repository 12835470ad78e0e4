"""The machine that a result was measured on, for its record."""

import os
import platform
from pathlib import Path

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
