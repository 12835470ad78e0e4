"""The networks of Table 3, the autoencoder of section 5.5, and networks of the user's own.

    build("mnist-lc")                                                            by name
    build("local 3x3x32/2, dense 1024, softmax 10", in_shape=(28, 28, 1))        by its layers

ref/layers.py has the language of such lines. Besides, the networks of papers that answer this one:
AlexNet as Xiao et al. 2018 trained it (batch norm, no dropout), the ResNets of He et al. 2015 for
ImageNet and CIFAR, and BioTorch's LeNets (Sanfiz & Akrout 2021), each with the initial weights of
its reference (ref/initial.py). `python -m ref.architectures` prints what each one holds.
"""

import re
from dataclasses import replace
from math import prod

from . import layers as grammar
from . import losses
from .layers import ArchitectureError
from .network import FORWARD, SYMBOLS
from .units import BatchNorm

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


def _cifar_resnet(n):
    """He et al. 2015, section 4.2: 6n + 2 layers, shortcuts without parameters."""
    stages = [f"block {channels}{stride} a, " + f"block {channels} a, " * (n - 1)
              for channels, stride in ((16, ""), (32, "/2"), (64, "/2"))]
    return "conv 3x3x16 pad 1 bn relu, " + "".join(stages) + "mean, softmax 10"


_RESNET_18 = "".join(f"block {c}{stride}, block {c}, "
                     for c, stride in ((64, ""), (128, "/2"), (256, "/2"), (512, "/2")))

# name: (shape of the input, layers)
NAMED = {
    "mnist-fc": ((28, 28, 1), "dense 256, " * 5 + "softmax 10"),
    "cifar-fc": ((32, 32, 3), "dense 1024, " * 3 + "softmax 10"),
    **{f"{data}-lc": entry for data, entry in _LOCAL.items()},
    **{f"{data}-conv": (s, net.replace("local", "conv")) for data, (s, net) in _LOCAL.items()},
    "mnist-autoencoder": ((28, 28, 1), "dense 512, dense 64, dense 512, reconstruction"),
    "alexnet": (
        (224, 224, 3),
        "conv 11x11x64/4 pad 2 bn relu, maxpool 3/2, conv 5x5x192 pad 2 bn relu, maxpool 3/2, "
        "conv 3x3x384 pad 1 bn relu, conv 3x3x256 pad 1 bn relu, conv 3x3x256 pad 1 bn relu, "
        "maxpool 3/2, dense 4096 bn relu, dense 4096 bn relu, softmax 1000",
    ),
    "resnet18": (
        (224, 224, 3),
        f"conv 7x7x64/2 pad 3 bn relu, maxpool 3/2 pad 1, {_RESNET_18}mean, softmax 1000",
    ),
    "resnet18-cifar": ((32, 32, 3), f"conv 3x3x64 pad 1 bn relu, {_RESNET_18}mean, softmax 10"),
    "resnet20": ((32, 32, 3), _cifar_resnet(3)),
    "resnet56": ((32, 32, 3), _cifar_resnet(9)),
    # 28x28 with zeros around it is the 32x32 of its reference
    "lenet-mnist": (
        (28, 28, 1),
        "conv 5x5x6 pad 2 relu, maxpool 2, conv 5x5x16 pad 0 relu, maxpool 2, "
        "conv 5x5x120 pad 0 relu, dense 84 relu, softmax 10",
    ),
    "lenet-cifar": (
        (32, 32, 3),
        "conv 3x3x32 pad 0 relu, maxpool 2, conv 3x3x64 pad 0 relu, maxpool 2, "
        "conv 3x3x128 pad 0 relu, mean, dense 256 relu, softmax 10",
    ),
}

# Initial weights where they are not Glorot's (ref/initial.py).
INITIAL = {"alexnet": "fan-in", "resnet18": "he-fan-out", "resnet18-cifar": "he-fan-out"}


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
                f"{name} takes {_x(expected)} inputs, not {_x(in_shape)}")
        in_shape = expected
    elif re.search(r"[\s,]|^reconstruction$", name.strip()):
        layers = name
    else:
        raise ArchitectureError(
            f"unknown architecture {name!r}; there are {', '.join(sorted(NAMED))}, "
            'or describe one: "local 3x3x32/2, dense 256, softmax 10"')
    if in_shape is None:
        raise ArchitectureError(f"{name!r} needs the shape of its input")
    net = grammar.read(layers, in_shape, output)
    return replace(net, initial=INITIAL[name]) if name in INITIAL else net


def is_autoencoder(net):
    """Whether the network's targets are its own inputs."""
    return net.loss is losses.squared_error


def _x(shape):
    return "x".join(map(str, shape))


def describe(name, net, trained_symbols, batch_size, itemsize=4):
    """Lines that say what a network (extended by a rule) holds and costs for a batch.

    memory counts parameters, their gradients and Adam's two moments, fixed feedback, and the
    activities of a batch; work space for patches comes on top.
    """
    yield f"{name}: input {_x(net.shape(0))}"
    shown = {l: words(net, l) for l in net.map}
    width = max(22, *map(len, shown.values()))
    yield (f"  {'l':>2} {'map':<{width}} {'output':>11} {'parameters':>12} {'of inverse':>12} "
           f"{'multiply-adds':>14}")
    size = {s: {l: prod(shape) for l, shape in net.shapes_of(s).items()} for s in SYMBOLS}
    trained = sum(sum(size[s].values()) for s in trained_symbols)
    fixed = sum(sum(layers.values()) for layers in size.values()) - trained
    for l, m in net.map.items():
        forward = sum(size[s].get(l, 0) for s in FORWARD)
        inverse = size["V"].get(l, 0) + size["c"].get(l, 0)
        yield (f"  {l:2} {shown[l]:<{width}} {_x(net.shape(l)):>11} "
               f"{forward:12,} {inverse:12,} {m.multiply_adds:14,}")
    units = sum(prod(net.shape(l)) for l in range(net.L + 1))
    total = itemsize * (4 * trained + fixed + batch_size * (units + of_units(net)))
    forward = sum(sum(size[s].values()) for s in FORWARD)
    yield (f"  forward parameters {forward:,}, trained {trained:,}, fixed {fixed:,}, units "
           f"{units:,}, multiply-adds of a forward pass "
           f"{sum(m.multiply_adds for m in net.map.values()):,} an example")
    yield f"  memory at batch {batch_size}, {8 * itemsize}-bit: {total / 2**20:,.0f} MiB"


def of_units(net):
    """Numbers that the units of one example keep for the way down beside the h_l: x̂, and the σ(a)
    that a pool takes."""
    kept = 0
    for l, unit in net.units.items():
        pooled = unit.out_shape(net.map[l].out_shape) != net.map[l].out_shape
        kept += ((unit.find(BatchNorm) is not None) + pooled) * prod(net.map[l].out_shape)
    return kept


def words(net, l):
    """A layer in words: map, unit, and what it reads where that is not the layer before it."""
    m, unit = net.map[l], net.unit(l).name
    if m.kind == "dense":
        said = "dense"
    else:
        said = f"{m.kind} {_x((*m.kernel, m.channels))}/{m.stride}"
        said += "" if m.pad is None else f" pad {m.pad}"
    if l in net.adds:
        unit = unit.replace("add", f"add {net.adds[l]}", 1)
    return f"{said}, {unit}" + (f", from {net.sources[l]}" if l in net.sources else "")


def work():
    from . import rules
    from .common.command import Parser, count, image_shape, tell

    p = Parser(prog="python -m ref.architectures",
               description="Print what networks hold and cost: layers, parameters, memory.")
    p.add_argument("--arch", help="a name or a line of layers (default: all that have a name)")
    p.add_argument("--in-shape", type=image_shape, metavar="HxWxC",
                   help="input of a network given by its layers (default 28x28x1)")
    p.add_argument("--rule", choices=rules.NAMES, metavar="RULE",
                   help=f"whose inverses and feedback to count too: {', '.join(rules.NAMES)}")
    p.add_argument("--batch-size", type=count, default=128, help="default %(default)s")
    args = p.parse_args()
    for name in [args.arch] if args.arch else NAMED:
        in_shape = args.in_shape or (None if name in NAMED else (28, 28, 1))
        net, trained = build(name, in_shape), FORWARD
        if args.rule:
            rule = rules.get(args.rule)
            net, trained = rule.extend(net), rule.symbols
        tell(*describe(name, net, trained, args.batch_size), "")


def main():
    from .common import command

    command.run(work)


if __name__ == "__main__":
    main()
