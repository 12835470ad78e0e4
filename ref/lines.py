"""What ref.train prints for a person."""

from . import architectures, rules, schedules, selection


def percent(error):
    """A classifier's error."""
    return f"{error:.2f} %"


def mean_square(error):
    """An autoencoder's error: the mean over pixels of the squared error."""
    return f"{error:.5f} (mean squared error)"


def unit_of(net):
    """How to show the network's error."""
    return mean_square if architectures.is_autoencoder(net) else percent


def opening(out, config, data):
    """The first lines: rule, network, optimiser, rates and their source; data and folder; of a new
    run what --init brought it."""
    arguments, setting = config["arguments"], config["hyperparameters"]
    optimizer = setting.get("optimizer", "adam")
    parts = []
    for key in (key for key in setting if key == "lr" or key.endswith("_lr")):
        source = config.get("hyperparameters_from", "unknown")
        if arguments.get(key) is not None:
            source = "given"
        elif key in rules.get(arguments["rule"]).defaults:
            source = "the rule's default"
        elif optimizer != "adam":
            source = source.rsplit(", rates ")[-1]
        parts.append(f"{key.replace('_', ' ')} {setting[key]:g} ({source})")
        for other in ("momentum", "weight_decay"):
            if value := setting.get(key.removesuffix("lr") + other):
                parts.append(f"{(key.removesuffix('lr') + other).replace('_', ' ')} {value:g}")
    parts.append(f"batch size {setting['batch_size']}")
    if setting.get("schedule"):
        parts.append(f"schedule {setting['schedule']}")
    parts += schedules.said(setting, rules.get(arguments["rule"]).trains)
    yield (f"{arguments['rule']} on {arguments['arch']}: optimizer {optimizer}, {', '.join(parts)}")
    how = config["augmentation"]
    changed = [f"crops moved by up to {how['crop_padding']}"] if how["crop_padding"] else []
    changed += ([f"crops of {how['resized_crop']:g} to 1 of the area"]
                if how.get("resized_crop") is not None else [])
    changed += [f"{how['flip']} flips"] if how["flip"] != "none" else []
    yield (f"{data.name}: {len(data.train)} train and {len(data.test)} test examples"
           + (f", trained on with {' and '.join(changed)}" if changed else "")
           + {"none": "", "channels": ", inputs normalised by channel",
              "symmetric": ", inputs in [-1, 1]"}[arguments.get("normalise", "none")]
           + f"; results in {out}")
    yield from schedules.never(setting, rules.get(arguments["rule"]).trains,
                               arguments["epochs"] or schedules.DEFAULT_EPOCHS)
    if not config.get("resumed"):
        yield from config.get("begins_with", ())


def epoch_line(row, show):
    """An epoch: errors, losses, angles, seconds."""
    parts = [f"epoch {row['epoch']:3d}"]
    for name in ("train", "validation", "test"):
        if f"{name}_error" in row:
            parts.append(f"{name} error {show(row[f'{name}_error'])} "
                         f"loss {row[f'{name}_loss']:.4f}")
    parts += _inverse_losses(row)
    for name, words in (("angle_", "angles"), ("feedback_angle_", "feedback angles"),
                        ("inverse_angle_", "inverse angles")):
        angles = {int(key[len(name):]): value for key, value in row.items() if key.startswith(name)}
        if angles:
            parts.append(f"{words} {_from_to(angles)}: "
                         + " ".join(f"{value:.0f}" for value in angles.values()))
    parts += [f"{key.replace('_', ' ')} {row[key]:g}" for key in row
              if key == "lr" or key.endswith("_lr")]
    parts.append(f"{row['seconds']:.1f} s")
    return "   ".join(parts)


def pretraining_line(row, k, n):
    """The k-th of n passes before the first epoch."""
    return "   ".join([f"pre-training {k}/{n}", *_inverse_losses(row)])


def _inverse_losses(row):
    l_of = sorted(int(key[13:]) for key in row if key.startswith("inverse_loss_"))
    inverse = [f"{row[f'inverse_loss_{l}']:.3g}" for l in l_of]
    return [f"inverse loss {_from_to(l_of)}: {' '.join(inverse)}"] if inverse else []


def _from_to(layers):
    first, last = min(layers), max(layers)
    return f"{first}-{last}" if first < last else str(first)


def summary(rows, show):
    """The last line: best and final test error; with a validation part, the test error of the epoch
    that it picks."""
    picked = selection.best(rows)
    if picked:
        return (f"best validation error {show(picked['validation_error'])} (epoch "
                f"{picked['epoch']}), test error there {show(picked['test_error'])}, "
                f"final {show(rows[-1]['test_error'])}")
    best = min(rows, key=lambda row: row["test_error"])
    return (f"best test error {show(best['test_error'])} (epoch {best['epoch']}), "
            f"final {show(rows[-1]['test_error'])}")
