"""One training step and the order of an epoch: shared by ref.train, ref.reference and runs/.

No files and no command line here; what a rule computes is in rules/, what an optimiser does with
it in update.py.
"""

import types

import numpy as np

from . import optim
from .backend import device_normal, get_xp
from .heap import keep_freed_memory
from .network import STATE, flat, forward
from .ranks import ALONE
from .rules.rule import prefix
from .schedules import steps
from .seeds import address, normals, stream
from .update import has_velocity, update

CHECK_EVERY = 50  # steps between looks at the running sums, each of which waits for the device


class Diverged(Exception):
    """A loss became NaN or infinite; the message names the layer and gives a hint."""


class Trainer:
    """A network, its parameters and its optimisers, trained by one rule.

    net       network.Network, extended by the rule
    rule      a rules.rule.Rule
    params    {"W": {l: array}, ...}; changed in place by every step
    setting   the resolved hyperparameters: the rule's options, and for each group that it trains,
              with the group's prefix, what its optimiser takes (update.py)
    seed      of the noise: ε at step t is a function of the seed and t alone
    device_noise  whether ε is drawn on the device: faster there, and other numbers
    ranks     ranks.Ranks, where several processes train the network together
    t         steps taken so far
    factors   {group: what its learning rate is multiplied by now}: schedules.py has those of an
              epoch; 1 where nothing is said
    carried   {name: array} of what else a resumed run needs, changed in place: nothing here
    own_angles(x, y)    where a trainer measures them its own way
    """

    carried = factors = types.MappingProxyType({})
    own_angles = None

    def __init__(self, net, rule, params, setting, seed, device_noise=False, ranks=ALONE):
        keep_freed_memory()
        self.net = net.across(ranks) if ranks.size > 1 else net
        self.rule, self.params, self.setting, self.seed = rule, params, setting, seed
        self.device_noise, self.ranks = device_noise, ranks
        self.options = rule.options_of_step(setting)
        self.t = 0
        self.trained = {group: flat(params, symbols) for group, symbols in rule.trains.items()}
        self.state = {group: optim.new_state(named) for group, named in self.trained.items()}

    def step(self, x, y, phase="both", eps=None, drawn=None, N=None):
        """Train on one batch, x (N, *shape_0), y (N, *shape_L); returns what the rule computed.

        phase  "both", or the group of parameters to train
        N      examples in the whole batch, where x, y and eps are only this rank's rows of it
        eps    {l: like h_l}, the noise; drawn from the seed and t where not given
        drawn  {symbol: {l: array}} of what is drawn anew for every step; the same
        """
        self.t += 1
        n, xp = len(x), get_xp(x)
        N = n if N is None else N
        self.ranks.counts = n > 0
        if not n:  # of several ranks one may have no rows: it takes part with one that is nothing
            x, y = (xp.zeros((1, *v.shape[1:]), v.dtype) for v in (x, y))
        for symbol in self.rule.redrawn(self.setting):
            self._redraw(symbol, xp, drawn)
        for group in self.rule.trains:
            for k in range(1, steps(self.setting, group) if phase in ("both", group) else 1):
                noise = self.rule.needs_noise(group)
                extra = self.noise(N, xp, x.dtype, k) if noise else None
                self._step_of(x, y, extra, group, n, N)
        if not self.rule.needs_noise(phase):
            eps = None
        elif eps is None:
            eps = self.noise(N, xp, x.dtype)
        out = {}
        for part in self.rule.parts(self.setting, phase):
            out |= self._step_of(x, y, eps, part, n, N)
        return out if n else _none_of(out)

    def _step_of(self, x, y, eps, phase, n, N):
        """The rule's step for one phase, then the optimisers' steps, in the rule's order."""
        options = self.options | self.rule.options_of_step({"examples": N})
        out = self.rule.step(self.net, self.params, x, y, eps=eps, phase=phase, **options)
        for group in self.rule.trains:
            if phase in ("both", group):
                self._update(group, out, n, N)
        for symbol in STATE:
            for l, after in out.get(symbol, {}).items():
                self.params[symbol][l][...] = after
        return out

    def noise(self, N, xp, dtype, k=0):
        """{l: ε_l ~ N(0, σ²)} for every layer where the rule takes noise: this rank's rows of
        (N, *shape_l).

        k  which of the step's: 0 for its last update
        """
        rows = self.ranks.rows(N)
        if rows.start == rows.stop:
            rows = slice(0, 1)  # as in step
        return {l: xp.asarray(e[rows]) for l, e in self._noise_of_all(N, dtype, k).items()}

    def _noise_of_all(self, N, dtype, k):
        shapes = {l: (N, *self.net.shape(l)) for l in self.rule.noisy_layers(self.net)}
        counter = (self.t, k) if k else (self.t,)
        if self.device_noise:
            draw = device_normal(address(self.seed, "noise", *counter))
            return {l: self.setting["sigma"] * draw(shape, dtype) for l, shape in shapes.items()}
        drawn = normals(stream(self.seed, "noise", *counter), shapes, dtype)
        sigma = dtype.type(self.setting["sigma"])
        return {l: sigma * e for l, e in drawn.items()}

    def _redraw(self, symbol, xp, drawn):
        """New arrays of a symbol for this step, as drawn at the beginning."""
        rng = stream(self.seed, "magnitude", self.t)
        for l, m in sorted(self.net.maps_of(symbol).items()):
            array = self.params[symbol][l]
            array[...] = drawn[symbol][l] if drawn else xp.asarray(
                self.net.draw(symbol, rng, m, array.dtype))

    def _update(self, group, out, n, N):
        """One step of the optimiser of a group, with the gradients that the rule computed from n
        of the batch's N examples."""
        symbols = self.rule.trains[group]
        grads = flat({symbol: out["d" + symbol] for symbol in symbols})
        self.ranks.average(grads, n, N)
        update(self.setting, prefix(group), self.trained[group], grads, self.state[group],
               self.factors.get(group, 1.0))

    def velocities(self):
        """{name: v} of every parameter whose optimiser has momentum."""
        return {name: v for group, state in self.state.items()
                if has_velocity(self.setting, prefix(group)) for name, v in state["v"].items()}


def _none_of(out):
    """What a step returned, of no examples: what is of each example, with no rows."""
    return {key: {l: v[:0] for l, v in value.items()} if isinstance(value, dict) else value[:0]
            for key, value in out.items() if key in ("h", "loss", "inverse_loss")}


def passes(rule, schedule, epoch):
    """The passes over the training data that make an epoch: (number of the pass, phase) each.

    Alternating, an epoch is a pass for each group that the rule trains, so that the forward
    parameters see each example once an epoch either way, as in Lee et al.'s code.
    """
    if schedule == "alternating":
        n = len(rule.trains)
        return [(n * (epoch - 1) + i, group) for i, group in enumerate(rule.trains, 1)]
    return [(epoch, "both")]


def phase_of_step(rule, schedule, t):
    """What step t trains where single steps alternate, as in a reference file."""
    groups = tuple(rule.trains)
    if len(groups) == 1:
        return groups[0]
    return groups[(t - 1) % len(groups)] if schedule == "alternating" else "both"


def check_finite(trainer, total, x=None):
    """Raise Diverged, naming the layer, if a number in {name: number} is NaN or infinite.

    x  a batch whose activities tell the layer where the parameters are all finite
    """
    if np.isfinite(float(sum(total.values()))):  # one number from the device
        return
    bad = [name for name, value in total.items() if not np.isfinite(float(value))]
    if not bad:
        return  # each is finite, their sum is not: the next look will tell
    where = ", ".join(bad)
    h = {} if x is None else forward(trainer.net, trainer.params, x)[0]
    for l in range(1, trainer.net.L + 1):
        arrays = {f"{s}_{l}": trainer.params[s].get(l) for s in trainer.rule.symbols}
        arrays["the activity"] = h.get(l)
        spoilt = [name for name, p in arrays.items()
                  if p is not None and not bool(get_xp(p).isfinite(p).all())]
        if spoilt:
            where += f"; in layer {l}, {', '.join(spoilt)}"
            break
    else:  # it overflowed in an earlier step and every array has recovered
        last = bad[0].rsplit("_", 1)[-1]
        where += f"; in layer {last if last.isdigit() else trainer.net.L}"
    rates = " or ".join(f"--{prefix(group)}lr".replace("_", "-")
                        for group in reversed(trainer.rule.trains))
    raise Diverged(f"{where} became NaN or infinite by step {trainer.t}; try a smaller {rates}")


def initial_stream(seed):
    """The function purpose -> Generator that network.initial_parameters asks for."""
    return lambda purpose: stream(seed, purpose)
