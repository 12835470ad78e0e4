"""SGD with momentum and weight decay, and Batch Manhattan (Liao et al. 2016; Xiao et al. 2018).

At every step, with g the gradient, λ the weight decay, m the momentum, η the learning rate:

    d = g + λ θ             SGD
    d = sign(g) + λ θ       Batch Manhattan; sign(0) = 0
    v = m v + d             v is 0 before the first step
    θ = θ - η v

This is torch.optim.SGD without dampening and without Nesterov's step, which Xiao et al. do not
take either. The decay is coupled: it goes through the momentum. Every parameter decays that the
optimiser trains, biases too, as in PyTorch. Fixed feedback is no parameter and does not.
"""

from .backend import Kernel, get_xp, sign
from .optim import check, flat_views
from .parallel import elementwise

MOMENTUM = Kernel("momentum", "T d, T lr, T m, T decay", "T theta, T v", """
    v = m * v + d + decay * theta;
    theta = theta - lr * v;
    """)


def momentum_sgd(params, grads, state, *, lr, momentum=0.0, weight_decay=0.0, manhattan=False):
    """One step. Changes params and state, whose "v" is the velocity, in place.

    manhattan  take the sign of each gradient in its place
    Raises ValueError where the names or shapes of params and grads differ.
    """
    check(params, grads)
    state["t"] += 1

    def update(theta, g, v):
        xp = get_xp(theta)
        d = weight_decay * theta
        d += xp.sign(g) if manhattan else g
        v *= momentum
        v += d
        xp.multiply(v, lr, out=d)
        theta -= d

    def fused(theta, g, v):
        MOMENTUM(sign(g) if manhattan else g, lr, momentum, weight_decay, theta, v)

    elementwise(update, fused, *flat_views(params, grads, state["v"]))


def decayed(params, grads, weight_decay):
    """{name: g + λ θ}, what Adam takes in the place of g (torch.optim.Adam's weight_decay)."""
    return {name: g + weight_decay * params[name] for name, g in grads.items()}
