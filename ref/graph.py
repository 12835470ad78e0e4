"""The way down through a network that is no chain: what reaches h_l, and what units have beside δ.

For a chain with σ between the layers it is W_{l+1}ᵀ δ_{l+1}, and no unit has anything.
"""

from .network import of_layer
from .units import BatchNorm, MaxPool


def coming_down(net, l, F, delta, own):
    """Σ_k F_kᵀ δ_k over the layers k that read h_l, plus what comes down the skips from h_l:
    dL/dh_l, or what stands for it.

    F    {k: like W_k}, or a function (k, δ_k) that sends δ_k down to what layer k reads
    own  {k: what unit k's pull gave beside δ_k}
    """
    send = F if callable(F) else lambda k, d: net.map[k].transpose(F[k], d)
    found = [send(k, delta[k]) for k in net.readers[l]] + [own[k]["skip"] for k in net.adders[l]]
    return sum(found[1:], found[0])


def of_units(net, params, kept, own, N):
    """What a step has of its units, from what they kept and what their pulls gave: gradients of γ
    and β, mean over the batch, and batch norm's running statistics after it.

    Returns {"dgamma": {l: (C,)}, "dbeta": ..., "running_mean": ..., "running_var": ...}, for the
    layers that have batch norm, and what `inside_units` gives.
    """
    found = {name: {} for name in ("dgamma", "dbeta", "running_mean", "running_var")}
    for l, norm in net.norms.items():
        found["dgamma"][l], found["dbeta"][l] = own[l]["gamma"] / N, own[l]["beta"] / N
        after = norm.running(net.unit(l).kept_by(BatchNorm, kept[l]), of_layer(params, l))
        found["running_mean"][l], found["running_var"][l] = after.values()
    return found | inside_units(net, kept)


def inside_units(net, kept):
    """{"x_hat": {l: x̂_l like a_l}, "winner": {l: who won in the last max-pool}}."""
    of = {l: (unit.kept_by(BatchNorm, kept[l]), unit.kept_by(MaxPool, kept[l]))
          for l, unit in net.units.items()}
    return {"x_hat": {l: norm.x_hat for l, (norm, _) in of.items() if norm},
            "winner": {l: pool[0] for l, (_, pool) in of.items() if pool}}
