"""What the tests share: tiny networks, random float64 numbers, comparisons, gradient checkers.

A comparison is relative to the largest entry of the expected array and fails where that array is
all zero, so that nothing passes by being small. A gradient checker moves every entry of an array.
"""

from typing import NamedTuple

import numpy as np
import pytest

from ref import activations, losses, network, rules
from ref.linear import Convolution, Dense, LocallyConnected
from ref.network import Network

TOL = 1e-12  # float64, relative to the largest entry


# ---- comparisons ---------------------------------------------------------------------------------


def leaves(tree, name=""):
    """The arrays of nested dicts and lists by name: {"W": {1: array}} -> {"W_1": array}."""
    if isinstance(tree, (list, tuple)):
        tree = dict(enumerate(tree))
    if not isinstance(tree, dict):
        return {name: np.asarray(tree)}
    found = {}
    for key, value in tree.items():
        found |= leaves(value, f"{name}_{key}" if name else str(key))
    return found


def map_leaves(function, tree):
    """The same nested dicts with function(array) for every array."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    return function(tree)


def assert_close(got, want, tol=TOL):
    """Arrays, or nested dicts of them, agree: same names, same shapes, relative error below tol."""
    got, want = leaves(got), leaves(want)
    assert got.keys() == want.keys()
    for name, expected in want.items():
        assert got[name].shape == expected.shape, name
        largest = np.abs(expected).max()
        assert 0 < largest < np.inf, f"{name}: the expected array is all zero or not finite"
        worst = np.abs(got[name] - expected).max() / largest
        assert worst <= tol, f"{name}: off by {worst:.1e} of the largest entry"


def assert_same_bits(got, want):
    """Arrays, or nested dicts of them, agree in names, types, shapes and every bit."""
    got, want = leaves(got), leaves(want)
    assert got.keys() == want.keys()
    for name, expected in want.items():
        assert got[name].dtype == expected.dtype, name
        assert got[name].shape == expected.shape, name
        assert got[name].tobytes() == expected.tobytes(), f"{name} differs"


# ---- gradient checkers ---------------------------------------------------------------------------


def complex_step(loss, theta, step=1e-30):
    """d loss / d theta, every entry: Im loss(θ + i step) / step. Exact to rounding."""
    gradient = np.empty(theta.shape)
    for k in np.ndindex(theta.shape):
        moved = theta.astype(complex)
        moved[k] += 1j * step
        gradient[k] = loss(moved).imag / step
    return gradient


def central_difference(loss, theta, step=1e-3):
    """The same in real arithmetic, fourth order: truncation about step⁴, rounding 1e-16 / step."""
    gradient = np.empty(theta.shape)
    for k in np.ndindex(theta.shape):

        def at(offset, k=k):
            moved = theta.copy()
            moved[k] += offset
            return loss(moved)

        near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
        gradient[k] = (8 * near - far) / (12 * step)
    return gradient


METHODS = {complex_step: 1e-12, central_difference: 1e-8}  # checker: tolerance


def put(params, symbol, l, array):
    """params with one array replaced, and all the others of the same type as it."""
    params = map_leaves(lambda other: other.astype(array.dtype), params)
    params[symbol] = {**params[symbol], l: array}
    return params


def cast(arrays, params):
    """Arrays that a loss holds fixed, in the type of its parameters: complex in a complex step."""
    dtype = params["W"][1].dtype
    return map_leaves(lambda array: array.astype(dtype), arrays)


def gradient(loss, params, symbol, l, method=complex_step):
    """d loss(params) / d params[symbol][l]."""
    return method(lambda theta: loss(put(params, symbol, l, theta)), params[symbol][l])


# ---- tiny networks -------------------------------------------------------------------------------


def dense_net(*widths, hidden="tanh", output="softmax", loss="cross-entropy"):
    """Fully-connected layers widths[0] - widths[1] - ...; a width is a number or a shape."""
    shapes = [w if isinstance(w, tuple) else (w,) for w in widths]
    return stack([Dense(*pair) for pair in zip(shapes, shapes[1:], strict=False)],
                 hidden, output, loss)


def stack(maps, hidden="tanh", output="softmax", loss="cross-entropy"):
    """The network of these linear maps, bottom to top."""
    L = len(maps)
    act = {l: activations.BY_NAME[hidden if l < L else output] for l in range(1, L + 1)}
    return Network(dict(enumerate(maps, 1)), act, losses.BY_NAME[loss])


REGRESSION = {"output": "identity", "loss": "squared-error"}

# Widths differ from layer to layer but for one pair, so that arrays which are swapped or
# transposed do not fit; in the pair only the numbers can show it.
NETS = {
    "dense": dense_net((2, 3, 1), 5, 5, 4, 3),
    "dense-one-hidden": dense_net(4, 6, 3),
    "dense-relu": dense_net(5, 6, 4, 3, hidden="relu"),
    "dense-logits": dense_net(5, 6, 4, 3, output="identity", loss="cross-entropy-logits"),
    "autoencoder": dense_net(5, 4, 3, 4, 5, **REGRESSION),
    "local": stack([
        LocallyConnected((4, 3, 2), 2, (3, 3), 2),
        LocallyConnected((2, 2, 2), 3, (2, 1), 1),
        Dense((2, 2, 3), (4,)),
        Dense((4,), (3,)),
    ]),
    "conv": stack([
        Convolution((5, 4, 2), 3, (3, 3), 2),
        Convolution((3, 2, 3), 2, (3, 2), 1),
        Dense((3, 2, 2), (3,)),
    ]),
    "local-one-hidden": stack([LocallyConnected((3, 4, 2), 2, (2, 3), 2), Dense((2, 2, 2), (3,))]),
    "conv-one-hidden": stack([Convolution((3, 2, 2), 3, (3, 3), 1), Dense((3, 2, 3), (4,))]),
    "images": stack([  # to images
        LocallyConnected((3, 2, 2), 3, (2, 2), 1),
        Convolution((3, 2, 3), 2, (3, 3), 2),
        LocallyConnected((2, 1, 2), 2, (1, 1), 1),
    ], **REGRESSION),
}


# ---- random numbers ------------------------------------------------------------------------------


class Case(NamedTuple):
    """A tiny network extended by a rule, and everything that one step of it reads."""

    rule: str
    net: Network
    params: dict
    x: np.ndarray
    y: np.ndarray
    eps: dict
    options: dict

    def step_options(self):
        """Those of the options that the rule's step takes."""
        return rules.get(self.rule).options_of_step(self.options)

    def step(self, *phase):
        """ref's step of the rule."""
        rule, batch = rules.get(self.rule), (self.net, self.params, self.x, self.y)
        phase = {"phase": phase[0]} if phase else {}
        return rule.step(*batch, eps=self.eps, **phase, **self.step_options())

    def having(self, **changed):
        """The same with other fields, parameters or options."""
        fields = {key: changed.pop(key) for key in self._fields if key in changed}
        params = {key: changed.pop(key) for key in self.params if key in changed}
        case = self._replace(**fields)
        return case._replace(params=case.params | params, options=case.options | changed)


def make_case(net, rule="bp", N=3, seed=0, **options):
    """A network (or its name in NETS) extended by a rule, with random numbers in every array.

    options: the rule's; of those not given, numbers are small and tell terms apart, words are the
    rule's defaults.
    """
    declared = rules.get(rule)
    ours = {"alpha": 0.3, "mu": 0.4, "aux": 4, "reduction": "sum", "sigma": 0.4}
    options = defaults(declared) | ours | options
    net = declared.build(NETS[net] if isinstance(net, str) else net, options)
    rng = np.random.default_rng(seed)
    params = random_parameters(net, rng)
    x = rng.normal(size=(N, *net.shape(0)))
    y = random_labels(net, rng, N)
    eps = {l: rng.normal(0, 0.4, (N, *net.shape(l))) for l in range(1, net.L)}
    return Case(rule, net, params, x, y, eps, options)


def defaults(rule):
    """{option: its default} of a Rule, without those that the tables have."""
    return {option.name: option.default for option in rule.options if option.default is not None}


def random_parameters(net, rng):
    """Normal numbers in every array that the network has; activities stay off saturation."""
    params = network.initial_parameters(net, lambda purpose: rng, np.float64)
    return map_leaves(lambda p: p + rng.normal(0, 0.3, p.shape), params)


def random_labels(net, rng, N):
    """One-hot labels for a classifier, any numbers for regression: (N, *shape_L)."""
    shape = net.shape(net.L)
    if net.loss is losses.squared_error:
        return rng.normal(0, 0.5, (N, *shape))
    return np.eye(*shape)[rng.integers(0, shape[0], N)]


# Every rule, and every reading of it that the options select.
VARIANTS = [
    ("bp", {}),
    ("fa", {}),
    ("dfa", {}),
    ("sign-symmetry", {}),
    ("sign-symmetry", {"magnitude": "fixed"}),
    ("sign-symmetry", {"scale": "xiao2018", "last_layer": "bp"}),
    ("dfa", {"broadcast": "channels"}),
    ("dfa", {"broadcast": "inputs"}),
    ("kolen-pollack", {"decay": 0.3}),
    ("weight-mirror", {"decay": 0.7}),
    ("tp", {}),
    ("tp", {"inverse_loss": "noise-preserving", "reduction": "mean"}),
    ("dtp", {}),
    ("dtp", {"first_target": "hidden-mean"}),
    ("dtp", {"first_target": "output-mean", "inverse_loss": "de-noising"}),
    ("dtp", {"reduction": "mean"}),
    ("sdtp", {}),
    ("sdtp", {"inverse_loss": "noise-preserving", "reduction": "mean"}),
    ("ao-sdtp", {}),
    ("ao-sdtp", {"reduction": "mean"}),
    ("sdtp", {"inverse": "wide"}),
    ("sdtp", {"inverse": "dense"}),
    ("hybrid", {}),
    ("hybrid", {"inverse_loss": "noise-preserving", "reduction": "mean"}),
]


def can_follow(net, rule, options=()):
    """Whether the rule works on the network, and the options change anything there."""
    if rule in ("tp", "sdtp", "ao-sdtp", "hybrid") and net.loss.argmin is None:
        return False  # no finite logits are the argmin of the loss
    if rule == "ao-sdtp" and len(net.shape(net.L)) > 1:
        return False  # z goes beside a vector
    return "inverse" not in options or any(m.kind != "dense" for m in net.map.values())


def nets_for(*rules):
    """pytest parameter `net`: the names of the networks that all of the rules can follow."""
    names = [name for name, net in NETS.items() if all(can_follow(net, rule) for rule in rules)]
    return pytest.mark.parametrize("net", names)


def every_case(variants=VARIANTS):
    """pytest parameters `net, rule, options`: every network, every rule, every reading of it."""
    return pytest.mark.parametrize("net, rule, options", [
        pytest.param(name, rule, options, id=" ".join(map(str, (name, rule, *options.values()))))
        for name, net in NETS.items()
        for rule, options in variants
        if can_follow(net, rule, options)
    ])
