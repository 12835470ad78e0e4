"""Figures 5 and 7A: what happens image by image while a network with hidden layers learns.

For every image, with the weights as they are before it: the angle of each hidden layer's update to
backpropagation's, and the losses of all layers. For every hundred: their means, firing rates, and
Theorem 1's μ from Jacobians averaged over the hundred. For every epoch and class: the correlation
of the hidden layer's loss with the output's, and of one of them shuffled.
"""

import numpy as np
from tqdm import tqdm

import ref
from ref import plots
from ref.common.command import UsageError, tell
from ref.data import open_data
from ref.dendrites import measures
from ref.evaluation import batch_of
from ref.find import find_data
from ref.seeds import stream

from .. import output
from . import paper

WINDOW = 100  # images


def follow(trainer, part, epochs, seed, images=None, show=None):
    """Train, and yield {name: number} for each image; every WINDOW of them also "mu"."""
    L, c = trainer.net.L, trainer.c
    done, J = 0, []
    for epoch in range(1, epochs + 1):
        batches = tqdm(part.epoch(1, seed, epoch), desc=f"epoch {epoch}", total=len(part),
                       leave=False, disable=show)
        for image, label in batches:
            x, y = batch_of(trainer.net, image, label, np, trainer.params["W"][1].dtype)
            # the gradient is the trainer's own; the angle needs the weights before its update
            W = {l: array.copy() for l, array in trainer.params["W"].items() if l > 1}
            out = trainer.step(x, y)
            example = out["examples"][0]
            before = {**trainer.params, "W": {**trainer.params["W"], **W}}
            row = {"epoch": epoch, "label": int(label[0])}
            row |= {f"angle_{l}": a for l, a in measures.angles(c, before, example).items()}
            row |= {name: float(values[0]) for name, values in out["measures"].items()}
            J.append(measures.jacobians(c, before, example.forward.V[L]))
            done += 1
            if len(J) == WINDOW:
                row["mu"] = measures.mu(*(np.mean(part_of, axis=0) for part_of in
                                          zip(*J, strict=True)))
                J = []
            yield row
            if images and done == images:
                return


def windows(rows):
    """Means of every WINDOW images, and μ at their end: rows of a table."""
    names = [name for name in rows[0] if name not in ("epoch", "label", "mu")]
    for first in range(0, len(rows) - WINDOW + 1, WINDOW):
        some = rows[first:first + WINDOW]
        yield {"epoch": some[0]["epoch"], "images": first + WINDOW,
               **{name: float(np.nanmean([row[name] for row in some])) for name in names},
               "mu": some[-1]["mu"]}


def correlations(rows, L, seed):
    """Rows of a table: Pearson's r of the loss of layer L-1 with that of L, by epoch and class."""
    rng = stream(seed, "order", 0)
    for epoch in sorted({row["epoch"] for row in rows}):
        for label in sorted({row["label"] for row in rows}):
            pairs = np.array([(row[f"layer_loss_{L - 1}"], row[f"layer_loss_{L}"]) for row in rows
                              if (row["epoch"], row["label"]) == (epoch, label)])
            if len(pairs) > 2:
                shuffled = np.corrcoef(pairs[:, 0], rng.permutation(pairs[:, 1]))[0, 1]
                yield {"epoch": epoch, "class": label, "images": len(pairs),
                       "correlation": float(np.corrcoef(pairs.T)[0, 1]),
                       "shuffled": float(shuffled)}


def draw(plt, tables, L):
    """Angles with spikes and with rates fed back, μ, and rates, by images."""
    figure, (places,) = plots.grid(plt, [("angle", "mu", "rate")])
    looks = {}
    for k, (fed_back, table) in enumerate(tables.items()):
        x = [row["images"] / 1000 for row in table]
        look = {"color": plots.PALETTE[k + 1][0], "linewidth": 1.0}
        places[0].plot(x, [row[f"angle_{L - 1}"] for row in table], **look)
        places[1].plot(x, [row["mu"] for row in table], **look)
        places[2].plot(x, [row["rate_hz_1"] for row in table], **look)
        looks[f"{fed_back} fed back"] = look
    places[0].set(title="angle of ΔW to backpropagation's", ylabel="degrees", ylim=(0, 95))
    places[1].set(title="μ of Theorem 1", yscale="log")
    places[1].axhline(1, color=plots.OTHER, linestyle=":")
    places[2].set(title="firing rate, first layer", ylabel="Hz")
    for axes in places:
        axes.set_xlabel("thousand images")
    plots.legend(figure, looks)
    return figure


def last(table, name, n=10):
    return np.mean([row[name] for row in table[-n:]])


def work(args):
    """Train with spikes and with rates fed back, and write tables and picture."""
    data = open_data(find_data(args.data))
    if "dense" not in args.arch:
        raise UsageError(f"--arch {args.arch}: angles and losses need a hidden layer")
    tables, runs = {}, []
    for fed_back in ("spikes", "rates"):
        trainer = ref.Trainer("segregated-dendrites", args.arch, data.in_shape, args.seed,
                              fed_back=fed_back)
        L = trainer.net.L
        rows = list(follow(trainer, data.train, args.epochs, args.seed, args.images))
        tables[fed_back] = list(windows(rows))
        if not tables[fed_back]:
            raise UsageError(f"--images {args.images}: at least {WINDOW} are needed")
        found = list(correlations(rows, L, args.seed))
        runs += [{"fed_back": fed_back, **row} for row in found]
        table = tables[fed_back]
        name = f"angle_{L - 1}"
        tell(f"{fed_back} fed back: angle {table[0][name]:.0f}° in the first {WINDOW} images, "
             f"lowest {min(row[name] for row in table):.0f}°, {last(table, name):.0f}° at the end "
             f"(the paper: {paper.ANGLE[fed_back]})",
             f"  μ {last(table, 'mu'):.3g} at the end (the paper: {paper.MU})",
             f"  correlation of losses {np.mean([row['correlation'] for row in found]):.2f}, "
             f"shuffled {np.mean([row['shuffled'] for row in found]):.2f} (the paper: "
             f"{paper.CORRELATION}); rates "
             + ", ".join(f"{last(table, f'rate_hz_{l}'):.0f}" for l in range(1, L + 1)) + " Hz")
    path = args.out / "dendrites_figure7.csv"
    output.write_csv(path, [{"fed_back": name, **row} for name, table in tables.items()
                            for row in table])
    if runs:
        output.write_csv(path.with_name("dendrites_figure5.csv"), runs)
    output.write_about(path.with_suffix(".json"), "runs.dendrites", network=args.arch,
                       data=data.name, seed=args.seed, epochs=args.epochs, images=args.images)
    output.picture(path.with_suffix(".png"), lambda plt: draw(plt, tables, L))
    return 0
