"""The networks of Table 3, the autoencoder of section 5.5, and networks of the user's own.

    build("mnist-lc")                                                            by name
    build("local 3x3x32/2, dense 1024, softmax 10", in_shape=(28, 28, 1))        by its layers

Layers, from the input up, separated by commas:

    dense UNITS                    fully connected
    local HEIGHTxWIDTHxCHANNELS    locally connected; /STRIDE behind it, 1 without
    conv HEIGHTxWIDTHxCHANNELS     the same with weights shared over positions
    softmax CLASSES                the output of a classifier: fully connected, cross-entropy
    reconstruction                 the output of an autoencoder: fully connected, of the input's
                                   shape, identity, squared error

Words behind a layer, in any order: "dense 256 relu nobias"

    tanh, relu, identity           its nonlinearity, tanh without (section 3); not of the output
    nobias                         no b_l: a_l = W_l h_{l-1}

Weights are drawn from Glorot & Bengio's distribution whatever the nonlinearity.
`python -m ref.architectures` prints what each one holds.
"""

import re
from math import prod

from . import activations, losses
from .common.command import UserError
from .linear import Convolution, Dense, LocallyConnected
from .network import SYMBOLS, Network

_LOCAL = {
    "mnist": ((28, 28, 1), "local 3x3x32/2, local 3x3x64/2, dense 1024, softmax 10"),
    # Table 3 gives the third layer no stride; 1 here (NOTES.md, reading 6)
    "cifar": (
        (32, 32, 3),
        "local 5x5x64/2, local 5x5x128/2, local 3x3x256/1, dense 1024, softmax 10",
    ),
    "imagenet": (
        (224, 224, 3),
        "local 9x9x48/4, local 3x3x48/2, local 5x5x96/1, local 3x3x96/2, local 3x3x192/1, "
        "local 3x3x192/2, local 3x3x384/1, softmax 1000",
    ),
}

# name: (shape of the input, layers)
NAMED = {
    "mnist-fc": ((28, 28, 1), "dense 256, " * 5 + "softmax 10"),
    "cifar-fc": ((32, 32, 3), "dense 1024, " * 3 + "softmax 10"),
    **{f"{data}-lc": entry for data, entry in _LOCAL.items()},
    **{f"{data}-conv": (s, net.replace("local", "conv")) for data, (s, net) in _LOCAL.items()},
    "mnist-autoencoder": ((28, 28, 1), "dense 512, dense 64, dense 512, reconstruction"),
}

HIDDEN = {act.name: act for act in (activations.tanh, activations.relu, activations.identity)}
BEHIND = (*HIDDEN, "nobias")  # words behind a layer's size


class ArchitectureError(UserError):
    """A network that can't be built; the message points at the wrong word."""


def build(name, in_shape=None, output="probabilities"):
    """The network called `name`, or described by it, for inputs of in_shape (H, W, C).

    output  what h_L of a classifier is: "probabilities", softmax(a_L), or "logits", a_L itself
            with the softmax inside the loss (ref/conventions.py).
    Raises ArchitectureError for an unknown name, a layer that can't be read, or a named network
    whose input has another shape.
    """
    if name in NAMED:
        expected, layers = NAMED[name]
        if in_shape is not None and tuple(in_shape) != expected:
            raise ArchitectureError(
                f"{name} takes {_x(expected)} inputs, but the data has {_x(in_shape)}")
        in_shape = expected
    elif re.search(r"[\s,]|^reconstruction$", name.strip()):
        layers = name
    else:
        raise ArchitectureError(
            f"unknown architecture {name!r}; there are {', '.join(sorted(NAMED))}, "
            'or describe one: "local 3x3x32/2, dense 256, softmax 10"')
    if in_shape is None:
        raise ArchitectureError(f"{name!r} needs the shape of its input")
    maps, act, unbiased = {}, {}, set()
    shape = tuple(in_shape)
    tokens = [token.strip() for token in layers.split(",")]
    for l, token in enumerate(tokens, 1):
        words = token.split()
        kind = words[0] if words else ""
        if (kind in ("softmax", "reconstruction")) != (l == len(tokens)):
            raise ArchitectureError(
                f"layer {l}, {token!r}: the last layer, and only the last, must be "
                "`softmax CLASSES` or `reconstruction` (commas separate layers)")
        size, behind = _split(words)
        maps[l] = _linear_map(l, token, size, shape, tuple(in_shape))
        act[l] = _nonlinearity(l, token, behind, l == len(tokens))
        if "nobias" in behind:
            unbiased.add(l)
        shape = maps[l].out_shape
    if kind == "reconstruction":
        act[l], loss = activations.identity, losses.squared_error
    elif output == "logits":
        act[l], loss = activations.identity, losses.cross_entropy_logits
    else:
        act[l], loss = activations.softmax, losses.cross_entropy
    return Network(maps, act, loss, unbiased=frozenset(unbiased))


def is_autoencoder(net):
    """Whether the network's targets are its own inputs."""
    return net.loss is losses.squared_error


def _split(words):
    """(the words that make the linear map, those behind them): `dense 256` and `relu nobias`."""
    n = 1 if words[:1] == ["reconstruction"] else 2
    return words[:n], words[n:]


def _nonlinearity(l, token, behind, last):
    """The σ_l that the words behind a layer say. Raises ArchitectureError for one unknown, said
    twice, or a nonlinearity of the output."""
    for word in behind:
        if word not in BEHIND or behind.count(word) > 1:
            raise ArchitectureError(f"layer {l}, {token!r}: {word!r} behind a layer: expected any "
                                    f"of {', '.join(BEHIND)}, each once")
    named = [word for word in behind if word in HIDDEN]
    if len(named) > 1 or named and last:
        why = "the output's goes with its loss" if last else "one nonlinearity a layer"
        raise ArchitectureError(f"layer {l}, {token!r}: {' and '.join(named)}: {why}")
    return HIDDEN[named[0]] if named else activations.tanh


def _linear_map(l, token, words, shape, in_shape):
    match words:
        case ["dense" | "softmax", units] if re.fullmatch(r"0*[1-9]\d{0,8}", units, re.A):
            return Dense(shape, (int(units),))
        case ["reconstruction"]:
            return Dense(shape, in_shape)
        case ["local" | "conv" as kind, size]:
            numbers = re.fullmatch(r"(\d{1,4})x(\d{1,4})x(\d{1,6})(?:/(\d{1,4}))?", size, re.A)
            if numbers is None:
                raise ArchitectureError(
                    f"layer {l}, {token!r}: {size!r} is not HEIGHTxWIDTHxCHANNELS or "
                    "HEIGHTxWIDTHxCHANNELS/STRIDE, such as 3x3x32/2")
            height, width, channels, stride = (int(n or 1) for n in numbers.groups())
            if 0 in (height, width, channels, stride):
                raise ArchitectureError(f"layer {l}, {token!r}: {size!r} has a size of 0")
            if len(shape) != 3:
                raise ArchitectureError(
                    f"layer {l}, {token!r}: {kind!r} needs an image (H, W, C) below it, "
                    f"but the layer below gives {_x(shape)} units")
            made = LocallyConnected if kind == "local" else Convolution
            return made(shape, channels, (height, width), stride)
    raise ArchitectureError(
        f"layer {l}, {token!r}: expected `dense UNITS`, `local HxWxC/STRIDE`, "
        "`conv HxWxC/STRIDE`, `softmax CLASSES` or `reconstruction`, and behind it any of "
        + ", ".join(BEHIND))


def _x(shape):
    return "x".join(map(str, shape))


def describe(name, net, trained_symbols, batch_size, itemsize=4):
    """Lines that say what a network (extended by a rule) holds and costs for a batch.

    memory counts parameters, their gradients and Adam's two moments, fixed feedback, and the
    activities of a batch; work space for patches comes on top.
    """
    yield f"{name}: input {_x(net.shape(0))}"
    yield (f"  {'l':>2} {'map':<22} {'output':>11} {'parameters':>12} {'of inverse':>12} "
           f"{'multiply-adds':>14}")
    size = {s: {l: prod(shape) for l, shape in net.shapes_of(s).items()} for s in SYMBOLS}
    trained = sum(sum(size[s].values()) for s in trained_symbols)
    fixed = sum(sum(layers.values()) for layers in size.values()) - trained
    for l, m in net.map.items():
        forward = size["W"][l] + size["b"].get(l, 0)
        inverse = size["V"].get(l, 0) + size["c"].get(l, 0)
        yield (f"  {l:2} {_map_name(m) + ', ' + net.act[l].name:<22} {_x(m.out_shape):>11} "
               f"{forward:12,} {inverse:12,} {m.multiply_adds:14,}")
    units = sum(prod(net.shape(l)) for l in range(net.L + 1))
    total = itemsize * (4 * trained + fixed + batch_size * units)
    yield (f"  trained {trained:,}, fixed {fixed:,}, units {units:,}, multiply-adds of a forward "
           f"pass {sum(m.multiply_adds for m in net.map.values()):,} an example")
    yield f"  memory at batch {batch_size}, {8 * itemsize}-bit: {total / 2**20:,.0f} MiB"


def _map_name(m):
    if m.kind == "dense":
        return "dense"
    return f"{m.kind} {_x((*m.kernel, m.channels))}/{m.stride}"


def work():
    from . import rules
    from .common.command import Parser, count, tell

    p = Parser(prog="python -m ref.architectures",
               description="Print what networks hold and cost: layers, parameters, memory.")
    p.add_argument("--arch", help="a name or a line of layers (default: all of Table 3)")
    p.add_argument("--in-shape", default="28x28x1", metavar="HxWxC",
                   help="input of a network given by its layers (default %(default)s)")
    p.add_argument("--rule", choices=rules.NAMES, metavar="RULE",
                   help=f"whose inverses and feedback to count too: {', '.join(rules.NAMES)}")
    p.add_argument("--batch-size", type=count, default=128, help="default %(default)s")
    args = p.parse_args()
    for name in [args.arch] if args.arch else NAMED:
        in_shape = None if name in NAMED else read_shape(args.in_shape)
        net, trained = build(name, in_shape), ("W", "b")
        if args.rule:
            rule = rules.get(args.rule)
            net, trained = rule.extend(net), rule.symbols
        tell(*describe(name, net, trained, args.batch_size), "")


def main():
    from .common import command

    command.run(work)


def read_shape(text):
    """Read "28x28x1" as (28, 28, 1). Raises ArchitectureError."""
    if not re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}x[1-9]\d{0,5}", text, re.A):
        raise ArchitectureError(f"{text!r} is not HEIGHTxWIDTHxCHANNELS, such as 28x28x1")
    return tuple(int(size) for size in text.split("x"))


if __name__ == "__main__":
    main()
