"""Words behind a layer of the one-line grammar: its nonlinearity, and layers without bias."""

import json

import naive
import numpy as np
import pytest
from checks import VARIANTS, assert_close, assert_same_bits, can_follow, gradient, make_case

from ref import architectures, rules
from ref.architectures import ArchitectureError, build
from ref.network import forward, initial_parameters
from ref.training import initial_stream

LINE = "conv 3x3x3/2 relu nobias, dense 5 identity, dense 4 nobias tanh, dense 4, softmax 3 nobias"
SHAPE = (4, 3, 2)


def test_what_a_line_says():
    net = build(LINE, SHAPE)
    assert [net.act[l].name for l in range(1, 6)] == ["relu", "identity", "tanh", "tanh", "softmax"]
    assert net.unbiased == {1, 3, 5}
    assert net.shapes_of("b").keys() == {2, 4}
    assert initial_parameters(net, initial_stream(0), np.float64)["b"].keys() == {2, 4}


def test_without_words_nothing_changes():
    net = build("dense 5, softmax 3", SHAPE)
    assert net.act[1].name == "tanh" and not net.unbiased


@pytest.mark.parametrize("line, named", [
    ("dense 8 relu relu, softmax 3", "'relu' behind a layer"),
    ("dense 8 relu tanh, softmax 3", "relu and tanh: one nonlinearity"),
    ("dense 8 elu, softmax 3", "any of tanh, relu, identity, nobias"),
    ("dense 8, softmax 3 relu", "layer 2, 'softmax 3 relu': relu: the output's"),
    ("dense 8, reconstruction tanh", "the output's"),
    ("dense relu, softmax 3", "expected `dense UNITS`"),
    ("dense 8 bias, softmax 3", "'bias' behind a layer"),
])
def test_malformed_lines(line, named):
    with pytest.raises(ArchitectureError) as error:
        build(line, SHAPE)
    assert named in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("output", ["softmax 3 nobias", "reconstruction nobias"])
def test_the_output_may_be_without_bias(output):
    assert build(f"dense 5, {output}", SHAPE).unbiased == {2}


def test_forward_by_hand():
    """relu(2·3 − 1·4) = 2 and relu(−2) = 0 through identity·(1, 10); no bias anywhere."""
    net = build("dense 2 relu nobias, dense 1 identity nobias, reconstruction nobias", (1, 1, 2))
    params = {"W": {1: np.array([[2.0, -1.0], [-2.0, 1.0]]), 2: np.array([[1.0, 10.0]]),
                    3: np.array([[1.0], [0.5]])}, "b": {}}
    h, a = forward(net, params, np.array([[3.0, 4.0]]).reshape(1, 1, 1, 2))
    assert h[1].tolist() == [[2.0, 0.0]] and h[2].tolist() == [[2.0]]
    assert a.ravel().tolist() == [2.0, 1.0]


@pytest.mark.parametrize("rule, options", [
    pytest.param(rule, options, id=" ".join(map(str, (rule, *options.values()))))
    for rule, options in VARIANTS])
def test_every_rule_is_as_with_biases_of_zero(rule, options):
    """... and gives no db where there is no b. The naive second implementation agrees."""
    case = make_case(build(LINE, SHAPE), rule, **options)
    assert can_follow(case.net, rule)
    zeros = {l: np.zeros(m.bias_shape) for l, m in case.net.map.items()}
    full = case._replace(params=case.params | {"b": zeros | case.params["b"]})
    out, biased = case.step(), full._replace(
        net=rules.get(rule).build(build(LINE.replace(" nobias", ""), SHAPE), case.options)).step()
    assert out["db"].keys() == {2, 4}
    biased["db"] = {l: biased["db"][l] for l in out["db"]}
    assert_same_bits(out, biased)
    want = naive.step(*full[:6], **full.step_options())
    want["db"] = {l: want["db"][l] for l in out["db"]}
    out.pop("z", None)
    assert_close(out, want)


def test_gradients_by_complex_step():
    case = make_case(build(LINE, SHAPE))
    out = case.step()

    def loss(params):
        _, a_L = forward(case.net, params, case.x.astype(params["W"][1].dtype))
        return (np.log(np.exp(a_L).sum(1)) - (case.y * a_L).sum(1)).mean()

    for symbol in ("W", "b"):
        for l, got in out[f"d{symbol}"].items():
            assert_close(got, gradient(loss, case.params, symbol, l))


def test_a_network_of_words_trains_and_verifies(command, tiny, here):
    """From the command line: a run, and a reference file that holds no b_1."""
    line = "dense 6 relu nobias, dense 5 nobias, softmax 10"
    result = command("ref.train", "--data", tiny, "--rule", "dtp", "--arch", line, "--epochs", 1,
                     "--out", "run")
    assert result.status == 0
    assert command("ref.evaluate", "run", "--data", tiny).status == 0
    written = command("ref.reference.cli", "write", "out.h5", "--rule", "dtp", "--arch", line,
                      "--in-shape", "3x3x1")
    assert written.status == 0
    verified = command("ref.reference.cli", "verify", "out.h5", "--json")
    assert verified.status == 0
    names = {q["name"] for q in json.loads(verified.out)["quantities"]}
    assert {"step_1/dW_1", "step_1/db_3", "step_1/dc_2"} <= names
    assert not {"init/b_1", "step_1/db_1", "step_1/after/b_2"} & names


def test_describe_counts_no_bias_that_is_not_there():
    net = build("dense 5 nobias, softmax 3", SHAPE)
    lines = list(architectures.describe("x", net, ("W", "b"), 1))
    assert f" {5 * 24} " in lines[2] and " 18 " in lines[3]  # 5 · 4·3·2; 3·5 + 3
