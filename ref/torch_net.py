"""A network as a torch.nn.Module, for whoever wants to use or train it there.

    import torch
    model = Net(net)                         # its layers are called layer1, layer2, ...
    model.load_state_dict(torch.load("network.pt"))
    model.eval()(images)                     # (N, C, H, W) in [0, 1] -> h_L

PyTorch has no locally-connected layer; LocallyConnected2d is one, by patches and einsum.
"""

from math import prod

from .common.command import UserError
from .layouts import shape_there
from .units import Add, AveragePool, BatchNorm, GlobalAverage, MaxPool, Sigma

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    raise UserError('PyTorch is not installed: pip install -e ".[compare]"') from None

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "identity": lambda a: a,
               "softmax": lambda a: a.softmax(1)}


class Normalised(nn.Module):
    """(x - mean) / deviation by channel, as normalisation.py has it; nothing of it is trained.

    scaling  of a network.Network
    """

    def __init__(self, scaling):
        super().__init__()
        for name, numbers in zip(("mean", "deviation"), scaling, strict=True):
            numbers = torch.tensor(numbers, dtype=torch.float64)
            self.register_buffer(name, numbers, persistent=False)  # not in a state dict

    def forward(self, x):
        shape = (-1, 1, 1) if x.ndim == 4 else (-1,)
        return (x - self.mean.view(shape)) / self.deviation.view(shape)


class LocallyConnected2d(nn.Module):
    """(N, C_in, H, W), padded already -> (N, C_out, H', W'): a layer without shared weights.

    weight  (C_out, H', W', C_in, kh, kw);  bias  (C_out, H', W')
    m       ref.linear.LocallyConnected
    """

    def __init__(self, m, bias=True):
        super().__init__()
        self.kernel, self.stride = m.kernel, m.stride
        self.weight = nn.Parameter(torch.empty(shape_there(m, "weight_shape")))
        self.bias = nn.Parameter(torch.zeros(shape_there(m, "bias_shape"))) if bias else None
        limit = (6 / (m.fan_in + m.fan_out)) ** 0.5  # network.glorot
        nn.init.uniform_(self.weight, -limit, limit)

    def forward(self, x):
        kh, kw = self.kernel
        patches = x.unfold(2, kh, self.stride).unfold(3, kw, self.stride)
        y = torch.einsum("ncijkl,oijckl->noij", patches, self.weight)
        return y if self.bias is None else y + self.bias


class Net(nn.Module):
    """A network.Network: (N, C, H, W) or (N, n) -> h_L; its weights are PyTorch's initial ones."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.normalise = Normalised(net.scaling) if net.scaling else nn.Identity()
        for l, m in net.map.items():
            setattr(self, f"layer{l}", _layer(m, l not in net.unbiased))
        for l, norm in net.norms.items():
            kind = nn.BatchNorm2d if len(net.map[l].out_shape) == 3 else nn.BatchNorm1d
            setattr(self, f"norm{l}", kind(norm.channels, norm.epsilon, norm.momentum))

    def forward(self, x):
        net, h = self.net, {0: self.normalise(x)}
        for l, m in net.map.items():
            h[l] = self._mapped(l, m, h[net.reads(l)])
            for part in net.unit(l).parts:
                h[l] = PARTS[type(part)](self, l, part, h[l], h)
        return h[net.L]

    def _mapped(self, l, m, x):
        """W x + b, with an image flattened for a dense map, or padded as ours is: it may be odd."""
        layer = getattr(self, f"layer{l}")
        if m.kind == "dense":
            a = layer(x.flatten(1))
            return a if len(m.out_shape) == 1 else a.unflatten(1, (m.out_shape[2],
                                                                   *m.out_shape[:2]))
        (top, bottom), (left, right) = m.patches.padding
        return layer(F.pad(x, (left, right, top, bottom)))


def _added(self, l, part, a, h):
    skip = h[self.net.adds[l]]
    if part.skip_shape != part.shape:  # option A
        channels = part.channels
        skip = F.pad(skip[:, :, :: part.stride, :: part.stride],
                     (0, 0, 0, 0, channels.start, part.shape[-1] - channels.stop))
    return a + skip


PARTS = {
    BatchNorm: lambda self, l, part, a, h: getattr(self, f"norm{l}")(a),
    Add: _added,
    Sigma: lambda self, l, part, a, h: ACTIVATIONS[part.act.name](a),
    MaxPool: lambda self, l, part, a, h: F.max_pool2d(a, part.kernel, part.stride, part.pad),
    AveragePool: lambda self, l, part, a, h: F.avg_pool2d(a, part.kernel, part.stride, part.pad),
    GlobalAverage: lambda self, l, part, a, h: a.mean((2, 3)),
}


def _layer(m, bias):
    if m.kind == "dense":
        return nn.Linear(prod(m.in_shape), prod(m.out_shape), bias=bias)
    if m.kind == "conv":
        return nn.Conv2d(m.in_shape[2], m.channels, m.kernel, m.stride, bias=bias)
    return LocallyConnected2d(m, bias)
