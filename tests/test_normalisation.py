"""Inputs with mean 0 and deviation 1: the numbers by hand, and the same ones wherever x goes in."""

import json

import numpy as np
import pytest
import strict_xp
from checks import assert_close, assert_same_bits
from conftest import noise_images

import ref
from ref import backend, data, evaluation, normalisation
from ref.common.command import UserError
from ref.parts import InMemory

LINE = ["--arch", "dense 8, softmax 10", "--rule", "bp", "--epochs", 2, "--normalise", "channels"]


def test_by_hand():
    """Two images of one pixel and two channels: 51 and 153 of 255, and one number twice."""
    images = np.array([[51, 255], [153, 255]], np.uint8).reshape(2, 1, 1, 2)
    found = normalisation.measured(InMemory(images, np.zeros(2, int)))
    assert_close(np.array(found["mean"]), np.array([0.4, 1.0]))
    assert_close(np.array(found["deviation"]), np.array([0.2, 1.0]))  # 1 where there is none
    x = evaluation.to_input(images, np, np.dtype("float64"), tuple(map(tuple, found.values())))
    assert_close(x.ravel(), np.array([-1.0, 0.0, 1.0, 0.0]))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_of_many_batches(dtype, monkeypatch):
    """As NumPy has them of all pixels at once, also far from 0."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (53, 3, 4, 2)).astype(dtype)
    if dtype == "float32":
        images += 1000
    monkeypatch.setattr(normalisation, "BATCH", 7)
    found = normalisation.measured(InMemory(images, np.zeros(53, int)))
    x = images.astype(np.float64) / (255 if dtype == "uint8" else 1)
    assert_close(np.array(found["mean"]), x.mean(axis=(0, 1, 2)))
    assert_close(np.array(found["deviation"]), x.std(axis=(0, 1, 2)))


def test_streamed_as_in_memory(here):
    path = noise_images(here / "d.h5", shape=(6, 5, 3))
    whole = data.open_data(path, validation=50)
    streamed = data.open_data(path, validation=50, memory_limit=0)
    assert normalisation.measured(whole.train) == normalisation.measured(streamed.train)


def test_validation_and_test_do_not_count(command, here):
    """Another test part, and other validation images, change neither number."""
    path = noise_images(here / "d.h5", shape=(6, 5, 3))
    opened = data.open_data(path, validation=50)
    x = opened.train.images / 255
    assert command("ref.train", *LINE, "--data", path, "--validation", 50,
                   "--out", "run").status == 0
    found = json.loads((here / "run" / "config.json").read_text())["normalisation"]
    assert len(x) == 150
    assert_close(np.array(found["mean"]), x.mean(axis=(0, 1, 2)))
    assert_close(np.array(found["deviation"]), x.std(axis=(0, 1, 2)))


def test_on_a_device(monkeypatch):
    monkeypatch.setattr("ref.backend.cupy", strict_xp)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3), np.uint8)
    scaling = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    ours, theirs = (evaluation.to_input(images, xp, np.dtype("float32"), scaling)
                    for xp in (np, strict_xp))
    assert ours.dtype == np.float32
    assert_same_bits(backend.to_host(theirs), ours)


def test_floats_of_a_user_are_not_changed():
    x = np.ones((2, 1, 1, 1))
    y = evaluation.to_input(x, np, np.dtype("float64"), ((0.5,), (0.25,)))
    assert (x == 1).all() and (y == 2).all()


def test_evaluation_and_prediction_use_the_same_numbers(command, digits, here):
    """Trained, evaluated, loaded, resumed; and a run of none has none."""
    assert command("ref.train", *LINE, "--data", digits, "--out", "run").status == 0
    fitted = ref.load("run")
    row = fitted.metrics["test_error"][-1]
    test = data.open_data(digits).test
    assert 100 * np.mean(fitted.predict(test.images) != test.labels) == pytest.approx(row)
    said = command("ref.evaluate", "run", "--data", digits).out
    assert f"test  error {row:.2f} %" in said
    line = ["ref.train", *LINE, "--data", digits]
    assert command(*line, "--epochs", 1, "--out", "short").status == 0
    assert command("ref.train", "--resume", "short", "--data", digits, "--epochs", 2).status == 0
    assert_same_bits(ref.load("short").params, fitted.params)
    plain = command("ref.train", *LINE[:-2], "--data", digits, "--out", "plain")
    assert plain.status == 0 and "normalised" not in plain.out
    assert json.loads((here / "plain/config.json").read_text())["normalisation"] is None


def test_from_python(digits):
    opened = data.open_data(digits)
    run = ref.fit(rule="bp", arch="dense 8, softmax 10", epochs=1, normalise="channels",
                  data=(opened.train.images, opened.train.labels))
    h_0 = run.activities(opened.train.images[:1600])[0]
    assert abs(float(h_0.mean())) < 0.05 and abs(float(h_0.std()) - 1) < 0.05


@pytest.mark.parametrize("changed, words", [
    ({"arch": "dense 8, reconstruction"}, "an autoencoder reconstructs its inputs as they are"),
    ({"rule": "segregated-dendrites"}, "segregated-dendrites takes inputs in [0, 1]"),
    ({"normalise": "pixels"}, "'pixels' is none of none, channels"),
])
def test_refused(changed, words, tiny):
    given = {"rule": "bp", "arch": "dense 8, softmax 10", "normalise": "channels"} | changed
    with pytest.raises(UserError) as error:
        ref.fit(data=tiny, epochs=1, **given)
    assert words in str(error.value)


@pytest.mark.parametrize("spoilt, words", [
    (5, "normalisation"), ({"mean": [0.1]}, "deviation"),
    ({"mean": ["x"], "deviation": [1.0]}, "mean"), ({"mean": [0.1], "deviation": [0]}, "deviation"),
    ({"mean": [0.1, 0.2], "deviation": [1.0, 1.0]}, "not a mean and a deviation for each channel"),
])
def test_a_config_that_is_not_right(command, tiny, here, spoilt, words):
    assert command("ref.train", *LINE, "--data", tiny, "--out", "run").status == 0
    path = here / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalisation": spoilt}))
    for line in (["ref.evaluate", "run", "--data", tiny], ["ref.train", "--resume", "run"]):
        command.refused(*line, names=[words])
    with pytest.raises(UserError, match=words):
        ref.load("run")


def test_exported_to_torch(digits, tmp_path):
    torch = pytest.importorskip("torch", reason="the exported network runs in PyTorch")
    from ref.export import export

    opened = data.open_data(digits)
    run = ref.fit(rule="bp", arch="conv 3x3x2/2, softmax 10", epochs=1, normalise="channels",
                  data=(opened.train.images, opened.train.labels))
    x = opened.test.images[:20]
    made = export(run, "module")
    got = made(torch.tensor(x.transpose(0, 3, 1, 2) / np.float32(255))).detach().numpy()
    assert_close(got, run.activities(x)[2], 1e-5)


def test_symmetric(command, here, tiny):
    """Whatever the data: images of bytes lie between -1 and 1, and a run says so."""
    run = ref.fit("bp", "softmax 10", data=tiny, epochs=1, normalise="symmetric", seed=1)
    black, white = np.zeros((1, 28, 28, 1), np.uint8), np.full((1, 28, 28, 1), 255, np.uint8)
    assert (run.activities(black)[0] == -1).all()
    assert (run.activities(white)[0] == 1).all()
    result = command("ref.train", "--rule", "bp", "--arch", "softmax 10", "--data", tiny,
                     "--epochs", 1, "--normalise", "symmetric", "--out", "run")
    assert result.status == 0 and "inputs in [-1, 1]" in result.out
    assert command("ref.evaluate", "run").status == 0
