"""What a file of reference outputs holds: the name, formula, layout and origin of every array.

    init/W_1, ...          parameters before the first step
    step_1/x, y, eps_1     inputs of a step: batch, labels, noise; also B_2, ... where they are
                           drawn anew for every step (rule sign-symmetry)
    step_1/h_0, ...        everything that the rule computes, in the order in which it does
    step_1/after/W_1, ...  parameters after the optimiser's step
    step_1/after/v_W_1     with momentum: the velocity after it

`inputs` of a quantity are the names of those it is computed from. They make a graph: an array
that differs while everything it comes from agrees is where an implementation goes wrong.
"""

from dataclasses import dataclass, replace

from ..network import STATE, SYMBOLS, name_of
from ..rules.equations import of_forward
from ..rules.rule import prefix
from ..units import MaxPool
from ..update import decay_of, has_velocity, momentum_of

_AXES = {  # of weights; V_l and B_l are laid out like W_l
    "dense": "units of h_{l}, units of h_{below}",
    "local": "H', W', C_out, kh, kw, C_in",
    "conv": "C_out, kh, kw, C_in",
}


@dataclass(frozen=True)
class Quantity:
    """One array of a file. `shape` is without the batch, which comes first if `per_example`."""

    name: str
    symbol: str
    equation: str
    axes: str
    shape: tuple
    per_example: bool = False
    inputs: tuple = ()
    given: bool = False

    def full_shape(self, N):
        return (N, *self.shape) if self.per_example else self.shape

    @property
    def step(self):
        """The number of its step; 0 for an initial parameter."""
        group = self.name.split("/")[0]
        return int(group[5:]) if group != "init" else 0

    @property
    def stem(self):
        """"step_1/after/W_2" -> ("after/W", 2); the index is None where there is none."""
        kind = self.name.split("/", 1)[1]
        head, _, tail = kind.rpartition("_")
        return (head, int(tail)) if head and tail.isdigit() else (kind, None)

    @property
    def is_input(self):
        return self.step == 0 or self.given or self.stem[0] in ("x", "y", "eps", "B")


def by_layer(net, arrays):
    """The inverse of network.flat, for a network: {name: array} -> nested dicts."""
    params = {symbol: {} for symbol in SYMBOLS}  # no layer of a kind: an empty group
    for name, (symbol, l, *_) in _parameters(net).items():
        params[symbol][l] = arrays[name]
    return params


def initial(net, rule, setting):
    """The Quantity of every initial parameter of a network."""
    anew = rule.redrawn(setting)
    return [Quantity(f"init/{name}", _subscript(name), f"{meaning}, before the first step", axes,
                     shape)
            for name, (symbol, _, shape, axes, meaning) in _parameters(net, rule).items()
            if symbol not in anew]


def without(found, biases):
    """Quantities of a network that lacks these biases: none of b_1, db_1, after/b_1 for "b_1"."""

    def lacking(name):
        last = name.rpartition("/")[2].removeprefix("v_")
        return last in biases or last[:1] == "d" and last[1:] in biases

    if not biases:
        return found
    return [replace(q, inputs=tuple(name for name in q.inputs if not lacking(name)))
            for q in found if not lacking(q.name)]


def _parameters(net, rule=None):
    """{name in the file: (symbol, l, shape, axes, meaning)} of every parameter of a network."""
    trained = rule.symbols if rule else ()
    meaning = {"W": "weights", "b": "bias", "V": "weights of the inverse g_{l}",
               "c": "bias of the inverse g_{l}", "W_z": "fixed weights of z",
               "b_z": "fixed bias of z", "B": "feedback" if "B" in trained else "fixed feedback",
               "gamma": "scale of batch norm", "beta": "shift of batch norm",
               "running_mean": "running mean", "running_var": "running variance, unbiased"}
    found = {}
    for symbol in SYMBOLS:
        maps = net.maps_of(symbol)
        for l, shape in net.shapes_of(symbol).items():
            m = maps[l]
            if SYMBOLS[symbol][0] == "norm":
                axes = "C"
            elif SYMBOLS[symbol][1] != "weight_shape":
                axes = {1: "units" if m.kind == "dense" else "C", 3: "H, W, C"}[len(shape)]
            else:
                axes = _AXES[m.kind].format(l=l, below=l - 1)
                if symbol == "V" and m.kind == "dense" and l in net.maps_of("W_z"):
                    axes = axes.replace(f"h_{l}", f"[h_{l}, z]")
                if symbol == "W_z":
                    axes = axes.replace(f"h_{l}", "z")
                if symbol == "B" and m.out_shape != net.map[l].out_shape:  # to what layer l reads
                    axes = axes.replace("C_out", f"units of h_{net.L}")
                if symbol == "B" and m is not net.map.get(l) and m.kind == "dense":
                    axes = f"units of h_{l}, units of h_{net.L}"  # DFA's, from the output
            found[name_of(symbol, l)] = symbol, l, shape, axes, meaning[symbol].format(l=l)
    return found


def of_step(net, rule, setting, t, phase):
    """The Quantity of every array of step t, in order of computation.

    phase  "both", or the group of parameters that the step trains
    """
    return _Step(net, rule, setting, t, phase).quantities()


class _Step:
    """Collects the quantities of one step: the rule's equations, with shapes and origins."""

    def __init__(self, net, rule, setting, t, phase):
        self.net, self.rule, self.setting, self.t, self.phase = net, rule, setting, t, phase
        self.parameters = _parameters(net, rule)
        # each parameter's newest array, by name: the one that an equation reads
        self.newest = {name: f"step_{t - 1}/after/{name}" if t > 1 else f"init/{name}"
                       for name in self.parameters}
        self.newest |= {f"v_{name}": f"step_{t - 1}/after/v_{name}" for name in self.parameters}
        self.anew = rule.redrawn(setting)
        self.found = []

    def quantities(self):
        net, rule, phase = self.net, self.rule, self.phase
        if rule.trainer:
            for e in rule.equations(net, self.setting, phase):
                self.add(e.name, e.formula, e.inputs, e)
            for name in self.parameters:
                self.newest[name] = f"step_{self.t}/after/{name}"
            return self.found
        self.add("x", "the batch", ())
        self.add("y", "the label distributions, one-hot; or what to reconstruct", ())
        if rule.needs_noise(phase):
            for l in rule.noisy_layers(net):
                self.add(f"eps_{l}", f"noise added to h_{l}, N(0, sigma²)", ())
        for name, (symbol, *_) in self.parameters.items():
            if symbol in self.anew:
                self.add(name, f"{name} drawn for this step", ())
                self.newest[name] = f"step_{self.t}/{name}"
        for equation in of_forward(net):
            self.add(equation.name, equation.formula, equation.inputs)
        parts = rule.parts(self.setting, phase)
        for part in parts:
            for equation in rule.equations(net, self.setting, part):
                self.add(equation.name, equation.formula, equation.inputs)
            if len(parts) > 1:
                self.after(rule.trains[part])
        if len(parts) == 1:
            for symbols in rule.trains.values():
                self.after(symbols)
        self.after([symbol for symbol in SYMBOLS if symbol not in (*rule.symbols, *self.anew)])
        return self.found

    def add(self, name, formula, inputs, own=None):
        """One quantity. inputs: names within this step, or of parameters; own: an Equation that
        says its form."""
        own = own if own and own.shape is not None else None
        shape, axes, per_example = (own.shape, own.axes, own.many) if own else self.form(name)
        names = tuple(self.newest.get(i, f"step_{self.t}/{i}") for i in inputs)
        self.found.append(Quantity(
            f"step_{self.t}/{name}", _subscript(name.removeprefix("after/")), formula, axes,
            tuple(shape), per_example, names, bool(own and own.given)))

    def form(self, name):
        """(shape without the batch, axes, whether the batch comes first) of a quantity."""
        net, parameter = self.net, name.removeprefix("after/").removeprefix("v_")
        if parameter not in self.parameters:
            parameter = name[1:]  # dW_1
        if parameter in self.parameters:
            _, _, shape, axes, _ = self.parameters[parameter]
            return shape, axes, False
        head, _, l = name.rpartition("_")
        if name in ("x", "y"):
            l = 0 if name == "x" else net.L
        if name == "loss" or head == "inverse_loss":
            return (), "N", True
        if name == "z":
            shape = net.maps["W_z"][net.L].out_shape
        elif head in ("delta", "x_hat"):
            shape = net.map[int(l)].out_shape
        elif head == "winner":
            shape = net.unit(int(l)).shape_behind(MaxPool, net.map[int(l)].out_shape)
        else:
            shape = net.shape(int(l))
        return shape, {1: "N, units", 3: "N, H, W, C"}[len(shape)], True

    def after(self, symbols):
        """These parameters after the optimiser's step."""
        for symbol in symbols:
            group = self.rule.group_of(symbol)
            for name, (s, *_) in self.parameters.items():
                if s != symbol:
                    continue
                inputs = [name]
                if symbol in STATE and self.phase in ("both", "forward"):
                    equation, inputs = self.of_state(symbol, name)
                elif group is None:
                    equation = f"{_subscript(name)} is fixed"
                elif self.phase not in ("both", group):
                    equation = f"{_subscript(name)}: not trained in this step"
                    self.velocity(name, group, equation, [])
                else:
                    equation, inputs = self.updated(name, group)
                self.add(f"after/{name}", equation, inputs)
                self.newest[name] = f"step_{self.t}/after/{name}"

    def of_state(self, symbol, name):
        """(equation, inputs) of a running statistic after the step."""
        l = int(name.rpartition("_")[2])
        k, j = self.net.norms[l].momentum, self.net.reads(l)
        of = "Σ a / m" if symbol == "running_mean" else "Σ (a - μ)² / (m - 1)"
        return (f"{1 - k:g} {name} + {k:g} {of}, a = W_{l} h_{j}", [name, f"h_{j}", f"W_{l}"])

    def updated(self, name, group):
        """(equation, inputs) of a parameter after the step of its group's optimiser."""
        setting, before = self.setting, prefix(group)
        decay, inputs = decay_of(setting, before), [name, f"d{name}"]
        plus = f" + {decay:g} {name}" if decay else ""
        if setting["optimizer"] == "adam":
            return f"{name} after Adam's step with d{name}{plus}", inputs
        manhattan = setting["optimizer"] == "batch-manhattan"
        d = (f"sign(d{name})" if manhattan else f"d{name}") + plus
        if not has_velocity(setting, before):
            return f"{name} - lr {f'({d})' if plus else d}", inputs
        old = f"{momentum_of(setting, before):g} v_{name} + " if self.t > 1 else ""
        self.velocity(name, group, f"v_{name} = {old}{d}", inputs if plus else inputs[1:])
        return f"{name} - lr v_{name}", [name, f"v_{name}"]

    def velocity(self, name, group, equation, inputs):
        """The velocity of a parameter after the step, where there is one."""
        if has_velocity(self.setting, prefix(group)):
            v = f"v_{name}"
            self.add(f"after/{v}", equation, [v, *inputs] if self.t > 1 else inputs)
            self.newest[v] = f"step_{self.t}/after/{v}"


def _subscript(name):
    """The paper's letters for a name: delta_1 -> δ_1."""
    for word, letter in (("h_hat", "ĥ"), ("delta", "δ"), ("eps", "ε"), ("inverse_loss", "L^inv"),
                         ("gamma", "γ"), ("beta", "β"), ("x_hat", "x̂")):
        name = name.replace(word, letter)
    return "L" if name == "loss" else name
