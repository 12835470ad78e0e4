"""The addition of a skip connection (He et al. 2015): h = a + skip, the activity of a layer below.

Both branches get the same v. Where the shapes differ, without parameters ("option A"): every
stride-th row and column of the skip, with zero channels on both sides. (A shortcut with parameters
is a layer of its own, a 1x1 convolution, whose activity is then the skip.)
"""

from dataclasses import dataclass

from ..backend import get_xp


@dataclass(frozen=True)
class Add:
    """skip_shape, shape  of the skip and of what it is added to, for one example."""

    skip_shape: tuple
    shape: tuple
    name = "add"

    @property
    def stride(self):
        return -(-self.skip_shape[0] // self.shape[0])

    @property
    def channels(self):
        """Where the skip's channels go among those of the sum."""
        before = (self.shape[-1] - self.skip_shape[-1]) // 2
        return slice(before, before + self.skip_shape[-1])

    def value(self, a, theta, skip, train=True):
        """(a + skip, None). Overwrites a."""
        if self.skip_shape == self.shape:
            a += skip
            return a, None
        a[..., self.channels] += skip[:, :: self.stride, :: self.stride]
        return a, None

    def pull(self, kept, v):
        if self.skip_shape == self.shape:
            return v, {"skip": v}
        down = get_xp(v).zeros((len(v), *self.skip_shape), v.dtype)
        down[:, :: self.stride, :: self.stride] = v[..., self.channels]
        return v, {"skip": down}

    def out_shape(self, shape):
        return shape

    @staticmethod
    def fits(skip_shape, shape):
        """Whether a skip of one shape can be added to another: the same, or by option A."""
        if skip_shape == shape:
            return True
        if len(skip_shape) != 3 or len(shape) != 3:
            return False
        (H, W, C), (h, w, c) = skip_shape, shape
        stride = -(-H // h)
        return (-(-H // stride) == h and -(-W // stride) == w
                and c >= C and (c - C) % 2 == 0)
