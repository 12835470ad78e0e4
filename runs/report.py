"""One page that sets ours beside the paper's: python -m runs.report

It takes every run and search that is recorded, and those in --out, marked *recorded* and *yours*;
draws Figures 2, 5, 6 and 8 of them; and writes the whole of Table 1 as table1.csv and the page as
README.md. The same folders give the same page. runs/results/README.md is made with
`--out runs/results`, from what is recorded alone.
"""

import json
import os

from ref import curves
from ref.folder import FolderError

from . import (
    command,
    figure2,
    figure4,
    figure5,
    figure6_7,
    output,
    paper,
    records,
)
from .command import RECORDED, is_record
from .report_table import markdown, table_1

PAGE = "README.md"


def parser():
    return command.parser("runs.report", __doc__)


def link(out, path):
    """A path as the page in `out` has to write it."""
    return os.path.relpath(path, out).replace(os.sep, "/")


def pictures(out, names, text):
    """Links to those pictures that are there, in `out` or else recorded."""
    for name in names:
        for place in dict.fromkeys([out, RECORDED]):
            if (place / f"{name}.png").exists():
                yield f"![{text}]({link(out, place / f'{name}.png')})"
                yield ""
                break


def introduction(out):
    """What the page is: where its meaning stands, how to read it, what made it."""
    discussion = RECORDED / "discussion.md"
    if discussion.exists():
        yield f"**What they say:** [discussion.md]({link(out, discussion)})."
        yield ""
    made = f"python -m runs.report{' --out runs/results' if is_record(out) else ''}"
    yield "- *Recorded* runs came with the repository, in `runs/results`. All others are *yours*."
    yield ("- Errors are in %. A cell holds the lowest train error and the lowest test error over "
           f"a run's epochs, as the paper's \"best errors\" over {paper.EPOCHS} epochs do. "
           "Both are picked on the data they are reported for.")
    yield "- With several seeds a cell holds their mean, and the lowest and highest."
    yield ("- Cells are runs with this project's default hyperparameters, whose source is named: "
           "`Table 5` is the paper's own, `found` is ours. Other settings are under \"All runs\", "
           "with what differs.")
    yield f"- Made by `{made}`; do not edit."
    yield ""


def searches(out):
    """A row for each search: what it covered and the best that it found."""
    for path in figure5.folders(out):
        about, _ = figure5.read(path)
        rows = output.read_csv(path / "configs.csv")
        ended = [row for row in rows if row["error"] and row["state"] != "diverged"]
        best = min(ended, key=lambda row: (float(row["error"]), int(row["config"])), default=None)
        setting = [] if best is None else [
            f"{key} {value}" for key, value in list(best.items())[1:list(best).index("state")]]
        yield (f"`{path.name}`", about["whose"], about["ranges"], len(rows),
               sum(row["state"] == "diverged" for row in rows),
               f"{about['epochs']}, best {about['keep']}: {about['keep_epochs']}"
               if about["keep_epochs"] else about["epochs"], about["selected_on"],
               f"{float(best['error']):.4g}" if best else "",
               f"{float(best['test_error_there']):.4g}" if best else "", ", ".join(setting))


def autoencoders(runs):
    """Figure 6 in numbers: a row for each run."""
    for run in runs:
        last, best = run.rows[-1], run.best()
        yield (curves.method(run.rule, run.schedule), run.whose, run.epochs,
               f"{last['train_error']:.5f}", f"{last['test_error']:.5f}",
               f"{best['test_error']:.5f} ({best['epoch']:.0f})")


def figure7_runs(out):
    """What its JSON says of the parameters that Figure 7 shows, where these are not of the runs
    whose curves are kept."""
    for place in dict.fromkeys([out, RECORDED]):
        if (place / "figure7.json").exists():
            about = json.loads((place / "figure7.json").read_text())
            if "parameters" in about:
                yield f"Figure 7 ({command.whose(place / 'figure7.json')}): {about['parameters']}."
                yield ""
            return


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


def run_rows(out, found, in_cells):
    """Where each run's numbers come from."""
    for record in found:
        if not record.rows:
            yield (f"`{record.path.name}`", record.whose, f"diverged: {record.diverged}", 0,
                   *[""] * 7)
            continue
        best, last = record.best(), record.rows[-1]
        versions = record.config.get("versions", {})
        show = "{:.5f}" if best["test_error"] < 0.2 and "autoencoder" in record.arch else "{:.2f}"
        special = [variant(record, record.path in in_cells)]
        special += [f"diverged: {record.diverged}"] if record.diverged else []
        yield (f"[`{record.path.name}`]({link(out, record.path / 'metrics.csv')})", record.whose,
               "; ".join(filter(None, special)), record.epochs,
               f"{show.format(best['test_error'])} ({best['epoch']:.0f})",
               show.format(last["test_error"]), show.format(last["train_error"]),
               f"{sum(row['seconds'] for row in record.rows) / record.epochs:.1f}",
               versions.get("commit") or "", versions.get("processor") or "not recorded",
               record.config.get("started", "")[:10])


def groups_of(out):
    """{whose: the runs that the page of `out` tells of}."""
    return {command.whose(place / "run"): [r for r in records.read_all(place)
                                           if r.rows or r.diverged]
            for place in command.places(out)}


def figure6_runs(cells):
    """The runs of Figure 6 in {whose: cells}."""
    found = [of_whom.get((figure6_7.ARCH, *paper.method(row), "mnist"), [])
             for of_whom in cells.values() for row in figure6_7.ROWS]
    return [good[0] for runs in found if (good := [r for r in runs if r.rows])]


def page(out):
    """The page's lines and Table 1's rows, from what is recorded and what is in the folder."""
    found = groups_of(out)
    cells = {whose: records.cells(runs)[0] for whose, runs in found.items()}
    lines, everything = table_1(cells)
    text = [
        "# Results beside the paper's", "", *introduction(out), "## Table 1", "", *lines,
        "## Figures 2 and 8: error curves", "",
        "Train dashed, test solid; the lowest seed of each method.", "",
        *(list(pictures(out, ["figure8", "figure2"], "error by epoch")) or ["Missing.", ""]),
        "## Figure 4: auxiliary outputs", "",
        "In the paper, CIFAR-10 test error falls from about 54 to 45 % (fully connected) and from "
        "about 46 to 40 % (locally connected) with 0 to 1000 units, then levels off.", ""]
    names = sorted({path.stem for place in command.places(out)
                    for path in place.glob("figure4_*.png")})
    text += list(pictures(out, names, "test error by auxiliary units")) or ["Missing.", ""]
    text += ["## Figure 5: hyperparameter searches", ""]
    text += list(pictures(out, ["figure5"], "histograms of accuracies"))
    header = ["search", "whose", "ranges", "configurations", "diverged", "epochs", "selected on",
              "best error", "test error there", "setting"]
    rows = list(searches(out))
    text += markdown(header, rows) if rows else ["Missing: no search is recorded.", ""]
    text += ["## Figures 6 and 7: autoencoder", "",
             "Squared error, mean over pixels. In the paper it falls over 500 epochs from about "
             "0.02 to below 0.01, with BP lowest and SDTP highest.", ""]
    rows = list(autoencoders(figure6_runs(cells)))
    header = ["method", "whose", "epochs", "final train", "final test", "lowest test (epoch)"]
    text += markdown(header, rows) if rows else []
    text += list(pictures(out, ["figure6", "figure7"], "autoencoder")) or ["Missing.", ""]
    text += list(figure7_runs(out))
    text += ["## All runs", "",
             "`Best` is the lowest test error (and its epoch), `final` and `train` are of the last "
             "epoch; an autoencoder's are squared errors, mean over pixels.", ""]
    in_cells = {r.path for of_whom in cells.values() for runs in of_whom.values() for r in runs}
    text += markdown(["run", "whose", "differs from a cell in", "epochs", "best", "final", "train",
                      "s/epoch", "commit", "processor", "started"],
                     run_rows(out, [r for runs in found.values() for r in runs], in_cells))
    return text[:-1], everything


def redraw(out):
    """Figures 2, 5, 6 and 8, which are drawn of curves alone, and the recorded Figures 4."""
    for name, family in (("figure2", "cifar"), ("figure8", "mnist")):
        figure2.draw(out / f"{name}.csv", f"runs.{name}", [f"{family}-fc", f"{family}-lc"],
                     paper.DATA[family])
    if searches := figure5.find(out):
        figure5.write(out, searches)
    cells = {whose: records.cells(runs)[0] for whose, runs in groups_of(out).items()}
    if runs := figure6_runs(cells):
        figure6_7.write_curves(out, runs, "mnist")
    if is_record(out):
        for path in sorted(out.glob("figure4_*.json")):
            figure4.write_recorded(out, json.loads(path.read_text()))


def work(args):
    if not any(place.is_dir() for place in command.places(args.out)):
        raise FolderError(f"--out {args.out}: no such folder, and there is no {RECORDED}")
    redraw(args.out)
    text, everything = page(args.out)
    output.write_csv(args.out / "table1.csv", everything)
    output.write(args.out / PAGE, lambda part: part.write_text("\n".join(text) + "\n"))


def main():
    command.carry_out(work, parser(), stopped="interrupted; give the same command again")


if __name__ == "__main__":
    main()
