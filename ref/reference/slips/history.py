"""What an optimiser has seen of one parameter: its values and gradients, step by step."""

from ...network import name_of


def history(e):
    """(parameters before, gradients) of this step and those before it that trained this array."""
    symbol, l = e.trained
    name = name_of(symbol, l)
    steps = [t for t in range(1, e.t + 1) if e.start.phases[t] in ("both", e.group[0])]
    if not steps or steps[-1] != e.t:
        return [], []
    return ([e.parameter(symbol, l, t) for t in steps],
            [e.named(f"step_{t}/d{name}") for t in steps])
