"""What a rule declares: its step, its equations, its options, and what it trains.

Each rule's file ends with `RULE = Rule(...)`; whatever is the same for most rules has a default.
Everything around the rules (trainer, command line, files, verification) reads these fields and
asks no rule for its name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from math import inf, isfinite, nan

from ..network import FORWARD, f, initial_parameters


@dataclass(frozen=True)
class Option:
    """One option of a rule, as a keyword and on the command line.

    default  None: the value stands in the tables of hyperparameters
    choices  the words it may be, or
    low, high, above, below    the limits of a number, whether they are themselves left out
    whole    whether it is an integer
    """

    name: str
    help: str
    default: object = None
    choices: tuple = ()
    low: float = 0
    high: float = inf
    above: bool = False
    below: bool = False
    whole: bool = False

    def value(self, given):
        """What is given, a number, a word or the text of one, as a value of this option.

        Raises ValueError that says what was expected.
        """
        if self.choices:
            if given not in self.choices:
                raise ValueError(f"{given!r} is none of {', '.join(self.choices)}")
            return given
        try:
            if isinstance(given, bool):
                raise ValueError
            number = int(given) if self.whole else float(given)
            if self.whole and not isinstance(given, str) and number != given:
                raise ValueError
            number = number if isfinite(number) else nan  # OverflowError beyond every float
        except (ValueError, TypeError, OverflowError):
            number = nan
        enough = number > self.low if self.above else number >= self.low
        small = number < self.high if self.below else number <= self.high
        if not (enough and small):
            raise ValueError(f"{given!r} is not {'an integer' if self.whole else 'a number'} "
                             f"{self._limits()}")
        return number

    def _limits(self):
        if self.high == inf:
            return f"{'above' if self.above else 'of at least'} {self.low}"
        return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"


# of every rule that trains something beside the forward parameters, with noise
SCHEDULE = Option("schedule", "train everything on every batch, or a whole pass for the inverses "
                  "(or mirrors) and then one for the forward parameters, in every epoch",
                  "parallel", ("parallel", "alternating"))
SIGMA = Option("sigma", "standard deviation of the noise that trains inverses or mirrors")


@dataclass(frozen=True)
class Equation:
    """One quantity of a step: its name, its formula in the paper's letters, and the names of the
    quantities and parameters that it is computed from.

    shape, axes, many, given    where a rule has a trainer of its own: its shape, in words too,
        without the first axis if that is `many`, whose length a file may choose; whether it is
        given, not computed
    """

    name: str
    formula: str
    inputs: tuple
    shape: tuple = None
    axes: str = ""
    many: bool = False
    given: bool = False


def unchanged(net):
    """A network to which the rule adds nothing."""
    return net


@dataclass(frozen=True)
class Rule:
    """A learning rule. Rules are pure: no randomness, no state, nothing changed in place.

    step(net, params, x, y, *, eps, phase, **options)
        everything the rule computes on one batch, as named arrays: "h", "loss", "delta", and
        "d" + symbol for the gradient of every symbol that the phase trains
    equations(net, setting, phase)
        the Equations of that, after those of the forward pass, in order of computation
    extend(net, **options)     the network with the linear maps of the rule's own arrays
    feedback(net, params, **options)
        {l: what carries δ_l down, laid out like W_l} where that is not W itself
    trains     {group: the symbols that one optimiser trains}, in the order of the updates. The
               hyperparameters of a group have its name before theirs, `inverse_lr`; those of
               "forward" have none
    noise      the symbol of the maps that are trained with noise ε_l of their input's shape
    redrawn(setting)           symbols that are drawn anew for every step
    options    what the command line offers
    like       the rule whose hyperparameters it takes where it has none of its own
    defaults, sgd_defaults     hyperparameters where the tables have none
    argmin_target              whether its targets begin with argmin L
    inverted   f(net, params, l, h), what g_l inverts, where that is not f_l alone
    optimizers                 those it can be trained with, its default first
    of_networks                {architecture: hyperparameters} where they differ from `defaults`
    trainer                    a class like training.Trainer where it brings its own, and then
    recompute                  the module that replays its reference files (dendrites/recompute.py)
    initial(net, stream, dtype)      its initial parameters, as network.initial_parameters gives
    carrier    the weights that carry δ_{u} to layer u-1, in words, with {u} for the layer
    """

    step: Callable
    equations: Callable
    extend: Callable = unchanged
    feedback: Callable = None
    trains: dict = field(default_factory=lambda: {"forward": FORWARD})
    noise: str = None
    redrawn: Callable = lambda setting: ()
    options: tuple = ()
    like: str = None
    defaults: dict = field(default_factory=dict)
    sgd_defaults: dict = field(default_factory=dict)
    argmin_target: bool = False
    inverted: Callable = f
    optimizers: tuple = ("adam", "sgd", "batch-manhattan")
    of_networks: dict = field(default_factory=dict)
    trainer: Callable = None
    recompute: object = None
    initial: Callable = initial_parameters
    carrier: str = None

    @property
    def symbols(self):
        """Every symbol that it trains."""
        return tuple(symbol for group in self.trains.values() for symbol in group)

    @property
    def phases(self):
        """What one step may train: one group, or "both" for all."""
        return ("both", *self.trains)

    def group_of(self, symbol):
        """The group that trains a symbol, or None where it is fixed."""
        return next((group for group, symbols in self.trains.items() if symbol in symbols), None)

    def needs_noise(self, phase):
        """Whether a step of this phase takes ε."""
        return self.noise is not None and phase in ("both", self.group_of(self.noise))

    def parts(self, setting, phase):
        """The phases that a step takes one after another: each reads what the one before trained.

        One alone, but for the order inverse-first, where each group is a part.
        """
        one_by_one = phase == "both" and setting.get("order") == "inverse-first"
        return tuple(self.trains) if one_by_one else (phase,)

    def noisy_layers(self, net):
        """The l of every ε_l."""
        return sorted({net.reads(l) for l in net.maps_of(self.noise)}) if self.noise else []

    def build(self, net, setting):
        """The network extended as a setting says."""
        return self.extend(net, **_taken(self.extend, setting))

    def initial_parameters(self, net, stream, dtype, setting):
        """Where a run of this rule begins: {"W": {l: array}, ...}, NumPy arrays."""
        return self.initial(net, stream, dtype, **_taken(self.initial, setting))

    def options_of_step(self, setting):
        """The keywords of a setting that `step` takes."""
        return _taken(self.step, setting)

    def options_of_feedback(self, setting):
        """The keywords of a setting that `feedback` takes."""
        return _taken(self.feedback, setting)


def prefix(group):
    """What a group's hyperparameters begin with: `inverse_lr`; of the forward parameters `lr`."""
    return "" if group == "forward" else f"{group}_"


def _taken(function, setting):
    """The keywords of a setting that a function takes; `setting` is all of it."""
    offered = {**setting, "setting": setting}
    return {name: offered[name] for name in _parameters(function) if name in offered}


@cache
def _parameters(function):
    return tuple(signature(function).parameters)
