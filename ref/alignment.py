"""How far a rule's updates are from backpropagation's, and its feedback from the weights, by layer.

`ref.train --angles` records, once an epoch, on the first 250 training examples:

    angle_l                 between the rule's dW_l and backpropagation's, in degrees
    norm_ratio_l            ‖dW_l‖ over the norm of backpropagation's
    feedback_angle_l        between W_l and what the rule has in its place on the way down: B_l, ...
    feedback_norm_ratio_l   the norm of that over ‖W_l‖
    inverse_angle_l         between W_l and V_l, where V_l has W_l's shape
    inverse_norm_ratio_l    ‖V_l‖ over ‖W_l‖

V_l is laid out like W_l and used transposed (rules/inverses.py), so the angle is that between the
inverse's matrix and W_lᵀ. An angle or a ratio to something that is all zero is NaN.
"""

import numpy as np

from .backend import to_host
from .rules.bp import RULE as BP

BATCH = 250


def compare(trainer, x, y):
    """{name: number} of all the above, on a batch x (N, *shape_0), y (N, *shape_L).

    trainer  training.Trainer, which is only looked at
    """
    if trainer.own_angles:
        return trainer.own_angles(x, y)
    rule, net, params = trainer.rule, trainer.net, trainer.params
    W = params["W"]
    ours = rule.step(net, params, x, y, phase="forward", **trainer.options)["dW"]
    found = _of("", ours, BP.step(net, params, x, y)["dW"])
    if rule.feedback:
        F = rule.feedback(net, params, **rule.options_of_feedback(trainer.setting))
        found |= _of("feedback_", F, W)
    V = {l: v for l, v in params["V"].items() if v.shape == W[l].shape}
    return found | _of("inverse_", V, W)


def _of(name, ours, theirs):
    """Angles and ratios of norms of {l: array} to another, all angles first."""
    pairs = {l: angle_and_ratio(ours[l], theirs[l]) for l in sorted(ours)}
    return ({f"{name}angle_{l}": angle for l, (angle, _) in pairs.items()}
            | {f"{name}norm_ratio_{l}": ratio for l, (_, ratio) in pairs.items()})


def angle_and_ratio(u, v):
    """(the angle between two arrays in degrees, ‖u‖ / ‖v‖)."""
    u, v = (to_host(array).astype(np.float64).ravel() for array in (u, v))
    norms = np.linalg.norm(u), np.linalg.norm(v)
    if not norms[1]:
        return float("nan"), float("nan")
    if not norms[0]:
        return float("nan"), 0.0
    cosine = np.clip(u @ v / (norms[0] * norms[1]), -1, 1)
    return float(np.degrees(np.arccos(cosine))), float(norms[0] / norms[1])
