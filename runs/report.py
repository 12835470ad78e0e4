"""One page that sets ours beside the paper's: python -m runs.report

It takes every run and search that is recorded, and those in --out, marked *recorded* and *yours*;
draws Figures 2, 5, 6 and 8 of them; and writes the whole of Table 1 as table1.csv, the page as
README.md and the list of all runs as all_runs.md. The same folders give the same pages. Those in
runs/results are made with `--out runs/results`, from what is recorded alone.
"""

import os

from ref import curves
from ref.common import schema
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
    report_runs,
    report_table,
    searches,
)
from .command import RECORDED, is_record
from .report_table import markdown

PAGE = "README.md"
FIGURE_7 = schema.keys({}, {"parameters": schema.text})


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


def introduction(out, found, cells):
    """The verdict, a line a column and one for the autoencoder; where its meaning stands."""
    yield from report_table.verdicts(found)
    runs = {whose: figure6_runs({whose: of_whom}) for whose, of_whom in cells.items()}
    for whose, shown in runs.items():
        if shown:
            said = ", ".join(f"{curves.method(r.rule)} {r.best()['test_error']:.4f}" for r in shown)
            mixed = f", {whose}" if all(runs.values()) and len(runs) > 1 else ""
            yield (f"- **Autoencoder{mixed}:** lowest squared errors {said}, after "
                   f"{report_table.span([r.epochs for r in shown])} of {paper.EPOCHS} epochs; the "
                   "paper's fall from about 0.02 to below 0.01, BP's lowest, SDTP's highest.")
    if not any(runs.values()):
        yield "- **Autoencoder:** not run."
    yield ""
    discussion = RECORDED / "discussion.md"
    if discussion.exists():
        yield (f"What this means, and what is recorded besides (sign-symmetry, learned feedback, "
               f"inverses): [discussion.md]({link(out, discussion)}). Segregated dendrites: [their "
               f"own page]({link(out, RECORDED.parents[1] / 'ref/dendrites/README.md')}).")
    yield f"Every run, with its settings: [{report_runs.PAGE}]({report_runs.PAGE})."
    yield ""


def how_to_read(out):
    """What the page is and what made it."""
    made = f"python -m runs.report{' --out runs/results' if is_record(out) else ''}"
    yield ("- *Recorded* runs came with the repository, in `runs/results`. All others are *yours*, "
           "and marked where both are shown.")
    yield ("- Errors are in %. A cell holds the lowest test (or train) error over a run's epochs, "
           f"as the paper's \"best errors\" over {paper.EPOCHS} epochs do. Both are picked on the "
           "data they are reported for. With several seeds it is their mean.")
    yield ("- Train errors are taken during the epoch, on augmented images on CIFAR-10: before the "
           "network overfits, they are above the test error.")
    yield (f"- A run of less than {records.FEWEST} epochs is too short to compare, and no part of "
           "a mean of longer ones. One whose best test error falls in the last tenth of its epochs "
           "counts as still improving.")
    yield ("- Cells are runs with this project's default hyperparameters, whose source is named: "
           "`Table 5` is the paper's own, `found` is ours. All other runs are on "
           f"[{report_runs.PAGE}]({report_runs.PAGE}).")
    yield f"- Made by `{made}`; do not edit."
    yield ""


def search_rows(out):
    """A row for each search: what it covered and the best that it found."""
    for path in figure5.folders(out):
        about, rows = searches.read(path)
        ended = [row for row in rows if row["error"] is not None and row["state"] != "diverged"]
        best = min(ended, key=lambda row: (row["error"], row["config"]), default=None)
        setting = [f"{key} {value}" for key, value in searches.setting_of(best).items()
                   ] if best else []
        yield (f"`{path.name}`", command.whose(path), about["ranges"], len(rows),
               sum(row["state"] == "diverged" for row in rows),
               f"{about['epochs']}, best {about['keep']}: {about['keep_epochs']}"
               if about["keep_epochs"] else about["epochs"], about["selected_on"],
               f"{best['error']:.4g}" if best else "",
               f"{best['test_error_there']:.4g}" if best else "", ", ".join(setting))


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
            about = schema.read_json(place / "figure7.json", FIGURE_7, FolderError)
            if "parameters" in about:
                yield f"Figure 7 ({command.whose(place / 'figure7.json')}): {about['parameters']}."
                yield ""
            return


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
    """{file: the lines of a page}, and Table 1's rows, of what is recorded and in the folder."""
    groups = groups_of(out)
    cells = {whose: records.cells(runs)[0] for whose, runs in groups.items()}
    found = report_table.tables(cells)
    text = [
        "# Results beside the paper's", "", *introduction(out, found, cells),
        "## Table 1: best errors", "", *report_table.table_1(found),
        "## Figures 2 and 8: errors by epoch", "",
        "The lowest seed of each method. An alternating schedule is dashed.", "",
        *(list(pictures(out, ["figure8", "figure2"], "error by epoch")) or ["Not drawn.", ""]),
        "## Figure 4: auxiliary outputs", ""]
    names = sorted({path.stem for place in command.places(out)
                    for path in place.glob("figure4_*.png")})
    text += list(pictures(out, names, "test error by auxiliary units")) or ["Not run.", ""]
    text += ["## Figure 5: hyperparameter searches", ""]
    text += list(pictures(out, ["figure5"], "histograms of accuracies"))
    rows = list(search_rows(out))
    text += report_table.folded("The searches and what they found", markdown(
        ["search", "whose", "ranges", "configurations", "diverged", "epochs", "selected on",
         "best error", "test error there", "setting"], rows)) if rows else ["Not run.", ""]
    text += ["## Figures 6 and 7: autoencoder", ""]
    text += list(pictures(out, ["figure6", "figure7"], "autoencoder")) or ["Not run.", ""]
    rows = list(autoencoders(figure6_runs(cells)))
    text += report_table.folded("Its errors (squared, mean over pixels)", [
        *markdown(["method", "whose", "epochs", "last train", "last test", "lowest test (epoch)"],
                  rows), *figure7_runs(out)]) if rows else []
    text += ["## More", "", *report_table.folded("How to read this page", how_to_read(out)),
             *report_table.orders(found)]
    in_cells = {r.path for of_whom in cells.values() for runs in of_whom.values() for r in runs}
    runs = report_runs.page(groups, in_cells, lambda path: link(out, path))
    everything = [row for by_whose in found.values() for row in report_table.merged(by_whose)]
    return {PAGE: text[:-1], report_runs.PAGE: list(runs)[:-1]}, everything


def read_all(out):
    """What each recorded figure 4's JSON says, to draw it again. Raises FolderError for any file
    that can't be used, before anything is written."""
    groups_of(out)
    list(search_rows(out))
    list(figure7_runs(out))
    paths = sorted(out.glob("figure4_*.json")) if is_record(out) else []
    return [schema.read_json(path, figure4.ABOUT, FolderError) for path in paths]


def redraw(out, figures_4):
    """Figures 2, 5, 6 and 8, which are drawn of curves alone, and the recorded Figures 4."""
    for name, family in (("figure2", "cifar"), ("figure8", "mnist")):
        figure2.draw(out / f"{name}.csv", f"runs.{name}", [f"{family}-fc", f"{family}-lc"],
                     paper.DATA[family])
    if found := figure5.find(out):
        figure5.write(out, found)
    cells = {whose: records.cells(runs)[0] for whose, runs in groups_of(out).items()}
    if runs := figure6_runs(cells):
        figure6_7.write_curves(out, runs, "mnist")
    for about in figures_4:
        figure4.write_recorded(out, about)


def work(args):
    if not any(place.is_dir() for place in command.places(args.out)):
        raise FolderError(f"--out {args.out}: no such folder, and there is no {RECORDED}")
    redraw(args.out, read_all(args.out))
    pages, everything = page(args.out)
    output.write_csv(args.out / "table1.csv", everything)
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        output.write(args.out / name, lambda part, text=text: part.write_text(
            text, encoding="utf-8", errors="backslashreplace"))


def main():
    command.carry_out(work, parser(), stopped="interrupted; give the same command again")


if __name__ == "__main__":
    main()
