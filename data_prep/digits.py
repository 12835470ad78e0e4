"""The built-in data set `digits`: 28x28 images of the ten digits, drawn here, no download needed.

    python -m data_prep.digits [--out data/digits.h5] [--seed 0] [--n-train 10000] [--n-test 2000]

A digit is a few pen strokes. For each image:

1. one of its digit's styles is chosen (`STYLES`): strokes as smooth curves through control points;
2. the control points are jittered, and the curves (Catmull-Rom splines) sampled into dots;
3. the dots are bent by a smooth warp (a cubic polynomial of the position), then scaled, sheared,
   rotated and shifted;
4. a pen of random width, whose pressure changes along the strokes, is drawn along the dots with a
   soft edge, in ink of random strength, and pixel noise is added.

The constants below say how much of each, in pixels where nothing else is said. They are chosen so
that the set tells learning rules apart: runs/results/discussion.md has the errors of a linear
classifier and of BP.

**The same bytes on every machine.** Libraries round sin, exp and log differently from one machine
to the next, and matrix products and sums add in an order that depends on the processor. So nothing
here uses them: only uniform random numbers (PCG64), + - * / and square root of float64 one element
at a time, comparisons and rounding, all of which IEEE 754 fixes to the last bit. Rotations come
from t -> ((1 - t^2)/(1 + t^2), 2t/(1 + t^2)), bell-shaped random numbers from sums of uniform ones.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep import hdf5
from data_prep.styles import STYLES
from ref.common import command

SIZE = 28
CLASSES = [str(digit) for digit in range(10)]
BLOCK = 1000  # images whose random numbers are drawn together; part of the definition of the set
TILE = 64  # images rendered together: few enough for their pixels to stay in the cache

HALF_HEIGHT = 9.0  # of a digit, before it is scaled
# Standard deviations:
JITTER = 0.045  # of a control point, in half-heights
WARP = 0.035  # of each coefficient of the warp, in half-heights
WIDTH_SCALE, HEIGHT_SCALE = 0.07, 0.05  # relative
SHEAR = 0.16  # horizontal, per unit of height
TURN = 0.055  # tan(half the angle of rotation): about 6 degrees
PRESSURE = 0.22  # relative change of the pen's radius, from the drawing's first dot to its last
NOISE = 0.03  # of full white
# Uniform, from and to:
SHIFT = (-2.8, 2.8)
PEN = (1.1, 2.1)  # radius
INK = (0.6, 1.0)  # of full white

SOFT = 1.5  # width of the edge, over which the ink falls from full to none


def bell(rng, shape):
    """Random numbers of mean 0, standard deviation 1, at most 3.5 from 0, nearly normal."""
    u = rng.random((4, *shape))
    return (((u[0] + u[1]) + (u[2] + u[3])) - 2.0) * 1.7320508075688772  # sqrt(3)


def between(rng, limits, shape):
    """Random numbers uniform between the two limits."""
    low, high = limits
    return low + (high - low) * rng.random(shape)


def limit(x):
    """x, but at least 0 and at most 1."""
    return np.minimum(np.maximum(x, 0.0), 1.0)


def bend(x, y, c):
    """Points (x, y), each (P, m), in half-heights, moved by a cubic polynomial of their position.

    c: (14, m), the coefficients of m images: 7 for x, 7 for y. Constant and linear terms are left
    to the scaling, shear, rotation and shift.
    """
    terms = (x * x, x * y, y * y, x * x * x, x * x * y, x * y * y, y * y * y)
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    for k, term in enumerate(terms):
        dx = dx + c[k] * term
        dy = dy + c[7 + k] * term
    return x + dx, y + dy


def place(x, y, p):
    """Points (x, y), each (P, m), from half-heights to pixels: scaled, sheared, turned, shifted."""
    x = x * p["width"] + y * p["shear"]
    y = y * p["height"]
    t = p["turn"]
    cos, sin = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    x, y = cos * x - sin * y, sin * x + cos * y
    # The middle of the digit's own box goes to the middle of the image, then the shift.
    x = x - 0.5 * (x.min(axis=0) + x.max(axis=0))
    y = y - 0.5 * (y.min(axis=0) + y.max(axis=0))
    middle = 0.5 * (SIZE - 1)
    return middle + HALF_HEIGHT * x + p["shift"][0], middle + HALF_HEIGHT * y + p["shift"][1]


def draw(x, y, p):
    """Images (SIZE, SIZE, m), 0 to 1, of dots at pixels (x, y), each (P, m), for m pens.

    A pixel's ink falls to 0 over SOFT pixels about the edge of the nearest dot.
    """
    pixel = np.arange(SIZE, dtype=np.float64)[:, None]
    along = (np.arange(len(x)) / (len(x) - 1.0) - 0.5)[:, None]
    radius = p["pen"] * (1.0 + p["pressure"] * along)  # (P, m)
    nearest = np.full((SIZE, SIZE, x.shape[1]), 1e6)  # squared distance to a dot, in its radii
    squared = np.empty_like(nearest)
    for k in range(len(x)):
        dx, dy = (pixel - x[k]) / radius[k], (pixel - y[k]) / radius[k]  # (SIZE, m)
        np.add((dy * dy)[:, None, :], (dx * dx)[None, :, :], out=squared)
        np.minimum(nearest, squared, out=nearest)
    edge = (1.0 - np.sqrt(nearest)) * p["pen"]  # pixels to the edge, inside positive
    return p["ink"] * limit(edge / SOFT + 0.5)


def block_of_images(rng, labels):
    """Images (n, SIZE, SIZE, 1) uint8 of the digits `labels` (n,), n <= BLOCK, in random styles."""
    n = len(labels)
    points = max(len(style.control) for styles in STYLES for style in styles)
    # Everything random is drawn here, for a whole block and in one fixed order: so an image does
    # not depend on how many follow it, nor on the styles of its neighbours.
    style_choice = rng.random(BLOCK)
    jitter = JITTER * bell(rng, (points, 2, BLOCK))
    warp = WARP * bell(rng, (14, BLOCK))
    p = {
        "width": 1.0 + WIDTH_SCALE * bell(rng, (BLOCK,)),
        "height": 1.0 + HEIGHT_SCALE * bell(rng, (BLOCK,)),
        "shear": SHEAR * bell(rng, (BLOCK,)),
        "turn": TURN * bell(rng, (BLOCK,)),
        "shift": between(rng, SHIFT, (2, BLOCK)),
        "pen": between(rng, PEN, (BLOCK,)),
        "pressure": PRESSURE * bell(rng, (BLOCK,)),
        "ink": between(rng, INK, (BLOCK,)),
    }
    noise = NOISE * bell(rng, (BLOCK, SIZE, SIZE))

    images = np.empty((n, SIZE, SIZE, 1), np.uint8)
    for digit, styles in enumerate(STYLES):
        which = np.floor(style_choice[:n] * len(styles))
        for k, style in enumerate(styles):
            members = np.flatnonzero((labels == digit) & (which == k))
            for start in range(0, len(members), TILE):
                i = members[start:start + TILE]
                q = {key: value[..., i] for key, value in p.items()}
                control = style.control[:, :, None] + jitter[:len(style.control), :, i]
                x, y = place(*bend(*style.dots(control), warp[:, i]), q)
                grey = draw(x, y, q).transpose(2, 0, 1) + noise[i]
                images[i, :, :, 0] = np.floor(255.0 * limit(grey) + 0.5)
    return images


def part(seed, n, progress):
    """n examples of one part: images (n, SIZE, SIZE, 1) uint8 and labels (n,) uint8.

    seed: a numpy.random.SeedSequence. Labels go round 0..9, so that classes are equally frequent.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = np.empty((n, SIZE, SIZE, 1), np.uint8)
    for start in range(0, n, BLOCK):
        block = slice(start, min(start + BLOCK, n))
        images[block] = block_of_images(rng, labels[block])
        progress.update(block.stop - block.start)
    return images, labels


def make(path, seed=0, n_train=10000, n_test=2000):
    """Draw the data set and write it to `path` in the form of data_prep/hdf5.py.

    seed: int >= 0, of the drawing and of the order on disk. n_train, n_test: int >= 1.
    Raises hdf5.DataError if the file cannot be written.
    """
    seeds = np.random.SeedSequence(seed).spawn(4)[2:]  # 0 and 1 are the orders on disk
    # disable=None: no bar unless stderr is a terminal
    with tqdm(total=n_train + n_test, desc="digits", unit="image", disable=None) as progress:
        train, test = part(seeds[0], n_train, progress), part(seeds[1], n_test, progress)
    hdf5.write(path, train, test, name="digits", classes=CLASSES, seed=seed,
               source="drawn by data_prep/digits.py",
               command=f"data_prep.digits.make(seed={seed}, n_train={n_train}, n_test={n_test})")


def main(arguments=None):
    parser = command.Parser("python -m data_prep.digits", description="Draw the data set `digits`.")
    parser.add_argument("--out", type=command.new_file, default=Path("data/digits.h5"),
                        help="the HDF5 file to write (default %(default)s)")
    parser.add_argument("--seed", type=command.seed, default=0, help="default %(default)s")
    parser.add_argument("--n-train", type=command.count, default=10000, help="default %(default)s")
    parser.add_argument("--n-test", type=command.count, default=2000, help="default %(default)s")
    args = parser.parse_args(arguments)
    make(args.out, args.seed, args.n_train, args.n_test)
    shape = (args.n_train, SIZE, SIZE, 1)
    command.tell(hdf5.done_line(args.out, "digits", shape, (args.n_test, *shape[1:]), len(CLASSES)))


if __name__ == "__main__":
    command.run(main, "interrupted: no data set was written")
