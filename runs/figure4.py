"""Figure 4: AO-SDTP's test error against the number of auxiliary outputs. python -m runs.figure4

A run for each size and seed, on CIFAR-10 by default; all are recorded in --out. The same command
goes on with runs that were stopped; other sizes, seeds or more epochs add to what is there. 0 units
are SDTP, and a run of SDTP serves where it has the same hyperparameters.
"""

import sys

from ref import plots
from ref.common.command import count

from . import command, output, paper, records, table1

SIZES = [0, 32, 128, 256, 512, 1000]


def parser():
    p = command.parser("runs.figure4", __doc__)
    p.add_argument("--data", default="cifar10", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--net", choices=("fc", "lc"), default="fc", help="default %(default)s")
    p.add_argument("--aux", type=command.numbers, default=SIZES, metavar="UNITS,...",
                   help="default " + ",".join(map(str, SIZES)))
    p.add_argument("--schedule", choices=("parallel", "alternating"), default="parallel",
                   help="default %(default)s")
    p.add_argument("--epochs", type=count, default=10, help="default %(default)s; the paper's: 500")
    p.add_argument("--seeds", type=command.numbers, default=[0], metavar="SEED,...",
                   help="default 0")
    command.add_training_options(p)
    return p


def job_of(column, data_name, units, seed, args, known):
    """The run with so many auxiliary outputs."""
    ours, _ = records.defaults(column, "ao-sdtp", args.schedule)
    sdtp, _ = records.defaults(column, "sdtp", args.schedule)
    if units == 0 and sdtp == {key: ours[key] for key in ours if key != "aux"}:
        return table1.job_of(column, data_name, f"sdtp-{args.schedule}", seed, args, known)
    return table1.job_of(column, data_name, f"ao-sdtp-{args.schedule}", seed, args, known,
                         {"aux": units})


def rows_of(todo, outcomes):
    """A row a run, whatever became of it; of one that is longer, the epochs that all have."""
    for (units, seed), job in todo.items():
        there = (job.out / "config.json").exists()
        epochs = records.read(job.out).rows[:job.epochs] if there else []
        best = min(epochs, key=lambda row: row["test_error"], default={})
        yield {"aux": units, "seed": seed, "epochs": len(epochs),
               "best_test_error": best.get("test_error"), "best_epoch": best.get("epoch"),
               "final_test_error": epochs[-1]["test_error"] if best else None,
               "state": outcomes[units, seed].state, "reason": outcomes[units, seed].reason}


def draw(plt, rows, column, title, data_name):
    """The best test error by size: a point a seed, a line through their means."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    good = [row for row in rows if row["best_test_error"] is not None and row["state"] == "done"]
    sizes = sorted({row["aux"] for row in good})
    errors = [[r["best_test_error"] for r in good if r["aux"] == size] for size in sizes]
    colour = plots.COLOURS["ao-sdtp"]
    axes.plot(sizes, [sum(e) / len(e) for e in errors], color=colour, label="ours, mean of seeds")
    axes.plot([r["aux"] for r in good], [r["best_test_error"] for r in good], "o", color=colour,
              markerfacecolor="white", label="ours, each seed")
    if data_name == "cifar10" and column in paper.FIGURE_4:
        none, many = paper.FIGURE_4[column]
        axes.axhline(none, color="#555555", linestyle=":", label="the paper, 0 units (about)")
        axes.axhline(many, color="#555555", linestyle="-.", label="the paper, 1000 units (about)")
    axes.set(title=title, xlabel="auxiliary output units", ylabel="best test error (%)")
    axes.legend(fontsize=9, ncol=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return figure


def work(args):
    column, data_name = table1.column_of(args.data, args.net)
    suffix = f"{column}-{args.schedule}" + ("" if data_name == "cifar10" else f"_{data_name}")
    known = records.read_all(args.work) + records.read_all(args.out)
    todo = {(units, seed): job_of(column, data_name, units, seed, args, known)
            for seed in args.seeds for units in args.aux}
    outcomes = table1.train_and_record(todo, args)
    rows = list(rows_of(todo, outcomes))
    path = args.out / f"figure4_{suffix}.csv"
    output.write_csv(path, rows)
    output.write_about(path.with_suffix(".json"), "runs.figure4", seeds=args.seeds,
                       epochs=args.epochs)
    title = (f"AO-SDTP, {args.schedule}, on {column}, {data_name}, {args.epochs} epochs"
             f"\n(the paper: {paper.EPOCHS} epochs)")
    output.picture(path.with_suffix(".png"),
                   lambda plt: draw(plt, rows, column, title, data_name))
    for row in rows:
        error = row["best_test_error"]
        print(f"{row['aux']:5} units, seed {row['seed']}: "
              + (f"{error:.2f} %" if error is not None else "") + f" {row['reason']}")
    print(f"wrote {path}")
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def main():
    return command.carry_out(work, parser().parse_args())


if __name__ == "__main__":
    sys.exit(main())
