"""One page that sets ours beside the paper's: python -m runs.report writes runs/results/README.md

It takes every run, search and picture that it finds in --out, redraws Figures 2, 5 and 8, and
writes the whole of Table 1 as table1.csv. The same folders give the same page.
"""

import sys

from ref import plots
from ref.folder import FolderError

from . import command, figure2, figure5, figure6_7, output, paper, ranks, records, table1

CLOSE = 0.35  # percentage points: this project's aim for MNIST, fully connected
PAGE = "README.md"


def parser():
    return command.parser("runs.report", __doc__)


def markdown(header, rows):
    """A table's lines."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def errors(row, part):
    """The mean of a cell over its seeds, with the range where there are several."""
    text = f"{row[part]:.2f}"
    if row["seeds"] > 1:
        text += f" ({row[f'{part}_low']:.2f} to {row[f'{part}_high']:.2f})"
    return text


def table_lines(rows):
    """A column of Table 1, row by row."""
    for row in rows:
        papers = f"{row['paper_train']:.2f} / {row['paper_test']:.2f}"
        runs = (row["seeds"] or 0) + (row["diverged"] or 0)
        note = f"{row['diverged']} of {runs} diverged" if row["diverged"] else ""
        if row["seeds"]:
            ours = f"{errors(row, 'train')} / {errors(row, 'test')}" + (note and f"; {note}")
            yield (row["method"], papers, ours, f"{row['test_difference']:+.2f}", row["epochs"],
                   row["seeds"], row["hyperparameters_from"])
        else:
            yield (row["method"], papers, note or "missing", "", "", "",
                   row["hyperparameters_from"] if note else "")


def verdict(rows):
    """How many rows come near the paper, and which do not."""
    gaps = {row["method"]: round(row["test_difference"], 2) for row in rows if row["seeds"]}
    near = [method for method, gap in gaps.items() if gap <= CLOSE]  # as printed
    far = [f"{method} ({gap:+.2f})" for method, gap in gaps.items() if gap > CLOSE]
    missing = [row["method"] for row in rows if not row["seeds"]]
    yield (f"{len(near)} of {len(rows)} rows have a test error of at most the paper's + {CLOSE} "
           f"percentage points." + (f" Further off: {'; '.join(far)}." if far else "")
           + (f" Nothing to compare: {'; '.join(missing)}." if missing else ""))
    yield ""


def order(rows):
    """How the order of the methods by test error agrees with the paper's."""
    rows = [row for row in rows if row["seeds"]]
    ours = {row["method"]: row["test"] for row in rows}
    papers = {row["method"]: row["paper_test"] for row in rows}
    rho = ranks.spearman(list(ours.values()), list(papers.values()))
    if len(rows) < 3 or rho is None:
        return
    yield f"**Order of the methods** (test error, {len(rows)} of them):"
    yield ""
    for name, found in (("ours", ours), ("the paper", papers)):
        best_first = sorted(found, key=lambda method: (found[method], method))
        yield f"- {name}: " + " < ".join(f"{m} ({found[m]:.2f})" for m in best_first)
    wrong = ranks.reversed_pairs(ours, papers)
    wrong.sort(key=lambda pair: (papers[pair[0]] - papers[pair[1]], pair))
    n = len(rows) * (len(rows) - 1) // 2
    yield f"- Spearman's rank correlation {rho:.2f}; {len(wrong)} of {n} pairs in opposite order:"
    for low, high in wrong:
        yield (f"  - {low} is better than {high} in the paper ({papers[low]:.2f}, "
               f"{papers[high]:.2f}), worse here ({ours[low]:.2f}, {ours[high]:.2f})")
    epochs = sorted({int(n) for row in rows for n in row["epochs"].split("/")})
    if len(epochs) > 1:
        yield (f"- the runs have from {epochs[0]} to {epochs[-1]} epochs; those with fewer would "
               "gain most from more")
    yield ""


def pictures(results, names, text):
    """Links to those pictures that are there."""
    for name in names:
        if (results / f"{name}.png").exists():
            yield f"![{text}]({name}.png)"
            yield ""


def table_1(results, cells):
    """Table 1 cell by cell: lines of the page, and rows for the CSV."""
    lines, everything = [], []
    for column, title in paper.COLUMNS.items():
        data_name = paper.DATA[column.split("-")[0]]
        rows = list(table1.table(column, data_name, paper.TABLE_1[column], cells, {}))
        everything += rows
        lines += [f"### {title}", ""]
        if not any(row["seeds"] for row in rows):
            lines += [f"Missing: no run of the {len(rows)} rows is recorded.", ""]
            continue
        lines += markdown(["method", "paper, train / test", "ours, train / test",
                           "test, ours − paper", f"epochs (paper {paper.EPOCHS})", "seeds",
                           "hyperparameters"], table_lines(rows))
        lines += [*verdict(rows), *order(rows)]
    return lines, everything


def searches(results):
    """A row for each search: what it covered and the best that it found."""
    for path in sorted(results.glob("search_*/search.json")):
        about, _ = figure5.read(path.parent)
        rows = output.read_csv(path.parent / "configs.csv")
        ended = [row for row in rows if row["error"] and row["state"] != "diverged"]
        best = min(ended, key=lambda row: (float(row["error"]), int(row["config"])), default=None)
        setting = [] if best is None else [
            f"{key} {value}" for key, value in list(best.items())[1:list(best).index("state")]]
        yield (f"`{path.parent.name}`", about["ranges"], len(rows),
               sum(row["state"] == "diverged" for row in rows),
               f"{about['epochs']}, best {about['keep']}: {about['keep_epochs']}"
               if about["keep_epochs"] else about["epochs"], about["selected_on"],
               f"{float(best['error']):.4g}" if best else "",
               f"{float(best['test_error_there']):.4g}" if best else "", ", ".join(setting))


def autoencoders(cells):
    """Figure 6 in numbers: a row for each method."""
    for row in figure6_7.ROWS:
        runs = [r for r in cells.get((figure6_7.ARCH, *paper.method(row), "mnist"), []) if r.rows]
        if runs:
            last, best = runs[0].rows[-1], runs[0].best()
            yield (plots.label(*paper.method(row)), runs[0].epochs, f"{last['train_error']:.5f}",
                   f"{last['test_error']:.5f}", f"{best['test_error']:.5f} ({best['epoch']:.0f})")


def variant(record, in_a_cell):
    """What sets a run apart from the cells of Table 1."""
    differences = records.differences(record)
    papers = differences.pop("hyperparameters", None)
    source = "Table 5" if papers else "default"
    found = [f"{key} {value:g} ({source} {usual:g})" if isinstance(value, (int, float))
             else f"{key} {value} (default {usual})"
             for key, (value, usual) in differences.items()]
    if papers:
        found.append("otherwise Table 5's")
    if not in_a_cell and not found:
        found.append("another run of this cell and seed is longer")
    in_table = record.arch.replace("-conv", "-lc") in paper.COLUMNS
    own_data = paper.DATA.get(record.arch.split("-")[0]) == record.data
    if not own_data:
        found.append(f"on {record.data}")
    row = paper.row_of(record.rule, record.schedule, record.arch)
    if in_table and own_data and row not in paper.ROWS:
        found.append("not in the paper's table")
    return ", ".join(found)


def run_rows(found, in_cells):
    """Where each run's numbers come from."""
    for record in found:
        if not record.rows:
            yield (f"`{record.path.name}`", f"diverged: {record.diverged}", 0, *[""] * 7)
            continue
        best, last = record.best(), record.rows[-1]
        versions = record.config.get("versions", {})
        show = "{:.5f}" if best["test_error"] < 0.2 and "autoencoder" in record.arch else "{:.2f}"
        special = [variant(record, record.path in in_cells)]
        special += [f"diverged: {record.diverged}"] if record.diverged else []
        yield (f"[`{record.path.name}`]({record.path.name}/metrics.csv)",
               "; ".join(filter(None, special)), record.epochs,
               f"{show.format(best['test_error'])} ({best['epoch']:.0f})",
               show.format(last["test_error"]), show.format(last["train_error"]),
               f"{sum(row['seconds'] for row in record.rows) / record.epochs:.1f}",
               versions.get("commit") or "", versions.get("processor") or "not recorded",
               record.config.get("started", "")[:10])


def page(results):
    """The page's lines and Table 1's rows, from what is in the folder `results`."""
    found = [record for record in records.read_all(results) if record.rows or record.diverged]
    cells, _ = records.cells(found)
    lines, everything = table_1(results, cells)
    text = [
        "# Results beside the paper's", "",
        "Made by `python -m runs.report` from the folders beside this file; do not edit. Errors in "
        "%. A cell holds the lowest train error and the lowest test error over a run's epochs, as "
        f"the paper's \"best errors\" over {paper.EPOCHS} epochs do (both are picked on the data "
        "they are reported for); with several seeds their mean, and the lowest and highest. Cells "
        "are runs with this project's default hyperparameters, whose source is named: `Table 5` "
        "is the paper's own, `found` is ours (NOTES.md, part 3). Other settings are under \"All "
        "runs\", with what differs.", "", "## Table 1", "", *lines,
        "## Figures 2 and 8: error curves", "",
        "Train dashed, test solid; the lowest seed of each method.", "",
        *(list(pictures(results, ["figure8", "figure2"], "error by epoch")) or ["Missing.", ""]),
        "## Figure 4: auxiliary outputs", "",
        "In the paper, CIFAR-10 test error falls from about 54 to 45 % (fully connected) and from "
        "about 46 to 40 % (locally connected) with 0 to 1000 units, then levels off.", ""]
    names = [path.stem for path in sorted(results.glob("figure4_*.png"))]
    text += list(pictures(results, names, "test error by auxiliary units")) or ["Missing.", ""]
    text += ["## Figure 5: hyperparameter searches", ""]
    text += list(pictures(results, ["figure5"], "histograms of accuracies"))
    rows = list(searches(results))
    text += markdown(["search", "ranges", "configurations", "diverged", "epochs", "selected on",
                      "best error", "test error there", "setting"], rows) if rows else [
                          "Missing: no search is recorded.", ""]
    text += ["## Figures 6 and 7: autoencoder", "",
             "Squared error, mean over pixels. In the paper it falls over 500 epochs from about "
             "0.02 to below 0.01, with BP lowest and SDTP highest.", ""]
    rows = list(autoencoders(cells))
    text += markdown(["method", "epochs", "final train", "final test", "lowest test (epoch)"],
                     rows) if rows else []
    text += list(pictures(results, ["figure6", "figure7"], "autoencoder")) or ["Missing.", ""]
    text += ["## All runs", "",
             "`Best` is the lowest test error (and its epoch), `final` and `train` are of the last "
             "epoch; an autoencoder's are squared errors, mean over pixels.", ""]
    text += markdown(["run", "differs from a cell in", "epochs", "best", "final", "train",
                      "s/epoch", "commit", "processor", "started"], run_rows(
        found, {record.path for runs in cells.values() for record in runs}))
    return text[:-1], everything


def work(args):
    if not args.out.is_dir():
        raise FolderError(f"--out {args.out}: no such folder")
    for name, family in (("figure2", "cifar"), ("figure8", "mnist")):
        figure2.draw(args.out / f"{name}.csv", [f"{family}-fc", f"{family}-lc"], paper.DATA[family])
    if figure5.find(args.out):
        figure5.write(args.out)
    text, everything = page(args.out)
    output.write_csv(args.out / "table1.csv", everything)
    output.write(args.out / PAGE, lambda part: part.write_text("\n".join(text) + "\n"))
    print(f"wrote {args.out / PAGE}")


def main():
    return command.carry_out(work, parser().parse_args())


if __name__ == "__main__":
    sys.exit(main())
