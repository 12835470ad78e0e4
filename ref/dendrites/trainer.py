"""Training, one image after another: what training.Trainer is for eq. (1)'s networks."""

import numpy as np

from ..backend import on_host
from ..common.command import UsageError
from ..heap import keep_freed_memory
from ..network import zero_parameters
from ..ranks import ALONE
from ..seeds import stream
from . import constants, example, initial, kernel, learning, measures, model, rate, spikes, steps


class Trainer:
    """A network of segregated dendrites and its state between images.

    net, rule, params, setting, seed    as in training.Trainer
    factors  as in training.Trainer;  ranks  one process
    t        images so far; spikes and lengths of phases of image t are functions of seed and t
    carried  {name: array}, the State between images, changed in place: a checkpoint keeps it
    """

    ranks = ALONE

    def __init__(self, net, rule, params, setting, seed, device_noise=False):
        model.check(setting)
        if not on_host(params["W"][1]):
            raise UsageError("--backend cupy: segregated dendrites run on NumPy; one image at a "
                             "time is too little work for a GPU")
        keep_freed_memory()
        self.net, self.rule, self.params, self.setting, self.seed = net, rule, params, setting, seed
        self.c = model.constants_of(setting)
        self.kernel = kernel.make(self.c, setting["kernel_steps"])
        self.t, self.state, self.factors = 0, {}, {}  # no optimiser has any state
        for l in params["W"]:  # so that a pixel's weights lie together: whole.py gathers them
            params["W"][l] = np.asfortranarray(params["W"][l])
        sizes = [params["W"][1].shape[1], *(len(params["b"][l]) for l in sorted(params["b"]))]
        self.between = steps.at_rest(self.kernel, sizes, params["W"][1].dtype)
        self.carried = ({f"V_{l}": V for l, V in self.between.V.items()}
                        | {f"trace_{l}": trace for l, trace in self.between.trace.items()}
                        | {"top": self.between.top})

    def step(self, x, y, phase="both", **_):
        """Learn from each of the images x (N, *shape_0), y (N, n_L) one-hot, in this order.

        Returns "h", "loss" (N,) of the forward phases, as `net` reads them out, "measures"
        {name: (N,)} and "examples", a list of example.Example.
        """
        rows = x.reshape(len(x), -1)
        done = [self._image(row, label) for row, label in zip(rows, y, strict=True)]
        L = self.net.L
        V = np.stack([e.forward.V[L] for e in done])
        phi = {l: np.stack([e.forward.phi[l] for e in done]) / self.c.phi_max for l in self.net.map}
        losses = [learning.losses(self.c, e.forward, e.target) for e in done]
        found = {f"layer_loss_{l}": np.array([loss[l] for loss in losses]) for l in phi}
        found |= {f"rate_hz_{l}": 1000 * self.c.phi_max * phi[l].mean(axis=1) for l in phi}
        if self.setting["readout"] == "potential":
            phi[L] = V
        return {"h": {0: x, **phi}, "loss": self.net.loss.value(V, y), "measures": found,
                "examples": done}

    def _image(self, x, y):
        self.t += 1
        done = self.example(x, y, self.t, self.between)
        for name in ("V", "trace"):
            for l, array in getattr(self.between, name).items():
                array[...] = getattr(done.state, name)[l]
        self.between.top[...] = done.state.top
        factor = self.factors.get("forward", 1.0)  # in this epoch, of both rates
        learning.update(self.c, self.params, done.G, done.forward.s, factor * self.setting["lr"],
                        factor * self.setting["output_lr"])
        if "symmetric" in self.setting["feedback_weights"]:
            noisy = self.setting["feedback_weights"] == "noisy-symmetric"
            initial.follow(self.params, stream(self.seed, "magnitude", self.t) if noisy else None)
        return done

    def example(self, x, y, t, state, series=(None, None)):
        """The Example of image number t from a State; nothing changes."""
        c, setting = self.c, self.setting
        if setting["model"] == "rates":
            forward = rate.phase(c, self.kernel.mass, self.params, x)
            target = rate.phase(c, self.kernel.mass, self.params, x, y, forward)
            return example.Example(forward, target, learning.gradients(c, forward, target), state)
        rng = stream(self.seed, "phases", t)
        lengths = constants.lengths(c, rng)
        windows = [None, None]
        if setting["plateaus"] == "random":
            windows = [{l: constants.plateau_windows(rng, len(self.params["b"][l]), T)
                        for l in self.params["B"]} for T in lengths]
        source = spikes.Poisson(stream(self.seed, "spikes", t), c.phi_max)
        return example.run(c, self.kernel, self.params, state, x, y, lengths, source, windows,
                           setting["fed_back"], series=series)

    def own_angles(self, x, y):
        """{"angle_l": mean angle in degrees between ΔW_l and backpropagation's} of the hidden
        layers over the images x, y, each from the present State; nothing changes."""
        found = [measures.angles(self.c, self.params, self.example(row, label, i, self.between))
                 for i, (row, label) in enumerate(zip(x.reshape(len(x), -1), y, strict=True))]
        return {f"angle_{l}": float(np.nanmean([a[l] for a in found])) for l in found[0]}


def first_parameters(net, stream_of, dtype, setting):
    """Initial W, b and Y, as NumPy arrays; stream_of(purpose) gives a Generator."""
    params = zero_parameters(net, dtype)
    sizes = [int(np.prod(net.shape(l))) for l in range(net.L + 1)]
    spread = 2.0 if setting["initial_range"] == "doubled" else 1.0
    rng = stream_of("weights")
    for l in net.map:
        params["W"][l], params["b"][l] = initial.weights(
            rng, sizes[l], sizes[l - 1], setting["phi_max"], dtype, spread)
    Y = initial.feedback(stream_of("feedback"), sizes, setting["phi_max"], dtype,
                         setting["feedback_weights"], setting["lower_feedback"])
    params["B"] = {l: array * dtype.type(spread) for l, array in Y.items()}
    if "symmetric" in setting["feedback_weights"]:
        initial.follow(params)
    return params
