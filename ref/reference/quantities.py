"""What a file of reference outputs holds: the name, formula, layout and origin of every array.

    init/W_1, ...          parameters before the first step
    step_1/x, y, eps_1     inputs of a step: batch, labels, noise; also B_2, ... where they are
                           drawn anew for every step (rule sign-symmetry)
    step_1/h_0, ...        everything that the rule computes, in the order in which it does
    step_1/after/W_1, ...  parameters after the optimiser's step

`inputs` of a quantity are the names of those it is computed from. They make a graph: an array
that differs while everything it comes from agrees is where an implementation goes wrong.
"""

from dataclasses import dataclass, replace
from math import prod

from .. import rules

SYMBOLS = ("W", "b", "V", "c", "B", "W_z", "b_z")  # order of parameters in a file

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
        return self.step == 0 or self.stem[0] in ("x", "y", "eps", "B")


def name_of(symbol, l):
    """A parameter's name in its group: W_1; W_z and b_z have no index."""
    return symbol if symbol.endswith("_z") else f"{symbol}_{l}"


def flat(groups):
    """{"W": {1: array}, ...} -> {"W_1": array, ...}."""
    return {name_of(symbol, l): array
            for symbol, layers in groups.items() for l, array in layers.items()}


def by_layer(net, arrays):
    """The inverse of `flat`, for the parameters of a network: {name: array} -> nested dicts."""
    params = {symbol: {} for symbol in SYMBOLS}  # no layer of a kind: an empty group
    for symbol, l, name, *_ in _parameters(net):
        params[symbol][l] = arrays[name]
    return params


def initial(net, setting):
    """The Quantity of every initial parameter of a network."""
    return [
        Quantity(f"init/{name}", _subscript(name), f"{meaning}, before the first step", axes, shape)
        for symbol, _, name, shape, axes, meaning in _parameters(net)
        if symbol != "B" or not drawn_anew(setting)
    ]


def without(found, biases):
    """Quantities of a network that lacks these biases: none of b_1, db_1, after/b_1 for "b_1"."""

    def lacking(name):
        last = name.rpartition("/")[2]
        return last in biases or last[:1] == "d" and last[1:] in biases

    if not biases:
        return found
    return [replace(q, inputs=tuple(name for name in q.inputs if not lacking(name)))
            for q in found if not lacking(q.name)]


def drawn_anew(setting):
    """Whether B is an input of every step."""
    return setting.get("magnitude") == "batch"


def _parameters(net):
    """(symbol, l, name in the file, shape, axes, meaning) of every parameter of a network."""
    maps = {"W": net.map, "b": net.map, "V": net.g_map, "c": net.g_map, "B": net.b_map}
    if net.z_map:
        maps |= {"W_z": {net.L: net.z_map}, "b_z": {net.L: net.z_map}}
    meaning = {"W": "weights", "b": "bias", "V": "weights of the inverse g_{l}",
               "c": "bias of the inverse g_{l}", "B": "fixed feedback",
               "W_z": "fixed weights of z", "b_z": "fixed bias of z"}
    for symbol in SYMBOLS:
        for l, m in sorted(maps.get(symbol, {}).items()):
            if symbol in ("b", "c", "b_z"):
                shape = m.in_bias_shape if symbol == "c" else m.bias_shape
                axes = {1: "units" if m.kind == "dense" else "C", 3: "H, W, C"}[len(shape)]
            else:
                shape = m.weight_shape
                axes = _AXES[m.kind].format(l=l, below=l - 1)
                if symbol == "V" and m.kind == "dense" and net.z_map and l == net.L:
                    axes = axes.replace(f"h_{l}", f"[h_{l}, z]")
                if symbol == "W_z":
                    axes = axes.replace(f"h_{l}", "z")
                if symbol == "B" and net.b_map[l] is not net.map.get(l):
                    axes = f"units of h_{l}, units of h_{net.L}"  # DFA's, from the output
            yield symbol, l, name_of(symbol, l), shape, axes, meaning[symbol].format(l=l)


def of_step(net, rule_name, setting, t, phase):
    """The Quantity of every array of step t, in order of computation (Algorithm 1).

    phase  "both", "forward" or "inverse": which parameters the step trains
    """
    return _Step(net, rule_name, setting, t, phase).quantities()


class _Step:
    """Collects the quantities of one step."""

    def __init__(self, net, rule_name, setting, t, phase):
        self.net, self.rule, self.setting = net, rule_name, setting
        self.t, self.phase = t, phase
        self.trained = rules.get(rule_name).SYMBOLS
        self.inverse_first = phase == "both" and setting.get("order") == "inverse-first"
        self.parameters = list(_parameters(net))
        self.found = []

    def quantities(self):
        net, L = self.net, self.net.L
        with_inverses = "V" in self.trained
        forward, inverse = self.phase != "inverse", with_inverses and self.phase != "forward"
        self.add("x", "the batch", net.shape(0), net.shape(0))
        self.add("y", "the label distributions, one-hot; or what to reconstruct",
                 net.shape(L), net.shape(L))
        if inverse:
            for l in sorted(net.g_map):
                self.add(f"eps_{l - 1}", f"noise added to h_{l - 1}, N(0, sigma²)",
                         net.shape(l - 1), net.shape(l - 1))
        if drawn_anew(self.setting):
            for l in sorted(net.b_map):
                self.add(f"B_{l}", f"B_{l} drawn for this step", self.shape_of("B", l),
                         axes=self.axes_of("B", l))
        self.forward()
        if inverse and self.inverse_first:
            self.inverses()
            self.after("V", "c")
        if forward and with_inverses:
            self.targets()
        if inverse and not self.inverse_first:
            self.inverses()
        if forward:
            self.errors()
            self.gradients()
        if not (inverse and self.inverse_first):
            self.after("V", "c")
        self.after("W", "b", "B", "W_z", "b_z")
        return self.found

    def add(self, name, equation, shape, layer=None, inputs=(), axes=None):
        """One quantity. layer: the shape of the activity whose axes it has, behind the batch's.

        inputs: names within this step, or (symbol, l) for a parameter as this step finds it.
        """
        if axes is None:
            axes = {1: "N, units", 3: "N, H, W, C"}[len(layer)]
        names = (f"step_{self.t}/{i}" if isinstance(i, str) else self.parameter(*i) for i in inputs)
        self.found.append(Quantity(
            f"step_{self.t}/{name}", _subscript(name.removeprefix("after/")), equation, axes,
            tuple(shape), layer is not None or axes == "N", tuple(names)))

    def parameter(self, symbol, l, inverse_trained=False):
        """The name of a parameter as this step finds it, or with this step's inverses."""
        name = name_of(symbol, l)
        if symbol == "B" and drawn_anew(self.setting):
            return f"step_{self.t}/{name}"
        t = self.t if inverse_trained else self.t - 1
        return f"step_{t}/after/{name}" if t else f"init/{name}"

    def forward(self):
        net, L = self.net, self.net.L
        self.add("h_0", "h_0 = x", net.shape(0), net.shape(0), ["x"])
        for l in range(1, L + 1):
            self.add(f"h_{l}", f"h_{l} = σ_{l}(W_{l} h_{l - 1} + b_{l})  (1)",
                     net.shape(l), net.shape(l), [f"h_{l - 1}", ("W", l), ("b", l)])
        loss = {"cross-entropy": f"-Σ y log h_{L}",
                "cross-entropy-logits": f"-Σ y log softmax(h_{L})",
                "squared-error": f"‖h_{L} - y‖²"}[net.loss.name]
        self.add("loss", f"L = {loss} of each example", (), None, [f"h_{L}", "y"], axes="N")

    def targets(self):
        net, L, rule = self.net, self.net.L, self.rule
        after = self.inverse_first
        if net.z_map:
            self.add("z", f"z = σ_{L - 1}(W_z h_{L - 1} + b_z)  (Algorithm 2)",
                     net.z_map.out_shape, net.z_map.out_shape,
                     [f"h_{L - 1}", ("W_z", L), ("b_z", L)])
        if rule == "dtp":
            self.add(f"delta_{L}", self.output_error(), net.shape(L), net.shape(L),
                     [f"h_{L}", "y"])
            if L == 1:
                return  # no hidden layer to set a target for
            first = self.setting["first_target"]
            over_n = "" if first == "hidden" else " / N"
            if first == "output-mean":
                top, formula, inputs = L, f"h_{L} - α δ_{L} / N", [f"h_{L}", f"delta_{L}"]
            else:
                top = L - 1
                formula = f"h_{top} - α W_{L}ᵀ δ_{L}{over_n}"
                inputs = [f"h_{top}", f"delta_{L}", ("W", L)]
            self.add(f"h_hat_{top}", f"ĥ_{top} = {formula}  (2.1.2)",
                     net.shape(top), net.shape(top), inputs)
        else:
            top = L
            self.add(f"h_hat_{L}", f"ĥ_{L} = argmin L = y  (2.1.2)",
                     net.shape(L), net.shape(L), ["y"])
        for l in range(top - 1, 0, -1):
            u = l + 1
            inputs = [f"h_hat_{u}", ("V", u, after), ("c", u, after)]
            there, back = f"g_{u}(ĥ_{u})", f"g_{u}(h_{u})"
            if rule == "tp":
                formula = f"{there}  (2.1.2)"
            elif rule == "hybrid":
                part = f"-W_{u}ᵀ δ_{u}" if u == L else f"(dh_{u}/dh_{l})ᵀ(ĥ_{u} - h_{u})"
                formula = f"h_{l} + μ {part} + (1-μ) [{there} - {back}]  (5.6)"
                inputs += [f"h_{l}", f"h_{u}", ("W", u)] + (["y"] if u == L else [])
            elif rule == "ao-sdtp" and u == L:
                formula = f"h_{l} + [g_{u}(ĥ_{u}, z) - g_{u}(h_{u}, z)]  (3)"
                inputs += [f"h_{l}", f"h_{u}", "z"]
            else:
                formula = f"h_{l} + [{there} - {back}]  (2)"
                inputs += [f"h_{l}", f"h_{u}"]
            self.add(f"h_hat_{l}", f"ĥ_{l} = {formula}", net.shape(l), net.shape(l), inputs)

    def inverses(self):
        """L_l^inv with u = f_l(h_{l-1} + ε_{l-1}); δ is its derivative at V_l u + c_l."""
        net, L = self.net, self.net.L
        noise_preserving = self.setting["inverse_loss"] == "noise-preserving"
        for l in sorted(net.g_map, reverse=True):
            i = l - 1
            top = net.z_map is not None and l == L
            u = f"u = f_{l}(h_{i} + ε_{i})" if not top else f"u = [f_{l}, z](h_{i} + ε_{i})"
            r = f"(h_{i} + ε_{i})" if noise_preserving else f"h_{i}"
            units = prod(net.shape(i)) if self.setting["reduction"] == "mean" else 1
            mean, two = (f" / {units}", f"2/{units}") if units > 1 else ("", "2")
            inputs = [f"h_{i}", f"eps_{i}", ("W", l), ("b", l), ("V", l), ("c", l)]
            if top:
                inputs += [("W_z", L), ("b_z", L)]
            self.add(f"inverse_loss_{l}", f"‖{r.strip('()')} - g_{l}(u)‖²{mean}, {u}  (2.1.2)", (),
                     None, inputs, axes="N")
            inputs.append(f"inverse_loss_{l}")
            delta = f"δ = {two} (x - {r}) ∘ σ'_{i} at x = g_{l}(u)"
            for s, product in (("V", _outer(net.g_map[l], f"dV_{l}", "u", "δ")),
                               ("c", f"dc_{l} = Σ δ / N")):
                self.add(f"d{s}_{l}", f"{product}, {delta}, {u}  (2.1.2)",
                         self.shape_of(s, l), None, inputs, self.axes_of(s, l))

    def errors(self):
        net, L, rule = self.net, self.net.L, self.rule
        scale = "" if self.setting.get("reduction") != "mean" else " / units"
        for l in range(L, 0, -1):
            if l == L and rule == "dtp":
                continue  # its first target comes from it
            if l == L:
                formula, inputs = self.output_error(), [f"h_{L}", "y"]
            elif rule in ("bp", "fa"):
                P = "W" if rule == "bp" else "B"
                section = "2.1" if rule == "bp" else "2.1.1"
                formula = f"δ_{l} = σ'_{l} ∘ {P}_{l + 1}ᵀ δ_{l + 1}  ({section})"
                inputs = [f"delta_{l + 1}", (P, l + 1), f"h_{l}"]
            elif rule == "dfa":
                formula = f"δ_{l} = σ'_{l} ∘ B_{l} δ_{L}  (2.1.1)"
                inputs = [f"delta_{L}", ("B", l), f"h_{l}"]
            elif rule == "sign-symmetry":
                u = l + 1
                uniform = self.setting["magnitude"] == "uniform"
                M = f"M_{u}" if uniform else f"|B_{u}|"
                formula = f"δ_{l} = σ'_{l} ∘ ({M} ∘ sign W_{u})ᵀ δ_{u}"
                inputs = [f"delta_{u}", ("W", u), f"h_{l}"] + ([] if uniform else [("B", u)])
            else:
                factor = "" if rule == "hybrid" else "2 "
                section = "5.6" if rule == "hybrid" else "2.1.2"
                formula = f"δ_{l} = {factor}(h_{l} - ĥ_{l}) ∘ σ'_{l}{scale}  ({section})"
                inputs = [f"h_{l}", f"h_hat_{l}"]
            self.add(f"delta_{l}", formula, net.shape(l), net.shape(l), inputs)

    def output_error(self):
        L = self.net.L
        formula = {"cross-entropy": f"h_{L} - y", "cross-entropy-logits": f"softmax(h_{L}) - y",
                   "squared-error": f"2 (h_{L} - y)"}[self.net.loss.name]
        return f"δ_{L} = dL/da_{L} = {formula}  (2.1)"

    def gradients(self):
        for l in range(self.net.L, 0, -1):
            product = _outer(self.net.map[l], f"dW_{l}", f"δ_{l}", f"h_{l - 1}")
            self.add(f"dW_{l}", f"{product}  (2.1)", self.shape_of("W", l),
                     None, [f"delta_{l}", f"h_{l - 1}"], self.axes_of("W", l))
            self.add(f"db_{l}", f"db_{l} = Σ δ_{l} / N  (2.1)", self.shape_of("b", l),
                     None, [f"delta_{l}"], self.axes_of("b", l))

    def after(self, *symbols):
        """These parameters after the optimiser's step."""
        for symbol in symbols:
            for s, l, name, shape, axes, _ in self.parameters:
                if s != symbol or (s == "B" and drawn_anew(self.setting)):
                    continue
                group = "inverse" if s in ("V", "c") else "forward"
                inputs = [(s, l)]
                if s not in self.trained:
                    equation = f"{_subscript(name)} is fixed"
                elif self.phase not in ("both", group):
                    equation = f"{_subscript(name)}: not trained in this step"
                elif self.setting["optimizer"] == "sgd":
                    equation = f"{name} - lr d{name}"
                    inputs.append(f"d{name}")
                else:
                    equation = f"{name} after Adam's step with d{name}"
                    inputs.append(f"d{name}")
                self.add(f"after/{name}", equation, shape, None, inputs, axes)

    def shape_of(self, symbol, l):
        return self._entry(symbol, l)[3]

    def axes_of(self, symbol, l):
        return self._entry(symbol, l)[4]

    def _entry(self, symbol, l):
        return next(p for p in self.parameters if p[:2] == (symbol, l))


def _outer(m, name, y, x):
    """The product whose mean over the batch is a gradient of weights laid out like those of m.

    y  the name of what is on m's output side;  x  of what is on its input side
    Sums are over the batch, n, and over every index that is not on the left; x is 0 outside.
    """
    if m.kind == "dense":
        return f"{name} = Σ {y} {x}ᵀ / N"
    places = []
    for at, offset, (before, _) in zip("ij", "pq", m.patches.padding, strict=True):
        place = f"{m.stride}{at}+{offset}" if m.stride > 1 else f"{at}+{offset}"
        places.append(place + (f"-{before}" if before else ""))
    indices = "ijopqc" if m.kind == "local" else "opqc"
    return f"{name}[{','.join(indices)}] = Σ {y}[n,i,j,o] {x}[n,{','.join(places)},c] / N"


def _subscript(name):
    """The paper's letters for a name: delta_1 -> δ_1."""
    for word, letter in (("h_hat", "ĥ"), ("delta", "δ"), ("eps", "ε"), ("inverse_loss", "L^inv")):
        name = name.replace(word, letter)
    return "L" if name == "loss" else name
