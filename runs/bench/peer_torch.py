"""A training step in PyTorch eager, as its user would write it: the yardstick of runs.bench.

Backpropagation uses nn-style forward functions and autograd. The other rules need no graph, so
they run under no_grad on plain tensors. Adam is torch.optim.Adam(fused=True).
"""

import numpy as np
import torch
import torch.nn.functional as F

from .torch_maps import MAPS, bias, nchw, ours, weight


class Step:
    """One rule's training step on one network: step(images, labels), all state inside."""

    def __init__(self, net, params, setting):
        self.net, self.L, self.setting, self.params = net, net.L, setting, params
        self.act = {l: net.act[l].name for l in net.act}
        self.map = {l: MAPS[m.kind](m) for l, m in net.map.items()}
        self.shape = {l: nchw(net.shape(l)) for l in range(net.L + 1)}
        self.W = {l: weight(m, params["W"][l]) for l, m in net.map.items()}
        self.b = {l: bias(m.bias_shape, params["b"][l]) for l, m in net.map.items()}
        self.forward_adam = self._adam([*self.W.values(), *self.b.values()], "")

    def _adam(self, leaves, prefix):
        s = self.setting
        return torch.optim.Adam(
            leaves, lr=s[prefix + "lr"], betas=(s[prefix + "beta1"], s[prefix + "beta2"]),
            eps=s[prefix + "epsilon"], fused=True)

    def weights(self):
        """{symbol: {l: array}} of the trained weights, laid out like ours."""
        return {"W": {l: ours(m, self.W[l]) for l, m in self.net.map.items()}}

    def _affine(self, l, h):
        a = self.map[l].forward(self.W[l], h)
        b = self.b[l]
        return a + (b.view(-1, 1, 1) if b.dim() == 1 and a.dim() == 4 else b)

    def _f(self, l, h):
        a = self._affine(l, h)
        return torch.softmax(a, 1) if self.act[l] == "softmax" else torch.tanh(a)


class Backpropagation(Step):
    """By autograd."""

    def __init__(self, net, params, setting):
        super().__init__(net, params, setting)
        for leaf in (*self.W.values(), *self.b.values()):
            leaf.requires_grad_(True)

    def __call__(self, images, labels):
        h = images.to(self.W[1].dtype).div(255)
        for l in range(1, self.L):
            h = torch.tanh(self._affine(l, h))
        loss = F.cross_entropy(self._affine(self.L, h), labels)
        self.forward_adam.zero_grad(set_to_none=True)
        loss.backward()
        self.forward_adam.step()
        return loss


class Local(Step):
    """A rule that needs no graph: `deltas` gives {l: δ_l} of the hidden layers."""

    @torch.no_grad()
    def __call__(self, images, labels):
        h = {0: images.to(self.W[1].dtype).div(255)}
        for l in range(1, self.L + 1):
            h[l] = self._f(l, h[l - 1])
        y = F.one_hot(labels, self.shape[self.L][0]).to(h[0].dtype)
        e = h[self.L] - y
        delta = {self.L: e, **self.deltas(h, y, e)}
        for l, d in delta.items():
            self.W[l].grad = self.map[l].outer(h[l - 1], d) / len(y)
            self.b[l].grad = _sum_to(d, self.b[l]) / len(y)
        self.forward_adam.step()
        return e


class FeedbackAlignment(Local):
    def __init__(self, net, params, setting):
        super().__init__(net, params, setting)
        self.b_map = {l: MAPS[m.kind](m) for l, m in net.maps_of("B").items()}
        self.B = {l: self._feedback(l, m) for l, m in net.maps_of("B").items()}

    def _feedback(self, l, m):
        return weight(m, self.params["B"][l])

    def _carried(self, l, delta):
        """What arrives at h_l."""
        return self.b_map[l + 1].transpose(self.B[l + 1], delta[l + 1])

    def deltas(self, h, y, e):
        delta = {self.L: e}
        for l in range(self.L - 1, 0, -1):
            delta[l] = self._carried(l, delta) * (1 - h[l] ** 2)
        return delta


class DirectFeedbackAlignment(FeedbackAlignment):
    def _feedback(self, l, m):
        """B_l, its rows in the order of PyTorch's channels."""
        B = torch.from_numpy(self.params["B"][l].reshape(*self.net.shape(l), -1).copy())
        return B.permute(2, 0, 1, 3).flatten(0, 2).contiguous() if B.dim() == 4 else B

    def _carried(self, l, delta):
        return F.linear(delta[self.L], self.B[l]).unflatten(1, self.shape[l])


class SimplifiedDTP(Local):
    def __init__(self, net, params, setting):
        super().__init__(net, params, setting)
        maps = net.maps_of("V")
        self.g_map = {l: MAPS[m.kind](m) for l, m in maps.items()}
        self.V = {l: weight(m, params["V"][l]) for l, m in maps.items()}
        self.c = {l: bias(m.in_bias_shape, params["c"][l]) for l, m in maps.items()}
        if self.V:
            self.inverse_adam = self._adam([*self.V.values(), *self.c.values()], "inverse_")

    def weights(self):
        V = {l: ours(m, self.V[l]) for l, m in self.net.maps_of("V").items()}
        return {**super().weights(), "V": V}

    def _g(self, l, u):
        a = self.g_map[l].transpose(self.V[l], u)
        c = self.c[l]
        return torch.tanh(a + (c.view(-1, 1, 1) if c.dim() == 1 and a.dim() == 4 else c))

    def _top(self, h, y, e):
        """ĥ_{L-1}."""
        return h[self.L - 1] + (self._g(self.L, y) - self._g(self.L, h[self.L]))

    def _inverted(self, l, h):
        return self._f(l, h)

    def deltas(self, h, y, e):
        h_hat = {self.L - 1: self._top(h, y, e)}
        for l in range(self.L - 2, 0, -1):
            h_hat[l] = h[l] + (self._g(l + 1, h_hat[l + 1]) - self._g(l + 1, h[l + 1]))
        self._train_inverses(h)
        return {l: 2 * (h[l] - h_hat[l]) * (1 - h[l] ** 2) for l in h_hat}

    def _train_inverses(self, h):
        for l in self.g_map:
            noisy = h[l - 1] + self.setting["sigma"] * torch.randn_like(h[l - 1])
            u = self._inverted(l, noisy)
            back = self._g(l, u)
            r = h[l - 1] if self.setting["inverse_loss"] == "de-noising" else noisy
            d = 2 * (back - r) * (1 - back ** 2)
            self.V[l].grad = self.g_map[l].outer(d, u) / len(d)
            self.c[l].grad = _sum_to(d, self.c[l]) / len(d)
        self.inverse_adam.step()


class DTP(SimplifiedDTP):
    def _top(self, h, y, e):
        dh = self.map[self.L].transpose(self.W[self.L], e)
        return h[self.L - 1] - self.setting["alpha"] * dh


class AuxiliaryOutputs(SimplifiedDTP):
    def __init__(self, net, params, setting):
        super().__init__(net, params, setting)
        self.W_z = torch.from_numpy(params["W_z"][net.L].copy())
        self.b_z = torch.from_numpy(params["b_z"][net.L].copy())

    def _z(self, h):
        return torch.tanh(F.linear(h.flatten(1), self.W_z, self.b_z))

    def _top(self, h, y, e):
        L, z = self.L, self._z(h[self.L - 1])
        return h[L - 1] + (self._g(L, torch.cat([y, z], 1)) - self._g(L, torch.cat([h[L], z], 1)))

    def _inverted(self, l, h):
        u = self._f(l, h)
        return torch.cat([u, self._z(h)], 1) if l == self.L else u


RULES = {"bp": Backpropagation, "fa": FeedbackAlignment, "dfa": DirectFeedbackAlignment,
         "dtp": DTP, "sdtp": SimplifiedDTP, "ao-sdtp": AuxiliaryOutputs}


def side(trainer, rule_name, images, labels, threads):
    """(a function that takes one step on the batch, one that gives the weights as they are).

    They begin as our trainer's are now; weights() is {symbol: {l: array}}, laid out like ours.
    """
    torch.set_num_threads(threads)
    step = RULES[rule_name](trainer.net, trainer.params, trainer.setting)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)
    return lambda: step(x, y), step.weights


def _sum_to(v, b):
    """Sum over the batch, and over positions where the bias is one for each channel."""
    return v.sum((0, 2, 3)) if v.dim() == 4 and b.dim() == 1 else v.sum(0)
