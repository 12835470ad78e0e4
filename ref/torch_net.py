"""A network as a torch.nn.Module, for whoever wants to use or train it there.

    import torch
    model = module(net)                      # its layers are called layer1, layer2, ...
    model.load_state_dict(torch.load("network.pt"))
    model(images)                            # (N, C, H, W) in [0, 1] -> h_L

PyTorch has no locally-connected layer; LocallyConnected2d is one, by patches and einsum. Zero
padding is ref/linear/patches.py's, which needs a layer of its own: it may be odd.
"""

from collections import OrderedDict
from math import prod

from .common.command import UserError
from .layouts import shape_there

try:
    import torch
    from torch import nn
except ImportError:
    raise UserError('PyTorch is not installed: pip install -e ".[compare]"') from None

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "softmax": lambda: nn.Softmax(dim=1)}


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


def module(net, dtype=None):
    """nn.Sequential of a network.Network; its weights are PyTorch's own initial ones.

    Raises UserError for a nonlinearity that is not known there.
    """
    layers, shape = OrderedDict(), net.shape(0)
    for l, m in net.map.items():
        if m.kind == "dense" and len(shape) == 3:
            layers[f"flatten{l}"] = nn.Flatten()
        elif m.kind != "dense" and any(map(any, m.patches.padding)):
            (top, bottom), (left, right) = m.patches.padding
            layers[f"pad{l}"] = nn.ZeroPad2d((left, right, top, bottom))
        layers[f"layer{l}"] = _layer(m, l not in net.unbiased)
        name, shape = net.act[l].name, m.out_shape
        if m.kind == "dense" and len(shape) == 3:
            layers[f"unflatten{l}"] = nn.Unflatten(1, (shape[2], *shape[:2]))
        if name != "identity":
            if name not in ACTIVATIONS:
                raise UserError(f"layer {l}: the nonlinearity {name} is not known to torch_net.py")
            layers[f"act{l}"] = ACTIVATIONS[name]()
    return nn.Sequential(layers).to(dtype or torch.float32)


def _layer(m, bias):
    if m.kind == "dense":
        return nn.Linear(prod(m.in_shape), prod(m.out_shape), bias=bias)
    if m.kind == "conv":
        return nn.Conv2d(m.in_shape[2], m.channels, m.kernel, m.stride, bias=bias)
    return LocallyConnected2d(m, bias)
