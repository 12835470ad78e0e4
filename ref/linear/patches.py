"""The geometry that locally-connected and convolutional maps share: which inputs an output sees.

Zero padding is TensorFlow's SAME: the output is ⌈H / stride⌉ high, so stride 1 keeps the shape,
and where the padding is odd the extra row or column comes after the image, not before it. With a
3x3 kernel and stride 2, an even input is therefore padded on the bottom and right only.
"""

from dataclasses import dataclass

from ..backend import get_xp


@dataclass(frozen=True)
class Patches:
    """Patches of kernel (kh, kw) at every stride-th place of an (H, W, C) image.

    gather and scatter are each other's transpose.
    """

    in_shape: tuple
    kernel: tuple
    stride: int

    @property
    def out_size(self):
        """(H', W'): patches down and across."""
        return tuple(-(-size // self.stride) for size in self.in_shape[:2])

    @property
    def size(self):
        """Entries of one patch: kh kw C."""
        return self.kernel[0] * self.kernel[1] * self.in_shape[2]

    @property
    def padding(self):
        """Rows and columns of zeros ((above, below), (left, right))."""
        pairs = []
        for size, out, k in zip(self.in_shape, self.out_size, self.kernel, strict=False):
            total = max((out - 1) * self.stride + k - size, 0)
            pairs.append((total // 2, total - total // 2))
        return tuple(pairs)

    def _padded(self, N, like):
        """A zero (N, H + padding, W + padding, C), and the slices of the image in it."""
        H, W, C = self.in_shape
        (top, bottom), (left, right) = self.padding
        zeros = get_xp(like).zeros((N, top + H + bottom, left + W + right, C), like.dtype)
        return zeros, (slice(None), slice(top, top + H), slice(left, left + W))

    def windows(self, x):
        """A view (N, H', W', kh, kw, C) of the zero-padded x (N, H, W, C): no copy of patches."""
        xp = get_xp(x)
        if self.padding == ((0, 0), (0, 0)):
            padded = xp.ascontiguousarray(x)
        else:
            padded, inside = self._padded(len(x), x)
            padded[inside] = x
        n, row, column, channel = padded.strides
        s = self.stride
        return xp.lib.stride_tricks.as_strided(
            padded,
            (len(x), *self.out_size, *self.kernel, self.in_shape[2]),
            (n, s * row, s * column, row, column, channel),
        )

    def scatter(self, windows):
        """The transpose of `windows`: adds each patch back to where it came from.

        windows (N, H', W', kh, kw, C), any strides -> (N, H, W, C).
        """
        padded, inside = self._padded(len(windows), windows)
        s, (H, W) = self.stride, self.out_size
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                padded[:, i : i + s * H : s, j : j + s * W : s] += windows[:, :, :, i, j]
        return padded[inside]
