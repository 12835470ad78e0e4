"""Networks that are not chains: every gradient by complex step, identities between rules, forks,
skips and shortcuts. Images have H != W and odd sizes; nothing divides."""

import numpy as np
import pytest
from checks import assert_close, assert_same_bits, cast, gradient, random_parameters

from ref import rules
from ref.architectures import ArchitectureError, build
from ref.common.command import UserError
from ref.graph import coming_down
from ref.layers import read
from ref.network import forward
from ref.units import Add

SHAPE = (9, 7, 2)
LINES = {
    "chain": "conv 3x2x3/2 pad 1 bn relu, maxpool 3/2 pad 1, dense 5 bn relu, softmax 3",
    "block": "conv 3x3x4/2 pad 1 bn tanh, block 4, block 6/2, mean, softmax 3",
    "option A": "conv 3x3x4 bn relu, maxpool 2, block 4 a, block 8/2 a, mean, softmax 3",
    "fork": "conv 2x3x4/2 pad 1 tanh, conv 1x1x3 from 1, conv 3x3x3 relu from 1 add 2, "
            "meanpool 3/2, dense 6 bn tanh, dense 6 bn add 4 relu, softmax 3",
    "no bias, no norm": "conv 3x3x3/2 pad 0 nobias relu, conv 3x3x3 pad 1 nobias add 1, mean, "
                        "softmax 3",
}
every_net = pytest.mark.parametrize("line", LINES.values(), ids=LINES)
# rules that carry an error down, with every reading of what carries it
VARIANTS = [
    ("bp", {}), ("fa", {}), ("fa", {"last_layer": "bp"}), ("sign-symmetry", {}),
    ("sign-symmetry", {"magnitude": "fixed", "scale": "xiao2018"}),
    ("sign-symmetry", {"scale": "liao2016", "last_layer": "bp"}),
    ("kolen-pollack", {"decay": 0.3}), ("weight-mirror", {"decay": 0.7, "sigma": 0.4}),
    ("dfa", {}), ("dfa", {"broadcast": "channels"}), ("dfa", {"broadcast": "inputs"}),
]
every_rule = pytest.mark.parametrize("rule, options", VARIANTS, ids=str)


def start(line, rule="bp", N=3, seed=0, **options):
    """(rule, net, params, x, y, eps, all options)."""
    declared = rules.get(rule)
    options = {o.name: o.default for o in declared.options if o.default is not None} | options
    net = declared.build(read(line, SHAPE), options)
    rng = np.random.default_rng(seed)
    params = random_parameters(net, rng)
    for array in params["running_var"].values():
        array[...] = abs(array) + 0.5
    x = rng.normal(size=(N, *SHAPE))
    y = np.eye(3)[rng.integers(0, 3, N)]
    eps = {l: rng.normal(size=(N, *net.shape(l))) for l in declared.noisy_layers(net)}
    return declared, net, params, x, y, eps, declared.options_of_step(options)


@every_net
def test_gradients_by_complex_step(line):
    """Of every parameter of the mean loss, under backpropagation, through a batch's statistics."""
    declared, net, params, x, y, _, _ = start(line)
    out = declared.step(net, params, x, y)

    def loss(params):
        _, a_L = forward(net, params, cast(x, params), kept={})
        return net.loss.value(a_L, y).mean()

    for symbol in ("W", "b", "gamma", "beta"):
        for l, got in out[f"d{symbol}"].items():
            assert_close(got, gradient(loss, params, symbol, l), 1e-11)
    assert out["dgamma"].keys() == net.norms.keys() and out["db"].keys() == set(net.map) - set(
        net.unbiased)


@every_net
def test_delta_is_the_gradient_at_the_preactivation(line):
    """... of every layer, forks and shortcuts too: dL/db_l where a bias stood is Σ δ_l / N."""
    declared, net, params, x, y, _, _ = start(line)
    out = declared.step(net, params, x, y)
    for l in net.map:
        W, b = params["W"], params["b"]
        biased = net.__class__(net.map, net.act, net.loss, units=net.units, sources=net.sources,
                               adds=net.adds)  # all have a bias; those before batch norm of zero
        zero = {k: np.zeros(m.bias_shape) for k, m in net.map.items()}

        def loss(params, net=biased):
            _, a_L = forward(net, params, cast(x, params), kept={})
            return net.loss.value(a_L, y).mean()

        want = gradient(loss, params | {"W": W, "b": zero | b}, "b", l)
        got = out["delta"][l].mean(axis=0)
        got = got.sum(axis=tuple(range(got.ndim - len(net.map[l].bias_shape))))
        if l in net.norms:  # a shift of a is taken away again
            assert np.abs(want).max() < 1e-12 and np.abs(got).max() < 1e-12
        else:
            assert_close(got, want, 1e-11)


@every_net
@pytest.mark.parametrize("rule", ["fa", "kolen-pollack", "weight-mirror"])
def test_with_B_equal_to_W_it_is_backpropagation(line, rule):
    options = {"decay": 0.0} if rule == "kolen-pollack" else {}
    options = {"decay": 1.0, "sigma": 0.3} if rule == "weight-mirror" else options

    declared, net, params, x, y, eps, taken = start(line, rule, **options)
    params["B"] |= {l: params["W"][l] for l in params["B"]}
    got = declared.step(net, params, x, y, eps=eps or None, **taken)
    want = rules.get("bp").step(net, params, x, y)
    for name in ("h", "loss", "delta", "dW", "db", "dgamma", "dbeta", "running_mean"):
        assert_same_bits(got[name], want[name])


@every_net
def test_sign_symmetry_is_fa_with_the_signs_of_W(line):
    declared, net, params, x, y, _, _ = start(line, "fa")
    for l in params["B"]:
        m = net.map[l]
        params["B"][l] = np.sign(params["W"][l]) * np.sqrt(2 / (m.fan_in + m.fan_out))
    got = rules.get("sign-symmetry").step(net, params, x, y, magnitude="uniform")
    assert_same_bits(got, declared.step(net, params, x, y))


def test_dfa_at_the_inputs_is_fa_where_the_output_is_all_there_is():
    """With two layers, BioTorch's meaning is B of the last layer alone."""
    _, net, params, x, y, _, _ = start("conv 3x3x3/2 pad 1 bn relu, mean, softmax 3", "dfa",
                                       broadcast="inputs")
    out = rules.get("dfa").step(net, params, x, y, broadcast="inputs")
    want = rules.get("fa").step(net, params, x, y)
    assert params["B"][2].shape == params["W"][2].shape
    assert_same_bits(out, want)


def test_dfa_through_a_convolution_by_loops():
    """e at every place, sent through the transpose of a convolution with B (K, kh, kw, C_in)."""
    line = "conv 3x3x3 pad 1, conv 3x2x4/2 pad 1, softmax 3"
    _, net, params, x, y, _, _ = start(line, "dfa", broadcast="inputs")
    out = rules.get("dfa").step(net, params, x, y, broadcast="inputs")
    e, B, down = out["delta"][3], params["B"][2], np.zeros((3, *net.shape(1)))
    for n, i, j, k, p, q, c in np.ndindex(3, *net.map[2].out_shape[:2], *B.shape):
        row, column = 2 * i + p - 1, 2 * j + q - 1
        if 0 <= row < 9 and 0 <= column < 7:
            down[n, row, column, c] += e[n, k] * B[k, p, q, c]
    assert_close(out["delta"][1], down * (1 - out["h"][1] ** 2))


@every_net
@every_rule
def test_every_rule_works_on_every_network(line, rule, options):
    """Shapes are the parameters'; what is fixed or given is not changed."""
    declared, net, params, x, y, eps, taken = start(line, rule, **options)
    before = {s: {l: a.copy() for l, a in layers.items()} for s, layers in params.items()}
    out = declared.step(net, params, x, y, eps=eps or None, **taken)
    assert_same_bits(params, before)
    for symbol in declared.symbols:
        assert out[f"d{symbol}"].keys() == net.shapes_of(symbol).keys()
        for l, shape in net.shapes_of(symbol).items():
            assert out[f"d{symbol}"][l].shape == shape
    assert all(out["delta"][l].shape == (3, *m.out_shape) for l, m in net.map.items())
    names = [e.name for phase in declared.phases[:1] for e in
             declared.equations(net, options | {"magnitude": options.get("magnitude", "uniform")},
                                phase)]
    assert {f"delta_{l}" for l in net.map} | {f"dgamma_{l}" for l in net.norms} <= set(names)
    assert len(names) == len(set(names))


def test_a_fork_sums():
    """All that reads h_1 and all that adds it: nothing overwritten."""
    net = read(LINES["fork"], SHAPE)
    assert net.readers[1] == [2, 3] and net.adders[2] == [3]
    ones = {k: np.ones((1, *m.out_shape)) for k, m in net.map.items()}
    W = {k: np.ones(m.weight_shape) for k, m in net.map.items()}
    got = coming_down(net, 1, W, ones, {})
    want = sum(net.map[k].transpose(W[k], ones[k]) for k in (2, 3))
    assert_same_bits(got, want)
    skip = np.full((1, *net.shape(2)), 7.0)
    net = read("dense 4, dense 4 add 1, dense 4 add 1, softmax 3", SHAPE)
    down = coming_down(net, 1, {2: np.zeros((4, 4))}, {2: np.ones((1, 4))},
                       {2: {"skip": skip[0, 0, 0, 0]}, 3: {"skip": 2.0}})
    assert (down == 9).all()


def test_a_block_whose_branch_is_zero_is_its_shortcut():
    _, net, params, x, _, _, _ = start("conv 3x3x4 bn relu, block 4, mean, softmax 3")
    params["gamma"][3][...] = params["beta"][3][...] = 0
    h, _ = forward(net, params, x, kept={})
    assert_same_bits(h[3], h[1].mean(axis=(1, 2)))


def test_evaluation_takes_the_running_statistics():
    """... of one example alone what it takes in any batch."""
    _, net, params, x, _, _, _ = start(LINES["block"])
    both, _ = forward(net, params, x)
    one, _ = forward(net, params, x[:1])
    assert_close({l: one[l] for l in one}, {l: both[l][:1] for l in one}, 1e-14)
    trained, _ = forward(net, params, x, kept={})
    assert np.abs(trained[1] - both[1]).max() > 0.1


@pytest.mark.parametrize("rule", ["tp", "dtp", "sdtp", "ao-sdtp", "hybrid"])
@pytest.mark.parametrize("line, named", [
    (LINES["chain"], "layer 1 (bn relu maxpool 3/2 pad 1)"),
    ("dense 4, dense 4 from 0 add 1, softmax 3", "layer 2 (add tanh)"),
    ("dense 4 bn, dense 4, softmax 3", "layer 1 (bn tanh)"),
])
def test_rules_with_inverses_refuse_units_without(rule, line, named):
    with pytest.raises(UserError) as error:
        rules.get(rule).extend(read(line, SHAPE))
    assert named in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("line, named", [
    ("conv 9x9x3 pad 0, conv 3x3x3 pad 0, softmax 3", "layer 1"),
    ("conv 3x3x3, maxpool 2, maxpool 2, maxpool 2, softmax 3", "layer 4, 'maxpool 2': the image"),
    ("conv 3x3x3 pad 1 pad 1, softmax 3", "'pad' behind a layer"),
    ("conv 3x3x3 pad, softmax 3", "expected a number behind 'pad'"),
    ("dense 3 pad 1, softmax 3", "'pad' behind a layer"),
    ("dense 3 from 1, softmax 3", "no layer 1 below it"),
    ("dense 3, dense 4 add 1, softmax 3", "h_1 is 3 and can't be added to 4"),
    ("conv 3x3x2, conv 3x3x5/2 add 1, softmax 3", "h_1 is 9x7x2 and can't be added to 5x4x5"),
    ("dense 3, dense 4 from 0, softmax 3", "nothing reads layer 1"),
    ("maxpool 2, softmax 3", "needs a layer below it"),
    ("dense 4, maxpool 2, softmax 3", "needs a layer below it that gives an image"),
    ("conv 3x3x2, maxpool 0, softmax 3", "'0' has a size of 0"),
    ("conv 3x3x2, maxpool 2 pad 2, softmax 3", "pad 2 is more than half of 2"),
    ("dense 4, block 4, softmax 3", "needs an image"),
    ("block 4 b, softmax 3", "expected"),
    ("dense 4 bn bn, softmax 3", "'bn' behind a layer"),
    ("dense 4, softmax 3 bn", "'bn' behind a layer"),
])
def test_malformed_lines(line, named):
    with pytest.raises(ArchitectureError) as error:
        read(line, SHAPE)
    assert named in str(error.value) and "\n" not in str(error.value)


def test_a_named_network_says_what_it_takes():
    with pytest.raises(ArchitectureError, match="resnet18 takes 224x224x3"):
        build("resnet18", (32, 32, 3))


def test_option_a_is_in_the_net():
    net = read(LINES["option A"], SHAPE)
    assert net.unit(4).find(Add) is None
    assert net.unit(5).find(Add) == Add((4, 3, 4), (2, 2, 8))
