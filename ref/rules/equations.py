"""The equations of what all rules share, as data: output error, gradients, products of maps."""

from .rule import Equation
from .unit_equations import of_unit


def of_forward(net):
    """The Equations of the forward pass and the loss (1)."""
    yield Equation("h_0", "h_0 = x", ("x",))
    for l in range(1, net.L + 1):
        j = net.reads(l)
        plus, b = ("", ()) if l in net.unbiased else (f" + b_{l}", (f"b_{l}",))
        a, inputs = f"W_{l} h_{j}{plus}", (f"h_{j}", f"W_{l}", *b)
        if l in net.units:
            yield from of_unit(net, l, a, inputs)
        else:
            yield Equation(f"h_{l}", f"h_{l} = σ_{l}({a})  (1)", inputs)
    L = net.L
    loss = {"cross-entropy": f"-Σ y log h_{L}",
            "cross-entropy-logits": f"-Σ y log softmax(h_{L})",
            "squared-error": f"‖h_{L} - y‖²"}[net.loss.name]
    yield Equation("loss", f"L = {loss} of each example", (f"h_{L}", "y"))


def of_output_error(net):
    """δ_L = dL/da_L."""
    L = net.L
    formula = {"cross-entropy": f"h_{L} - y", "cross-entropy-logits": f"softmax(h_{L}) - y",
               "squared-error": f"2 (h_{L} - y)"}[net.loss.name]
    return Equation(f"delta_{L}", f"δ_{L} = dL/da_{L} = {formula}  (2.1)", (f"h_{L}", "y"))


def of_gradients(net):
    """dW_l and db_l from δ_l and what layer l reads, h_{l-1} in a chain (network.gradients)."""
    for l in range(net.L, 0, -1):
        j = net.reads(l)
        product = outer(net.map[l], f"dW_{l}", f"δ_{l}", f"h_{j}")
        yield Equation(f"dW_{l}", f"{product}  (2.1)", (f"delta_{l}", f"h_{j}"))
        if l not in net.unbiased:
            yield Equation(f"db_{l}", f"db_{l} = Σ δ_{l} / N  (2.1)", (f"delta_{l}",))


def outer(m, name, y, x, N="N"):
    """The product whose mean over the batch is a gradient of weights laid out like those of m.

    y  the name of what is on m's output side;  x  of what is on its input side
    Sums are over the batch, n, and over every index that is not on the left; x is 0 outside.
    """
    if m.kind == "dense":
        return f"{name} = Σ {y} {x}ᵀ / {N}"
    places = []
    for at, offset, (before, _) in zip("ij", "pq", m.patches.padding, strict=True):
        place = f"{m.stride}{at}+{offset}" if m.stride > 1 else f"{at}+{offset}"
        places.append(place + (f"-{before}" if before else ""))
    indices = "ijopqc" if m.kind == "local" else "opqc"
    return f"{name}[{','.join(indices)}] = Σ {y}[n,i,j,o] {x}[n,{','.join(places)},c] / {N}"
