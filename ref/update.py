"""One step of the optimiser that a setting names, for one group of parameters."""

from . import optim
from .momentum import decayed, momentum_sgd


def is_plain(setting, prefix):
    """Whether a group takes plain gradient descent: nothing but its learning rate."""
    return setting["optimizer"] == "sgd" and not (
        momentum_of(setting, prefix) or decay_of(setting, prefix))


def has_velocity(setting, prefix):
    """Whether the group's optimiser keeps a velocity v from step to step."""
    return setting["optimizer"] != "adam" and momentum_of(setting, prefix) > 0


def momentum_of(setting, prefix):
    return setting.get(f"{prefix}momentum", 0.0)  # runs before it was there have no such key


def decay_of(setting, prefix):
    return setting.get(f"{prefix}weight_decay", 0.0)


def update(setting, prefix, params, grads, state, factor=1.0):
    """Change params {name: array} and state in place.

    setting  the resolved hyperparameters;  prefix  of the group's own: "", "inverse_"
    factor   of the learning rate, in this epoch (schedules.py)
    """
    lr, decay = setting[f"{prefix}lr"] * factor, decay_of(setting, prefix)
    if is_plain(setting, prefix):
        optim.sgd(params, grads, state, lr=lr)
    elif setting["optimizer"] != "adam":
        momentum_sgd(params, grads, state, lr=lr, momentum=momentum_of(setting, prefix),
                     weight_decay=decay, manhattan=setting["optimizer"] == "batch-manhattan")
    else:
        if decay:
            grads = decayed(params, grads, decay)
        s = {key: setting[prefix + key] for key in ("beta1", "beta2", "epsilon")}
        optim.adam(params, grads, state, lr=lr, **s, epsilon_form=setting["epsilon_form"])
