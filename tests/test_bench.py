"""The PyTorch side of runs.bench does the same work: the same parameters after the same steps."""

import numpy as np
import pytest
from checks import defaults

from ref import architectures, evaluation, rules, training
from ref.network import initial_parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")

from runs.bench import peer_torch  # noqa: E402 - needs torch

NETS = {
    "dense": ((6, 5, 2), "dense 9, dense 8, softmax 4"),
    "local": ((9, 8, 2), "local 3x3x4/2, local 3x3x5/1, dense 7, softmax 4"),
    "conv": ((9, 8, 2), "conv 3x3x4/2, conv 3x3x5/1, dense 7, softmax 4"),
}
SETTING = {
    # PyTorch has the kingma form; a large epsilon keeps Adam from magnifying rounding
    "optimizer": "adam", "epsilon_form": "kingma",
    "lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3,
    "inverse_lr": 1e-2, "inverse_beta1": 0.9, "inverse_beta2": 0.99, "inverse_epsilon": 1e-3,
    "sigma": 0.0,  # each side draws noise of its own
    "alpha": 0.3, "reduction": "sum", "first_target": "hidden", "order": "targets-first",
}


@pytest.mark.parametrize("arch", NETS)
@pytest.mark.parametrize("name", ["bp", "fa", "dfa", "dtp", "sdtp", "ao-sdtp"])
def test_same_parameters_after_three_steps(name, arch):
    in_shape, layers = NETS[arch]
    rule = rules.get(name)
    setting = SETTING | defaults(rule)
    options = {"aux": 6} if name == "ao-sdtp" else {}
    net = rule.extend(architectures.build(layers, in_shape), **options)
    params = initial_parameters(net, training.initial_stream(0), np.float32)
    theirs = peer_torch.RULES[name](net, params, setting)
    trainer = training.Trainer(net, rule, params, setting, seed=0)

    rng = np.random.default_rng(1)
    for _ in range(3):
        images = rng.integers(0, 256, (6, *in_shape), dtype=np.uint8)
        labels = rng.integers(0, 4, 6)
        trainer.step(*evaluation.batch_of(net, images, labels, np, np.dtype("float32")))
        theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels))

    weights = theirs.weights()
    assert weights.keys() == {s for s in "WV" if net.maps_of(s)}
    for symbol, layers in weights.items():
        assert layers.keys() == net.maps_of(symbol).keys()
        for l, torchs in layers.items():
            ours = params[symbol][l]
            assert np.abs(ours - torchs).max() / np.abs(ours).max() < 1e-4
