"""Right files that are not ours: the same mathematics, with sums in other orders and other code.

`draw(rng)` gives the arguments of ref.reference write for a random case; `made(path, given, way,
rng)` a Content whose every result was computed again by one of the ways of WAYS, each step from
its own parameters, with an optimiser of its own. `scaled` plants an error in one parameter's
update.
"""

import contextlib
from dataclasses import replace
from unittest import mock

import naive
import numpy as np
from write_reference import NETS

from ref import rules
from ref.network import flat
from ref.reference import cli, quantities
from ref.reference.replay import named
from ref.rules.inverses import g
from ref.rules.rule import prefix

WAYS = ("permuted", "blocked", "one by one", "pairs")
AS_PRINTED = ("sdtp", "dtp", "ao_sdtp")  # whose eq. (2) is inverses.difference_targets


# ---- sums in another order -----------------------------------------------------------------------


def product(a, b, way, rng):
    """a @ b in the arrays' own type, the sum over k taken in another order than BLAS takes it."""
    n = a.shape[1]
    if way == "permuted":
        order = rng.permutation(n)
        return np.ascontiguousarray(a[:, order]) @ np.ascontiguousarray(b[order])
    if way == "pairs" and n > 1:
        return product(a[:, : n // 2], b[: n // 2], way, rng) + product(
            a[:, n // 2 :], b[n // 2 :], way, rng) if n > 16 else a @ b
    size = {"blocked": int(rng.integers(2, 64)), "one by one": 1}.get(way, n)
    total = np.zeros((len(a), b.shape[1]), a.dtype)
    for k in range(0, n, size):
        total += a[:, k : k + size] @ b[k : k + size]
    return total


class Reordered:
    """A linear map whose three operations take their sums in another order."""

    def __init__(self, m, way, rng):
        self.m, self.way, self.rng = m, way, rng

    def __getattr__(self, name):
        return getattr(self.m, name)

    def _product(self, a, b):
        return product(a, b, self.way, self.rng)

    def _matrix(self, W):
        return W if self.kind == "dense" else naive.matrix(self.m, W).astype(W.dtype)

    def forward(self, W, x):
        y = self._product(x.reshape(len(x), -1), self._matrix(W).T)
        return y.reshape(len(x), *self.out_shape)

    def transpose(self, W, y):
        x = self._product(y.reshape(len(y), -1), self._matrix(W))
        return x.reshape(len(y), *self.in_shape)

    def outer(self, x, y):
        if self.kind == "dense":
            return self._product(y.reshape(len(y), -1).T, x.reshape(len(x), -1))
        total = np.zeros(self.weight_shape, x.dtype)
        for n in self.rng.permutation(len(x)):
            total += self.m.outer(x[n : n + 1], y[n : n + 1])
        return total


def reordered(net, way, rng):
    """The network on such maps."""
    def maps(found):
        return {l: Reordered(m, way, rng) for l, m in found.items()}
    return replace(net, map=maps(net.map), maps={s: maps(ms) for s, ms in net.maps.items()})


def targets_as_printed(net, params, h, h_hat):
    """Eq. (2) as ĥ_l = g(ĥ_{l+1}) + [h_l - g(h_{l+1})]."""
    h_hat = dict(h_hat)
    for l in range(min(h_hat) - 1, 0, -1):
        h_hat[l] = g(net, params, l + 1, h_hat[l + 1]) + (h[l] - g(net, params, l + 1, h[l + 1]))
    return h_hat


# ---- optimisers ----------------------------------------------------------------------------------


class Optimizer:
    """Adam as Algorithm 1 or as PyTorch has it, TensorFlow's, or gradient descent; in θ's type."""

    def __init__(self, setting, group, rng):
        self.s = {key: setting.get(prefix(group) + key)
                  for key in ("lr", "beta1", "beta2", "epsilon")}
        self.adam, self.form = setting["optimizer"] == "adam", setting["epsilon_form"]
        self.as_torch, self.moments = rng.random() < 0.5, {}

    def step(self, name, theta, g):
        lr, beta1, beta2, epsilon = self.s.values()
        if not self.adam:
            return theta - lr * g
        t, m, v = self.moments.get(name, (0, np.zeros_like(g), np.zeros_like(g)))
        t, m, v = t + 1, m + (1 - beta1) * (g - m), beta2 * v + (1 - beta2) * g * g
        self.moments[name] = t, m, v
        with np.errstate(invalid="ignore"):
            if self.form == "hat":
                rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
                change = rate * m / (np.sqrt(v) + epsilon)
            elif self.as_torch:
                size = np.sqrt(v) / np.sqrt(1 - beta2**t) + epsilon
                change = lr / (1 - beta1**t) * (m / size)
            else:
                change = lr * (m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + epsilon))
        return (theta - change).astype(theta.dtype)


# ---- a whole file --------------------------------------------------------------------------------


def made(path, given, way, rng):
    """The Content of ref.reference write with these arguments, its results computed another way."""
    content = cli.write(cli.parser().parse_args(["write", str(path), *given]))
    path.unlink()
    return remade(content, way, rng)


def remade(content, way, rng):
    """The same start and inputs, every result computed another way.

    way  one of WAYS, or "naive": one example, one unit at a time in double precision, its results
         rounded to the file's type
    """
    arrays = {q.name: content.arrays[q.name] for q in content.quantities if q.is_input}
    rule, dtype = rules.get(content.rule), content.arrays["init/W_1"].dtype
    params = quantities.by_layer(content.net, {
        **{name.removeprefix("init/"): a for name, a in arrays.items()},
        **{name: np.zeros(0) for name in flat({s: content.net.maps_of(s)
                                               for s in rule.redrawn(content.setting)})}})
    net = content.net if way == "naive" else reordered(content.net, way, rng)
    optimizers = {group: Optimizer(content.setting, group, rng) for group in rule.trains}
    printed = rng.random() < 0.5
    for t, phase in content.phases.items():
        here = {name.removeprefix(f"step_{t}/"): a for name, a in arrays.items()
                if name.startswith(f"step_{t}/")}
        eps = {l: here[f"eps_{l}"] for l in range(net.L) if f"eps_{l}" in here}
        for symbol in rule.redrawn(content.setting):
            params[symbol] = {l: here[f"{symbol}_{l}"] for l in net.maps_of(symbol)}
        for part in rule.parts(content.setting, phase):
            out = results(content, net, params, here, eps, part, printed, way)
            for group, optimizer in optimizers.items():
                for symbol in rule.trains[group] if part in ("both", group) else ():
                    for l in params[symbol]:
                        params[symbol] = {**params[symbol], l: optimizer.step(
                            f"{symbol}_{l}", params[symbol][l], out[f"d{symbol}"][l])}
            arrays |= {name: np.asarray(a, dtype) for name, a in named(t, out).items()}
        arrays |= {f"step_{t}/after/{name}": a for name, a in flat(params).items()}
    wanted = {q.name for q in content.quantities}
    return replace(content, arrays={n: a for n, a in arrays.items() if n in wanted})


def results(content, net, params, here, eps, part, printed, way):
    """What a rule's step gives."""
    rule = rules.get(content.rule)
    options = rule.options_of_step(content.setting)
    if way == "naive":
        wide = {s: {l: a.astype(np.float64) for l, a in layers.items()}
                for s, layers in params.items()}
        # it computes all that any phase does: what this one has no noise for is not looked at
        still = {l: np.zeros((len(here["x"]), *net.shape(l))) for l in rule.noisy_layers(net)}
        out = naive.step(content.rule, net, wide, here["x"], here["y"], still | eps, **options)
        of_part = {f"d{symbol}" for group, symbols in rule.trains.items() for symbol in symbols
                   if part in ("both", group)} | {"h", "loss", "z", "h_hat", "delta"}
        if rule.needs_noise(part):
            of_part.add("inverse_loss")
        return {key: {l: a.astype(here["x"].dtype) for l, a in value.items()}
                if isinstance(value, dict) else value
                for key, value in out.items() if key in of_part}
    with contextlib.ExitStack() as patched:
        for module in AS_PRINTED if printed else ():
            patched.enter_context(mock.patch(f"ref.rules.{module}.difference_targets",
                                             targets_as_printed))
        return rule.step(net, params, here["x"], here["y"], eps=eps, phase=part, **options)


# ---- random cases --------------------------------------------------------------------------------


def draw(rng, rule=None, dtype=None, large=False):
    """Arguments of ref.reference write, and a way to compute."""
    rule = rule or str(rng.choice(rules.NAMES))
    declared = {option.name for option in rules.get(rule).options}
    kind = "dense" if large else str(rng.choice(["dense", "local", "conv", "middle", "deep"]))
    arch, shape = {
        **NETS, "middle": ("dense 40, dense 20, softmax 10", "6x6x1"),
        "deep": ("dense 12, dense 12, dense 12, dense 12, softmax 5", "3x3x2"),
    }[kind]
    N = int(rng.choice([1, 2, 3, 5] if kind in NETS else [8, 32]))
    steps = int(rng.integers(1, 4))
    given = ["--rule", rule, "--seed", int(rng.integers(1 << 30)), "--steps", steps,
             "--dtype", dtype or rng.choice(["float32", "float64"])]
    if large:
        given += ["--arch", "mnist-fc", "--batch-size", int(rng.choice([100, 128]))]
    else:
        given += ["--arch", arch, "--in-shape", shape, "--batch-size", N]
    groups = [prefix(group) for group in rules.get(rule).trains]
    flags = [p.replace("_", "-") for p in groups]
    if rng.random() < 0.7:
        for p in flags:
            given += [f"--{p}lr", 10 ** rng.uniform(-4, -2)]
    if rng.random() < 0.2:
        given += ["--optimizer", "sgd"]
    else:
        given += ["--epsilon-form", rng.choice(["hat", "kingma"])]
        if rng.random() < 0.8:
            for p in flags:
                given += [f"--{p}epsilon", rng.choice([1e-8, 1e-8, 1e-7, 1e-5, 1e-3])]
    if "schedule" in declared:
        given += ["--schedule", rng.choice(["parallel", "parallel", "alternating"])]
    if "aux" in declared:
        given += ["--aux", 5 if not large else 64]
    choices = {"magnitude": ["uniform", "fixed", "batch"], "reduction": ["sum", "mean"],
               "order": ["targets-first", "inverse-first"], "alpha": [0.01, 0.1, 1.0],
               "inverse_loss": ["de-noising", "noise-preserving"], "mu": [0.1, 0.5, 1.0]}
    convention = rng.choice(["lee2015", "meulemans2020"]) if rule == "dtp" else None
    if convention and rng.random() < 0.5:
        given += ["--convention", convention, "--alpha", rng.choice([0.01, 0.1, 1.0])]
    else:
        for name, values in choices.items():
            if name in declared and rng.random() < 0.4:
                given += [f"--{name.replace('_', '-')}", rng.choice(values)]
    tiny = kind in NETS and not large
    way = str(rng.choice((*WAYS, "naive", "naive"))) if tiny else str(rng.choice(WAYS))
    return [str(word) for word in given], way


def scaled(content, t, name, k):
    """The same with the update of one parameter in step t k times as large."""
    before = f"step_{t - 1}/after/{name}" if t > 1 else f"init/{name}"
    old, new = content.arrays[before], content.arrays[f"step_{t}/after/{name}"]
    wrong = (old + k * (new.astype(np.float64) - old)).astype(new.dtype)
    return replace(content, arrays={**content.arrays, f"step_{t}/after/{name}": wrong})
