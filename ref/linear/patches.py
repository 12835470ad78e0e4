"""The geometry that locally-connected and convolutional maps share: which inputs an output sees.

Zero padding is TensorFlow's SAME: the output is ⌈H / stride⌉ high, so stride 1 keeps the shape,
and where the padding is odd the extra row or column comes after the image, not before it. With a
3x3 kernel and stride 2, an even input is therefore padded on the bottom and right only.

With `pad` p it is PyTorch's instead: p on every side, the output ⌊(H + 2p - kh) / stride⌋ + 1 high.
Where the division is inexact, no output sees the last rows of the padded image.
"""

from dataclasses import dataclass

from ..backend import get_xp


def expect(name, shape, expected):
    """Raise ValueError unless an array, or one example of it, has a shape."""
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{name} is {tuple(shape)}, expected {tuple(expected)}")


def check_sizes(m):
    """Raise ValueError where a map of images has a size that none can have."""
    wanted = {"in_shape": (m.in_shape, 3), "kernel": (m.kernel, 2),
              "channels": ((m.channels,), 1), "stride": ((m.stride,), 1)}
    for name, (sizes, n) in wanted.items():
        if len(sizes) != n or min(sizes) < 1:
            words = {3: "(H, W, C)", 2: "(height, width)", 1: "a number"}[n]
            raise ValueError(f"{name} is {getattr(m, name)}, expected {words} of at least 1")
    if m.pad is not None and m.pad < 0:
        raise ValueError(f"pad is {m.pad}, expected at least 0, or None for TensorFlow's SAME")
    if min(m.patches.out_size) < 1:
        raise ValueError(f"the kernel {m.kernel} is larger than the image {m.in_shape} with "
                         f"{m.pad} of padding")


@dataclass(frozen=True)
class Patches:
    """Patches of kernel (kh, kw) at every stride-th place of an (H, W, C) image.

    `windows` and `add` are each other's transpose.
    """

    in_shape: tuple
    kernel: tuple
    stride: int
    pad: int | None = None  # None: SAME

    @property
    def out_size(self):
        """(H', W'): patches down and across."""
        if self.pad is not None:
            return tuple((size + 2 * self.pad - k) // self.stride + 1
                         for size, k in zip(self.in_shape[:2], self.kernel, strict=True))
        return tuple(-(-size // self.stride) for size in self.in_shape[:2])

    @property
    def size(self):
        """Entries of one patch: kh kw C."""
        return self.kernel[0] * self.kernel[1] * self.in_shape[2]

    @property
    def padding(self):
        """Rows and columns of zeros ((above, below), (left, right))."""
        if self.pad is not None:
            return ((self.pad, self.pad),) * 2
        pairs = []
        for size, out, k in zip(self.in_shape, self.out_size, self.kernel, strict=False):
            total = max((out - 1) * self.stride + k - size, 0)
            pairs.append((total // 2, total - total // 2))
        return tuple(pairs)

    def zeros(self, N, like):
        """A zero (N, H + padding, W + padding, C), and the view of the image in it."""
        H, W, C = self.in_shape
        (top, bottom), (left, right) = self.padding
        padded = get_xp(like).zeros((N, top + H + bottom, left + W + right, C), like.dtype)
        return padded, padded[:, top : top + H, left : left + W]

    def padded(self, x):
        """x with its rim of zeros: (N, H + padding, W + padding, C)."""
        H, W, C = self.in_shape
        (top, bottom), (left, right) = self.padding
        padded = get_xp(x).empty((len(x), top + H + bottom, left + W + right, C), x.dtype)
        padded[:, :top] = padded[:, top + H :] = 0
        padded[:, :, :left] = padded[:, :, left + W :] = 0
        padded[:, top : top + H, left : left + W] = x
        return padded

    def windows(self, x):
        """A view (N, H', W', kh, kw, C) of the zero-padded x (N, H, W, C): no copy of patches."""
        expect("x", x.shape[1:], self.in_shape)  # a view of other strides would read elsewhere
        xp = get_xp(x)
        if self.padding == ((0, 0), (0, 0)):
            padded = xp.ascontiguousarray(x)
        else:
            padded = self.padded(x)
        n, row, column, channel = padded.strides
        s = self.stride
        return xp.lib.stride_tricks.as_strided(
            padded,
            (len(x), *self.out_size, *self.kernel, self.in_shape[2]),
            (n, s * row, s * column, row, column, channel),
        )

    def add(self, patches, padded, rows, columns):
        """Add the patches at some positions to where they came from.

        patches (r, c, N, kh, kw, C), for the slices rows and columns of positions;
        padded  as from `zeros`, changed in place
        """
        s, (kh, kw) = self.stride, self.kernel
        last = s * (rows.stop - rows.start - 1) + 1
        for q in range(columns.start, columns.stop):
            for i in range(kh):
                top = s * rows.start + i
                place = padded[:, top : top + last : s, s * q : s * q + kw]  # (N, r, kw, C)
                place += patches[:, q - columns.start, :, i].swapaxes(0, 1)

    def disjoint_rows(self):
        """How many rows of positions to take, for every other such block to touch other inputs."""
        return max(1, -(-(self.kernel[0] - self.stride) // self.stride))
