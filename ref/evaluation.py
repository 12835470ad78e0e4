"""What a network makes of a batch of a data set: its input, its errors, their sums; evaluation.

Images and labels come as data.py gives them; no files and no command line here.
"""

import numpy as np

from .architectures import is_autoencoder
from .backend import to_host
from .network import forward
from .normalisation import normalised
from .ranks import ALONE

BATCH = 250  # of an evaluation


def to_input(images, xp, dtype, scaling=None):
    """Images -> activities h_0 of the given dtype, on xp's device.

    uint8 become [0, 1]; floats are taken as they are. scaling: of a network (normalisation.py).
    """
    if images.dtype == np.uint8:
        return normalised(xp.divide(xp.asarray(images), 255, dtype=dtype), scaling)
    return normalised(xp.asarray(images).astype(dtype, copy=False), scaling)


def batch_of(net, images, labels, xp, dtype):
    """(x, y) of a batch: activities h_0, and the label distributions or, reconstructing, x."""
    x = to_input(images, xp, dtype, net.scaling)
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
        for name, values in out.get("measures", {}).items():
            batch[name] = values.sum(dtype=np.float64)
        self.sums = {key: self.sums.get(key, 0) + value for key, value in batch.items()}

    def means(self):
        """{"train_error": ..., "train_loss": ..., "inverse_loss_l": ...}, for an example."""
        return {key: float(value) / self.n for key, value in self.sums.items()}

    def empty(self):
        """A Tally of the same sums with nothing added yet."""
        return Tally({"n": 0, "sums": dict.fromkeys(self.sums, 0)})

    def over(self, ranks):
        """The Tally of what all ranks have added up."""
        found = ranks.total({"n": self.n, **self.sums})
        return Tally({"n": int(found.pop("n")), "sums": found})

    def state(self):
        """What Tally(state) goes on from."""
        return {"n": self.n, "sums": {key: float(value) for key, value in self.sums.items()}}


def evaluate(net, params, part, xp, dtype, before_batch=lambda: None, ranks=ALONE):
    """(mean error as in error_sum, mean loss) of the network on a part of a data set.

    before_batch  called before each batch; it may raise, to stop
    ranks         among which the batches are shared out
    """
    n = errors = loss = 0
    for images, labels in part.in_order(BATCH, ranks.rows):
        before_batch()
        labels = labels[ranks.rows(len(labels))]
        if not len(labels):
            continue
        x, y = batch_of(net, images, labels, xp, dtype)
        h, a_L = forward(net, params, x, n)
        n += len(labels)
        errors = errors + error_sum(net, h[net.L], y)
        loss = loss + net.loss.value(a_L, y).sum(dtype=np.float64)
    found = ranks.total({"n": n, "errors": errors, "loss": loss})
    return float(found["errors"]) / found["n"], float(found["loss"]) / found["n"]


def errors_by_class(net, params, part, xp, dtype):
    """% wrong among the examples of each class, (n_classes,); NaN for a class without any."""
    n = np.zeros(net.shape(net.L)[0])
    wrong, done = n.copy(), 0
    for images, labels in part.in_order(BATCH):
        h, _ = forward(net, params, to_input(images, xp, dtype, net.scaling), done)
        done += len(labels)
        predicted = to_host(h[net.L].argmax(axis=1))
        np.add.at(n, labels, 1)
        np.add.at(wrong, labels, predicted != labels)
    return 100 * wrong / np.where(n, n, np.nan)
