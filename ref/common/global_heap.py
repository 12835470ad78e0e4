"""The global heaps of an HDF5 file, where texts of variable length lie: looked at before HDF5 does.

HDF5 2.0 walks from object to object of a heap by their sizes. At free space of size 0, as a damaged
file may have it, it stays for ever, and no signal but SIGKILL ends it. A heap is: "GCOL", the
version 1, three zeros, its size; then objects: a number (0 for free space), 6 bytes, the size in
8 bytes, the content. The size of free space counts its own 16 bytes of header.
"""

import mmap

SIGNATURE, HEADER = b"GCOL\1\0\0\0", 16
LARGEST = 256 << 20  # bytes of a file that is looked through, in a tenth of a second


def is_endless(path):
    """Whether a walk through some heap of the file would stand still. Raises OSError."""
    with open(path, "rb") as file:
        n = file.seek(0, 2)
        if not n or n > LARGEST:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(SIGNATURE)
            while at >= 0:
                if _stands_still(content, at, min(n, at + _number(content, at + 8))):
                    return True
                at = content.find(SIGNATURE, at + 1)
    return False


def _stands_still(content, at, end):
    at += HEADER
    while at + HEADER <= end:
        free, size = content[at:at + 2] == b"\0\0", _number(content, at + 8)
        if free and size < HEADER:
            return True
        at += size if free else HEADER + -(-size // 8) * 8
    return False


def _number(content, at):
    return int.from_bytes(content[at:at + 8], "little")
