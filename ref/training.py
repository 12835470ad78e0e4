"""One training step, one epoch, evaluation: shared by ref.train, ref.reference and runs/.

No files and no command line here; what a rule computes is in rules/, what an optimiser does with
it in optim.py.
"""

import numpy as np

from . import optim
from .backend import get_xp, to_host
from .network import forward
from .rules import bp
from .seeds import stream

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
    setting   the resolved hyperparameters (hyperparameters.py), epsilon_form and optimizer
    t         steps taken so far
    """

    def __init__(self, net, rule, params, setting, seed):
        self.net, self.rule, self.params, self.setting, self.seed = net, rule, params, setting, seed
        self.t = 0
        self.trained = optim.named(params, rule.SYMBOLS)
        self.state = optim.new_state(self.trained)

    def step(self, x, y):
        """Train on one batch, x (N, *shape_0), y (N, *shape_L); returns what the rule computed."""
        out = self.rule.step(self.net, self.params, x, y)
        self.t += 1
        self._update(self.trained, optim.named(_gradients(out), self.rule.SYMBOLS), self.state, "")
        return out

    def _update(self, trained, grads, state, prefix):
        s = {key: self.setting[prefix + key] for key in ("lr", "beta1", "beta2", "epsilon")}
        if self.setting["optimizer"] == "sgd":
            optim.sgd(trained, grads, state, lr=s["lr"])
        else:
            optim.adam(trained, grads, state, **s, epsilon_form=self.setting["epsilon_form"])


def _gradients(out):
    """{"dW": ..., "db": ...} -> {"W": ..., "b": ...}, the names of what they are gradients of."""
    return {key[1:]: value for key, value in out.items() if key in ("dW", "db", "dV", "dc")}


def to_input(images, xp, dtype):
    """uint8 images -> activities h_0 in [0, 1] of the given dtype, on xp's device."""
    return xp.divide(xp.asarray(images), 255, dtype=dtype)


def one_hot(labels, n_classes, xp, dtype):
    """Labels (N,) -> distributions (N, n_classes) with all mass on the label."""
    return xp.eye(n_classes, dtype=dtype)[xp.asarray(labels)]


def wrong(h_L, y):
    """How many examples of the batch have another class as the most probable one."""
    return (h_L.argmax(axis=1) != y.argmax(axis=1)).sum()


def train_epoch(trainer, batches, xp, dtype, progress=iter):
    """One pass over (images, labels) batches.

    Returns {"train_error": % wrong, "train_loss": mean loss}, both as seen while training, each
    batch before its update. Raises Diverged.
    """
    n_classes = trainer.net.shape(trainer.net.L)[0]
    n = errors = loss = 0
    for images, labels in progress(batches):
        x, y = to_input(images, xp, dtype), one_hot(labels, n_classes, xp, dtype)
        out = trainer.step(x, y)
        n += len(labels)
        errors = errors + wrong(out["h"][trainer.net.L], y)
        loss = loss + out["loss"].sum(dtype=np.float64)
        if trainer.t % CHECK_EVERY == 0:
            _check_finite(trainer, loss, x)
    _check_finite(trainer, loss, x)
    return {"train_error": 100 * float(errors) / n, "train_loss": float(loss) / n}


def evaluate(net, params, part, xp, dtype):
    """(% wrong, mean loss) of the network on a part of a data set."""
    n_classes = net.shape(net.L)[0]
    n = errors = loss = 0
    for images, labels in part.in_order(EVALUATION_BATCH):
        x, y = to_input(images, xp, dtype), one_hot(labels, n_classes, xp, dtype)
        h, a_L = forward(net, params, x)
        n += len(labels)
        errors = errors + wrong(h[net.L], y)
        loss = loss + net.loss.value(a_L, y).sum(dtype=np.float64)
    return 100 * float(errors) / n, float(loss) / n


def angles(trainer, x, y):
    """{l: angle in degrees between the rule's dW_l and backpropagation's} on one batch."""
    ours = trainer.rule.step(trainer.net, trainer.params, x, y)["dW"]
    theirs = bp.step(trainer.net, trainer.params, x, y)["dW"]
    return {l: _angle(ours[l], theirs[l]) for l in sorted(ours)}


def _angle(u, v):
    u, v = (to_host(array).astype(np.float64).ravel() for array in (u, v))
    norms = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.degrees(np.arccos(np.clip(u @ v / norms, -1, 1)))) if norms else float("nan")


def _check_finite(trainer, total, x):
    if np.isfinite(float(total)):
        return
    net, params = trainer.net, trainer.params
    with np.errstate(all="ignore"):
        h, _ = forward(net, params, x)
    where = "the loss"
    for l in range(1, net.L + 1):
        if not all(bool(get_xp(p).isfinite(p).all()) for p in (params["W"][l], params["b"][l])):
            where = f"the parameters of layer {l}"
            break
        if not bool(get_xp(x).isfinite(h[l]).all()):
            where = f"the activity of layer {l}"
            break
    raise Diverged(f"{where} became NaN or infinite by step {trainer.t}; try a smaller --lr")


def initial_stream(seed):
    """The function purpose -> Generator that network.initial_parameters asks for."""
    return lambda purpose: stream(seed, purpose)
