"""The command line's face of a setting (settings.py): one argument for each option."""

import argparse

from . import settings
from .common.command import integer_at_least
from .rules.rule import Option


def typed(option):
    """An argparse type that reads the text of one Option."""

    def convert(text):
        try:
            return option.value(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def number_from(low, high=float("inf")):
    """An argparse type: a finite number in [low, high]."""
    return typed(Option("", "", low=low, high=high))


positive = typed(Option("", "", above=True))  # a finite number above 0


def whole(text):
    """An argparse type: an integer of at least 0."""
    return integer_at_least(text, 0)


def add_setting_arguments(p, of_step=False):
    """Every hyperparameter and convention but the batch size; None where the default holds.

    of_step  only those that a single step depends on
    """
    optimiser = p.add_argument_group("optimiser (defaults: ref/hyperparameters.py)")
    others = p.add_argument_group("options of some rules")
    epochs = None if of_step else p.add_argument_group("from epoch to epoch (ref/schedules.py)")
    slow = settings.over_epochs()
    ends = ("lr", "beta1", "beta2", "epsilon", "momentum", "weight_decay", "optimizer",
            "epsilon_form")
    for name, option in settings.every().items():
        if option is settings.BATCH_SIZE or of_step and name in slow:
            continue
        group = epochs if name in slow else optimiser if name.endswith(ends) else others
        rules = settings.rules_with(name)
        text = option.help
        if group is others and rules and len(rules) < 3:
            text += f" (rule {', '.join(rules)})"
        if option.default not in (None, ""):
            text += f" (default {option.default})"
        kind = {"choices": option.choices} if option.choices else {"type": typed(option)}
        group.add_argument(f"--{name.replace('_', '-')}", help=text, **kind)


def names(of_step=False):
    """The options that add_setting_arguments makes."""
    left_out = settings.over_epochs() if of_step else set()
    return set(settings.every()) - left_out - {settings.BATCH_SIZE.name}
