"""Figures 6 and 7: the autoencoder of section 5.5 on MNIST. python -m runs.figure6_7

Trains mnist-autoencoder with BP, DTP and SDTP (both in parallel) and draws the reconstruction error
by epoch, and test images above what each network makes of them. The same command goes on with
runs that were stopped. What is recorded is drawn beside yours in Figure 6; of recorded runs only
the curves are kept, so Figure 7 needs runs of your own.
"""

import numpy as np

from ref import curves, evaluate, folder, train
from ref.common.command import count, say, seed, tell
from ref.config import complete
from ref.data import open_data
from ref.evaluation import to_input
from ref.network import forward

from . import command, figures, output, paper, records, table1
from .command import RECORDED, is_record

ARCH = "mnist-autoencoder"
ROWS = ("bp", "dtp-parallel", "sdtp-parallel")
IMAGES = 10


def parser():
    p = command.parser("runs.figure6_7", __doc__)
    p.add_argument("--data", default="mnist", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--epochs", type=count, default=50, help="default %(default)s; the paper's: 500")
    p.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    command.add_training_options(p)
    return p


def reconstructions(record, data, images):
    """What a run's network makes of images (N, H, W, C) uint8: the same shape, floats.

    data  the opened data set that it was trained on
    """
    config = complete(record.config)
    dtype = np.dtype(config["arguments"]["dtype"])
    net = train.build(record.arch, record.rule, config["hyperparameters"], data)
    params = evaluate.restore(net, record.path, folder.read_parameters(record.path))
    h, _ = forward(net, params, to_input(images, np, dtype))
    return h[net.L].reshape(images.shape)


def draw_curves(plt, runs, data_name):
    """Figure 6: the errors of these runs."""
    rows = [(paper.row_of(r.rule, r.schedule), r) for r in runs]
    title = f"Autoencoder 784-512-64-512-784, {data_name}"
    return figures.error_curves(plt, [(title, rows)], "mean squared error")


def draw_images(plt, images, made):
    """A line of test images, and below it a line for each network."""
    lines = [("input", images / 255), *made.items()]
    figure, panels = plt.subplots(len(lines), len(images), squeeze=False,
                                  figsize=(0.72 * len(images) + 1.8, 0.85 * len(lines)))
    for (name, pictures), line in zip(lines, panels, strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture[:, :, 0], cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    return figure


def first_of_classes(data):
    """The first test image of each class: (N, H, W, C)."""
    images, labels = next(iter(data.test.in_order(1000)))
    rows = [int(np.argmax(labels == k)) for k in range(len(data.classes)) if (labels == k).any()]
    return images[rows[:IMAGES]], rows[:IMAGES]


def all_reconstructions(runs, data, whose):
    """(images, {name: what a run makes of them}, rows of figure7.csv).

    Raises FolderError where a run has no parameters.
    """
    images, numbers = first_of_classes(data)
    made, rows = {}, []
    for record in runs:
        method = curves.method(record.rule, record.schedule)
        name = (f"{method}\n{record.epochs} epochs\n"
                f"error {record.rows[-1]['test_error']:.4f}")
        made[name] = reconstructions(record, data, images)
        errors = ((made[name] - images / 255) ** 2).reshape(len(images), -1).mean(axis=1)
        rows += [{"method": method, "whose": whose, "epochs": record.epochs,
                  "test_image": number, "squared_error": f"{error:.6g}"}
                 for number, error in zip(numbers, errors, strict=True)]
    return images, made, rows


def recorded(data_name, seeds=None):
    """The recorded runs of Figure 6, one a method: of these seeds, or of the lowest."""
    cells, _ = records.cells(records.read_all(RECORDED))
    runs = [[r for r in cells.get((ARCH, *paper.method(row), data_name), [])
             if r.rows and (seeds is None or r.seed in seeds)] for row in ROWS]
    return [of_row[0] for of_row in runs if of_row]


def write_curves(out, runs, data_name):
    """figure6: CSV, picture and JSON of these runs."""
    path = out / f"figure6{output.suffix(data_name, 'mnist')}.csv"
    output.write_csv(path, [
        {"method": curves.method(r.rule, r.schedule), "whose": r.whose, "seed": r.seed,
         "epochs": r.epochs, **{key: row[key] for key in ("epoch", "train_error", "test_error")}}
        for r in runs for row in r.rows])
    output.picture(path.with_suffix(".png"), lambda plt: draw_curves(plt, runs, data_name))
    output.write_about(path.with_suffix(".json"), "runs.figure6_7",
                       runs=[output.about_run(r) for r in runs],
                       error="squared error, mean over pixels")


def work(args):
    data = open_data(train.find_data(args.data))
    train.build(ARCH, "bp", records.defaults(ARCH, "bp")[0], data)  # do the images fit?
    todo = {row: table1.job_of(ARCH, data, row, args.seed, args, parameters=True) for row in ROWS}
    # Figure 7 shall be of the runs whose curves are kept
    outcomes = table1.train_and_record(todo, args, renew=True)
    mine = [records.read(job.out) for row, job in todo.items() if outcomes[row].state == "done"]
    shown = recorded(data.name, [args.seed] if is_record(args.out) else None)
    if not is_record(args.out):
        shown += mine
    for r in shown:
        tell(f"{curves.method(r.rule, r.schedule):14} {r.whose}, {r.epochs} epochs, reconstruction "
             f"error: train {r.rows[-1]['train_error']:.5f}, test {r.rows[-1]['test_error']:.5f}")
    bad = [f"{row} {o.state}: {o.reason}" for row, o in outcomes.items() if o.state != "done"]
    if any(outcome.state == "failed" for outcome in outcomes.values()) or not mine:
        return say(f"error: no figure is written before all runs are there: {'; '.join(bad)}", 1)
    whose = command.whose(args.out / "figure7.csv")
    images, made, rows = all_reconstructions(mine, data, whose)  # before anything is written
    write_curves(args.out, shown, data.name)
    path = args.out / f"figure7{output.suffix(data.name, 'mnist')}.csv"
    output.write_csv(path, rows)
    output.picture(path.with_suffix(".png"), lambda plt: draw_images(plt, images, made))
    output.write_about(path.with_suffix(".json"), "runs.figure6_7", seed=args.seed,
                       runs=[output.about_run(r) for r in mine])
    return say(f"error: {'; '.join(bad)}", 1) if bad else 0


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
