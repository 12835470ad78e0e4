"""Random-resized crops: the interpolation by hand and as PyTorch and PIL have it; what is drawn."""

import json

import numpy as np
import pytest
from checks import assert_close, assert_same_bits

from ref import augmentation
from ref.augmentation import RATIOS, augment, resized_crops, stretched


def rng(seed=0):
    return np.random.default_rng(seed)


def test_stretched_by_hand():
    """Points at -1/4, 1/4, 3/4, 5/4 of pixels at 0 and 1; those outside are the outermost."""
    image = np.array([[[0.0], [4.0]]])
    assert_close(stretched(image, 1, 4).ravel(), np.array([0.0, 1.0, 3.0, 4.0]))
    assert stretched(np.array([[[0], [5]]], np.uint8), 1, 4).ravel().tolist() == [0, 1, 4, 5]
    assert stretched(image[:, :1], 3, 2).tolist() == [[[0.0], [0.0]]] * 3


@pytest.mark.parametrize("shape", [(5, 7, 3), (8, 8, 1), (1, 1, 2), (3, 8, 2), (2, 1, 1)])
def test_stretched_as_torch(shape):
    torch = pytest.importorskip("torch", reason="compared with PyTorch's interpolation")
    image = rng().random(shape)
    theirs = torch.nn.functional.interpolate(
        torch.tensor(image.transpose(2, 0, 1)[None]), (8, 8), mode="bilinear")
    assert_close(stretched(image, 8, 8), theirs[0].numpy().transpose(1, 2, 0))


def test_stretched_as_pil():
    """Bytes, but for the last level: PIL computes in integers."""
    Image = pytest.importorskip("PIL.Image", reason="compared with PIL's interpolation")
    image = rng().integers(0, 256, (50, 37, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(image).resize((64, 70), Image.Resampling.BILINEAR))
    ours = stretched(image, 70, 64)
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def drawn(area, N=2000, shape=(40, 30)):
    """(heights, widths, tops, lefts) of the parts that are cut out."""
    H, W = shape
    found = []
    # the numbers of a pixel say where it is
    images = np.broadcast_to(np.stack(np.indices(shape), -1).astype(np.float64), (N, H, W, 2))
    for image in resized_crops(images, rng(), area):
        (top, left), (bottom, right) = image[0, 0], image[-1, -1]
        found.append((bottom - top + 1, right - left + 1, top, left))
    return np.array(found).T


def test_what_is_drawn():
    """Shares of the area are uniform; ratios and places are spread over their limits."""
    h, w, top, left = drawn(0.2)
    assert_close(np.rint([h, w, top, left]), np.array([h, w, top, left]))  # whole pixels
    assert (top >= 0).all() and (top + h <= 40).all()
    assert (left >= 0).all() and (left + w <= 30).all()
    ratio = w / h
    assert RATIOS[0] - 0.06 < ratio.min() < 0.78 and 1.27 < ratio.max() < RATIOS[1] + 0.08
    assert abs(np.log(ratio[h * w < 400]).mean()) < 0.03  # where every ratio fits
    share = h * w / 1200
    assert 0.19 < share.min() < 0.21
    low = share[share < 0.5]
    assert abs((low > 0.35).mean() - 0.5) < 0.05
    inner = (h < 30) & (w < 25)
    for place, room in ((top, 40 - h), (left, 30 - w)):
        spread = place[inner] / room[inner]
        assert abs(spread.mean() - 0.5) < 0.02 and spread.min() == 0 and spread.max() == 1


def test_the_whole_image_where_nothing_else_fits():
    """Of a square image a share of 1 is the image itself; of a long one its middle."""
    images = rng().integers(0, 256, (5, 9, 9, 3), np.uint8)
    assert_same_bits(resized_crops(images, rng(), 1.0), images)
    h, w, top, left = drawn(1.0, N=3, shape=(10, 40))
    assert (w == 13).all() and (h == 10).all() and (left == 13).all() and (top == 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_type_and_range_stay(dtype):
    images = rng().integers(0, 256, (6, 7, 5, 2)).astype(dtype)
    images[0] = 255
    before = images.copy()
    out = augment(images, rng(), 0, "horizontal", 0.1)
    assert out.dtype == images.dtype and out.shape == images.shape
    assert (out[0] == 255).all() and 0 <= out.min() and out.max() <= 255
    assert_same_bits(images, before)
    assert_same_bits(out, augment(images, rng(), 0, "horizontal", 0.1))


def test_without_it_the_numbers_are_as_before():
    """It draws nothing where it is not asked for."""
    images = rng().integers(0, 256, (6, 7, 5, 2), np.uint8)
    a, b = rng(1), rng(1)
    assert_same_bits(augment(images, a, 2, "horizontal"), augment(images, b, 2, "horizontal", None))
    assert a.random() == b.random()


@pytest.mark.parametrize("how", [(2, "horizontal"), (1, "vertical"), (0, "horizontal", 0.1)])
def test_some_rows_of_a_batch_are_as_in_the_whole(how):
    """What a rank does with its rows: as one process with all of them."""
    images = rng().integers(0, 256, (7, 9, 8, 2), np.uint8)
    whole = augment(images, rng(1), *how)
    how = (*how, None)[:3]
    for rows in (slice(0, 3), slice(3, 7), slice(2, 2)):
        assert_same_bits(augment(images[rows], rng(1), *how, rows, 7), whole[rows])


def test_a_run(command, tiny, here, monkeypatch):
    seen = []
    real = augmentation.resized_crops
    monkeypatch.setattr(augmentation, "resized_crops",
                        lambda images, rng, area, *rows: seen.append(area)
                        or real(images, rng, area, *rows))
    line = ["ref.train", "--rule", "bp", "--arch", "dense 8, softmax 10", "--data", tiny,
            "--epochs", 1, "--resized-crop", 0.08]
    result = command(*line, "--out", "run")
    assert result.status == 0 and seen == [0.08] * 2
    assert "trained on with crops of 0.08 to 1 of the area" in result.out
    config = json.loads((here / "run/config.json").read_text())
    assert config["augmentation"] == {"crop_padding": 0, "flip": "none", "resized_crop": 0.08}
    command.refused(*line, "--crop-padding", 4, names=["--resized-crop", "--crop-padding"])
