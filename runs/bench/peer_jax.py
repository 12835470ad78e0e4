"""A training step in JAX, compiled as a whole by jax.jit, as a user who minds speed would write it.

Images are NHWC. Each linear map is written forward; what goes down and gradients are its
transposes, which JAX derives. Backpropagation is jax.grad. The optimiser's state is donated, so
that XLA may change it in place.
"""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def weight(m, W):
    """Our weights of a linear map m, in the layout of its JAX counterpart."""
    if m.kind == "dense":
        return W.T
    if m.kind == "conv":
        return W.transpose(1, 2, 3, 0)  # HWIO
    return W.transpose(0, 1, 5, 3, 4, 2).reshape(*m.out_shape[:2], -1, m.channels)


def ours(m, W):
    """The inverse of `weight`, as a NumPy array."""
    W = np.asarray(W)
    if m.kind == "dense":
        return W.T
    if m.kind == "conv":
        return W.transpose(3, 0, 1, 2)
    W = W.reshape(*m.out_shape[:2], m.in_shape[2], *m.kernel, m.channels)
    return W.transpose(0, 1, 5, 3, 4, 2)


def forward(m, W, x):
    """W x: (N, *in_shape) -> (N, *out_shape)."""
    axes = ("NHWC", "HWIO", "NHWC")
    if m.kind == "dense":
        return (x.reshape(len(x), -1) @ W).reshape(len(x), *m.out_shape)
    stride = (m.stride, m.stride)
    if m.kind == "conv":
        return lax.conv_general_dilated(x, W, stride, "SAME", dimension_numbers=axes)
    return lax.conv_general_dilated_local(x, W, stride, "SAME", m.kernel, dimension_numbers=axes)


def transpose(m, W, y):
    """Wᵀ y: (N, *out_shape) -> (N, *in_shape)."""
    like = jax.ShapeDtypeStruct((len(y), *m.in_shape), y.dtype)
    return jax.linear_transpose(lambda x: forward(m, W, x), like)(y)[0]


def outer(m, W, x, y):
    """Σ_n y_n x_nᵀ where W has entries, like W."""
    return jax.linear_transpose(lambda W: forward(m, W, x), W)(y)[0]


def adam(theta, g, m, v, t, lr, beta1, beta2, epsilon):
    """(θ, m, v) after step t, with Kingma & Ba's ε."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = (w / (1 - beta ** t.astype(theta.dtype)) for w, beta in ((m, beta1), (v, beta2)))
    return theta - lr * m_hat / (jnp.sqrt(v_hat) + epsilon), m, v


class Step:
    """What the rules share; a rule gives `gradients(state, x, y)`: {symbol: {l: array}}."""

    groups = {"": ("W", "b")}  # {prefix of the hyperparameters: the symbols}

    def __init__(self, trainer):
        self.net, self.setting, self.L = trainer.net, trainer.setting, trainer.net.L
        params = {s: {l: jnp.asarray(weight(self.net.maps_of(s)[l], p) if s in "WVB" else p)
                      for l, p in layers.items()}
                  for s, layers in trainer.params.items() if s in "WbVcB"}
        trained = {s: params[s] for symbols in self.groups.values() for s in symbols}
        zero = jax.tree.map(jnp.zeros_like, trained)
        self.state = {"params": trained, "m": zero, "v": jax.tree.map(jnp.copy, zero),
                      "t": jnp.zeros((), jnp.int32), "key": jax.random.key(0)}
        self.fixed = {s: p for s, p in params.items() if s not in trained}
        self.compiled = jax.jit(self.step, donate_argnums=0)

    def __call__(self, images, labels):
        self.state = jax.block_until_ready(self.compiled(self.state, self.fixed, images, labels))

    def weights(self):
        """{symbol: {l: array}} of the trained weights, laid out like ours."""
        params = self.state["params"]
        return {s: {l: ours(m, params[s][l]) for l, m in self.net.maps_of(s).items()}
                for s in "WV" if s in params}

    def step(self, state, fixed, images, labels):
        params, t = state["params"], state["t"] + 1
        key, noise = jax.random.split(state["key"])
        dtype = params["W"][1].dtype
        y = jax.nn.one_hot(labels, self.net.shape(self.L)[0], dtype=dtype)
        x = images.astype(dtype) / 255
        g = self.gradients({**params, **fixed}, x, y, noise)
        new = {"params": {}, "m": {}, "v": {}, "t": t, "key": key}
        for prefix, symbols in self.groups.items():
            numbers = [self.setting[prefix + k] for k in ("lr", "beta1", "beta2", "epsilon")]
            for s in symbols:
                after = {l: adam(theta, g[s][l], state["m"][s][l], state["v"][s][l], t, *numbers)
                         for l, theta in params[s].items()}
                for i, name in enumerate(("params", "m", "v")):
                    new[name][s] = {l: three[i] for l, three in after.items()}
        return new

    def a(self, P, l, h):
        return forward(self.net.map[l], P["W"][l], h) + P["b"][l]

    def f(self, P, l, h):
        a = self.a(P, l, h)
        return jax.nn.softmax(a) if l == self.L else jnp.tanh(a)

    def of_deltas(self, P, h, delta):
        N = len(h[0])
        return {"W": {l: outer(self.net.map[l], P["W"][l], h[l - 1], d / N)
                      for l, d in delta.items()},
                "b": {l: sum_to(d / N, P["b"][l]) for l, d in delta.items()}}


class Backpropagation(Step):
    def gradients(self, P, x, y, key):
        def loss(trained):
            h = x
            for l in range(1, self.L):
                h = self.f(trained, l, h)
            return -(y * jax.nn.log_softmax(self.a(trained, self.L, h))).sum(1).mean()

        return jax.grad(loss)({s: P[s] for s in "Wb"})


class Local(Step):
    """A rule that needs no graph: `deltas` gives {l: δ_l} of the hidden layers."""

    def gradients(self, P, x, y, key):
        h = {0: x}
        for l in range(1, self.L + 1):
            h[l] = self.f(P, l, h[l - 1])
        e = h[self.L] - y
        return {**self.of_deltas(P, h, {self.L: e, **self.deltas(P, h, y, e)}),
                **self.of_inverses(P, h, key)}

    def of_inverses(self, P, h, key):
        return {}


class FeedbackAlignment(Local):
    def deltas(self, P, h, y, e):
        delta = {self.L: e}
        for l in range(self.L - 1, 0, -1):
            dh = transpose(self.net.maps_of("B")[l + 1], P["B"][l + 1], delta[l + 1])
            delta[l] = dh * (1 - h[l] ** 2)
        return delta


class SimplifiedDTP(Local):
    groups = {"": ("W", "b"), "inverse_": ("V", "c")}

    def g(self, P, l, u):
        return jnp.tanh(transpose(self.net.maps_of("V")[l], P["V"][l], u) + P["c"][l])

    def top(self, P, h, y, e):
        """ĥ_{L-1}."""
        return h[self.L - 1] + (self.g(P, self.L, y) - self.g(P, self.L, h[self.L]))

    def deltas(self, P, h, y, e):
        h_hat = {self.L - 1: self.top(P, h, y, e)}
        for l in range(self.L - 2, 0, -1):
            h_hat[l] = h[l] + (self.g(P, l + 1, h_hat[l + 1]) - self.g(P, l + 1, h[l + 1]))
        return {l: 2 * (h[l] - h_hat[l]) * (1 - h[l] ** 2) for l in h_hat}

    def of_inverses(self, P, h, key):
        found = {"V": {}, "c": {}}
        for l, m in self.net.maps_of("V").items():
            key, own = jax.random.split(key)
            noise = jax.random.normal(own, h[l - 1].shape, h[l - 1].dtype)
            noisy = h[l - 1] + self.setting["sigma"] * noise
            u = self.f(P, l, noisy)
            back = self.g(P, l, u)
            r = h[l - 1] if self.setting["inverse_loss"] == "de-noising" else noisy
            d = 2 * (back - r) * (1 - back ** 2) / len(u)
            found["V"][l] = outer(m, P["V"][l], d, u)
            found["c"][l] = sum_to(d, P["c"][l])
        return found


class DTP(SimplifiedDTP):
    def top(self, P, h, y, e):
        dh = transpose(self.net.map[self.L], P["W"][self.L], e)
        return h[self.L - 1] - self.setting["alpha"] * dh


RULES = {"bp": Backpropagation, "fa": FeedbackAlignment, "dtp": DTP, "sdtp": SimplifiedDTP}


def side(trainer, rule_name, images, labels, threads):
    """(a function that takes one step on the batch, one that gives the weights as they are).

    They begin as our trainer's are now; weights() is {symbol: {l: array}}, laid out like ours.
    """
    if threads == 1:  # else one for each CPU; it has no number between
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", trainer.params["W"][1].dtype == np.float64)
    step = RULES[rule_name](trainer)
    return partial(step, jnp.asarray(images), jnp.asarray(labels)), step.weights


def sum_to(v, b):
    """Sum over the batch, and over positions where the bias is one for each channel."""
    return v.sum(tuple(range(v.ndim - b.ndim)))
