"""Freed memory kept for the next step, where the C library is glibc.

A training step frees its arrays and the next asks for the same sizes again. By default glibc gives
large ones back to the system in between, which hands them out again as fresh pages, each cleared
and mapped at its first use: up to a quarter of a step's time (runs/speed.md).
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 1 << 30  # bytes free at the end of a heap before any go back
LARGE = 1 << 25  # the highest that glibc takes on 64 bits: larger arrays still come from the system


def keep_freed_memory():
    """Raise glibc's two thresholds for this process; nothing where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # macOS, Windows, another C library
        return
    mallopt(M_TRIM_THRESHOLD, KEPT)
    mallopt(M_MMAP_THRESHOLD, LARGE)
