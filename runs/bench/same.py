"""That a peer does the same work: one update of both, compared in float64."""

import numpy as np

from ref.parallel import threads

from .cpu import peer
from .pair import our_step, setup

SAME_UPDATE = 1e-8  # of the largest change of an array
# Without noise, which each side draws for itself, and with the peers' place for Adam's epsilon, a
# large one, because it keeps Adam from magnifying rounding.
SETTING = {"epsilon_form": "kingma", "epsilon": 1e-3, "inverse_epsilon": 1e-3, "sigma": 0.0}


def difference(arch, rule_name, name, args):
    """Largest difference of a weight after one step here and in a peer, over its array's change."""
    trainer, images, labels = setup(
        arch, rule_name, args.batch_size, args.in_shape, dtype=np.float64, **SETTING)
    step, weights = peer(name).side(trainer, rule_name, images, labels, threads())
    before = {s: {l: p.copy() for l, p in trainer.params[s].items()} for s in "WV"}
    our_step(trainer, images, labels)()
    step()
    worst = 0
    for s, layers in weights().items():
        for l, theirs in layers.items():
            ours = trainer.params[s][l]
            change = np.abs(ours - before[s][l]).max()
            worst = max(worst, float(np.abs(ours - theirs).max() / change))
    return worst
