"""data_prep/arrays.py: data of one's own, uint8 or float of any shape and scale; bad input."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep import arrays
from data_prep.hdf5 import DataError, shuffled_order
from ref import architectures, evaluation
from ref.augmentation import augment
from ref.data import open_data
from ref.parts import DataFormatError, Streamed

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = re.compile(r"<!-- example: own data from NumPy arrays -->\n```python\n(.*?)```\n\n"
                     r"```\npython (-m ref.train .*?)\n```", re.S)
N, N_TEST = 60, 20


def parts(shape, dtype, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(N + N_TEST, *shape)) * scale if np.dtype(dtype).kind == "f"
         else rng.integers(0, 256, (N + N_TEST, *shape))).astype(dtype)
    y = np.arange(N + N_TEST) % 3
    return x[:N], y[:N], (x[N:], y[N:])


def write(path, x, y, test, **more):
    arrays.write(path, x, y, test=test, **more)
    return path


def test_the_example_of_the_readme(here):
    code, line = EXAMPLE.search(README).groups()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    for arguments in (["-c", code], shlex.split(line)):
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True,
                              text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, ""), done
    assert float(re.search(r"final ([\d.]+) %", done.stdout)[1]) < 10  # it has been learnt


SHAPES = {(): (1, 1, 1), (7,): (1, 1, 7), (5, 4): (5, 4, 1), (5, 4, 3): (5, 4, 3),
          (2, 5, 4, 3): (1, 1, 120)}


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_type_arrives(tmp_path, shape, dtype):
    x, y, test = parts(shape, dtype)
    path = write(tmp_path / "mine.h5", x, y, test, classes=["a", "b", "c"], seed=2 ** 128 - 1)
    for limit in (0, 1 << 30):
        data = open_data(path, memory_limit=limit)
        assert (data.name, data.classes, data.in_shape) == ("mine", ["a", "b", "c"], SHAPES[shape])
        for k, (part, given, labels) in enumerate(((data.train, x, y), (data.test, *test))):
            order = shuffled_order(len(given), 2 ** 128 - 1, k)
            images, found = (np.concatenate(each) for each in zip(*part.in_order(7), strict=True))
            assert images.dtype == ("uint8" if dtype == "uint8" else "float32")
            assert np.array_equal(images.reshape(given.shape), given[order].astype(images.dtype))
            assert np.array_equal(found, labels[order])


@pytest.mark.parametrize("limit, window", [(1 << 30, 1), (0, 1), (0, 3000)])
def test_an_epoch_of_floats(tmp_path, limit, window):
    path = write(tmp_path / "mine.h5", *parts((5, 4), "float32"))
    data = open_data(path, memory_limit=limit, window=window)
    assert isinstance(data.train, Streamed) == (limit == 0)
    images = np.concatenate([images for images, _ in data.train.epoch(16, seed=0, epoch=1)])
    assert images.dtype == np.float32
    whole = open_data(path).train.images
    assert sorted(row.tobytes() for row in images) == sorted(row.tobytes() for row in whole)


def test_floats_are_not_rescaled_and_bytes_are(tmp_path):
    for dtype, factor in (("float32", 1), ("uint8", 255)):
        x, y, test = parts((3,), dtype)
        data = open_data(write(tmp_path / f"{dtype}.h5", x, y, test))
        net = architectures.build("dense 4, softmax 3", data.in_shape)
        images, labels = data.train.images, data.train.labels
        for precision in (np.float32, np.float64):
            h_0, _ = evaluation.batch_of(net, images, labels, np, np.dtype(precision))
            assert h_0.dtype == precision
            assert np.allclose(h_0, images / factor, rtol=1e-7, atol=0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rule, net", [("fa", "dense 8, softmax 3"), ("sdtp", "dense 8, softmax 3"),
                                       ("bp", "conv 3x3x4, softmax 3")])
def test_floats_are_trained_on(command, here, rule, net, scale):
    write(here / "mine.h5", *parts((5, 4, 2), "float64", scale=scale))
    result = command("ref.train", "--rule", rule, "--arch", net, "--data", "mine.h5", "--epochs", 1,
                     "--crop-padding", 1, "--flip", "horizontal", "--validation", 10, "--angles",
                     "--out", "run")
    assert result.status == 0, result
    assert "trained on with crops moved by up to 1 and horizontal flips" in result.out
    result = command("ref.evaluate", "run")
    assert result.status == 0 and "test error by class: 0 " in result.out, result


def test_floats_are_reconstructed(command, here):
    write(here / "mine.h5", *parts((28, 28), "float32"))
    result = command("ref.train", "--rule", "bp", "--arch", "mnist-autoencoder", "--data",
                     "mine.h5", "--epochs", 1, "--out", "run")
    assert result.status == 0, result
    assert "mean squared error" in command("ref.evaluate", "run").out


def test_augmentation_of_floats():
    x = np.random.default_rng(0).normal(size=(50, 6, 5, 2)).astype(np.float32)
    moved = augment(x, np.random.default_rng(1), 1, "vertical")
    assert moved.dtype == np.float32 and moved.shape == x.shape
    assert np.isin(moved, [0, *x.ravel()]).all() and not np.array_equal(moved, x)


def test_the_same_numbers_as_bytes_and_as_floats_are_other_data(tmp_path):
    x, y, (x_test, y_test) = parts((4,), "uint8")
    one = write(tmp_path / "a.h5", x, y, (x_test, y_test))
    other = write(tmp_path / "b.h5", x.astype(float), y, (x_test.astype(float), y_test))
    assert open_data(one).digest != open_data(other).digest


# ---- bad input -----------------------------------------------------------------------------------


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


BAD = {
    "NaN": (lambda x, y, t: (changed(x, (3, 1), np.nan), y, t),
            "train: example 3 of x holds nan: expected finite numbers"),
    "infinite, to test": (lambda x, y, t: (x, y, (changed(t[0], (0, 0), -np.inf), t[1])),
                          "test: example 0 of x holds -inf"),
    "beyond float32": (lambda x, y, t: (changed(x, (2, 0), 1e39), y, t),
                       "example 2 of x holds 1e+39"),
    "complex": (lambda x, y, t: (x * 1j, y, t), "train: x is complex128, expected uint8"),
    "integers": (lambda x, y, t: (x.astype(int), y, t), "train: x is int64, expected uint8"),
    "objects": (lambda x, y, t: ([[1], "a"], y, t), "train: x"),
    "ragged": (lambda x, y, t: ([[1.0], [1.0, 2.0]], y, t), "can't make an array of it"),
    "one number": (lambda x, y, t: (1.0, y, t), "there are no examples in it"),
    "empty": (lambda x, y, t: (x[:0], y[:0], t), "train: x has the shape (0, 4)"),
    "empty, to test": (lambda x, y, t: (x, y, (t[0][:0], t[1][:0])),
                       "test: x has the shape (0, 4)"),
    "no features": (lambda x, y, t: (x[:, :0], y, t), "train: x has the shape (60, 0)"),
    "too few labels": (lambda x, y, t: (x, y[:-1], t), "train: x has 60 examples, but y 59 labels"),
    "no labels": (lambda x, y, t: (x, y[:0], t), "train: y is empty"),
    "one-hot": (lambda x, y, t: (x, np.eye(3)[y], t),
                "train: y is float64 (60, 3), expected integers"),
    "names": (lambda x, y, t: (x, y.astype(str), t), "train: y is <U21 (60,), expected integers"),
    "negative": (lambda x, y, t: (x, y - 1, t),
                 "train: y holds the label -1, expected labels from 0"),
    "one class": (lambda x, y, t: (x, 0 * y + 2, t), "every label of y is 2"),
    "beyond train's": (lambda x, y, t: (x, y, (t[0], t[1] + 1)),
                       "test: y holds the label 3, but the largest of train is 2"),
    "other features": (lambda x, y, t: (x, y, (t[0][:, :3], t[1])),
                       "test: x has examples of shape 3, those of train have 4"),
    "other axes": (lambda x, y, t: (x, y, (t[0][:, None], t[1])),
                   "of shape 1x4, those of train have 4"),
    "other type": (lambda x, y, t: (x, y, (t[0].astype(np.uint8), t[1])),
                   "test: x has examples of type uint8, those of train have float32"),
    "no pair": (lambda x, y, t: (x, y, t[0][0]), "test: expected a pair of arrays"),
    "None": (lambda x, y, t: (x, y, None), "test: expected a pair of arrays"),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_input_is_one_line(tmp_path, problem):
    spoil, message = BAD[problem]
    with pytest.raises(DataError) as caught:
        write(tmp_path / "mine.h5", *spoil(*parts((4,), "float64")))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more, message", [
    ({"classes": ["a", "b"]}, "labels run from 0 to 2, expected 0 to 1: there are 2 classes"),
    ({"classes": ["a"]}, "one class"), ({"classes": "abc"}, "classes: expected a list of texts"),
    ({"classes": [0, 1, 2]}, "classes: expected a list of texts"),
    ({"classes": ["a"] * 65537}, "the form has room for 65536"),
    ({"seed": -1}, "seed: -1"), ({"seed": 2 ** 128}, "expected 0 to 2^128 - 1")])
def test_bad_options_are_one_line(tmp_path, more, message):
    with pytest.raises(DataError) as caught:
        write(tmp_path / "mine.h5", *parts((4,), "float64"), **more)
    assert message in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_floats_of_another_program(tmp_path, limit):
    """NaN is told before a network learns it; other widths are refused by their names."""
    path = write(tmp_path / "mine.h5", *parts((4,), "float32"))
    with h5py.File(path, "a") as file:
        file["train/images"][5, 0, 0, 2] = np.nan
    with pytest.raises(DataFormatError, match="row 5 holds NaN or infinity"):
        list(open_data(path, memory_limit=limit).train.epoch(16, seed=0, epoch=1))
    for dtype, words in ((np.float64, "float64"), (np.float16, "float16 .5 bits of exponent")):
        path = write(tmp_path / f"{dtype.__name__}.h5", *parts((4,), "float32"))
        with h5py.File(path, "a") as file:
            x = file["train/images"][:].astype(dtype)
            del file["train/images"]
            file["train/images"] = x
        with pytest.raises(DataFormatError, match=f"train/images is {words}"):
            open_data(path, memory_limit=limit)
