"""One training step, one epoch, evaluation: shared by ref.train, ref.reference and runs/.

No files and no command line here; what a rule computes is in rules/, what an optimiser does with
it in optim.py.
"""

import numpy as np

from . import optim
from .architectures import is_autoencoder
from .backend import device_normal, get_xp, to_host
from .network import forward, glorot
from .parallel import later
from .rules import bp, has_inverses
from .seeds import address, normal, stream

CHECK_EVERY = 50  # steps between looks at the running sums, each of which waits for the device
EVALUATION_BATCH = 250
ANGLE_BATCH = 250


class Diverged(Exception):
    """A loss became NaN or infinite; the message names the layer and gives a hint."""


class Trainer:
    """A network, its parameters and its optimisers, trained by one rule.

    net       network.Network, extended by the rule
    rule      a module of rules/
    params    {"W": {l: array}, ...}; changed in place by every step
    setting   the resolved hyperparameters: the rule's STEP_OPTIONS, sigma, order, and for the
              forward parameters and (with prefix "inverse_") the inverses lr, beta1, beta2,
              epsilon; optimizer and epsilon_form for both
    seed      of the noise: ε at step t is a function of the seed and t alone
    device_noise  whether ε is drawn on the device: faster there, and other numbers
    t         steps taken so far
    """

    def __init__(self, net, rule, params, setting, seed, device_noise=False):
        self.net, self.rule, self.params, self.setting, self.seed = net, rule, params, setting, seed
        self.device_noise = device_noise
        self.options = {key: setting[key] for key in rule.STEP_OPTIONS}
        self.t = 0
        self.ahead = {}  # {(t, N): the noise of a step to come}, drawn while this one is computed
        self.trained = {"forward": optim.named(params, ("W", "b"))}
        if has_inverses(rule):
            self.trained["inverse"] = optim.named(params, ("V", "c"))
        self.state = {group: optim.new_state(named) for group, named in self.trained.items()}

    def step(self, x, y, phase="both", eps=None):
        """Train on one batch, x (N, *shape_0), y (N, *shape_L); returns what the rule computed.

        phase  "both", "forward" or "inverse": which parameters to train
        eps    {l: like h_l}, the noise; drawn from the seed and t where not given
        """
        self.t += 1
        if not has_inverses(self.rule):
            if self.setting.get("magnitude") == "batch":
                self._draw_magnitudes(get_xp(x))
            out = self.rule.step(self.net, self.params, x, y, **self.options)
            self._update("forward", out)
            return out
        if eps is None and phase != "forward":
            eps = self.noise(len(x), get_xp(x), x.dtype)
        if phase == "both" and self.setting["order"] == "inverse-first":
            inverse = self.step_of(x, y, eps, "inverse")
            return {**inverse, **self.step_of(x, y, eps, "forward")}
        return self.step_of(x, y, eps, phase)

    def step_of(self, x, y, eps, phase):
        """The rule's step for one phase, then the optimisers' steps, in Algorithm 1's order."""
        out = self.rule.step(self.net, self.params, x, y, eps, phase, **self.options)
        if phase != "forward":
            self._update("inverse", out)
        if phase != "inverse":
            self._update("forward", out)
        return out

    def noise(self, N, xp, dtype):
        """{l: ε_l ~ N(0, σ²), (N, *shape_l)} for every activity that an inverse reconstructs."""
        shapes = {l - 1: (N, *self.net.shape(l - 1)) for l in sorted(self.net.g_map)}
        if self.device_noise:
            draw = device_normal(address(self.seed, "noise", self.t))
            return {l: self.setting["sigma"] * draw(shape, dtype) for l, shape in shapes.items()}
        drawn = self.ahead.pop((self.t, N), None)
        eps = drawn() if drawn else self._draw(self.t, shapes, dtype)
        self.ahead = {(self.t + 1, N): later(self._draw, self.t + 1, shapes, dtype)}
        return {l: xp.asarray(e) for l, e in eps.items()}

    def _draw(self, t, shapes, dtype):
        """The noise of step t, on the host."""
        rng = stream(self.seed, "noise", t)
        sigma = dtype.type(self.setting["sigma"])
        return {l: sigma * normal(rng, shape, dtype) for l, shape in shapes.items()}

    def _draw_magnitudes(self, xp):
        """New B for this step, as rule sign-symmetry asks for them."""
        rng = stream(self.seed, "magnitude", self.t)
        for l, B in sorted(self.params["B"].items()):
            B[...] = xp.asarray(glorot(rng, self.net.b_map[l], B.dtype))

    def _update(self, group, out):
        gradients = {"forward": {"W": "dW", "b": "db"}, "inverse": {"V": "dV", "c": "dc"}}[group]
        grads = optim.named({s: out[d] for s, d in gradients.items()}, gradients)
        prefix = "inverse_" if group == "inverse" else ""
        if self.setting["optimizer"] == "sgd":
            optim.sgd(self.trained[group], grads, self.state[group], lr=self.setting[prefix + "lr"])
            return
        s = {key: self.setting[prefix + key] for key in ("lr", "beta1", "beta2", "epsilon")}
        form = self.setting["epsilon_form"]
        optim.adam(self.trained[group], grads, self.state[group], **s, epsilon_form=form)


def to_input(images, xp, dtype):
    """uint8 images -> activities h_0 in [0, 1] of the given dtype, on xp's device."""
    return xp.divide(xp.asarray(images), 255, dtype=dtype)


def batch_of(net, images, labels, xp, dtype):
    """(x, y) of a batch: activities h_0, and the label distributions or, reconstructing, x."""
    x = to_input(images, xp, dtype)
    if is_autoencoder(net):
        return x, x
    return x, xp.eye(net.shape(net.L)[0], dtype=dtype)[xp.asarray(labels)]


def error_sum(net, h_L, y):
    """The reported error, summed over the batch.

    For a classifier 100 for each example whose most probable class is another one, so that the
    mean is a percentage; for an autoencoder the mean squared error of each example's pixels.
    """
    if is_autoencoder(net):
        d = (h_L - y).reshape(len(y), -1)
        return (d * d).mean(axis=1).sum(dtype=np.float64)
    return 100 * (h_L.argmax(axis=1) != y.argmax(axis=1)).sum()


class Tally:
    """Running sums over the batches of a pass: error, loss and inverse losses of each example."""

    def __init__(self, state=None):
        state = state or {"n": 0, "sums": {}}
        self.n, self.sums = state["n"], dict(state["sums"])

    def add(self, net, out, y):
        """Add what a step on a batch (before its update) had."""
        self.n += len(y)
        batch = {"train_error": error_sum(net, out["h"][net.L], y),
                 "train_loss": out["loss"].sum(dtype=np.float64)}
        for l, loss in sorted(out.get("inverse_loss", {}).items()):
            batch[f"inverse_loss_{l}"] = loss.sum(dtype=np.float64)
        self.sums = {key: self.sums.get(key, 0) + value for key, value in batch.items()}

    def means(self):
        """{"train_error": ..., "train_loss": ..., "inverse_loss_l": ...}, for an example."""
        return {key: float(value) / self.n for key, value in self.sums.items()}

    def state(self):
        """What Tally(state) goes on from."""
        return {"n": self.n, "sums": {key: float(value) for key, value in self.sums.items()}}


def evaluate(net, params, part, xp, dtype, before_batch=lambda: None):
    """(mean error as in error_sum, mean loss) of the network on a part of a data set.

    before_batch  called before each batch; it may raise, to stop
    """
    n = errors = loss = 0
    for images, labels in part.in_order(EVALUATION_BATCH):
        before_batch()
        x, y = batch_of(net, images, labels, xp, dtype)
        h, a_L = forward(net, params, x)
        n += len(labels)
        errors = errors + error_sum(net, h[net.L], y)
        loss = loss + net.loss.value(a_L, y).sum(dtype=np.float64)
    return float(errors) / n, float(loss) / n


def errors_by_class(net, params, part, xp, dtype):
    """% wrong among the examples of each class, (n_classes,); NaN for a class without any."""
    n = np.zeros(net.shape(net.L)[0])
    wrong = n.copy()
    for images, labels in part.in_order(EVALUATION_BATCH):
        h, _ = forward(net, params, to_input(images, xp, dtype))
        predicted = to_host(h[net.L].argmax(axis=1))
        np.add.at(n, labels, 1)
        np.add.at(wrong, labels, predicted != labels)
    return 100 * wrong / np.where(n, n, np.nan)


def angles(trainer, x, y):
    """{l: angle in degrees between the rule's dW_l and backpropagation's} on one batch."""
    noise_and_phase = (None, "forward") if has_inverses(trainer.rule) else ()
    ours = trainer.rule.step(
        trainer.net, trainer.params, x, y, *noise_and_phase, **trainer.options)["dW"]
    theirs = bp.step(trainer.net, trainer.params, x, y)["dW"]
    return {l: _angle(ours[l], theirs[l]) for l in sorted(ours)}


def _angle(u, v):
    u, v = (to_host(array).astype(np.float64).ravel() for array in (u, v))
    norms = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.degrees(np.arccos(np.clip(u @ v / norms, -1, 1)))) if norms else float("nan")


def check_finite(trainer, total, x=None):
    """Raise Diverged, naming the layer, if a number in {name: number} is NaN or infinite.

    x  a batch whose activities tell the layer where the parameters are all finite
    """
    if np.isfinite(float(sum(total.values()))):  # one number from the device
        return
    bad = [name for name, value in total.items() if not np.isfinite(float(value))]
    if not bad:
        return  # each is finite, their sum is not: the next look will tell
    where = ", ".join(bad)
    h = {} if x is None else forward(trainer.net, trainer.params, x)[0]
    for l in range(1, trainer.net.L + 1):
        arrays = {f"{s}_{l}": trainer.params[s].get(l) for s in trainer.rule.SYMBOLS}
        arrays["the activity"] = h.get(l)
        spoilt = [name for name, p in arrays.items()
                  if p is not None and not bool(get_xp(p).isfinite(p).all())]
        if spoilt:
            where += f"; in layer {l}, {', '.join(spoilt)}"
            break
    else:  # it overflowed in an earlier step and every array has recovered
        last = bad[0].rsplit("_", 1)[-1]
        where += f"; in layer {last if last.isdigit() else trainer.net.L}"
    raise Diverged(f"{where} became NaN or infinite by step {trainer.t}; try a smaller --lr"
                   + (" or --inverse-lr" if has_inverses(trainer.rule) else ""))


def initial_stream(seed):
    """The function purpose -> Generator that network.initial_parameters asks for."""
    return lambda purpose: stream(seed, purpose)
