"""An image recomputed from given spikes, every quantity by name: what reference files hold.

Names and formulas are in rules/segregated_dendrites.py. The loop of steps.py does the work.
"""

import numpy as np

from ..common.command import UsageError
from . import example, initial, kernel, learning, model, spikes, steps

LATE, EARLY, TARGET = "late", "early", "target"
SLIPS = {  # what a file may have done, as `image` can be asked to do it
    LATE: "the kernel is one step late: a spike counts with κ(0) = 0, not κ(1), in its own step",
    EARLY: "the kernel is one step ahead: a spike counts with κ(1), not κ(2), in its own step",
    TARGET: "presynaptic averages are of the target phase, where the forward phase's belong",
}
SHIFT = {LATE: -1, EARLY: 1}  # of the kernel


def check(net, setting, given):
    """Raise UsageError where what is given of an image can't be: {name: array}."""
    if setting["model"] != "spikes" or setting["plateaus"] != "end" or (
            setting["feedback_weights"] == "noisy-symmetric"):
        raise UsageError("a file of segregated dendrites has model spikes, plateaus end and no "
                         "noisy-symmetric feedback")
    c = model.constants_of(setting)
    T, T1 = len(given["n_0"]), float(given["T1"])
    least = max(c.settling + 1, 20 if c.averages == "last-20" else 1)
    if T1 != int(T1) or min(T1, T - T1) < least:
        raise UsageError(f"T1 is {T1:g} of {T} steps: expected a whole number that leaves both "
                         f"phases {least} or more")
    y = given["y"]
    if np.count_nonzero(y) != 1 or y.max() != 1:
        raise UsageError("y is not one-hot: the teaching current has one right unit")
    for l in range(net.L + 1):
        n = given[f"n_{l}"]
        if (n < 0).any() or (n != np.floor(n)).any():
            raise UsageError(f"n_{l} holds numbers that are no counts of spikes")


def at_rest(net, setting, dtype):
    """The State before the first image."""
    k = kernel.make(model.constants_of(setting), setting["kernel_steps"])
    return steps.at_rest(k, [int(np.prod(net.shape(l))) for l in range(net.L + 1)], dtype)


def image(net, setting, params, state, given, slip=None):
    """({name: array}, the next State) of an image; params change in place, as by learning.

    given  {name: array} of n_0..n_L, y and T1;  slip  one of SLIPS
    """
    c = model.constants_of(setting)
    k = kernel.make(c, setting["kernel_steps"], SHIFT.get(slip, 0))
    W, b = params["W"], params["b"]
    L, dtype = net.L, W[1].dtype
    n = {l: given[f"n_{l}"].astype(dtype) for l in range(L + 1)}
    T1 = int(given["T1"])
    series = {}, {}
    done = example.run(
        c, k, params, state, np.zeros(n[0].shape[1], dtype), given["y"].astype(dtype),
        (T1, len(n[0]) - T1), spikes.Given(n), fed_back=setting["fed_back"], phase=steps.phase,
        series=series)
    out = {f"{name}_{l}": np.concatenate([rows, series[1][name][l]])
           for name in ("s", "V", "V_a", "phi") for l, rows in series[0][name].items()}
    out |= {f"V_b_{l}": out[f"s_{l - 1}"] @ W[l].T + b[l] for l in W}
    presynaptic = (done.target if slip == TARGET else done.forward).s
    out |= {f"s_mean_{l}": presynaptic[l] for l in range(L)}
    out |= {f"V_mean_{l}": V for l, V in done.forward.V.items()}
    for p, means in (("f", done.forward), ("t", done.target)):
        out |= {f"alpha_{p}_{l}": alpha for l, alpha in learning.plateaus(means).items()}
    out["phi_target"] = done.target.phi[L]
    losses = learning.losses(c, done.forward, done.target)
    out |= {f"loss_{l}": np.array(loss, dtype) for l, loss in losses.items()}
    out |= {f"G_{l}": G for l, G in done.G.items()}
    for symbol, layers in change(net, setting, params, out).items():
        for l, array in layers.items():
            params[symbol][l][...] = array
    return out, done.state


def change(net, setting, params, out):
    """Parameters after an image, from those before it and what `image` found."""
    c = model.constants_of(setting)
    dtype = out["phi_target"].dtype
    new = {symbol: {l: np.zeros(a.shape, dtype) for l, a in params[symbol].items()}
           for symbol in ("W", "b")}
    G = {l: out[f"G_{l}"] for l in range(1, net.L + 1)}
    s = {l: out[f"s_mean_{l}"] for l in range(net.L)}
    learning.update(c, new, G, s, setting["lr"], setting["output_lr"])
    new = {symbol: {l: params[symbol][l] + a for l, a in layers.items()}
           for symbol, layers in new.items()}
    new["B"] = {l: a.copy() for l, a in params["B"].items()}
    if setting["feedback_weights"] == "symmetric":
        initial.follow(new)
    return new


def drawn(trainer, x, y):
    """{name: array} to be given of the trainer's next image x (n_0,), y (n_L,): its spikes."""
    series = {}, {}
    trainer.example(x, y, trainer.t + 1, trainer.between, series)
    found = {f"n_{l}": np.concatenate([rows, series[1]["n"][l]])
             for l, rows in series[0]["n"].items()}
    return found | {"y": y, "T1": np.array(len(series[0]["n"][0]), y.dtype)}


def unlike_rates(net, arrays, t):
    """Sentences about spikes of step t that their rates would hardly ever give: {name: array}.

    The number of spikes of a layer is Poisson with mean Σ φ.
    """
    for l in range(1, net.L + 1):
        total, mean = arrays[f"step_{t}/n_{l}"].sum(), arrays[f"step_{t}/phi_{l}"].sum()
        if abs(total - mean) > 5 * np.sqrt(max(mean, 1)):
            yield (f"step_{t}: layer {l} has {total:.0f} spikes, and its rates φ_{l} sum to "
                   f"{mean:.0f}")
