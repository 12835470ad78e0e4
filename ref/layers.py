"""Networks from one line: layers from the input up, separated by commas.

    dense UNITS                    fully connected
    local HEIGHTxWIDTHxCHANNELS    locally connected; /STRIDE behind it, 1 without
    conv HEIGHTxWIDTHxCHANNELS     the same with weights shared over positions
    softmax CLASSES                the output of a classifier: fully connected, cross-entropy
    reconstruction                 the output of an autoencoder: fully connected, of the input's
                                   shape, identity, squared error

Words behind dense, local and conv, in any order: "dense 256 relu nobias"

    bn                             batch norm (and no bias)
    tanh, relu, identity           its nonlinearity, tanh without (section 3); not of the output
    nobias                         no b_l: a_l = W_l h_{l-1}; so may the output
    pad P                          P zeros on every side, as PyTorch has it; without it TensorFlow's
                                   SAME (linear/patches.py)
    from J                         it reads h_J, not the layer before it; 0 is the input
    add I                          h_I is added before the nonlinearity: a skip connection

Behind a layer, a step of its own, which becomes part of that layer:

    maxpool K, meanpool K          of K x K; /STRIDE behind it, K without; pad P (maxpool)
    mean                           over all places

Several layers at once, a basic residual block (He et al. 2015):

    block CHANNELS                 conv 3x3xCHANNELS pad 1 bn relu, conv 3x3xCHANNELS pad 1 bn add
                                   relu; /STRIDE is the first one's. Where the shape changes, the
                                   shortcut is conv 1x1xCHANNELS/STRIDE pad 0 bn identity, a layer
                                   below these two; with `a` behind it there is none: option A
                                   (units/skip.py)

J and I count layers that have weights, from 1; a block counts 2, with a convolution as shortcut 3.
"""

import re

from . import activations, losses
from .common.command import UserError
from .linear import Convolution, Dense, LocallyConnected
from .network import Network
from .units import Add, AveragePool, BatchNorm, GlobalAverage, MaxPool, Sigma, Unit

KINDS = ("`dense UNITS`, `local HxWxC/STRIDE`, `conv HxWxC/STRIDE`, `block CHANNELS/STRIDE`, "
         "`maxpool K/STRIDE`, `meanpool K/STRIDE`, `mean`, `softmax CLASSES` or `reconstruction`")
HIDDEN = ("tanh", "relu", "identity")


class ArchitectureError(UserError):
    """A network that can't be built; the message points at the wrong word."""


def read(line, in_shape, output="probabilities"):
    """The Network of a line of layers, for inputs of in_shape (H, W, C).

    output  what h_L of a classifier is: "probabilities", softmax(a_L), or "logits"
    Raises ArchitectureError.
    """
    made = _Layers(tuple(in_shape))
    tokens = [token.strip() for token in line.split(",")]
    for n, token in enumerate(tokens, 1):
        made.where = f"layer {n}, {token!r}"
        words = token.split()
        kind = words[0] if words else ""
        if (kind in ("softmax", "reconstruction")) != (n == len(tokens)):
            raise made.error("the last layer, and only the last, must be `softmax CLASSES` or "
                             "`reconstruction` (commas separate layers)")
        made.add(words)
    if kind == "reconstruction":
        return made.network("identity", losses.squared_error)
    if output == "logits":
        return made.network("identity", losses.cross_entropy_logits)
    return made.network("softmax", losses.cross_entropy)


class _Layers:
    """The layers so far; `where` says which one is being read."""

    def __init__(self, in_shape):
        self.shapes = {0: in_shape}  # of h_l
        self.maps, self.act, self.parts, self.sources, self.adds = {}, {}, {}, {}, {}
        self.unbiased, self.where = set(), ""

    def error(self, text):
        return ArchitectureError(f"{self.where}: {text}")

    @property
    def last(self):
        return len(self.maps)

    def add(self, words):
        """One step of the line."""
        match words:
            case ["dense", units, *more] if _whole(units):
                said = self.read_words(more, (*HIDDEN, "nobias", "bn", "from", "add"))
                self.layer(Dense(self.shapes[said["from"]], (int(units),)), **said)
            case ["softmax", units, *more] if _whole(units):
                self.layer(Dense(self.shapes[self.last], (int(units),)), **self.output(more))
            case ["reconstruction", *more]:
                self.layer(Dense(self.shapes[self.last], self.shapes[0]), **self.output(more))
            case ["local" | "conv" as kind, size, *more]:
                *sizes, stride = self.numbers(
                    size, r"(\d{1,4})x(\d{1,4})x(\d{1,6})(?:/(\d{1,4}))?",
                    "HEIGHTxWIDTHxCHANNELS or HEIGHTxWIDTHxCHANNELS/STRIDE, such as 3x3x32/2")
                said = self.read_words(more, (*HIDDEN, "nobias", "bn", "from", "add", "pad"))
                self.image_layer(kind, *sizes, stride, **said)
            case ["block", size, *more] if more in ([], ["a"]):
                self.block(*self.numbers(size, r"(\d{1,6})(?:/(\d{1,4}))?",
                                         "CHANNELS or CHANNELS/STRIDE, such as 32/2"), bool(more))
            case ["maxpool" | "meanpool" as kind, size, *more]:
                kernel, stride = self.numbers(size, r"(\d{1,4})(?:/(\d{1,4}))?",
                                              "SIZE or SIZE/STRIDE, such as 3/2", default=None)
                pad = self.read_words(more, ("pad",) * (kind == "maxpool"))["pad"] or 0
                self.pool(MaxPool(kernel, stride or kernel, pad) if kind == "maxpool" else
                          AveragePool(kernel, stride or kernel))
            case ["mean"]:
                self.pool(GlobalAverage())
            case _:
                raise self.error(f"expected {KINDS}, and behind dense, local and conv any of "
                                 f"{', '.join(HIDDEN)}, nobias, bn, pad P, from J, add I")

    def numbers(self, text, pattern, form, default=1):
        """The numbers of "3x3x32/2"; the stride is `default` where it is not said."""
        found = re.fullmatch(pattern, text, re.A)
        if found is None:
            raise self.error(f"{text!r} is not {form}")
        numbers = [default if n is None else int(n) for n in found.groups()]
        if 0 in numbers:
            raise self.error(f"{text!r} has a size of 0")
        return numbers

    def read_words(self, words, allowed=()):
        """{"act", "nobias", "bn", "from", "add", "pad"} of what stands behind a layer's size."""
        said = {"act": None, "nobias": False, "bn": False, "from": self.last, "add": None,
                "pad": None}
        words, seen = list(words), set()
        while words:
            word = words.pop(0)
            if word not in allowed or word in seen:
                raise self.error(f"{word!r} behind a layer: expected any of "
                                 f"{', '.join(allowed) or 'nothing'}, each once")
            seen.add(word)
            if word in HIDDEN and said["act"]:
                raise self.error(f"{said['act']} and {word}: one nonlinearity a layer")
            if word in (*HIDDEN, "nobias", "bn"):
                said |= {"act": word} if word in HIDDEN else {word: True}
                continue
            number = words.pop(0) if words else "nothing"
            if not re.fullmatch(r"\d{1,4}", number, re.A):
                raise self.error(f"expected a number behind {word!r}, not {number!r}")
            said[word] = int(number)
            if word != "pad" and said[word] > self.last:
                raise self.error(f"there is no layer {number} below it that has weights")
        return said

    def output(self, words):
        """The same of the output."""
        named = [word for word in words if word in HIDDEN]
        if named:
            raise self.error(f"{' and '.join(named)}: the output's goes with its loss")
        return self.read_words(words, ("nobias",))

    def image_layer(self, kind, height, width, channels, stride, **said):
        shape = self.shapes[said["from"]]
        if len(shape) != 3:
            raise self.error(f"{kind!r} needs an image (H, W, C) below it, but the layer below "
                             f"gives {_x(shape)} units")
        made = LocallyConnected if kind == "local" else Convolution
        try:
            m = made(shape, channels, (height, width), stride, said.pop("pad"))
        except ValueError:
            raise self.error(f"the image below it, {_x(shape)}, is too small for its "
                             "kernel") from None
        self.layer(m, **said)

    def layer(self, m, act, nobias, bn, add, pad=None, **source):
        l = self.last + 1
        parts = [BatchNorm(m.out_shape[-1])] if bn else []
        if add is not None:
            if not Add.fits(self.shapes[add], m.out_shape):
                raise self.error(f"h_{add} is {_x(self.shapes[add])} and can't be added to "
                                 f"{_x(m.out_shape)}")
            parts.append(Add(self.shapes[add], m.out_shape))
            self.adds[l] = add
        if source["from"] != l - 1:
            self.sources[l] = source["from"]
        if nobias or bn:  # β takes its place
            self.unbiased.add(l)
        self.maps[l], self.act[l] = m, activations.BY_NAME[act or "tanh"]
        self.parts[l] = [*parts, Sigma(self.act[l])]
        self.shapes[l] = m.out_shape

    def pool(self, part):
        shape = self.shapes[self.last]
        if not self.last or len(shape) != 3:
            raise self.error("pooling needs a layer below it that gives an image (H, W, C)")
        if min(part.out_shape(shape)) < 1:
            raise self.error(f"the image below it, {_x(shape)}, is too small for it")
        if isinstance(part, MaxPool) and 2 * part.pad > part.kernel:
            raise self.error(f"pad {part.pad} is more than half of {part.kernel}")
        self.parts[self.last].append(part)
        self.shapes[self.last] = part.out_shape(shape)

    def block(self, channels, stride, option_a):
        below = skip = self.last
        shape = self.shapes[below]
        layer = {"act": "relu", "nobias": True, "bn": True, "add": None}
        if not option_a and (stride > 1 or shape[-1] != channels):
            self.image_layer("conv", 1, 1, channels, stride, pad=0,
                             **{**layer, "act": "identity", "from": below})
            skip = self.last
        self.image_layer("conv", 3, 3, channels, stride, pad=1, **layer, **{"from": below})
        self.image_layer("conv", 3, 3, channels, 1, pad=1,
                         **{**layer, "add": skip, "from": self.last})

    def network(self, output, loss):
        L = self.last
        read = {self.sources.get(l, l - 1) for l in self.maps} | set(self.adds.values())
        for l in range(1, L):
            if l not in read:
                raise ArchitectureError(f"nothing reads layer {l}, counting those with weights")
        self.act[L] = activations.BY_NAME[output]
        units = {l: Unit(tuple(parts)) for l, parts in self.parts.items()
                 if len(parts) > 1 and l < L}
        return Network(self.maps, self.act, loss, unbiased=frozenset(self.unbiased), units=units,
                       sources=self.sources, adds=self.adds)


def _whole(text):
    return re.fullmatch(r"0*[1-9]\d{0,8}", text, re.A)


def _x(shape):
    return "x".join(map(str, shape))
