"""A rule's step as pieces of work, and when each gradient can be sent to the other machines.

Every piece is an equation of the step (rules.rule.Equation): it can begin when what it reads is
there. So what a rule lets overlap follows from what its equations read, not from the rule's name.

    work of an equation    multiply-adds: one product for each weight that it reads, one more
                           (the outer product) where it is a gradient of weights
    a gradient waits       for nothing above, where it depends on no quantity of a layer above its
                           own; for the forward pass, where those are activities and the output's
                           error alone; else for the way down: δ or ĥ of a hidden layer above
    best order             has the most work behind the bytes. Found greedily: the gradient that
                           gives most bytes for the work that it still needs comes next
"""

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod

from ref.network import name_of
from ref.rules.equations import of_forward

WAITS = ("nothing above", "the forward pass", "the way down")


@dataclass(frozen=True)
class Piece:
    """An equation: its name, the names of the pieces that it waits for, its multiply-adds of one
    example, and the numbers that are to be sent when it is done (0 where it is no gradient)."""

    name: str
    after: tuple
    work: int
    numbers: int = 0

    @property
    def layer(self):
        """The l of h_l, dW_l, ...; None for the loss and the auxiliary output."""
        kind, _, l = self.name.rpartition("_")
        return int(l) if kind and l.isdigit() else None


@dataclass(frozen=True)
class Graph:
    """The pieces of a step, in the order of the equations; L layers."""

    pieces: dict
    L: int

    @cached_property
    def before(self):
        """{name: the names of all that a piece depends on, itself too}."""
        found = {}
        for name, piece in self.pieces.items():
            found[name] = {name}.union(*(found[other] for other in piece.after))
        return found

    @property
    def gradients(self):
        return [piece for piece in self.pieces.values() if piece.numbers]

    @cached_property
    def work(self):
        """Multiply-adds of the step, of one example."""
        return sum(piece.work for piece in self.pieces.values())

    def waits_for(self, name):
        """Which of WAITS a gradient waits for."""
        l = self.pieces[name].layer
        above = [self.pieces[other] for other in self.before[name]
                 if (self.pieces[other].layer or 0) > l]
        if not above:
            return WAITS[0]
        down = any(re.match(r"(delta|h_hat)_\d", piece.name) and piece.layer < self.L
                   for piece in above)
        return WAITS[2] if down else WAITS[1]

    @cached_property
    def written(self):
        """[(share of the step's work that is done, numbers)] of every gradient as it is ready, in
        the order of the equations."""
        found, work = [], 0
        for piece in self.pieces.values():
            work += piece.work
            if piece.numbers:
                found.append((work / self.work, piece.numbers))
        return found

    @cached_property
    def best(self):
        """The same in the best order: greedy, then gradients are moved to other places as long as
        that gains anything."""
        order, waiting, done = [], self.gradients, set()
        while waiting:
            piece = min(waiting, key=lambda p: self.missing(p, done) / p.numbers)
            waiting.remove(piece)
            order.append(piece)
            done |= self.before[piece.name]
        value, gained = self.behind(order), True
        while gained:
            gained = False
            for piece in list(order):
                rest = [other for other in order if other is not piece]
                tried = [[*rest[:k], piece, *rest[k:]] for k in range(len(order))]
                candidate = max(tried, key=self.behind)
                if (new := self.behind(candidate)) > value * (1 + 1e-9):
                    order, value, gained = candidate, new, True
        return self.ready(order)

    def missing(self, piece, done):
        """Work that a gradient still needs when some pieces are done."""
        return sum(self.pieces[name].work for name in self.before[piece.name] - done)

    def ready(self, order):
        """[(share of the work, numbers)] where gradients are computed in this order."""
        done, work, found = set(), 0, []
        for piece in order:
            work += self.missing(piece, done)
            done |= self.before[piece.name]
            found.append((work / self.work, piece.numbers))
        return found

    def behind(self, order):
        """Σ numbers x share of the work that is still to do when they can be sent."""
        return sum(numbers * (1 - share) for share, numbers in self.ready(order))


def graph(net, rule, setting):
    """The Graph of a step that trains everything, of a network that the rule has extended."""
    equations = {e.name: e for e in (*of_forward(net), *rule.equations(net, setting, "both"))}
    maps = {name_of(s, l): m for s in ("W", "V", "B", "W_z") for l, m in net.maps_of(s).items()}
    trained = {f"d{name_of(s, l)}": (name_of(s, l), prod(shape))
               for s in rule.symbols for l, shape in net.shapes_of(s).items()}
    pieces, products = {}, {}
    for name, e in equations.items():
        after = tuple(other for other in e.inputs if other in equations)
        known = {i for other in after for i in equations[other].inputs if name in trained}
        own, numbers = trained.get(name, (None, 0))
        work = 0
        if own in maps and products.setdefault((maps[own], after), name) == name:
            work = maps[own].multiply_adds  # unless another gradient is the same product
        for weight in set(e.inputs) & maps.keys():
            # what a gradient's own loss has multiplied is there; its decay is no product
            if weight != own and weight not in known:
                times = e.formula.count(f"g_{weight[2:]}(") if weight.startswith("V_") else 1
                work += maps[weight].multiply_adds * max(1, times)
        pieces[name] = Piece(name, after, work, numbers)
    absent = trained.keys() - pieces.keys()
    if absent:
        raise ValueError(f"no equation gives {', '.join(sorted(absent))}")
    return Graph(pieces, net.L)


def synchronous(net, itemsize):
    """Bytes of every sum that the layers with batch norm wait for (units/norm.py): how many values
    a channel has, their mean and variance; on the way down how many, Σ dβ and Σ dγ."""
    return [size for norm in net.norms.values()
            for size in (8, 8, *[itemsize * norm.channels] * 4)]


def gradient_numbers(net, rule):
    """{group: how many numbers are summed for it}: exactly what the optimisers train."""
    return {group: sum(prod(shape) for s in symbols for shape in net.shapes_of(s).values())
            for group, symbols in rule.trains.items()}


