"""Algorithm 1 (section 5.1): one batch of target propagation, whatever the targets are.

    forward pass, h_l = f_l(h_{l-1})                             step:    forward
    targets ĥ_L, ..., ĥ_1                                        targets: each rule's own file
    forward losses ‖h_l - ĥ_l‖², output dL/dθ_L                  step:    local_deltas, gradients
    inverse losses ‖h_{l-1} - g_l(f_l(h_{l-1} + ε))‖²            step:    inverse_gradients
    one update of λ, one of θ                                    training.Trainer

The parallel schedule trains both on every batch (phase "both"). The alternating one makes a whole
pass over the data with phase "inverse", then one with "forward" (training.passes).
"""

from ..network import f, forward, gradients
from .equations import of_gradients, of_output_error
from .inverses import inverse_gradients, local_deltas, of_inverses, of_local_deltas


def step(net, params, x, y, eps, phase, targets, *, inverse_loss, reduction,
         deltas=None, f=f):
    """One batch: x (N, *shape_0), y (N, *shape_L), noise eps {l: like h_l}.

    phase    "both", "forward" or "inverse": whose gradients to compute
    targets  targets(h, e) gives {"h_hat": {l: ĥ_l}} and what else it takes to compute them
    deltas   gives the hidden δ_l in the place of inverses.local_deltas
    f        what the inverses are given to invert (inverses.inverse_gradients)
    Returns h, loss (N,), and h_hat, delta, dW, db of the forward phase, inverse_loss, dV, dc of the
    inverse phase.
    """
    h, a_L = forward(net, params, x)
    out = {"h": h, "loss": net.loss.value(a_L, y)}
    if phase != "inverse":
        e = net.loss.error(h[net.L], y)
        out |= targets(h, e)
        delta = {net.L: e, **(deltas or local_deltas)(net, h, out["h_hat"], reduction)}
        out |= {"delta": delta, **gradients(net, h, delta)}
    if phase != "forward":
        out |= inverse_gradients(net, params, h, eps, inverse_loss, reduction, f)
    return out


def equations(net, setting, phase, targets, deltas=of_local_deltas):
    """Equations of a step, from those of its targets. An error that they begin with (dtp) is the
    output's, and so not said again."""
    if phase != "inverse":
        yield from targets
    if phase != "forward":
        yield from of_inverses(net, setting)
    if phase != "inverse":
        error = of_output_error(net)
        if error not in targets:
            yield error
        yield from deltas(net, setting)
        yield from of_gradients(net)
