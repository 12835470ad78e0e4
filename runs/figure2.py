"""Figure 2: train and test errors on CIFAR-10. python -m runs.figure2

It draws the runs that are recorded and those in --out, each marked, a row of panels for fully and
one for locally connected networks; with --epochs it trains your own first, as runs.table1 does.
"""

from functools import partial

from ref.common.command import UsageError, count

from . import command, figures, output, paper, records, table1


def parser(module, doc):
    p = command.parser(module, doc)
    p.add_argument("--epochs", type=count, help="train so many epochs of every row first")
    p.add_argument("--data", metavar="NAME|FILE", help="default: the paper's")
    p.add_argument("--nets", type=lambda text: text.split(","), default=["fc", "lc"],
                   metavar="NET,...", help="fc, lc (default both)")
    p.add_argument("--seeds", type=command.numbers, default=[0], metavar="SEED,...",
                   help="to train (default 0); drawn is the lowest that is there")
    command.add_training_options(p)
    return p


def work(module, number, family, args):
    """Draw a figure of the networks called `family`-fc and `family`-lc."""
    for net in args.nets:
        if net not in ("fc", "lc"):
            raise UsageError(f"--nets {net}: there are fc and lc")
    columns = [f"{family}-{net}" for net in args.nets]
    data_name, failed = paper.DATA[family], []
    if args.epochs or args.data:
        args.data = args.data or data_name
        found, data = table1.column_of(args.data, "fc")
        data_name = data.name
        if not found.startswith(family):
            raise UsageError(f"--data {args.data}: {columns[0]} does not take such images")
    if args.epochs:
        for column in columns:
            _, outcomes = table1.train_rows(column, data, list(paper.TABLE_1[column]), args)
            failed += [o for o in outcomes.values() if o.state != "done"]
    path = args.out / f"{number}{output.suffix(data_name, paper.DATA[family])}.csv"
    if not draw(path, module, columns, data_name):
        raise UsageError(f"no run of {' or '.join(columns)} on {data_name} is in "
                         f"{' or '.join(map(str, command.places(args.out)))}; "
                         "train them with --epochs, or python -m runs.table1")
    return 1 if failed else 0


def draw(path, module, columns, data_name):
    """Write CSV, picture and JSON of the runs that are recorded and of those beside `path`; False
    where there are none."""
    cells = [records.cells(records.read_all(place))[0] for place in command.places(path.parent)]
    own = data_name in paper.DATA.values()
    panels = [(paper.COLUMNS[column] if own else f"{column}, {data_name}",
               [run for found in cells for run in figures.runs_of(found, column, data_name)])
              for column in columns]
    rows = figures.table_of(panels)
    if not rows:
        return False
    output.write_csv(path, rows)
    published = {paper.COLUMNS[column]: paper.TABLE_1[column] for column in columns} if own else {}
    output.picture(path.with_suffix(".png"), lambda plt: figures.error_curves(
        plt, panels, published=published))
    output.write_about(path.with_suffix(".json"), module, runs=[
        output.about_run(r) for _, runs in panels for _, r in runs])
    return True


def main():
    command.carry_out(partial(work, "runs.figure2", "figure2", "cifar"),
                      parser("runs.figure2", __doc__))


if __name__ == "__main__":
    main()
