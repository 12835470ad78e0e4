"""Table 1: train every row for one network. python -m runs.table1 --data mnist --net fc

Each row is a run of ref.train with its default hyperparameters in a folder below --work. The same
command goes on with runs that were stopped, and more --epochs with those that it has made. What is
recorded in runs/results is shown beside them, marked as such; none of it is written, nor taken for
yours. With `--out runs/results` the runs are recorded there, and rows that are recorded with as
many epochs are not trained again.
"""

from ref import checkpoint, rules, train
from ref.common.command import UsageError, count, tell
from ref.data import open_data

from . import command, figures, jobs, output, paper, records
from .command import RECORDED, is_record

SHAPES = {(28, 28, 1): "mnist", (32, 32, 3): "cifar"}  # whose networks take such images


def parser():
    p = command.parser("runs.table1", __doc__)
    p.add_argument("--data", default="mnist", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--net", choices=("fc", "lc"), default="fc", help="default %(default)s")
    p.add_argument("--epochs", type=count, default=paper.EPOCHS, help="default %(default)s")
    p.add_argument("--rows", type=lambda text: text.split(","), metavar="ROW,...",
                   help="default: all rows of the paper's column: " + ", ".join(paper.ROWS))
    p.add_argument("--seeds", type=command.numbers, default=[0], metavar="SEED,...",
                   help="default 0")
    command.add_training_options(p)
    return p


def column_of(data_name, net):
    """(column of the table, the opened data) for images of a size that we have networks for.

    Raises UsageError, DataFormatError.
    """
    data = open_data(train.find_data(data_name))
    if data.in_shape not in SHAPES:
        raise UsageError(f"--data {data_name}: Table 1 has no network for images of "
                         f"{'x'.join(map(str, data.in_shape))}")
    return f"{SHAPES[data.in_shape]}-{net}", data


def check_rows(rows, column):
    """Raises UsageError for a row that there is none of."""
    for row in rows:
        rule, schedule = paper.method(row)
        known = rule in rules.NAMES and (
            (len(rules.get(rule).trains) > 1) == (schedule is not None))
        if not known or (row.endswith("-conv") and (rule, column[-2:]) != ("bp", "lc")):
            raise UsageError(f"--rows {row}: {column} has no such row; the paper's are "
                             + ", ".join(paper.TABLE_1[column]))


def job_of(column, data, row, seed, args, other=None, parameters=False):
    """The job of a cell: a run that these commands began below --work, or one in a new folder; or,
    with --out runs/results, one that is recorded with as many epochs.

    other       {hyperparameter: value} that takes the place of the row's own
    parameters  whether the run's parameters are needed: of a recorded one only curves are kept
    """
    rule, schedule = paper.method(row)
    arch = paper.network(column, row)
    usual, _ = records.defaults(arch, rule, schedule)
    other = {key: value for key, value in (other or {}).items() if value != usual[key]}
    line = ["--rule", rule, "--arch", arch, "--data", args.data, "--seed", seed]
    line += ["--schedule", schedule] if schedule else []
    line += [word for key, value in other.items() for word in (f"--{key.replace('_', '-')}", value)]
    wanted = (arch, rule, schedule, data.name)
    mine = [r for r in records.matching(records.read_all(args.work), wanted, seed, other,
                                        data.digest) if (r.path / jobs.LOG).exists()
            and (r.epochs >= args.epochs or can_go_on(r))]
    if is_record(args.out) and not parameters:
        mine += [r for r in records.matching(records.read_all(RECORDED), wanted, seed, other)
                 if r.epochs >= args.epochs]
    name = records.name_of(*wanted, seed, [f"{key}{value}" for key, value in other.items()])
    place = max(mine, key=lambda r: r.epochs).path if mine else records.free(args.work / name)
    return jobs.Job(place, tuple(line), args.epochs)


def can_go_on(record):
    """Whether ref.train can resume the run, or there is nothing to resume."""
    return checkpoint.can_go_on(record.path) or (record.path / records.DIVERGED).exists()


def train_rows(column, data, rows, args):
    """Train a column's rows for every seed; {(row, seed): job}, and their outcomes."""
    todo = {(row, seed): job_of(column, data, row, seed, args) for seed in args.seeds
            for row in rows}
    return todo, train_and_record(todo, args)


def train_and_record(todo, args, renew=False):
    """Train {key: job} and copy their curves to --out (records.collect); {key: outcome}."""
    try:
        outcomes = jobs.run(list(todo.values()), args.jobs, begin=args.begin)
    finally:  # what was reached is kept however this ends
        for job in todo.values():
            if job.out.parent != args.out and (job.out / "config.json").exists():
                tell(records.collect(records.read(job.out), args.out, renew=renew))
    return {key: outcomes[job] for key, job in todo.items()}


def reached(todo, epochs):
    """The runs of {key: job} that have begun, as they were after so many epochs."""
    return [records.read(job.out).first(epochs) for job in todo.values()
            if (job.out / "config.json").exists()]


def summarise(runs):
    """What a cell says of its runs, one a seed: mean, lowest and highest of their best errors.

    A run that diverged is counted apart, whatever it reached before.
    """
    found = {"diverged": sum(bool(r.diverged) for r in runs)}
    runs = [r for r in runs if not r.diverged and r.rows]
    if not runs:
        return found
    found |= {"seeds": len(runs), "epochs": "/".join(str(r.epochs) for r in runs),
              "best_epochs": "/".join(f"{r.best()['epoch']:.0f}" for r in runs)}
    for part in ("train", "test"):
        best = [r.best(f"{part}_error")[f"{part}_error"] for r in runs]
        found |= {part: sum(best) / len(best), f"{part}_low": min(best), f"{part}_high": max(best)}
    return found


def table(column, data_name, rows, cells, whose, outcomes=None):
    """The table's rows as dicts: ours beside the paper's, in % (None: there is none)."""
    on_paper = paper.TABLE_1[column] if data_name == paper.DATA[column.split("-")[0]] else {}
    for row in rows:
        rule, schedule = paper.method(row)
        arch = paper.network(column, row)
        runs = cells.get((arch, rule, schedule, data_name), [])
        found = summarise(runs) if runs else {}
        train_paper, test_paper = on_paper.get(row, (None, None))
        bad = [f"seed {seed} {outcome.state}: {outcome.reason}"
               for (r, seed), outcome in (outcomes or {}).items()
               if r == row and outcome.state != "done"]
        comparable = "test" in found and test_paper is not None and (
            min(r.epochs for r in runs if r.rows and not r.diverged) >= records.FEWEST)
        yield {
            "method": figures.label(row), "whose": whose, "network": arch,
            "data": data_name, "rule": rule, "schedule": schedule,
            "hyperparameters_from": records.defaults(arch, rule, schedule)[1],
            **{key: found.get(key) for key in (
                "seeds", "diverged", "epochs", "best_epochs", "train", "train_low", "train_high",
                "test", "test_low", "test_high")},
            "paper_train": train_paper, "paper_test": test_paper,
            "test_difference": found["test"] - test_paper if comparable else None,
            "problem": "; ".join(bad),
        }


def in_turn(groups):
    """Tables {whose: rows} with the same rows as one, row by row; what is recorded only where it
    is."""
    for rows in zip(*groups.values(), strict=True):
        yield from (row for row in rows if len(groups) == 1 or row["whose"] == "yours"
                    or row["seeds"] or row["diverged"])


def show(rows):
    """The table for a person."""
    yield (f"{'method':22} {'whose':8} {'epochs':>9}  {'train / test, %':>16}  {'paper':>13}  "
           "test difference")
    for row in rows:
        ours = (f"{row['train']:.2f} / {row['test']:.2f}" if row["seeds"] else
                "diverged" if row["diverged"] else "not run")
        known = row["paper_test"] is not None
        papers = f"{row['paper_train']:.2f} / {row['paper_test']:.2f}" if known else ""
        gap = ("" if not row["seeds"] or not known else "too short to compare"
               if row["test_difference"] is None else f"{row['test_difference']:+.2f}")
        yield (f"{row['method']:22} {row['whose']:8} {row['epochs'] or '':>9}  {ours:>16}  "
               f"{papers:>13}  {gap:>6}  {row['problem']}").rstrip()


def work(args):
    column, data = column_of(args.data, args.net)
    rows = args.rows or list(paper.TABLE_1[column])
    check_rows(rows, column)
    todo, outcomes = train_rows(column, data, rows, args)
    cells = {"recorded": records.cells(records.read_all(RECORDED))[0]}
    if not is_record(args.out):
        cells["yours"] = records.cells(reached(todo, args.epochs))[0]
    found = list(in_turn({whose: list(table(column, data.name, rows, of_whom, whose,
                                            outcomes if whose == list(cells)[-1] else None))
                          for whose, of_whom in cells.items()}))
    tell(*show(found))
    usual = paper.DATA[column.split("-")[0]]
    path = args.out / f"table1_{column}{output.suffix(data.name, usual)}.csv"
    output.write_csv(path, found)
    output.write_about(path.with_suffix(".json"), "runs.table1", seeds=args.seeds, rows=found,
                       paper="Table 1, best train and best test error over the epochs")
    curves = [run for of_whom in cells.values()
              for run in figures.runs_of(of_whom, column, data.name, rows)]
    title = f"{column}, {data.name}"
    if figures.long_enough([(title, curves)]):
        output.picture(path.with_suffix(".png"), lambda plt: figures.error_curves(
            plt, [(title, curves)],
            published={title: paper.TABLE_1[column] if data.name == usual else {}}))
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
