"""A damaged HDF5 file that HDF5 itself would read for ever."""

import subprocess
import sys

import h5py
import pytest

from ref.common import global_heap, hdf5
from ref.common.command import UserError


@pytest.fixture
def damaged(tmp_path):
    """A file with a text in a global heap whose free space has no size."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["text"] = "abc"
    assert not global_heap.is_endless(path)
    content = bytearray(path.read_bytes())
    at = content.index(global_heap.SIGNATURE) + global_heap.HEADER + 16 + 8  # behind "abc"
    assert content[at:at + 2] == b"\0\0"
    content[at + 8:at + 16] = bytes(8)
    path.write_bytes(content)
    return path


def test_it_is_refused(damaged):
    with pytest.raises(UserError, match="global heap"):
        hdf5.open_file(damaged)


@pytest.mark.slow  # .ci/run runs it
def test_hdf5_would_not_end(damaged):
    """What the guard is for: where a later HDF5 ends by itself, it may go."""
    code = f"import h5py; h5py.File({str(damaged)!r}).attrs['text']"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code], timeout=5, capture_output=True)
