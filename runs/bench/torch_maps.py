"""Linear maps in PyTorch, and their weights from our layout to its and back.

Images are NCHW; a locally-connected layer is unfold and a batched matrix product.
"""

import torch
import torch.nn.functional as F


class Dense:
    def __init__(self, m):
        self.in_shape = nchw(m.in_shape)

    def forward(self, W, x):
        return F.linear(x.flatten(1), W)

    def transpose(self, W, y):
        return (y @ W).unflatten(1, self.in_shape)

    def outer(self, x, y):
        return y.t() @ x.flatten(1)


class _Windows:
    """What local and conv share: the geometry."""

    def __init__(self, m):
        self.kernel, self.stride, self.channels = m.kernel, m.stride, m.channels
        (top, bottom), (left, right) = m.patches.padding
        self.pad = (left, right, top, bottom)
        self.in_shape, self.out_size = nchw(m.in_shape), m.patches.out_size
        self.padded = (self.in_shape[1] + top + bottom, self.in_shape[2] + left + right)

    def crop(self, x):
        left, right, top, bottom = self.pad
        return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


class LocallyConnected(_Windows):
    """W is (H'W', C_out, C_in kh kw)."""

    def patches(self, x):
        return F.unfold(F.pad(x, self.pad), self.kernel, stride=self.stride).permute(2, 0, 1)

    def forward(self, W, x):
        y = torch.bmm(self.patches(x), W.transpose(1, 2))  # (H'W', N, C_out)
        return y.permute(1, 2, 0).unflatten(2, self.out_size)

    def transpose(self, W, y):
        columns = torch.bmm(y.flatten(2).permute(2, 0, 1), W)  # (H'W', N, C_in kh kw)
        return self.crop(
            F.fold(columns.permute(1, 2, 0), self.padded, self.kernel, stride=self.stride))

    def outer(self, x, y):
        return torch.bmm(y.flatten(2).permute(2, 1, 0), self.patches(x))


class Conv(_Windows):
    """W is (C_out, C_in, kh, kw)."""

    def forward(self, W, x):
        return F.conv2d(F.pad(x, self.pad), W, stride=self.stride)

    def transpose(self, W, y):
        size = (len(y), self.in_shape[0], *self.padded)
        return self.crop(torch.nn.grad.conv2d_input(size, W, y, stride=self.stride))

    def outer(self, x, y):
        shape = (self.channels, self.in_shape[0], *self.kernel)
        return torch.nn.grad.conv2d_weight(F.pad(x, self.pad), shape, y, stride=self.stride)


MAPS = {"dense": Dense, "local": LocallyConnected, "conv": Conv}


def nchw(shape):
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else tuple(shape)


def weight(m, W):
    """Our weights of a linear map m, in the layout of its PyTorch counterpart."""
    W = torch.from_numpy(W.copy())
    if m.kind == "local":
        return W.permute(0, 1, 2, 5, 3, 4).flatten(3).flatten(0, 1).contiguous()
    if m.kind == "conv":
        return W.permute(0, 3, 1, 2).contiguous()
    if len(m.in_shape) == 3:  # its inputs are flattened as CHW here, as HWC there
        return W.unflatten(1, m.in_shape).permute(0, 3, 1, 2).flatten(1).contiguous()
    return W


def ours(m, W):
    """The inverse of `weight`, as a NumPy array."""
    W = W.detach()
    if m.kind == "local":
        W = W.unflatten(0, m.out_shape[:2]).unflatten(3, (m.in_shape[2], *m.kernel))
        W = W.permute(0, 1, 2, 4, 5, 3)
    elif m.kind == "conv":
        W = W.permute(0, 2, 3, 1)
    elif len(m.in_shape) == 3:
        W = W.unflatten(1, nchw(m.in_shape)).permute(0, 2, 3, 1).flatten(1)
    return W.numpy()


def bias(shape, b):
    """Our bias, for units or, of a convolution, for channels."""
    b = torch.from_numpy(b.copy())
    if len(shape) == 3:
        return b.permute(2, 0, 1).contiguous()
    return b
