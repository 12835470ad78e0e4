"""A model from a setting: its constants and kernel, and what stands in for eq. (1)'s network.

The network keeps its layers' sizes and names of parameters; `forward` here is what it does, the
paper's test: each image from rest, Poisson spikes for `test_ms`, and the output unit with the
largest average somatic potential is the answer.
"""

from dataclasses import replace

import numpy as np

from ..activations import Activation, tanh
from ..common.command import UsageError
from ..linear import Dense
from ..losses import Loss, cross_entropy
from ..seeds import stream
from . import constants, example, kernel, rate, spikes
from .compartments import sigma, sigma_derivative

FIELDS = ("phi_max", "g_a", "teaching", "averages")  # of Constants that are options of the rule


def _loss(a_L, y):
    """‖φ_L / φ_max - y‖², with σ(V̄) for the rate: what the output does beside what it should."""
    d = sigma(a_L) - y
    return (d * d).sum(axis=1)


# h_l of the network are rates in units of φ_max, so σ is what stands between V and h
LOGISTIC = Activation("logistic", lambda a, out=None: sigma(a), lambda h, v: v * h * (1 - h))
LOSS = Loss("rates", _loss, lambda h_L, y: 2 * (h_L - y) * sigma_derivative(h_L), None)


def constants_of(setting):
    """The Constants of a setting."""
    return constants.Constants(
        settling=setting["settling_ms"], phase=setting["phase_ms"],
        **{name: setting[name] for name in FIELDS})


def check(setting):
    """Raise UsageError for a setting that the model can't follow."""
    if setting.get("batch_size", 1) != 1:
        raise UsageError(f"--batch-size {setting['batch_size']}: segregated dendrites learn from "
                         "one image at a time; leave it out")
    settling = setting["settling_ms"]
    for name in ("phase_ms", "test_ms"):
        if setting[name] <= settling:
            raise UsageError(f"--{name.replace('_', '-')} {setting[name]}: must be longer than the "
                             f"settling time of {settling} ms, which no average includes")
    if setting["averages"] == "last-20" and setting["phase_ms"] < 20:
        raise UsageError(f"--phase-ms {setting['phase_ms']}: --averages last-20 needs 20 or more")
    if setting["plateaus"] == "random" and setting["phase_ms"] < 35:
        raise UsageError(f"--phase-ms {setting['phase_ms']}: --plateaus random averages 30 ms that "
                         "end up to 5 ms before the phase does, and so needs 35 or more")
    for name in ("momentum", "weight_decay"):
        if setting.get(name):
            raise UsageError(f"--{name.replace('_', '-')}: segregated dendrites have none")
    for name in ("lr", "output_lr"):
        if setting[name] > 10:
            raise UsageError(f"--{name.replace('_', '-')} {setting[name]:g}: far too large; rates "
                             "are in spikes per ms here, not Hz, and the paper's learning rates "
                             "are 0.1 to 0.3")


def build(net, setting):
    """The network of these sizes as dendrites: its own forward, and a map of Y from the output.

    Raises UsageError for layers that are not fully connected, or no classes.
    """
    for l, m in net.map.items():
        plain = m.kind == "dense" and (l == net.L or net.act[l] is tanh)
        if not plain or l in net.unbiased or l in net.units or net.reads(l) != l - 1:
            raise UsageError(f"--arch: layer {l} is of a kind that segregated dendrites do not "
                             'have; theirs are `dense UNITS`: "dense 500, softmax 10"')
    if net.loss is not cross_entropy:
        raise UsageError("--arch: segregated dendrites learn classes; end with `softmax CLASSES`")
    L = net.L
    Y = {l: Dense(net.shape(L), net.shape(l)) for l in range(1, L)}
    return replace(net.adding("B", Y), act=dict.fromkeys(net.map, LOGISTIC), loss=LOSS,
                   own_forward=forward_of(setting))


def forward_of(setting):
    """The function (net, params, x, first) -> ({l: h_l}, V̄_L) of a setting."""
    c, k = constants_of(setting), kernel.make(constants_of(setting), setting["kernel_steps"])

    def forward(net, params, x, first=0):
        """h_l (N, n_l): rates in units of φ_max, of layer L what is read out; V̄_L (N, n_L).

        The spikes of the image with number first + i are a function of that number alone.
        """
        flat = x.reshape(len(x), -1)
        if setting["model"] == "rates":
            means = [rate.phase(c, k.mass, params, flat)]
        else:
            means = [example.present(c, k, params, row, setting["test_ms"],
                                     spikes.Poisson(stream(0, "tests", first + i), c.phi_max))
                     for i, row in enumerate(flat)]
        h = {0: x} | {l: np.vstack([m.phi[l] for m in means]) / x.dtype.type(c.phi_max)
                      for l in net.map}
        V = np.vstack([m.V[net.L] for m in means])
        if setting["readout"] == "potential":
            h[net.L] = V
        return h, V

    return forward
