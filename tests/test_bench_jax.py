"""The JAX side of runs.bench does the same work: one update agrees in float64."""

from argparse import Namespace

import pytest

pytest.importorskip("jax", reason="JAX is not installed (extra: compare)")

from runs.bench import peer_jax, same  # noqa: E402 - needs jax

NETS = {
    "dense": ((6, 5, 2), "dense 9, dense 8, softmax 4"),
    "local": ((9, 8, 2), "local 3x3x4/2, local 3x2x5/1, dense 7, softmax 4"),
    "conv": ((9, 8, 2), "conv 3x3x4/2, conv 3x2x5/1, dense 7, softmax 4"),
}


def difference(net, rule):
    shape, layers = NETS[net]
    return same.difference(layers, rule, "jax", Namespace(batch_size=6, in_shape=shape))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", peer_jax.RULES)
def test_one_update_agrees(net, rule):
    assert difference(net, rule) < same.SAME_UPDATE


def test_a_peer_that_does_something_else_is_found(monkeypatch):
    adam = peer_jax.adam
    monkeypatch.setattr(peer_jax, "adam", lambda theta, g, *rest: adam(theta, 1.001 * g, *rest))
    assert difference("dense", "bp") > 100 * same.SAME_UPDATE
