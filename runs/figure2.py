"""Figure 2: train (dashed) and test (solid) errors on CIFAR-10. python -m runs.figure2

It draws the runs recorded in --out, fully connected and locally connected side by side; with
--epochs it trains what is missing first, as runs.table1 does.
"""

import sys
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
        found, data_name = table1.column_of(args.data, "fc")
        if not found.startswith(family):
            raise UsageError(f"--data {args.data}: {columns[0]} does not take such images")
    if args.epochs:
        for column in columns:
            outcomes = table1.train_rows(column, data_name, list(paper.TABLE_1[column]), args)
            failed += [o for o in outcomes.values() if o.state != "done"]
    path = args.out / f"{number}{'' if data_name == paper.DATA[family] else f'_{data_name}'}.csv"
    panels = draw(path, columns, data_name)
    if panels is None:
        raise UsageError(f"{args.out}: no run of {' or '.join(columns)} on {data_name} is recorded;"
                         " train them with --epochs, or python -m runs.table1")
    output.write_about(path.with_suffix(".json"), module,
                       runs=[r.path.name for _, runs in panels for r in runs.values()])
    print(f"wrote {path}: {sum(len(runs) for _, runs in panels)} runs")
    return 1 if failed else 0


def draw(path, columns, data_name):
    """Write the CSV and the picture of what is recorded beside them; None where nothing is."""
    cells, _ = records.cells(records.read_all(path.parent))
    panels = [(paper.COLUMNS[column] if data_name in paper.DATA.values()
               else f"{column}, {data_name}", figures.runs_of(cells, column, data_name))
              for column in columns]
    rows = figures.table_of(panels)
    if not rows:
        return None
    output.write_csv(path, rows)
    output.picture(path.with_suffix(".png"), lambda plt: figures.error_curves(plt, panels))
    return panels


def main():
    args = parser("runs.figure2", __doc__).parse_args()
    return command.carry_out(partial(work, "runs.figure2", "figure2", "cifar"), args)


if __name__ == "__main__":
    sys.exit(main())
