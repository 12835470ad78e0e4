"""What is timed: a network and a rule at its first step, with one batch, and what they take."""

import numpy as np

from ref import architectures, evaluation, rules, training
from ref.backend import to_device
from ref.network import initial_parameters
from ref.settings import resolve


def build(arch, shape=None):
    """The network; `shape` is for one given by its layers, (28, 28, 1) where it is None.

    Raises ArchitectureError.
    """
    named = arch in architectures.NAMED
    return architectures.build(arch, shape or (None if named else (28, 28, 1)))


def setup(arch, rule_name, batch_size, shape=None, xp=np, dtype=np.float32,
          **changes):
    """(our trainer, images, labels): the same network, rule and batch for all sides."""
    setting, _ = resolve(rule_name, arch)
    setting |= changes
    rule = rules.get(rule_name)
    net = rule.build(build(arch, shape), setting)
    params = to_device(initial_parameters(net, training.initial_stream(0), dtype), xp)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, *net.shape(0)), dtype=np.uint8)
    labels = rng.integers(0, net.shape(net.L)[0], batch_size)
    return training.Trainer(net, rule, params, setting, seed=0), images, labels


def batch(trainer, images, labels, xp=np):
    """(x, y) for the trainer's network."""
    return evaluation.batch_of(trainer.net, images, labels, xp, trainer.params["W"][1].dtype)


def our_step(trainer, images, labels, xp=np):
    return lambda: trainer.step(*batch(trainer, images, labels, xp))


def state_bytes(trainer):
    """Bytes of the parameters, and of a gradient and two moments for each trained one."""
    fixed = sum(p.nbytes for s in ("B", "W_z", "b_z") for p in trainer.params[s].values())
    return fixed + sum(4 * p.nbytes for g in trainer.trained.values() for p in g.values())
