"""The work of a training step in PyTorch eager, as its user would write it: the yardstick of bench.

Backpropagation uses nn-style forward functions and autograd. The other rules need no graph, so
they run under no_grad on plain tensors. Images are NCHW; a locally-connected layer is unfold and a
batched matrix product. Adam is torch.optim.Adam(fused=True).
"""

import torch
import torch.nn.functional as F


class Dense:
    def __init__(self, m):
        self.in_shape = _nchw(m.in_shape)

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
        self.in_shape, self.out_size = _nchw(m.in_shape), m.patches.out_size
        self.padded = (self.in_shape[1] + top + bottom, self.in_shape[2] + left + right)

    def crop(self, x):
        left, right, top, bottom = self.pad
        return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


class Local(_Windows):
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


RULES = ("bp", "fa", "dfa", "dtp", "sdtp", "ao-sdtp")
MAPS = {"dense": Dense, "local": Local, "conv": Conv}


def _nchw(shape):
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


def bias(shape, b):
    """Our bias, for units or, of a convolution, for channels."""
    b = torch.from_numpy(b.copy())
    if len(shape) == 3:
        return b.permute(2, 0, 1).contiguous()
    return b


class Step:
    """One rule's training step on one network: step(images, labels), all state inside."""

    def __init__(self, net, rule, params, setting):
        self.L, self.rule, self.setting = net.L, rule, setting
        self.act = {l: net.act[l].name for l in net.act}
        self.map = {l: MAPS[m.kind](m) for l, m in net.map.items()}
        self.g_map = {l: MAPS[m.kind](m) for l, m in net.maps_of("V").items()}
        self.b_map = {l: MAPS[m.kind](m) for l, m in net.maps_of("B").items()}
        self.shape = {l: _nchw(net.shape(l)) for l in range(net.L + 1)}
        self.W = {l: weight(m, params["W"][l]) for l, m in net.map.items()}
        self.b = {l: bias(m.bias_shape, params["b"][l]) for l, m in net.map.items()}
        self.bias_dims = {l: len(m.bias_shape) for l, m in net.map.items()}
        self.V = {l: weight(m, params["V"][l]) for l, m in net.maps_of("V").items()}
        self.c = {l: bias(m.in_bias_shape, params["c"][l]) for l, m in net.maps_of("V").items()}
        self.c_dims = {l: len(m.in_bias_shape) for l, m in net.maps_of("V").items()}
        if rule == "dfa":  # B_l e, with B_l's rows in the order of PyTorch's channels
            self.B = {l: bias((*net.shape(l), 1), params["B"][l].reshape(*net.shape(l), -1))
                      if len(net.shape(l)) == 1 else
                      torch.from_numpy(params["B"][l].reshape(*net.shape(l), -1).copy())
                      .permute(2, 0, 1, 3).flatten(0, 2).contiguous() for l in net.maps_of("B")}
        else:
            self.B = {l: weight(m, params["B"][l]) for l, m in net.maps_of("B").items()}
        if rule == "ao-sdtp":
            self.W_z = torch.from_numpy(params["W_z"][net.L].copy())
            self.b_z = torch.from_numpy(params["b_z"][net.L].copy())
        leaves = [*self.W.values(), *self.b.values()]
        if rule == "bp":
            for leaf in leaves:
                leaf.requires_grad_(True)
        self.forward_adam = self._adam(leaves, "")
        if self.V:
            self.inverse_adam = self._adam([*self.V.values(), *self.c.values()], "inverse_")

    def _adam(self, leaves, prefix):
        s = self.setting
        return torch.optim.Adam(
            leaves, lr=s[prefix + "lr"], betas=(s[prefix + "beta1"], s[prefix + "beta2"]),
            eps=s[prefix + "epsilon"], fused=True)

    def __call__(self, images, labels):
        x = images.to(self.W[1].dtype).div(255)
        if self.rule == "bp":
            return self._bp(x, labels)
        with torch.no_grad():
            return self._local(x, labels)

    def _affine(self, l, h):
        a = self.map[l].forward(self.W[l], h)
        b = self.b[l]
        return a + (b.view(-1, 1, 1) if b.dim() == 1 and a.dim() == 4 else b)

    def _f(self, l, h):
        a = self._affine(l, h)
        return torch.softmax(a, 1) if self.act[l] == "softmax" else torch.tanh(a)

    def _g(self, l, u):
        a = self.g_map[l].transpose(self.V[l], u)
        c = self.c[l]
        return torch.tanh(a + (c.view(-1, 1, 1) if c.dim() == 1 and a.dim() == 4 else c))

    def _bp(self, x, labels):
        h = x
        for l in range(1, self.L):
            h = torch.tanh(self._affine(l, h))
        loss = F.cross_entropy(self._affine(self.L, h), labels)
        self.forward_adam.zero_grad(set_to_none=True)
        loss.backward()
        self.forward_adam.step()
        return loss

    def _local(self, x, labels):
        L, N, h = self.L, len(x), {0: x}
        for l in range(1, L + 1):
            h[l] = self._f(l, h[l - 1])
        y = F.one_hot(labels, self.shape[L][0]).to(x.dtype)
        e = h[L] - y
        delta = {L: e}
        if self.rule in ("fa", "dfa"):
            for l in range(L - 1, 0, -1):
                if self.rule == "fa":
                    dh = self.b_map[l + 1].transpose(self.B[l + 1], delta[l + 1])
                else:
                    dh = F.linear(e, self.B[l]).unflatten(1, self.shape[l])
                delta[l] = dh * (1 - h[l] ** 2)
        else:
            for l, target in self._targets(h, y, e).items():
                delta[l] = 2 * (h[l] - target) * (1 - h[l] ** 2)
            self._inverses(h, N)
        for l in range(1, L + 1):
            self.W[l].grad = self.map[l].outer(h[l - 1], delta[l]) / N
            self.b[l].grad = _sum_to(delta[l], self.b[l]) / N
        self.forward_adam.step()
        return e

    def _targets(self, h, y, e):
        L = self.L
        if self.rule == "dtp":
            h_hat = {L - 1: h[L - 1] - self.setting["alpha"]
                     * self.map[L].transpose(self.W[L], e)}
        else:
            top, top_hat = h[L], y
            if self.rule == "ao-sdtp":
                z = self._z(h[L - 1])
                top, top_hat = torch.cat([top, z], 1), torch.cat([y, z], 1)
            h_hat = {L - 1: h[L - 1] + (self._g(L, top_hat) - self._g(L, top))}
        for l in range(L - 2, 0, -1):
            h_hat[l] = h[l] + (self._g(l + 1, h_hat[l + 1]) - self._g(l + 1, h[l + 1]))
        return h_hat

    def _z(self, h):
        return torch.tanh(F.linear(h.flatten(1), self.W_z, self.b_z))

    def _inverses(self, h, N):
        for l in self.g_map:
            noisy = h[l - 1] + self.setting["sigma"] * torch.randn_like(h[l - 1])
            u = self._f(l, noisy)
            if l == self.L and self.rule == "ao-sdtp":
                u = torch.cat([u, self._z(noisy)], 1)
            back = self._g(l, u)
            r = h[l - 1] if self.setting["inverse_loss"] == "de-noising" else noisy
            d = 2 * (back - r) * (1 - back ** 2)
            self.V[l].grad = self.g_map[l].outer(d, u) / N
            self.c[l].grad = _sum_to(d, self.c[l]) / N
        self.inverse_adam.step()


def _sum_to(v, b):
    """Sum over the batch, and over positions where the bias is one for each channel."""
    return v.sum((0, 2, 3)) if v.dim() == 4 and b.dim() == 1 else v.sum(0)
