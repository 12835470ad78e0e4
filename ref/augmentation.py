"""Augmentation of a batch of training images: random crops after padding, and flips (section 3.2);
random-resized crops, as ImageNet is trained on (Szegedy et al. 2015; Xiao et al. 2018).

Works on images as they are in the file, on the host, before they go to a device, so it is the same
in any backend.
"""

from math import log

import numpy as np

FLIPS = ("none", "horizontal", "vertical")
RATIOS = (3 / 4, 4 / 3)  # width over height of a random-resized crop
TRIES = 10  # to find one that fits into the image


def augment(images, rng, padding, flip, area=None, rows=slice(None), N=None):
    """A randomly moved and flipped copy of images, (N, H, W, C) -> the same shape and type.

    rng      numpy.random.Generator
    padding  pixels: each image is padded with zeros by as much on every side, and an H x W part of
             it cut out at a random place, so that it moves by up to `padding` in each direction
    flip     "horizontal" swaps left and right, "vertical" top and bottom, of half of the images
    area     the least share of the image that a random-resized crop has, or None for no such crop
    rows, N  which rows of a batch of N the images are: what is drawn does not depend on it
    """
    N = len(images) if N is None else N
    if area is not None:
        images = resized_crops(images, rng, area, rows, N)
    n, H, W, _ = images.shape
    down = np.broadcast_to(np.arange(H), (n, H))
    across = np.broadcast_to(np.arange(W), (n, W))
    if flip == "vertical":
        down = np.where(rng.random((N, 1))[rows] < 0.5, down[:, ::-1], down)
    if flip == "horizontal":
        across = np.where(rng.random((N, 1))[rows] < 0.5, across[:, ::-1], across)
    if padding:
        images = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        down = down + rng.integers(0, 2 * padding + 1, (N, 1))[rows]
        across = across + rng.integers(0, 2 * padding + 1, (N, 1))[rows]
    return images[np.arange(n)[:, None, None], down[:, :, None], across[:, None, :]]


def resized_crops(images, rng, area, rows=slice(None), N=None):
    """A random part of each image, stretched to the image's own size: (N, H, W, C) -> the same.

    As torchvision's RandomResizedCrop has it: the part's share of the area is uniform in [area, 1],
    the logarithm of its width over its height between those of RATIOS, its place uniform. Where
    none of TRIES such parts fits, it is the largest one in the middle.
    """
    H, W = images.shape[1:3]
    N = len(images) if N is None else N
    out = np.empty_like(images)
    shares = H * W * rng.uniform(area, 1, (N, TRIES))
    ratios = np.exp(rng.uniform(*map(log, RATIOS), (N, TRIES)))
    widths = np.rint(np.sqrt(shares * ratios)).astype(int)
    heights = np.rint(np.sqrt(shares / ratios)).astype(int)
    fits = (0 < widths) & (widths <= W) & (0 < heights) & (heights <= H)
    places = rng.random((N, 2))
    fits, heights, widths, places = (drawn[rows] for drawn in (fits, heights, widths, places))
    for n in range(len(images)):
        if fits[n].any():
            k = int(fits[n].argmax())
            h, w = int(heights[n, k]), int(widths[n, k])
            top, left = (places[n] * (H - h + 1, W - w + 1)).astype(int)
        else:
            h, w = min(H, round(W / RATIOS[0])), min(W, round(H * RATIOS[1]))
            top, left = (H - h) // 2, (W - w) // 2
        out[n] = stretched(images[n, top:top + h, left:left + w], H, W)
    return out


def stretched(image, H, W):
    """Bilinear interpolation of an image (h, w, C) at (H, W) points, h <= H, w <= W; bytes rounded.

    Pixel i of n lies at (i + 1/2) / n of the side, and the image goes on beyond its outermost
    pixels' centres as it is there: PIL's and PyTorch's (align_corners=False).
    """
    v = image.astype(np.float64 if image.dtype == np.float64 else np.float32)
    for axis, n in ((0, H), (1, W)):
        size = v.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * (size / n) - 0.5, 0, size - 1)
        low = np.minimum(at.astype(int), max(size - 2, 0))
        weight = (at - low).astype(v.dtype).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        below, above = v.take(low, axis), v.take(np.minimum(low + 1, size - 1), axis)
        v = below + weight * (above - below)
    return np.rint(v).astype(image.dtype) if image.dtype == np.uint8 else v.astype(image.dtype)
