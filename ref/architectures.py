"""The networks of Table 3, and networks of the user's own.

    build("mnist-fc")                                       by name
    build("dense 256, softmax 10", in_shape=(28, 28, 1))    by a line of layers, bottom to top

A layer is `dense UNITS`; the output is `softmax CLASSES`. tanh between layers (section 3).
"""

from . import activations, losses
from .linear import Dense
from .network import Network

# name: (shape of the input, layers)
NAMED = {
    "mnist-fc": ((28, 28, 1), "dense 256, " * 5 + "softmax 10"),
}


class ArchitectureError(Exception):
    """A network that can't be built; the message points at the wrong word."""


def build(name, in_shape=None, output="probabilities"):
    """The network called `name`, or described by it, for inputs of in_shape (H, W, C).

    output  what h_L is: "probabilities", softmax(a_L), or "logits", a_L itself with the softmax
            inside the loss (ref/conventions.py).

    Raises ArchitectureError for an unknown name, a layer that can't be read, or a named network
    whose input has another shape.
    """
    if name in NAMED:
        expected, layers = NAMED[name]
        if in_shape is not None and tuple(in_shape) != expected:
            raise ArchitectureError(
                f"{name} takes {_shape(expected)} inputs, but the data has {_shape(in_shape)}"
            )
        in_shape = expected
    elif " " in name.strip():
        layers = name
    else:
        raise ArchitectureError(
            f"unknown architecture {name!r}; there are {', '.join(sorted(NAMED))}, "
            'or describe one: "dense 256, softmax 10"'
        )
    if in_shape is None:
        raise ArchitectureError(f"{name!r} needs the shape of its input")
    tokens = [token.strip() for token in layers.split(",")]
    maps, act = {}, {}
    shape = tuple(in_shape)
    for l, token in enumerate(tokens, 1):
        kind = token.split(" ")[0]
        if (kind == "softmax") != (l == len(tokens)):
            raise ArchitectureError(
                f"layer {l} {token!r} of {name!r}: "
                "the last layer, and only the last, must be softmax"
            )
        maps[l] = _layer(l, token, shape)
        act[l] = activations.softmax if kind == "softmax" else activations.tanh
        shape = maps[l].out_shape
    if output == "logits":
        return Network(maps, act | {len(maps): activations.identity}, losses.cross_entropy_logits)
    return Network(maps, act, losses.cross_entropy)


def _layer(l, token, in_shape):
    words = token.split()
    if len(words) == 2 and words[0] in ("dense", "softmax") and _is_size(words[1]):
        return Dense(in_shape, (int(words[1]),))
    raise ArchitectureError(
        f"layer {l} {token!r}: expected `dense UNITS` or `softmax CLASSES`, UNITS at least 1"
    )


def _is_size(word):
    return word.isascii() and word.isdigit() and int(word) > 0


def _shape(shape):
    return "x".join(map(str, shape))
