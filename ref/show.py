"""What can be set about a rule, and what it is on a network: ref.train --rule dtp --show"""

import textwrap

from . import begin, rules, settings
from .common.command import UsageError

INDENT, WIDTH = 28, 100
OF_ADAM = ("beta1", "beta2", "epsilon", "epsilon_form")
OF_OTHERS = ("momentum",)


def lines(args):
    """Lines with each option of args.rule: its flag, its value on args.arch, what it is.

    args  the parsed command line of ref.train; what it gives is marked
    Raises UsageError for options that do not go together, as training would.
    """
    if args.rule is None:
        raise UsageError(f"--show: say of which --rule; there are {', '.join(rules.ALL)}")
    begin.first_of(args)
    setting, source = begin.resolve(args)
    given = begin.given_in(args)
    settings.check_used(setting, given)
    options = settings.of_rule(rules.get(args.rule)) | {
        option.name: option for option in (*settings.OPTIMIZER, settings.BATCH_SIZE)}
    unused = OF_OTHERS if setting["optimizer"] == "adam" else OF_ADAM
    shown = [name for name in setting if name in options and not name.endswith(unused)]
    slow = settings.over_epochs()
    yield f"{args.rule} on {args.arch}; hyperparameters: {source}"
    for title, names in (("Of a step", [name for name in shown if name not in slow]),
                         ("From epoch to epoch", [name for name in shown if name in slow])):
        yield from ("", f"{title}:")
        for name in names:
            yield from _option(options[name], setting[name], given.get(name) is not None)
    yield from ("", "What every rule takes: python -m ref.train --help")


def _option(option, value, given):
    """The lines of one option."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    flag = f"  --{option.name.replace('_', '-')} {shown}{' (given)' if given else ''}".rstrip()
    said = option.help + (f" [{' | '.join(option.choices)}]" if option.choices else "")
    space = " " * INDENT
    text = textwrap.fill(said, WIDTH, initial_indent=space, subsequent_indent=space,
                         break_on_hyphens=False)
    if len(flag) > INDENT - 2:  # a line of its own
        return [flag, *text.splitlines()]
    return f"{flag:{INDENT}}{text.lstrip()}".splitlines()
