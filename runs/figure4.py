"""Figure 4: AO-SDTP's test error against the number of auxiliary outputs. python -m runs.figure4

A run for each size and seed, on CIFAR-10 by default, in a folder below --work. The same command
goes on with runs that were stopped; other sizes, seeds or more epochs add to what is there. 0 units
are SDTP, and a run of SDTP serves where it has the same hyperparameters. What is recorded is shown
beside them as it was after as many epochs.
"""

from ref import plots
from ref.common import schema
from ref.common.command import count, tell
from ref.common.names import file_name

from . import command, output, paper, records, table1
from .command import RECORDED, is_record
from .figures import BESIDE

MOST = 1000  # units, in the paper
SCHEDULES = ("parallel", "alternating")
ABOUT = schema.keys({"network": schema.one_of(paper.COLUMNS), "data": schema.text,
                     "epochs": schema.whole(1), "schedule": schema.one_of(SCHEDULES)})
SIZES = [0, 32, 128, 256, 512, 1000]


def parser():
    p = command.parser("runs.figure4", __doc__)
    p.add_argument("--data", default="cifar10", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--net", choices=("fc", "lc"), default="fc", help="default %(default)s")
    p.add_argument("--aux", type=command.numbers, default=SIZES, metavar="UNITS,...",
                   help="default " + ",".join(map(str, SIZES)))
    p.add_argument("--schedule", choices=SCHEDULES, default="parallel",
                   help="default %(default)s")
    p.add_argument("--epochs", type=count, default=10, help="default %(default)s; the paper's: 500")
    p.add_argument("--seeds", type=command.numbers, default=[0], metavar="SEED,...",
                   help="default 0")
    command.add_training_options(p)
    return p


def run_of(column, units, schedule):
    """(row, hyperparameters that take the place of the row's own) of so many auxiliary outputs."""
    ours, _ = records.defaults(column, "ao-sdtp", schedule)
    sdtp, _ = records.defaults(column, "sdtp", schedule)
    if units == 0 and sdtp == {key: ours[key] for key in ours if key != "aux"}:
        return f"sdtp-{schedule}", {}
    return f"ao-sdtp-{schedule}", {"aux": units} if units != ours["aux"] else {}


def row_of(units, seed, epochs, whose, rows, state="done", reason=""):
    """A row of the table: a run's best and last error in its first epochs, {column: value} each."""
    rows = rows[:epochs]
    best = min(rows, key=lambda row: row["test_error"], default={})
    return {"aux": units, "seed": seed, "whose": whose, "epochs": len(rows),
            "best_test_error": best.get("test_error"), "best_epoch": best.get("epoch"),
            "final_test_error": rows[-1]["test_error"] if best else None,
            "state": state, "reason": reason}


def rows_of(todo, outcomes, epochs):
    """A row a run of yours, whatever became of it."""
    for (units, seed), job in todo.items():
        there = (job.out / "config.json").exists()
        yield row_of(units, seed, epochs, "yours", records.read(job.out).rows if there else [],
                     outcomes[units, seed].state, outcomes[units, seed].reason)


def recorded_rows(column, data_name, schedule, epochs):
    """A row a size and seed that is recorded with so many epochs, whatever its size."""
    found = [r for r in records.read_all(RECORDED) if r.epochs >= epochs
             and (r.arch, r.schedule, r.data) == (column, schedule, data_name)
             and r.rule in ("sdtp", "ao-sdtp")]
    for units in sorted({r.config["hyperparameters"].get("aux", 0) for r in found}):
        row, other = run_of(column, units, schedule)
        what = (column, paper.method(row)[0], schedule, data_name)
        for seed in sorted({r.seed for r in found}):
            for record in records.matching(found, what, seed, other)[:1]:
                yield row_of(units, seed, epochs, "recorded", record.rows)


def draw(plt, rows, column, title, data_name):
    """The best test error by size: a point a seed; where there are several, their mean as a line.

    The paper's two values, read off its figure, stand where they are: without units and with most.
    """
    figure, axes = plt.subplots(figsize=(plots.WIDTH * 0.7, 3.6))
    good = [row for row in rows if row["best_test_error"] is not None and row["state"] == "done"]
    colour = plots.COLOURS["ao-sdtp"]
    whole = sorted({row["whose"] for row in good})
    for whose in whole:
        of_whom = [row for row in good if row["whose"] == whose]
        faint = 1.0 if whose == "yours" or len(whole) == 1 else BESIDE
        sizes = sorted({row["aux"] for row in of_whom})
        errors = [[r["best_test_error"] for r in of_whom if r["aux"] == size] for size in sizes]
        axes.plot([r["aux"] for r in of_whom], [r["best_test_error"] for r in of_whom], "o",
                  color=colour, markerfacecolor="white", alpha=faint, label=f"{whose}, each seed")
        if max(map(len, errors)) > 1:
            axes.plot(sizes, [sum(e) / len(e) for e in errors], color=colour, alpha=faint,
                      label=f"{whose}, mean of seeds")
    values = [row["best_test_error"] for row in good]
    if data_name == "cifar10" and column in paper.FIGURE_4:
        published = list(zip((0, MOST), paper.FIGURE_4[column], strict=True))
        axes.plot(*zip(*published, strict=True), "D", color=plots.OTHER,
                  label=f"the paper, {paper.EPOCHS} epochs (about)")
        values += paper.FIGURE_4[column]
    if values:
        plots.limit(axes, min(values), max(values))
    axes.set_xticks(sorted({0, MOST, *(row["aux"] for row in good)}))
    axes.set(title=title, xlabel="auxiliary output units", ylabel="best test error (%)")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def write(out, column, data_name, schedule, epochs, rows, **about):
    """CSV, JSON and picture of the rows of a network and schedule."""
    suffix = file_name(f"{column}-{schedule}") + output.suffix(data_name, "cifar10")
    path = out / f"figure4_{suffix}.csv"
    output.write_csv(path, rows)
    output.write_about(path.with_suffix(".json"), "runs.figure4", network=column, data=data_name,
                       schedule=schedule, epochs=epochs, **about)
    title = f"AO-SDTP, {schedule}, on {column}, {data_name}, {epochs} epochs"
    output.picture(path.with_suffix(".png"),
                   lambda plt: draw(plt, rows, column, title, data_name))


def write_recorded(out, about):
    """Draw again, of the recorded curves, what a figure's JSON is about; nothing where none is."""
    what = [about[key] for key in ("network", "data", "schedule", "epochs")]
    if rows := list(recorded_rows(*what)):
        write(out, *what, rows)


def work(args):
    column, data = table1.column_of(args.data, args.net)
    todo = {}
    for seed in args.seeds:
        for units in args.aux:
            row, other = run_of(column, units, args.schedule)
            todo[units, seed] = table1.job_of(column, data, row, seed, args, other)
    outcomes = table1.train_and_record(todo, args)
    rows = list(recorded_rows(column, data.name, args.schedule, args.epochs))
    mine = list(rows_of(todo, outcomes, args.epochs))
    rows += [row for row in mine if not is_record(args.out) or row["state"] != "done"]
    for row in rows:
        error = row["best_test_error"]
        tell(f"{row['aux']:5} units, seed {row['seed']}, {row['whose']}, {row['epochs']} epochs: "
             + (f"{error:.2f} %" if error is not None else "") + f" {row['reason']}".rstrip())
    write(args.out, column, data.name, args.schedule, args.epochs, rows, seeds=args.seeds)
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
