"""A setting: every hyperparameter and convention of a run, resolved once, from keywords.

    setting, source = resolve(rule=RULE, arch="mnist-fc", lr=1e-3)

The command line, Python, searches and reference files all call it; whoever gets the setting, a
dict, asks no further questions. `source` says which table of hyperparameters it starts from.
"""

from functools import cache

from . import conventions, hyperparameters, rules, schedules
from .common.command import UsageError
from .rules.rule import Option, prefix

OPTIMIZER = (
    Option("optimizer", "adam; sgd: gradient descent, with momentum where that is given; or "
           "batch-manhattan: the same along the gradient's signs", "adam",
           ("adam", "sgd", "batch-manhattan")),
    Option("epsilon_form", "where epsilon goes (ref/optim.py; hat is TensorFlow's)", "hat",
           ("hat", "kingma")),
)
HYPERPARAMETERS = Option("hyperparameters", "default values: ours where Table 5's do not learn, or "
                         "Table 5's alone", "default", ("default", "paper"))
CONVENTION = Option("convention", "preset of first_target, inverse_loss, output, reduction and "
                    "order (ref/conventions.py)", "bartunov2018", tuple(conventions.PRESETS))
TIMES = ", times 1 - momentum"  # a default rate
BATCH_SIZE = Option("batch_size", "examples in a batch", low=1, whole=True)


def of_group(group, symbols="its parameters"):
    """The Options of the optimiser of one group of parameters."""
    p = prefix(group)
    return (
        Option(f"{p}lr", f"learning rate of {symbols}", above=True),
        Option(f"{p}beta1", "decay of Adam's first moment", high=1, below=True),
        Option(f"{p}beta2", "decay of Adam's second moment", high=1, below=True),
        Option(f"{p}epsilon", "Adam's epsilon", above=True),
        Option(f"{p}momentum", "momentum of sgd and batch-manhattan", 0.0, high=1, below=True),
        Option(f"{p}weight_decay", f"what times {symbols} is added to their gradients (biases too)",
               0.0),
    )


def of_rule(rule, net=None):
    """{name: Option} of everything that can be set about a Rule, without the optimiser's form.

    net  a network, for words about the parameters that it has, not about all that one can have
    """
    found = [*_of_groups(rule, net), *rule.options]
    if any(name in preset for preset in conventions.PRESETS.values()
           for name in (option.name for option in rule.options)):
        found.append(CONVENTION)
    return {option.name: option for option in found}


def every():
    """{name: Option} of everything that can be set about any rule."""
    found = {option.name: option for option in (HYPERPARAMETERS, *OPTIMIZER, BATCH_SIZE)}
    for options in _of_every_rule().values():
        found = {**options, **found}
    return found


@cache
def _of_every_rule():
    """{rule: of_rule of it}, found once: a command line asks for it a hundred times."""
    return {name: of_rule(rules.get(name)) for name in rules.ALL}


def over_epochs():
    """Names of those that no single step depends on (schedules.py)."""
    return {option.name for name in rules.NAMES for group in rules.get(name).trains
            for option in schedules.options(group, "")}


def rules_with(name):
    """Names of the rules that have an option."""
    return [rule for rule, options in _of_every_rule().items() if name in options]


def _groups(rule):
    """The rule's groups, "forward" first: the order of a setting."""
    return [(group, rule.trains[group]) for group in schedules.forward_first(rule.trains)]


def _of_groups(rule, net=None):
    """The Options of all of its groups. A rule with a trainer of its own updates its weights its
    own way, with a learning rate alone."""
    named = [(group, ", ".join(symbol for symbol in symbols if not net or net.shapes_of(symbol)))
             for group, symbols in _groups(rule)]
    of_step = [option for group, symbols in named for option in of_group(group, symbols)
               if not (rule.trainer and option.name.endswith(("momentum", "weight_decay")))]
    return of_step + [option for pair in named for option in schedules.options(*pair)]


def resolve(rule, arch, hyperparameters=None, batch_size=None, optimizer=None,
            epsilon_form=None, **given):
    """(setting, source) of a rule on a network; None in `given` is as not given.

    First the tables and the rule's defaults, then the convention, then what is given.
    Raises UsageError for an option that the rule does not have, or a value it can't follow.
    """
    if rule not in rules.ALL:
        raise UsageError(f"--rule: {rule!r} is none of {', '.join(rules.ALL)}")
    declared, name = rules.get(rule), rule
    own, known = of_rule(declared), every()
    which = _value(HYPERPARAMETERS, hyperparameters or HYPERPARAMETERS.default)
    optimizer = optimizer or declared.optimizers[0]
    chosen = {option.name: option.default if value is None else _value(option, value)
              for option, value in zip(OPTIMIZER, (optimizer, epsilon_form), strict=True)}
    if chosen["optimizer"] not in declared.optimizers:
        raise UsageError(f"--optimizer {optimizer}: {name} updates its weights its own way, with a "
                         f"learning rate alone: {' or '.join(declared.optimizers)}")
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key not in own:
            raise UsageError(f"{_flag(key)}: " + (
                f"the rule {name} has no such option" if key in known else "no such option"))
    given = {key: _value(own[key], value) for key, value in given.items()}
    schedule = next((given.get("schedule", option.default) for option in declared.options
                     if option.name == "schedule"), None)
    table, source = _table(name, arch, schedule, which, chosen["optimizer"], own, given)

    setting = {option.name: table[option.name] if option.default is None else option.default
               for option in _of_groups(declared)}
    setting |= chosen
    setting["batch_size"] = (table.get("batch_size", 100) if batch_size is None
                             else _value(BATCH_SIZE, batch_size))
    for option in declared.options:
        setting[option.name] = table[option.name] if option.default is None else option.default
    if CONVENTION.name in own:
        preset = given.get(CONVENTION.name, CONVENTION.default)
        for key, value in conventions.PRESETS[preset].items():
            if key in own:
                setting[key] = value
            elif value != conventions.PRESETS[CONVENTION.default].get(key):
                raise UsageError(
                    f"--convention {preset} needs {key} {value}, which {name} does not have")
        setting[CONVENTION.name] = preset
    setting |= {"schedule": schedule} if schedule else {}
    setting |= given
    if wrong := schedules.problem(setting, declared.trains):
        raise UsageError(f"{_flag(wrong[0])}: {wrong[1]}")
    if setting.get("output") == "logits" and declared.argmin_target:
        others = [rule for rule in rules_with("output") if not rules.get(rule).argmin_target]
        raise UsageError(
            f"--output logits: no finite logits minimise the loss, so {name} has no first target "
            f"there; use probabilities, or the rule {' or '.join(others)}")
    return setting, source


def check_used(setting, given):
    """Raise UsageError for something that a person gave ({name: value}) and nothing would use."""
    for key, value in given.items():
        if value is None:
            continue
        if key == "order" and setting.get("schedule") == "alternating":
            raise UsageError(
                "--order: it is an order within a step, and alternating has no such step")
        optimizer = setting["optimizer"]
        if optimizer != "adam" and key.endswith(("beta1", "beta2", "epsilon")):
            raise UsageError(f"{_flag(key)}: of Adam, --optimizer {optimizer} has only a learning "
                             "rate, momentum and weight decay")
        if optimizer == "adam" and key.endswith("momentum") and value:
            raise UsageError(f"{_flag(key)}: --optimizer adam has beta1 in its place; momentum "
                             "goes with sgd or batch-manhattan")


def _table(name, arch, schedule, which, optimizer, own, given):
    """The table's values that a setting starts from, and its name."""
    try:
        table, source = hyperparameters.lookup(arch, name, schedule, which)
    except KeyError:
        raise UsageError(
            f"--hyperparameters paper: Table 5 has nothing for {name} "
            f"{'' if schedule is None else schedule + ' '}on {arch}") from None
    if optimizer == "adam":
        return table, source
    rates = hyperparameters.rates(optimizer, arch, name)  # the tables' rates are Adam's
    rates = {key: rate for key, rate in rates.items() if key in own and key not in given}
    if rates and which == "paper":
        raise UsageError("--hyperparameters paper: Table 5's rates are Adam's; give --optimizer "
                         f"{optimizer} its own: {' '.join(map(_flag, rates))}")
    if rates:
        source = f"{source}, rates generic for {optimizer}"
    for key in rates:  # v becomes 1/(1 - m) gradients where they stay the same
        momentum = given.get(key.removesuffix("lr") + "momentum", 0.0)
        if momentum:
            rates[key] *= 1 - momentum
            source = f"{source.removesuffix(TIMES)}{TIMES}"
    return table | rates, source


def _value(option, given):
    try:
        return option.value(given)
    except ValueError as error:
        raise UsageError(f"{_flag(option.name)}: {error}") from None


def _flag(name):
    return "--" + name.replace("_", "-")
