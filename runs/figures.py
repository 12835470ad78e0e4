"""Error curves of a column of Table 1, as in Figures 2 and 8, for every module that draws them.

Train and test errors are in panels of their own, a row for each network, on the data; the paper's
best errors are ticks at the right of the test panel, in the methods' colours.
"""

from ref import curves, plots
from ref.common.command import tell

from . import paper
from .records import FEWEST

BESIDE = 0.4  # opacity of what is recorded, where it is drawn beside yours


def label(row):
    """The method's name of a row: "dtp-parallel" is DTP, parallel."""
    return curves.method(*paper.method(row), row.endswith("-conv"))


def look(record, shown, conv=False):
    """(what a legend says of a run among those that are shown, how its lines look)."""
    both = len({other.whose for other in shown}) > 1
    found = plots.style(record.rule, record.schedule, conv)
    name = curves.method(record.rule, record.schedule, conv)
    if both and record.whose == "recorded":
        found["alpha"] = BESIDE
    return f"{name} ({record.whose})" if both else name, found


def runs_of(cells, column, data_name, rows=None):
    """[(row, the run of the lowest seed)] for the rows of a column that have any."""
    found = []
    for row in rows or paper.TABLE_1[column]:
        key = (paper.network(column, row), *paper.method(row), data_name)
        if runs := [record for record in cells.get(key, ()) if record.rows]:
            found.append((row, runs[0]))
    return found


def long_enough(panels):
    """The panels that have a run of FEWEST epochs, or all where none has; of others it is told."""
    good = [(title, runs) for title, runs in panels if any(r.epochs >= FEWEST for _, r in runs)]
    if not good:
        return [(title, runs) for title, runs in panels if runs]
    for title, runs in panels:
        if runs and (title, runs) not in good:
            most = max(r.epochs for _, r in runs)
            tell(f"{title}: not drawn, its longest run has {most} of at least {FEWEST} epochs")
    return good


def error_curves(plt, panels, unit="error (%)", published=None):
    """A figure with a row of panels, train and test, for each (title, [(row, run)]).

    published  {title: {row: the paper's (train, test) error}}, where there are any
    """
    panels = long_enough(panels)
    shown = [record for _, runs in panels for _, record in runs]
    figure, places = plots.grid(plt, [("train", "test")] * len(panels))
    named = {}
    for (title, runs), places_of in zip(panels, places, strict=True):
        looks = [look(record, shown, row.endswith("-conv")) for row, record in runs]
        papers = (published or {}).get(title, {})
        ticks = [(papers[row][1], style) for (row, _), (_, style) in zip(runs, looks, strict=True)
                 if row in papers]
        for part, axes in zip(("train", "test"), places_of, strict=True):
            lines = [(k, [(r["epoch"], r[f"{part}_error"]) for r in record.rows])
                     for k, (_, record) in enumerate(runs)]
            beside = ticks if part == "test" else []
            panel = curves.Panel(f"{title}: {part}", unit, lines, early=curves.PARTS[part],
                                 also=tuple(error for error, _ in beside))
            plots.draw(axes, panel, [style for _, style in looks])
            mark(axes, beside)
        named |= dict(looks)
    if published and any(published.get(title) for title, _ in panels):
        named["the paper's best of 500 epochs"] = {
            "linestyle": "", "marker": "<", "color": plots.OTHER, "markersize": 6}
    plots.legend(figure, named)
    return figure


def mark(axes, ticks):
    """The paper's errors at the right edge, [(error, look)]."""
    for error, style in ticks:
        hollow = style["linestyle"] != "-"  # alternating, as its line is dashed
        axes.plot(1.02, error, "<", transform=axes.get_yaxis_transform(), clip_on=False,
                  color=style["color"], markerfacecolor="white" if hollow else style["color"],
                  markersize=6)


def table_of(panels):
    """The same curves as rows for a CSV."""
    return [{"network": record.arch, "data": record.data, "method": row, "whose": record.whose,
             "seed": record.seed, "epochs": record.epochs,
             **{key: entry[key] for key in ("epoch", "train_error", "test_error")}}
            for _, runs in panels for row, record in runs for entry in record.rows]
