"""What can be set about a rule, and what it is on a network: ref.train --rule dtp --show"""

import textwrap
from dataclasses import replace

from . import architectures, begin, rules, settings
from .common.command import UsageError
from .data import open_data
from .find import find_data

INDENT, WIDTH = 28, 100
DIGITS = (28, 28, 1)  # their shape: what a run without --data trains on
OF_ADAM = ("beta1", "beta2", "epsilon", "epsilon_form")
OF_OTHERS = ("momentum",)


def lines(args):
    """Lines with each option of args.rule: its flag, its value on args.arch, what it is.

    args  the parsed command line of ref.train; what it gives is marked
    Raises UsageError for options that do not go together, ArchitectureError for a network that
    can't be built, as training would.
    """
    if args.resume is not None:
        raise UsageError(f"--show: not with --resume; what that run has stands in "
                         f"{args.resume}/config.json")
    if args.rule is None:
        raise UsageError(f"--show: say of which --rule; there are {', '.join(rules.ALL)}")
    begin.first_of(args)
    setting, source = begin.resolve(args)
    given = begin.given_in(args)
    settings.check_used(setting, given)
    options = settings.of_rule(rules.get(args.rule), _network(args, setting)) | {
        option.name: option for option in (*settings.OPTIMIZER, settings.BATCH_SIZE)}
    options["optimizer"] = replace(options["optimizer"],
                                   choices=rules.get(args.rule).optimizers)
    unused = OF_OTHERS if setting["optimizer"] == "adam" else OF_ADAM
    shown = [name for name in setting if name in options and not name.endswith(unused)]
    slow = settings.over_epochs()
    yield f"{args.rule} on {args.arch}; hyperparameters: {source}"
    for title, names in (("Of a step", [name for name in shown if name not in slow]),
                         ("From epoch to epoch", [name for name in shown if name in slow])):
        yield from ("", f"{title}:")
        for name in names:
            yield from _option(options[name], setting[name], given.get(name) is not None)
    others = [_flag(name, getattr(args, name)) for name, default in begin.DEFAULTS.items()
              if name not in ("arch", "batch_size") and getattr(args, name) != default]
    if others:
        yield from ("", f"Given besides: {' '.join(others)}")
    yield from ("", "What every rule takes: python -m ref.train --help")


def _network(args, setting):
    """The network that training would have; without --data a named one with its own inputs."""
    if args.data not in (None, "digits"):
        data = open_data(find_data(args.data))
        return begin.build(args.arch, args.rule, setting, data)
    shape = None if args.arch in architectures.NAMED else DIGITS
    net = architectures.build(args.arch, shape, setting.get("output", "probabilities"))
    return rules.get(args.rule).build(net, setting)


def _flag(name, value):
    return f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")


def _option(option, value, given):
    """The lines of one option."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    flag = f"  {_flag(option.name, shown)}{' (given)' if given else ''}".rstrip()
    said = option.help + (f" [{' | '.join(option.choices)}]" if option.choices else "")
    space = " " * INDENT
    text = textwrap.fill(said, WIDTH, initial_indent=space, subsequent_indent=space,
                         break_on_hyphens=False)
    if len(flag) > INDENT - 2:  # a line of its own
        return [flag, *text.splitlines()]
    return f"{flag:{INDENT}}{text.lstrip()}".splitlines()
