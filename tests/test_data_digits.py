"""data_prep/digits.py: the same everywhere, well-formed, and not a linear problem."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep import digits
from data_prep.styles import STYLES

ROOT = Path(__file__).resolve().parents[1]


class NoBar:
    def update(self, n):
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The built-in set as it is by default, and the seconds of one core that it took."""
    path = tmp_path_factory.mktemp("digits") / "digits.h5"
    start = time.process_time()
    digits.make(path)
    return path, time.process_time() - start


def arrays(path):
    with h5py.File(path) as file:
        return [file[key][:] for key in ("train/images", "train/labels", "test/images",
                                         "test/labels")]


def test_the_first_images_are_pinned():
    images, labels = digits.part(np.random.SeedSequence(0), 100, NoBar())
    assert list(labels[:12]) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "02bf068e00f094f2f5c0334d0da9e3a0522e35770a61d93989f139bb4b01e9a7")


def test_the_whole_set_is_pinned_and_quick(whole):
    path, seconds = whole
    content = hashlib.sha256(b"".join(array.tobytes() for array in arrays(path))).hexdigest()
    assert content == "c449e8900fa5fcdf38d0a59bca7125f1bfb4ad357e5b436fca71f2e1bdede115"
    assert seconds < 10


def test_an_image_does_not_depend_on_how_many_follow_or_are_rendered_with_it(monkeypatch):
    few, _ = digits.part(np.random.SeedSequence(5), 130, NoBar())
    many, _ = digits.part(np.random.SeedSequence(5), digits.BLOCK + 7, NoBar())
    monkeypatch.setattr(digits, "TILE", 3)
    tiled, _ = digits.part(np.random.SeedSequence(5), 130, NoBar())
    assert np.array_equal(few, many[:130]) and np.array_equal(few, tiled)


def test_seeds_and_parts_differ(tmp_path):
    for seed in (0, 1):
        digits.make(tmp_path / str(seed), seed, 50, 50)
    zero, one = arrays(tmp_path / "0"), arrays(tmp_path / "1")
    assert not np.array_equal(zero[0], one[0])
    everything = np.concatenate([zero[0], zero[2], one[0], one[2]]).reshape(200, -1)
    assert len(np.unique(everything, axis=0)) == 200


def test_images_are_centred_white_on_black_and_all_classes_equal(whole):
    train, labels, test, test_labels = arrays(whole[0])
    assert train.shape == (10000, 28, 28, 1) and test.shape == (2000, 28, 28, 1)
    assert list(np.bincount(labels)) == [1000] * 10 and list(np.bincount(test_labels)) == [200] * 10
    assert train[:, 0].mean() < 10 and train[:, 10:18, 10:18].mean() > 60
    assert 20 < train.mean() < 60  # MNIST: 33
    assert (train.reshape(10000, -1).max(axis=1) > 140).all()  # every image has a digit


def test_styles_are_in_their_box():
    assert len(STYLES) == 10
    for style in [style for styles in STYLES for style in styles]:
        x, y = style.dots(style.control[:, :, None])
        assert np.abs(x).max() < 0.75 and np.abs(y).max() < 1.1
        assert np.allclose(style.weight.sum(axis=1), 1)


def test_a_linear_classifier_is_not_enough(whole):
    """Ridge regression onto the classes; softmax regression has about 10 %."""
    train, labels, test, test_labels = arrays(whole[0])

    def inputs(images):
        x = images.reshape(len(images), -1) / 255.0
        return np.concatenate([x, np.ones((len(x), 1))], axis=1)

    x = inputs(train)
    weights = np.linalg.solve(x.T @ x + 30.0 * np.eye(x.shape[1]), x.T @ np.eye(10)[labels])
    error = np.mean((inputs(test) @ weights).argmax(axis=1) != test_labels)
    assert 0.06 < error < 0.40


def test_the_command(tmp_path):
    path = tmp_path / "x.h5"

    def run(*arguments):
        command = [sys.executable, "-m", "data_prep.digits", "--n-train", "20", "--n-test", "10"]
        return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True,
                              check=False)

    done = run("--out", path)
    assert done.returncode == 0
    assert done.stdout == (f"wrote {path}: 20 train and 10 test images of 28x28x1, 10 classes; "
                           f"train on it: python -m ref.train --data {path}\n")
    assert done.stderr == ""  # no progress bar, because it is not a terminal
    for wrong in (["--seed", "-1"], ["--n-train", "0"], ["--n-test", "x"], ["--out", tmp_path]):
        failed = run(*wrong)
        assert failed.returncode == 2
        assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
