"""Slips of a rule that has a trainer of its own: its options, and what its `recompute` knows."""

from ...common.command import UsageError
from ..images import given_of
from . import size


def other_option(e):
    """What another word, or the other end, of an option gives than the file's config says."""
    for option in e.declared.options:
        words = option.choices or ((0, 10) if option.whole and option.default == 10 else ())
        for value in words:
            if value != e.setting[option.name] and _can_be(e, option.name, value) and e.explains(
                    e.variant(setting={option.name: value})):
                return (f"it is what {option.name} {value} gives; the file's config says "
                        f"{e.setting[option.name]}")
    return None


def _can_be(e, name, value):
    """Whether a file can have been made so at all."""
    try:
        e.declared.recompute.check(e.net, {**e.setting, name: value}, given_of(e.start, e.t))
    except UsageError:
        return False
    return True


def known(e):
    """One of the rule's own list."""
    for slip, words in e.declared.recompute.SLIPS.items():
        if e.explains(e.variant(slip=slip)):
            return words
    return None


SPECIFIC = (*size.SPECIFIC, other_option, known, *size.FACTORS)
