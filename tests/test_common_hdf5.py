"""ref/common/hdf5.py: HDF5's own reasons, and attributes and types whoever wrote them.

What each command that reads such a file says: `test_every_reader`.
"""

import errno
import shutil
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from test_reference import run
from write_reference import FOLDER

from ref import checkpoint, folder
from ref.common import hdf5
from ref.common.command import UserError


class Damaged(UserError):
    pass


# ---- files that can't be opened ------------------------------------------------------------------


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as file:
        file["W_1"] = np.ones((300, 10))
    return path


@pytest.fixture
def locked(good):
    """A file that another process has open for writing."""
    code = textwrap.dedent(f"""
        import h5py
        with h5py.File({str(good)!r}, "a"):
            print("open", flush=True)
            input()
        """)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        yield good
        holder.communicate("\n")


@pytest.fixture
def left_open(good, tmp_path):
    """The bytes of a file while a program was writing it."""
    path = tmp_path / "left.h5"
    with h5py.File(tmp_path / "open.h5", "w", libver="latest") as file:
        file["W_1"] = np.ones(10)
        file.flush()
        shutil.copy(tmp_path / "open.h5", path)
    return path


@pytest.fixture
def truncated(good, tmp_path):
    path = tmp_path / "truncated.h5"
    path.write_bytes(good.read_bytes()[:-100])
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("hello")
    return path


def cannot(number, words, function="h5py.File"):
    """h5py.File raising an OSError, where this machine can't be made to."""

    @pytest.fixture
    def failing(good, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError(number, words)

        monkeypatch.setattr(function, fail)
        return good

    return failing


no_locks = cannot(errno.ENOSYS, "Unable to open file (unable to lock file, errno = 38)")
not_permitted = cannot(errno.EACCES, "Permission denied", "builtins.open")
WORDS = {  # fixture: (what is said, whether the file itself is damaged)
    "locked": ("another program has it open for writing", False),
    "no_locks": ("its file system has no locks: set HDF5_USE_FILE_LOCKING=FALSE", False),
    "not_permitted": ("Permission denied", False),
    "left_open": ("was left open for writing by a program that crashed: clear that with `h5clear",
                  True),
    "truncated": ("truncated: copy or write it again", True),
    "text": ("not an HDF5 file", True),
}


@pytest.mark.parametrize("name", WORDS)
def test_reason(name, request):
    path, (words, damaged) = request.getfixturevalue(name), WORDS[name]
    with pytest.raises(UserError) as caught:
        hdf5.open_file(path, damaged=Damaged)
    assert words in str(caught.value) and str(caught.value).startswith(f"{path}: ")
    assert isinstance(caught.value, Damaged) == damaged


@pytest.mark.parametrize("name", WORDS)
def test_every_reader(name, request, capsys, tmp_path, monkeypatch):
    """verify, parameters.h5 and checkpoint.h5 all give the reason."""
    path, (words, damaged) = request.getfixturevalue(name), WORDS[name]
    if name == "not_permitted":  # the readers' own files
        monkeypatch.setattr(hdf5, "open", open, raising=False)
    status, out, err = run(capsys, "verify", path)
    assert (status, out) == (2, "") and words in err and err.count("\n") == 1
    for file, reader in (("parameters.h5", folder.read_parameters),
                         (checkpoint.NAME, checkpoint.load)):
        path = path.rename(tmp_path / file)
        with pytest.raises(folder.FolderError, match="(?s).*" + words.split("`")[0]) as caught:
            reader(tmp_path)
        assert ("no whole checkpoint is left" in str(caught.value)) == (
            damaged and file == checkpoint.NAME)


def test_a_locked_checkpoint_is_not_passed_over(tmp_path):
    """Going on from the one before would train again what is there, and then remove it."""
    for t in (1, 2):
        checkpoint.save(tmp_path, {"W_1": np.ones(3)}, {"t": t})
    newest = (tmp_path / checkpoint.NAME)
    newest.write_bytes(newest.read_bytes()[:-100])
    assert checkpoint.load(tmp_path, warn=str)[1] == {"t": 1}

    def fail(path, *args, right=h5py.File):
        if path.name == checkpoint.NAME:
            raise BlockingIOError(errno.EAGAIN, "unable to lock file")
        return right(path, *args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(h5py, "File", fail)
        with pytest.raises(folder.FolderError, match="another program has it open"):
            checkpoint.load(tmp_path, warn=str)


def lacking_filter(path, name, shape):
    """A dataset compressed with Zstandard, which h5py alone can't undo."""
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(shape)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        group = file.require_group(name.rpartition("/")[0] or "/")
        dataset = h5py.h5d.create(group.id, name.rpartition("/")[2].encode(),
                                  h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple(shape), plist)
        dataset.write_direct_chunk((0,) * len(shape), b"compressed", 0)


def test_a_missing_filter_is_named(tmp_path, capsys):
    words = ("is compressed with Zstandard (HDF5's filter 32015), which is not read here: write "
             "the file again with gzip")
    path = tmp_path / "theirs.h5"
    shutil.copy(FOLDER / "bp_dense.h5", path)
    lacking_filter(path, "step_1/dW_2", (6, 7))
    status, out, err = run(capsys, "verify", path)
    assert (status, out) == (2, "") and f"{path}: step_1/dW_2 {words}" in err
    lacking_filter(tmp_path / "parameters.h5", "W_1", (3,))
    with pytest.raises(folder.FolderError) as caught:
        folder.read_parameters(tmp_path)
    assert f"parameters.h5: W_1 {words}" in str(caught.value)
    checkpoint.save(tmp_path, {"W_1": np.ones(3)}, {"t": 1})
    lacking_filter(tmp_path / checkpoint.NAME, "arrays/W_1", (3,))
    with pytest.raises(folder.FolderError) as caught:
        checkpoint.load(tmp_path)
    assert f"arrays/W_1 {words}" in str(caught.value)


# ---- attributes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value, plain", [
    ("mnist", "mnist"), (np.bytes_("mnist"), "mnist"), (b"mnist", "mnist"),
    (np.array(b"mnist", "S12"), "mnist"), (np.array([b"mnist"]), "mnist"),
    (np.array(["mnist"], h5py.string_dtype()), "mnist"), (h5py.Empty("S5"), ""),
    (1, 1), (1.0, 1), (np.uint8(1), 1), (np.array([1.0]), 1), (np.float32(0.5), 0.5),
    ([3, 4], [3, 4]), (np.array([3.0, 4.0]), [3, 4]), (np.array([b"a", b"b"]), ["a", "b"]),
    (np.array("é".encode(), "S2"), "é"), (True, True),
])
def test_attribute(value, plain, tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.attrs["name"] = value
        assert hdf5.attribute(file, "name") == plain
        assert hdf5.attribute(file, "absent", "default") == "default"


def test_an_attribute_of_another_type(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.attrs["name"] = 1j
        with pytest.raises(UserError, match="its attribute name is of type complex128"):
            hdf5.attribute(file, "name")


def test_whole():
    assert [hdf5.whole(value) for value in (1, "1", "12")] == [1, 1, 12]
    assert not any(hdf5.whole(value) for value in (None, 1.5, "1.5", "one", "-1", True, [1], "²"))
