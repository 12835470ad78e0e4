"""A picture of one image through both phases: spikes, potentials, plateaus."""

import numpy as np

import ref
from ref import plots, rules, settings
from ref.common.command import UsageError, tell
from ref.config import read as read_config
from ref.data import open_data
from ref.dendrites import learning
from ref.evaluation import batch_of
from ref.find import find_data

from .. import output

SHOWN = 60  # neurons of a layer


def record(trainer, image, label, warm=3):
    """(example.Example, {"n": {l: (T, n_l)}, ...}, T1) of an image, after `warm` times the same."""
    x, y = batch_of(trainer.net, image, label, np, trainer.params["W"][1].dtype)
    state = trainer.between
    for t in range(1, warm + 1):
        series = {}, {}
        found = trainer.example(x[0].ravel(), y[0], t, state, series)
        state = found.state
    both = {name: {l: np.concatenate([series[0][name][l], series[1][name][l]])
                   for l in series[0][name]} for name in series[0]}
    return found, both, len(series[0]["n"][0])


def spikes_of(series):
    """Rows of a table: layer, neuron and ms of each spike."""
    return [{"layer": l, "neuron": int(j), "ms": int(t)} for l, N in series["n"].items()
            for t, j in np.argwhere(N) for _ in range(int(N[t, j]))]


def draw(plt, found, series, T1, label, classes, settling):
    """Rows of panels: spikes of input, hidden layers and output; potentials; plateaus."""
    L = max(series["V"])
    T = len(series["n"][0])
    figure, axes = plt.subplots(L + 3, 1, figsize=(plots.WIDTH, 1.35 * (L + 3)), sharex=True,
                                height_ratios=[1.4] * L + [0.9, 1, 1])
    for l in range(L + 1):
        N = series["n"][l]
        busy = np.argsort(-N.sum(axis=0), kind="stable")[:SHOWN] if l < L else range(N.shape[1])
        times = [np.flatnonzero(N[:, j]) for j in (sorted(busy) if l < L else busy)]
        axes[l].eventplot(times, linelengths=0.8, linewidths=0.8,
                          colors=["#D55E00" if l == L and j == label else "#000000"
                                  for j in range(len(times))])
        name = "input" if l == 0 else "output" if l == L else f"hidden {l}"
        axes[l].set_ylabel(f"{name}\n{len(times)} of {N.shape[1]}")
        axes[l].set_yticks([])
    for j in range(series["V"][L].shape[1]):
        right = j == label
        axes[L + 1].plot(series["V"][L][:, j], linewidth=1.6 if right else 0.7,
                         color="#D55E00" if right else plots.OTHER)
    axes[L + 1].set_ylabel("output V\n(right: red)")
    if L > 1:
        changes = np.abs(found.target.V_a[L - 1] - found.forward.V_a[L - 1])
        for j in np.argsort(-changes)[:3]:
            axes[L + 2].plot(series["V_a"][L - 1][:, j], linewidth=0.9, color=plots.OTHER)
        most = int(changes.argmax())
        axes[L + 2].plot(series["V_a"][L - 1][:, most], linewidth=1.4, color="#0072B2")
        for start, end, means in ((0, T1, found.forward), (T1, T, found.target)):
            mean, alpha = means.V_a[L - 1][most], learning.plateaus(means)[L - 1][most]
            axes[L + 2].plot([start + settling, end - 1], [mean, mean], color="#0072B2",
                             linewidth=4, alpha=0.35)
            axes[L + 2].annotate(f"α = σ(mean) = {alpha:.2f}", (start + settling, mean),
                                 xytext=(-4, 9), textcoords="offset points", fontsize=8,
                                 ha="right", va="center", color="#0072B2")
    axes[L + 2].set(ylabel="apical V\n(3 neurons)", xlabel="ms")
    for a in axes:
        a.axvline(T1 - 0.5, color="#555555", linestyle="--", linewidth=1)
        a.grid(False)
    axes[0].set_title(f"an image of class {classes[label]}: forward phase, {T1} ms | target phase, "
                      f"{T - T1} ms")
    return figure


def trainer_of(args, data):
    """A trainer with the parameters of a run, or at the beginning."""
    if args.run is None:
        return ref.Trainer("segregated-dendrites", args.arch, data.in_shape, args.seed)
    config = read_config(args.run)
    if config["arguments"]["rule"] != "segregated-dendrites":
        raise UsageError(f"--run {args.run}: it is of the rule {config['arguments']['rule']}")
    known = set(settings.of_rule(rules.get("segregated-dendrites"))) & set(
        config["hyperparameters"])
    changed = {name: config["hyperparameters"][name] for name in known
               if not name.endswith(("beta1", "beta2", "epsilon", "momentum", "weight_decay"))}
    made = ref.Trainer("segregated-dendrites", config["arguments"]["arch"], data.in_shape,
                       config["arguments"]["seed"], **changed)
    for symbol, layers in ref.load(args.run).params.items():
        for l, array in layers.items():
            made.params[symbol][l][...] = array
    return made


def work(args):
    """Draw the first test image of a class, and say what the network makes of it."""
    data = open_data(find_data(args.data))
    trainer = trainer_of(args, data)
    images, labels = next(iter(data.test.in_order(1000)))
    k = int(np.argmax(labels == args.digit)) if args.digit is not None else 0
    found, series, T1 = record(trainer, images[k:k + 1], labels[k:k + 1])
    L, label = trainer.net.L, int(labels[k])
    read = data.classes[int(found.forward.V[L].argmax())]
    rates = ", ".join(f"layer {l}: {1000 * phi.mean():.0f} Hz forward, "
                      f"{1000 * found.target.phi[l].mean():.0f} Hz target"
                      for l, phi in found.forward.phi.items())
    tell(f"class {data.classes[label]}, read out as {read}; {rates}")
    path = args.out / "dendrites_raster.png"
    output.write_csv(path.with_suffix(".csv"), spikes_of(series))
    output.picture(path, lambda plt: draw(plt, found, series, T1, label, data.classes,
                                          trainer.c.settling))
    return 0
