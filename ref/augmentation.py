"""Augmentation of a batch of training images: random crops after padding, and flips (section 3.2).

Works on images as they are in the file, on the host, before they go to a device, so it is the same
in any backend.
"""

import numpy as np

FLIPS = ("none", "horizontal", "vertical")


def augment(images, rng, padding, flip):
    """A randomly moved and flipped copy of images, (N, H, W, C) -> the same shape and type.

    rng      numpy.random.Generator
    padding  pixels: each image is padded with zeros by as much on every side, and an H x W part of
             it cut out at a random place, so that it moves by up to `padding` in each direction
    flip     "horizontal" swaps left and right, "vertical" top and bottom, of half of the images
    """
    N, H, W, _ = images.shape
    rows = np.broadcast_to(np.arange(H), (N, H))
    columns = np.broadcast_to(np.arange(W), (N, W))
    if flip == "vertical":
        rows = np.where(rng.random((N, 1)) < 0.5, rows[:, ::-1], rows)
    if flip == "horizontal":
        columns = np.where(rng.random((N, 1)) < 0.5, columns[:, ::-1], columns)
    if padding:
        images = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        rows = rows + rng.integers(0, 2 * padding + 1, (N, 1))
        columns = columns + rng.integers(0, 2 * padding + 1, (N, 1))
    return images[np.arange(N)[:, None, None], rows[:, :, None], columns[:, None, :]]
