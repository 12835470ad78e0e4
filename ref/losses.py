"""Losses L(h_L), section 2: value, error signal e = dL/da_L, and minimiser.

    value(a_L, y)    L of each example, (N,)
    error(h_L, y)    e = dL/da_L of each example, (N, *shape_L), not divided by N
    argmin(y)        the h_L that minimises L (section 2.1.2: the correct label distribution)

a_L, h_L, y are (N, *shape_L); for classification y is the label distribution q, one-hot.

    name                   output h_L       L                         e
    cross-entropy          softmax(a_L)     -Σ y log h_L              h_L - y
    cross-entropy-logits   a_L              -Σ y log softmax(a_L)     softmax(a_L) - y
    squared-error          a_L              ‖h_L - y‖²                2 (h_L - y)
"""

from collections.abc import Callable
from typing import NamedTuple

from . import activations
from .backend import get_xp


class Loss(NamedTuple):
    name: str
    value: Callable
    error: Callable
    argmin: Callable | None  # None where no finite h_L minimises L


def _per_example(v):
    """Sum over units: (N, ...) -> (N,)."""
    return v.reshape(len(v), -1).sum(axis=1)


def _cross_entropy(a_L, y):
    # -Σ y log softmax(a) = Σ y (log Σ exp a - a), from a_L so that p = 0 can't give log 0
    xp = get_xp(a_L)
    shifted = a_L - a_L.real.max(axis=-1, keepdims=True)
    log_sum = xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
    return _per_example(y * (log_sum - shifted))


def _squared_error(a_L, y):
    d = a_L - y
    return _per_example(d * d)


def _same(y):
    return y


cross_entropy = Loss("cross-entropy", _cross_entropy, lambda h_L, y: h_L - y, _same)
cross_entropy_logits = Loss(
    "cross-entropy-logits",
    _cross_entropy,
    lambda h_L, y: activations.softmax.value(h_L) - y,
    None,
)
squared_error = Loss("squared-error", _squared_error, lambda h_L, y: 2 * (h_L - y), _same)

BY_NAME = {loss.name: loss for loss in (cross_entropy, cross_entropy_logits, squared_error)}
