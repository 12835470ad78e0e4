"""EMNIST under its own names: every split, upright, with its letters' labels; what is unclear."""

import gzip

import h5py
import numpy as np
import pytest
from test_data_mnist import idx

from data_prep import emnist, hdf5, mnist
from data_prep.hdf5 import DataError

N = {"train": 70, "test": 62}
COUNTS = {"balanced": 47, "bymerge": 47, "byclass": 62, "letters": 26, "digits": 10, "mnist": 10}


def make(folder, split, first=None, zipped=True):
    """Four files of a split, {part: (upright images, labels as in the file)}; the labels go round
    from `first`."""
    folder.mkdir(exist_ok=True)
    first = (split == "letters") if first is None else first
    rng, made = np.random.default_rng(3), {}
    for part, n in N.items():
        images = rng.integers(0, 256, (n, 6, 6), np.uint8)
        labels = (first + np.arange(n) % COUNTS[split]).astype(np.uint8)
        made[part] = images, labels
        for what, array in (("images-idx3", images.transpose(0, 2, 1).copy()),
                            ("labels-idx1", labels)):
            path = folder / f"emnist-{split}-{part}-{what}-ubyte"
            if zipped:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                path.write_bytes(idx(array))
    return made


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("split", COUNTS)
def test_every_split_stands_upright(here, split, zipped, capsys):
    made = make(here / "raw", split, zipped=zipped)
    mnist.main(["--source", "raw"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"EMNIST {split}: the images are transposed to stand upright")
    assert out[1].startswith(f"wrote data/emnist-{split}.h5: 70 train and 62 test images of 6x6x1, "
                             f"{COUNTS[split]} classes; ") and len(out) == 2
    with h5py.File(f"data/emnist-{split}.h5") as file:
        for k, (part, (images, labels)) in enumerate(made.items()):
            order = hdf5.shuffled_order(len(images), 0, k)
            assert np.array_equal(file[part]["images"][..., 0], images[order])
            assert np.array_equal(file[part]["labels"], labels[order] - (split == "letters"))
        assert file.attrs["name"] == f"emnist-{split}"


def test_the_classes_are_the_characters():
    assert {split: len(classes) for split, classes in emnist.CLASSES.items()} == COUNTS
    # from the published mappings: label 36 of balanced is ASCII 97, 46 is 116, of byclass 61 is 122
    assert [emnist.CLASSES["balanced"][k] for k in (0, 10, 35, 36, 38, 46)] == list("0AZadt")
    assert [emnist.CLASSES["byclass"][k] for k in (9, 10, 36, 61)] == list("9Aaz")


def test_the_letters_empty_class_is_told(here, capsys):
    make(here / "raw", "letters")
    mnist.main(["--source", "raw"])
    assert "; labels 1 to 26 became 0 to 25 (A to Z), as no example has label 0\n" in (
        capsys.readouterr().out)
    make(here / "raw", "letters", first=0)
    mnist.main(["--source", "raw"])
    assert "became" not in capsys.readouterr().out
    with h5py.File("data/emnist-letters.h5") as file:
        assert file["train/labels"][:].max() == 25
    make(here / "raw", "letters", first=2)
    with pytest.raises(DataError, match="EMNIST letters: a label of 26, expected 0 to 25"):
        mnist.main(["--source", "raw"])


def test_one_of_several_splits_is_chosen(here, capsys):
    for split in ("letters", "digits"):
        make(here / "raw", split)
    with pytest.raises(DataError, match="raw holds EMNIST letters, digits: say which with --name "
                                        "emnist-letters"):
        mnist.main(["--source", "raw"])
    with pytest.raises(DataError, match="no file emnist-balanced-train-images-idx3-ubyte; there is "
                                        "EMNIST letters and digits"):
        mnist.main(["--source", "raw", "--name", "emnist-balanced"])
    mnist.main(["--source", "raw", "--name", "emnist-digits", "--out", "x.h5"])
    assert capsys.readouterr().out.startswith("EMNIST digits: ")
    (here / "raw" / "emnist-digits-test-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no file emnist-digits-test-labels-idx1-ubyte.gz or"):
        mnist.main(["--source", "raw", "--name", "emnist-digits"])


def plain_files(folder, labels, n_test=20):
    folder.mkdir()
    images = np.zeros((len(labels), 3, 2), np.uint8)
    for part, n in (("train", len(labels)), ("t10k", n_test)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images[:n]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels[:n].astype(np.uint8)))


def test_emnist_under_the_names_of_mnist_is_taken_as_it_is(here, capsys):
    plain_files(here / "raw", 1 + np.arange(60) % 26)
    make(here / "raw", "digits")
    mnist.main(["--source", "raw", "--name", "emnist-letters"])
    out = capsys.readouterr().out
    assert out.startswith("note: the files have MNIST's names, so their images are taken to stand ")
    assert "of 3x2x1, 27 classes" in out


def test_empty_classes_are_told(here, capsys):
    plain_files(here / "raw", 1 + np.arange(60) % 3)
    mnist.main(["--source", "raw", "--name", "mine"])
    assert capsys.readouterr().out.startswith(
        "note: 1 of 4 labels are those of no training example, e.g. 0\nwrote data/mine.h5: ")


def test_one_class_is_refused_here(here):
    plain_files(here / "raw", np.zeros(60))
    with pytest.raises(DataError, match="every label is the same: there is one class, and a clas"):
        mnist.main(["--source", "raw", "--name", "mine"])
    assert not (here / "data").exists()
