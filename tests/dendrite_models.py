"""Small models of segregated dendrites for the tests: parameters, images, spikes, float64."""

import numpy as np

from ref.dendrites import constants, example, kernel, learning, spikes, steps

NETS = {"none": [7, 3], "one": [7, 6, 3], "two": [7, 6, 5, 3], "three": [7, 6, 5, 4, 3]}


def make(sizes, seed=0, scale=30.0, **given):
    """(Constants, params, x, y). Rates are at most 0.2, so that potentials of some size need wide
    weights."""
    rng = np.random.default_rng(seed)
    c = constants.Constants(**given)
    L = len(sizes) - 1
    params = {"W": {}, "b": {}}
    for l in range(1, L + 1):
        params["W"][l] = rng.normal(0, scale / np.sqrt(sizes[l - 1]), (sizes[l], sizes[l - 1]))
        params["b"][l] = rng.normal(0, 1, sizes[l])
    params["B"] = {l: rng.normal(0, scale, (sizes[l], sizes[L])) for l in range(1, L)}
    return c, params, rng.random(sizes[0]), np.eye(sizes[L])[1]


def drawn(c, params, x, y, T, memory=10, seed=1, **given):
    """The spikes {l: (T1 + T2, n_l)} of an image from rest, as the model draws them."""
    kept = {}, {}
    source = spikes.Poisson(np.random.default_rng(seed), c.phi_max)
    image(c, params, x, y, T, source, memory, series=kept, **given)
    return {l: np.concatenate([kept[0]["n"][l], kept[1]["n"][l]]) for l in kept[0]["n"]}


def image(c, params, x, y, T, source, memory=10, state=None, **given):
    """example.run, from rest where no State is given."""
    k = kernel.make(c, memory)
    return example.run(c, k, params, state or rest(params, memory, c), x, y, T, source, **given)


def rest(params, memory, c):
    W = params["W"]
    sizes = [W[1].shape[1], *(len(W[l]) for l in sorted(W))]
    return steps.at_rest(kernel.make(c, memory), sizes)


def outer(found):
    """{l: dW_l} of an Example."""
    return {l: np.outer(G, found.forward.s[l - 1]) for l, G in found.G.items()}


def updated(c, params, found, eta=0.2, eta_L=0.3):
    """W and b after learning.update, from copies."""
    new = {s: {l: a.copy() for l, a in params[s].items()} for s in ("W", "b")}
    learning.update(c, new, found.G, found.forward.s, eta, eta_L)
    return new

