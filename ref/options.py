"""What the command line can set about training, and what it resolves to.

`add_setting_arguments` and `resolve` serve ref.train and ref.reference alike.
"""

import argparse
import math

from . import conventions, hyperparameters, rules
from .common.command import UsageError, integer_at_least
from .rules import inverses
from .rules.sign_symmetry import MAGNITUDES


def positive(text):
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def decay(text):
    """An argparse type: a number in [0, 1)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in [0, 1)")
    return value


def whole(text):
    """An argparse type: an integer of at least 0."""
    return integer_at_least(text, 0)


def number_from(low, high=math.inf):
    """An argparse type: a finite number in [low, high]."""

    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            limits = f"of at least {low}" if high == math.inf else f"in [{low}, {high}]"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {limits}")
        return value

    return convert


def add_setting_arguments(p):
    """Every hyperparameter and convention; None where the table's or the rule's default holds."""
    p.add_argument("--hyperparameters", choices=("default", "paper"), default="default",
                   help="default values: ours where Table 5's do not learn, or Table 5's alone")
    o = p.add_argument_group("optimiser (defaults: ref/hyperparameters.py)")
    o.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    o.add_argument("--epsilon-form", choices=("hat", "kingma"), default="hat",
                   help="where epsilon goes (ref/optim.py; default %(default)s, TensorFlow's)")
    for prefix, what in (("", "forward parameters"), ("inverse-", "inverses")):
        o.add_argument(f"--{prefix}lr", type=positive, help=f"learning rate of the {what}")
        o.add_argument(f"--{prefix}beta1", type=decay, help="decay of Adam's first moment")
        o.add_argument(f"--{prefix}beta2", type=decay, help="decay of Adam's second moment")
        o.add_argument(f"--{prefix}epsilon", type=positive, help="Adam's epsilon")
    t = p.add_argument_group("options of some rules")
    t.add_argument("--schedule", choices=("parallel", "alternating"),
                   help="train both losses on every batch (default), or a whole pass for the "
                        "inverses and then one for the forward parameters, in every epoch")
    t.add_argument("--alpha", type=number_from(0), help="step of DTP's first target")
    t.add_argument("--sigma", type=number_from(0), help="noise that trains the inverses")
    t.add_argument("--magnitude", choices=MAGNITUDES,
                   help="of the feedback (rule sign-symmetry; default uniform)")
    t.add_argument("--mu", type=number_from(0, 1),
                   help="weight of BP's targets (rule hybrid; default 0.5)")
    t.add_argument("--aux", type=whole, help="auxiliary output units (rule ao-sdtp; default 512)")
    t.add_argument("--inverse", choices=inverses.SHAPES,
                   help="receptive field of the inverses (default same)")
    t.add_argument("--convention", choices=conventions.PRESETS,
                   help="preset of the options below (ref/conventions.py; default bartunov2018)")
    for option, values in conventions.VALUES.items():
        t.add_argument(f"--{option.replace('_', '-')}", choices=values,
                       help="see ref/conventions.py; the default is the rule's and convention's")


def resolve(args):
    """A run's whole setting, and the table it starts from.

    First the tables and the rule's defaults, then the convention, then what the command line says.
    Raises UsageError for an option that the rule does not have, or a value it can't follow.
    """
    rule = rules.get(args.rule)
    with_inverses = rules.has_inverses(rule)
    schedule = (args.schedule or "parallel") if with_inverses else None
    optimiser = ("lr", "beta1", "beta2", "epsilon")
    own = (*rule.BUILD_OPTIONS, *rule.STEP_OPTIONS)
    if with_inverses:
        optimiser += tuple(f"inverse_{key}" for key in optimiser)
        own += ("schedule", "sigma", "convention", "output", "order")
    every = ("schedule", "alpha", "sigma", "mu", "aux", "inverse", "convention",
             "magnitude", *conventions.VALUES, *(f"inverse_{key}" for key in optimiser[:4]))
    for key in every:
        if getattr(args, key) is not None and key not in (*own, *optimiser):
            raise UsageError(f"--{key.replace('_', '-')}: the rule {args.rule} has no such option")

    try:
        table, source = hyperparameters.lookup(
            args.arch, args.rule, schedule, args.hyperparameters)
    except KeyError:
        raise UsageError(
            f"--hyperparameters paper: Table 5 has nothing for {args.rule} "
            f"{'' if schedule is None else schedule + ' '}on {args.arch}") from None
    if args.optimizer == "sgd":  # the tables' rates are Adam's
        rates = hyperparameters.sgd_rates(args.arch)
        table |= rates
        missing = [key for key in rates if key in optimiser and getattr(args, key) is None]
        names = [f"--{key.replace('_', '-')}" for key in missing]
        if missing and args.hyperparameters == "paper":
            raise UsageError("--hyperparameters paper: Table 5's rates are Adam's; give "
                             f"--optimizer sgd its own: {' '.join(names)}")
        if missing:
            source = f"{source}, rates {hyperparameters.SGD_SOURCE}"
    setting = {key: table[key] for key in optimiser}
    setting |= {"optimizer": args.optimizer, "epsilon_form": args.epsilon_form}
    setting["batch_size"] = getattr(args, "batch_size", None) or table.get("batch_size", 100)
    setting |= rule.DEFAULTS
    if with_inverses:
        setting |= {"schedule": schedule, "sigma": table["sigma"], "inverse": "same"}
        setting |= {"alpha": table["alpha"]} if "alpha" in own else {}
        preset = args.convention or "bartunov2018"
        for key, value in conventions.PRESETS[preset].items():
            if key not in own and value != conventions.PRESETS["bartunov2018"].get(key):
                raise UsageError(
                    f"--convention {preset} needs {key} {value}, which {args.rule} does not have")
            setting[key] = value
        setting["convention"] = preset
    given = (*own, *optimiser)
    setting |= {key: getattr(args, key) for key in given if getattr(args, key) is not None}
    if setting.get("output") == "logits" and args.rule != "dtp":
        raise UsageError(
            f"--output logits: no finite logits minimise the loss, so {args.rule} has no first "
            "target there; use probabilities, or the rule dtp")
    return setting, source
