"""Error curves of a column of Table 1, as in Figures 2 and 8, for every module that draws them."""

from ref import plots

from . import paper

TOP = {"mnist": 8, "cifar10": 80}  # % at which the axis ends: the first epochs are above it
BESIDE = 0.4  # opacity of what is recorded, where it is drawn beside yours


def label(row):
    """The method's name of a row: "dtp-parallel" is DTP, parallel."""
    return plots.label(*paper.method(row), row.endswith("-conv"))


def name_of(record, text, whose=None):
    """What a legend says of a run: the method, whose it is, its epochs."""
    return f"{text} ({whose or record.whose}, {record.epochs} ep.)"


def look(record, shown, conv=False):
    """How a run's lines look among those that are shown."""
    both = len({other.whose for other in shown}) > 1
    found = plots.style(record.rule, record.schedule, conv)
    found["alpha"] = BESIDE if both and record.whose == "recorded" else 1.0
    if record.epochs == 1:  # a line through one point is not seen
        found["marker"] = found["marker"] or "D"
    return found


def runs_of(cells, column, data_name, rows=None):
    """[(row, the run of the lowest seed)] for the rows of a column that have any."""
    found = []
    for row in rows or paper.TABLE_1[column]:
        key = (paper.network(column, row), *paper.method(row), data_name)
        if runs := [record for record in cells.get(key, ()) if record.rows]:
            found.append((row, runs[0]))
    return found


def error_curves(plt, panels):
    """A figure of panels side by side: (title, [(row, run)]) each."""
    figure, all_axes = plt.subplots(1, len(panels), figsize=(7.5 * len(panels) + 2, 5.5),
                                    squeeze=False)
    for axes, (title, runs) in zip(all_axes[0], panels, strict=True):
        shown = [record for _, record in runs]
        for row, record in runs:
            plots.curves(axes, record.rows, name_of(record, label(row)),
                         look(record, shown, row.endswith("-conv")))
        top = max((TOP.get(r.data, 100) for r in shown), default=100)
        axes.set(title=title, xlabel="epoch", ylabel="error (%)", xlim=(0, None),
                 ylim=(-0.01 * top, top))  # so that an error of 0 can be seen
        axes.xaxis.get_major_locator().set_params(integer=True)
        if runs:
            plots.legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
        else:
            axes.text(0.5, 0.5, "no runs recorded", ha="center", transform=axes.transAxes)
    return figure


def table_of(panels):
    """The same curves as rows for a CSV."""
    return [{"network": record.arch, "data": record.data, "method": row, "whose": record.whose,
             "seed": record.seed, "epochs": record.epochs,
             **{key: entry[key] for key in ("epoch", "train_error", "test_error")}}
            for _, runs in panels for row, record in runs for entry in record.rows]
