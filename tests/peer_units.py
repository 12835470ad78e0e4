"""AlexNet, ResNet-18 and ResNet-20 in PyTorch, written from their papers, to check ref's against.

Backpropagation is PyTorch's own: its layers, its autograd. Feedback alignment and sign-symmetry
replace one thing, what a convolution or dense layer sends down to its input, by functions of their
own (`Conv`, `Linear`); batch norm, pooling, skips and the loss stay PyTorch's.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input, conv2d_weight


class Conv(torch.autograd.Function):
    """A convolution whose input's gradient goes through B in the place of W."""

    @staticmethod
    def forward(ctx, x, W, B, stride, padding):
        ctx.save_for_backward(x, B)
        ctx.size, ctx.geometry = W.shape, {"stride": stride, "padding": padding}
        return F.conv2d(x, W, **ctx.geometry)

    @staticmethod
    def backward(ctx, delta):
        x, B = ctx.saved_tensors
        down = conv2d_input(x.shape, B, delta, **ctx.geometry)
        return down, conv2d_weight(x, ctx.size, delta, **ctx.geometry), None, None, None


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, B, b):
        ctx.save_for_backward(x, B)
        ctx.biased = b is not None
        return F.linear(x, W, b)

    @staticmethod
    def backward(ctx, delta):
        x, B = ctx.saved_tensors
        return delta @ B, delta.T @ x, None, delta.sum(0) if ctx.biased else None


class Layer(nn.Module):
    """A convolution or dense layer, its batch norm, and the a that it last gave."""

    def __init__(self, module, norm):
        super().__init__()
        self.module = module
        channels = module.weight.shape[0]
        self.bn = norm and (nn.BatchNorm2d(channels) if isinstance(module, nn.Conv2d) else
                            nn.BatchNorm1d(channels))
        self.feedback = None  # a function of W that gives what stands in for it

    def forward(self, x):
        m = self.module
        if self.feedback is None:
            self.a = m(x)
        elif isinstance(m, nn.Conv2d):
            B = self.feedback(m.weight.detach())
            self.a = Conv.apply(x, m.weight, B, m.stride, m.padding)
        else:
            self.a = Linear.apply(x, m.weight, self.feedback(m.weight.detach()), m.bias)
        self.a.retain_grad()
        return self.bn(self.a) if self.bn else self.a


def conv(c_in, c_out, kernel, stride=1, padding=0):
    return Layer(nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False), True)


class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.all = nn.ModuleList([
            conv(3, 64, 11, 4, 2), conv(64, 192, 5, 1, 2), conv(192, 384, 3, 1, 1),
            conv(384, 256, 3, 1, 1), conv(256, 256, 3, 1, 1),
            Layer(nn.Linear(9216, 4096, bias=False), True),
            Layer(nn.Linear(4096, 4096, bias=False), True), Layer(nn.Linear(4096, 1000), False)])

    def forward(self, x):
        one, two, three, four, five, six, seven, eight = self.all
        x = F.max_pool2d(F.relu(one(x)), 3, 2)
        x = F.max_pool2d(F.relu(two(x)), 3, 2)
        x = F.relu(four(F.relu(three(x))))
        x = F.max_pool2d(F.relu(five(x)), 3, 2).flatten(1)
        return eight(F.relu(seven(F.relu(six(x)))))


class Block(nn.Module):
    """A basic block. Its layers in ref's order: the shortcut's, if there is one, comes first."""

    def __init__(self, c_in, c_out, stride, option_a):
        super().__init__()
        self.one, self.two = conv(c_in, c_out, 3, stride, 1), conv(c_out, c_out, 3, 1, 1)
        changes = stride > 1 or c_in != c_out
        self.shortcut = conv(c_in, c_out, 1, stride) if changes and not option_a else None
        self.pad = (c_out - c_in) // 2 if changes and option_a else None
        self.all = [layer for layer in (self.shortcut, self.one, self.two) if layer is not None]

    def forward(self, x):
        y = self.two(F.relu(self.one(x)))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.pad is not None:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, imagenet, widths, n, classes):
        super().__init__()
        self.imagenet = imagenet
        stem = conv(3, widths[0], 7, 2, 3) if imagenet else conv(3, widths[0], 3, 1, 1)
        pairs = list(zip([widths[0], *widths], widths, strict=False))
        self.blocks = nn.ModuleList([
            Block(c_in if i == 0 else c_out, c_out, 2 if i == 0 and k else 1, not imagenet)
            for k, (c_in, c_out) in enumerate(pairs) for i in range(n)])
        self.all = nn.ModuleList([stem, *(layer for block in self.blocks for layer in block.all),
                                  Layer(nn.Linear(widths[-1], classes), False)])

    def forward(self, x):
        x = F.relu(self.all[0](x))
        if self.imagenet:
            x = F.max_pool2d(x, 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return self.all[-1](x.mean((2, 3)))


NETS = {
    "alexnet": AlexNet,
    "resnet18": lambda: ResNet(True, [64, 128, 256, 512], 2, 1000),
    "resnet20": lambda: ResNet(False, [16, 32, 64], 3, 10),
}


# ---- ref's arrays to PyTorch's, and back ---------------------------------------------------------


def to_torch(W, below):
    """Weights of ref's layout; below  the shape of what the layer reads: (H, W, C) or (n,)."""
    if W.ndim == 4:
        W = W.transpose(0, 3, 1, 2)
    elif len(below) == 3:
        W = W.reshape(-1, *below).transpose(0, 3, 1, 2).reshape(W.shape)
    return torch.tensor(W.copy())


def from_torch(W, below):
    W = W.detach().numpy()
    if W.ndim == 4:
        return W.transpose(0, 2, 3, 1)
    if len(below) == 3:
        H, W_, C = below
        return W.reshape(-1, C, H, W_).transpose(0, 2, 3, 1).reshape(W.shape)
    return W


def load(model, net, params):
    """Give the model the parameters of ref's network."""
    with torch.no_grad():
        for l, layer in enumerate(model.all, 1):
            layer.module.weight.copy_(to_torch(params["W"][l], net.map[l].in_shape))
            if layer.bn:
                layer.bn.weight.copy_(torch.tensor(params["gamma"][l]))
                layer.bn.bias.copy_(torch.tensor(params["beta"][l]))
                layer.bn.running_mean.copy_(torch.tensor(params["running_mean"][l]))
                layer.bn.running_var.copy_(torch.tensor(params["running_var"][l]))
            else:
                layer.module.bias.copy_(torch.tensor(params["b"][l]))


def step(model, net, x, y):
    """One step of training on x (N, H, W, C), labels y: everything it computes, as ref has it."""
    loss = F.cross_entropy(model(torch.tensor(x.transpose(0, 3, 1, 2).copy())), torch.tensor(y))
    loss.backward()
    out = {name: {} for name in ("delta", "dW", "db", "dgamma", "dbeta", "running_mean",
                                 "running_var")}
    for l, layer in enumerate(model.all, 1):
        delta = len(x) * layer.a.grad.numpy()
        out["delta"][l] = delta.transpose(0, 2, 3, 1) if delta.ndim == 4 else delta
        out["dW"][l] = from_torch(layer.module.weight.grad, net.map[l].in_shape)
        if layer.bn:
            out["dgamma"][l], out["dbeta"][l] = (p.grad.numpy() for p in
                                                 (layer.bn.weight, layer.bn.bias))
            out["running_mean"][l] = layer.bn.running_mean.numpy()
            out["running_var"][l] = layer.bn.running_var.numpy()
        else:
            out["db"][l] = layer.module.bias.grad.numpy()
    return float(loss.detach()), out
