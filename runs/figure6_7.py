"""Figures 6 and 7: the autoencoder of section 5.5 on MNIST. python -m runs.figure6_7

Trains mnist-autoencoder with BP, DTP and SDTP (both in parallel) and draws the reconstruction error
by epoch, and test images above what each network makes of them. The same command goes on with
runs that were stopped.
"""

import sys

import numpy as np

from ref import evaluate, folder, plots, train
from ref.common.command import count, seed
from ref.data import open_data
from ref.network import forward
from ref.training import to_input

from . import command, output, records, table1

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


def reconstructions(record, images):
    """What a run's network makes of images (N, H, W, C) uint8: the same shape, floats."""
    dtype = np.dtype(record.config["arguments"]["dtype"])
    data = open_data(record.config["data"]["path"])
    net = train.build(record.arch, record.rule, record.config["hyperparameters"], data)
    params = evaluate.restore(net, record.path, folder.read_parameters(record.path))
    h, _ = forward(net, params, to_input(images, np, dtype))
    return h[net.L].reshape(images.shape)


def draw_curves(plt, runs, data_name):
    figure, axes = plt.subplots(figsize=(7, 4.6))
    for record in runs:
        plots.curves(axes, record.rows, plots.label(record.rule, record.schedule),
                     plots.style(record.rule, record.schedule))
    axes.set(title=f"Autoencoder 784-512-64-512-784, {data_name}", xlabel="epoch",
             ylabel="reconstruction error\n(squared error, mean over pixels)",
             xlim=(0, None), ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    plots.legend(axes)
    return figure


def draw_images(plt, images, made):
    """A line of test images, and below it a line for each network."""
    lines = [("input", images / 255), *made.items()]
    figure, panels = plt.subplots(len(lines), len(images), squeeze=False,
                                  figsize=(0.8 * len(images) + 1.6, 0.85 * len(lines)))
    for (name, pictures), line in zip(lines, panels, strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
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


def write_reconstructions(path, runs, data):
    """figure7: the picture and each image's squared error, for the runs that have parameters."""
    images, numbers = first_of_classes(data)
    made, rows = {}, []
    for record in runs:
        name = plots.label(record.rule, record.schedule)
        try:
            made[name] = reconstructions(record, images)
        except folder.FolderError as error:
            print(f"no reconstructions by {name}: {error}", file=sys.stderr)
            continue
        errors = ((made[name] - images / 255) ** 2).reshape(len(images), -1).mean(axis=1)
        rows += [{"method": name, "epochs": record.epochs, "test_image": number,
                  "squared_error": f"{error:.6g}"}
                 for number, error in zip(numbers, errors, strict=True)]
    if rows:
        output.write_csv(path, rows)
        output.picture(path.with_suffix(".png"), lambda plt: draw_images(plt, images, made))


def work(args):
    data = open_data(train.find_data(args.data))
    known = records.read_all(args.work) + records.read_all(args.out)
    args.seeds = [args.seed]
    todo = {row: table1.job_of(ARCH, data.name, row, args.seed, args, known) for row in ROWS}
    train.build(ARCH, "bp", records.defaults(ARCH, "bp")[0], data)  # do the images fit?
    outcomes = table1.train_and_record(todo, args)
    suffix = "" if data.name == "mnist" else f"_{data.name}"
    runs = [r for job in todo.values() if (job.out / "config.json").exists()
            and (r := records.read(job.out)).rows]
    path = args.out / f"figure6{suffix}.csv"
    if runs:
        output.write_csv(path, [
            {"method": plots.label(r.rule, r.schedule), "seed": r.seed, **{
                key: row[key] for key in ("epoch", "train_error", "test_error")}}
            for r in runs for row in r.rows])
        output.picture(path.with_suffix(".png"), lambda plt: draw_curves(plt, runs, data.name))
        write_reconstructions(args.out / f"figure7{suffix}.csv", runs, data)
        output.write_about(args.out / f"figure6_7{suffix}.json", "runs.figure6_7", seed=args.seed,
                           epochs={r.path.name: r.epochs for r in runs},
                           error="squared error, mean over pixels")
    for r in runs:
        print(f"{plots.label(r.rule, r.schedule):14} {r.epochs} epochs, reconstruction error: "
              f"train {r.rows[-1]['train_error']:.5f}, test {r.rows[-1]['test_error']:.5f}")
    print(f"wrote {path}" if runs else "no run has an epoch yet")
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def main():
    return command.carry_out(work, parser().parse_args())


if __name__ == "__main__":
    sys.exit(main())
