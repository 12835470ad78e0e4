"""What changes from epoch to epoch: learning rates, and how often the inverses are trained.

The learning rate of a group in epoch e = 1, 2, ... is lr γᵏ, with γ = lr_factor and

    k = ⌊(e - 1) / S⌋                    steps of S = lr_step epochs; Xiao et al. 2018: S = 10
    k = how many milestones m < e        BioTorch: 100,150,200 on CIFAR-10

so that it falls when epoch S, or m, is over: torch.optim.lr_scheduler's StepLR and MultiStepLR.

A rule that trains more than the forward parameters, so inverses or mirrors, may train these

    K = inverse_steps                    times on each batch, each with noise of its own, the last
                                         of them with the forward parameters (Ernoult et al. 2022)
    E = inverse_pretraining              whole passes over the data before the first epoch
                                         (Meulemans et al. 2020; Ernoult et al. 2022)
"""

from .rules.rule import Option, prefix

DEFAULT_EPOCHS = 20
PRETRAINING = 1 << 31  # the number of the first such pass: each has its own order of the data


class Milestones(Option):
    """An Option whose value is the text of growing numbers of epochs: "50,75"; "" for none."""

    def value(self, given):
        listed = isinstance(given, (list, tuple))
        parts = [str(part).strip() for part in (given if listed else str(given).split(","))]
        parts = [] if parts == [""] else parts
        if not all(part.isascii() and part.isdigit() for part in parts) or any(
                int(a) >= int(b) for a, b in zip(["0", *parts], parts, strict=False)):
            raise ValueError(f"{given!r} is not a list of growing numbers of epochs, such as 50,75")
        return ",".join(str(int(part)) for part in parts)


def options(group, symbols):
    """The Options of one group of parameters, which no single step depends on."""
    p = prefix(group)
    rates = (
        Option(f"{p}lr_step", f"epochs after which the learning rate of {symbols} is multiplied by "
               f"{p}lr_factor, again and again (0: never)", 0, whole=True),
        Milestones(f"{p}lr_milestones", "the same after each of these epochs: 50,75", ""),
        Option(f"{p}lr_factor", "what the learning rate is multiplied by then", 0.1, above=True),
    )
    if group == "forward":
        return rates
    return (*rates,
            Option(f"{group}_steps", f"updates of {symbols} on each batch, each with its own noise",
                   1, low=1, whole=True),
            Option(f"{group}_pretraining", f"passes over the data that train {symbols} alone, "
                   "before the first epoch", 0, whole=True))


def problem(setting, groups):
    """(option, what is wrong with it) where a setting says two things, or one in vain; or None."""
    for p in map(prefix, groups):
        drops = [key for key in (f"{p}lr_step", f"{p}lr_milestones") if setting[key]]
        if len(drops) == 2:
            return f"{p}lr_milestones", "steps or milestones, not both"
        if not drops and setting[f"{p}lr_factor"] != 0.1:
            return f"{p}lr_factor", "it needs steps or milestones, at which the rate changes"
    return None


def factor(setting, p, epoch):
    """What the learning rate of the group with prefix p is multiplied by in an epoch, from 1."""
    step, milestones = setting.get(f"{p}lr_step", 0), setting.get(f"{p}lr_milestones", "")
    drops = (epoch - 1) // step if step else sum(
        int(m) < epoch for m in milestones.split(",") if m)
    return setting.get(f"{p}lr_factor", 0.1) ** drops


def factors(setting, groups, epoch):
    """{group: what its learning rate is multiplied by in an epoch}."""
    return {group: factor(setting, prefix(group), epoch) for group in groups}


def rates(setting, groups, epoch):
    """{"lr": ..., "inverse_lr": ...} of an epoch, of the groups whose rate changes."""
    return {f"{p}lr": setting[f"{p}lr"] * factor(setting, p, epoch)
            for p in map(prefix, forward_first(groups))
            if setting.get(f"{p}lr_step") or setting.get(f"{p}lr_milestones")}


def never(setting, groups, epochs):
    """Words for a person, of changes that a run of so many epochs never comes to."""
    for p in map(prefix, forward_first(groups)):
        for key in (f"{p}lr_step", f"{p}lr_milestones"):
            late = [m for m in str(setting.get(key) or "").split(",") if m and int(m) >= epochs]
            if late:
                yield (f"warning: --{key.replace('_', '-')} {','.join(late)}: never reached, the "
                       f"run has {epochs} epoch{'s' * (epochs != 1)}")


def forward_first(groups):
    """The groups in the order in which people read of them."""
    return sorted(groups, key=lambda group: group != "forward")


def steps(setting, group):
    """How often a group is trained on each batch."""
    return setting.get(f"{group}_steps", 1)


def pretraining(setting, groups):
    """The passes before the first epoch: (number of the pass, phase) each."""
    todo = [group for group in groups for _ in range(setting.get(f"{group}_pretraining", 0))]
    return [(PRETRAINING + k, group) for k, group in enumerate(todo)]


def said(setting, groups):
    """Words for a person, of what is not as it is without being asked for."""
    for group in forward_first(groups):
        p = prefix(group)
        lr, by = f"{p}lr".replace("_", " "), setting.get(f"{p}lr_factor")
        if setting.get(f"{p}lr_step"):
            n = setting[f"{p}lr_step"]
            yield f"{lr} times {by:g} every {'epoch' if n == 1 else f'{n} epochs'}"
        if setting.get(f"{p}lr_milestones"):
            yield f"{lr} times {by:g} after epochs {setting[f'{p}lr_milestones']}"
        if steps(setting, group) > 1:
            yield f"{group} trained {steps(setting, group)} times a batch"
        if n := setting.get(f"{group}_pretraining"):
            yield f"{group} pre-trained for {n} {'pass' if n == 1 else 'passes'}"
