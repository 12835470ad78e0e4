"""How every picture looks: a colour belongs to a method, dashes to a schedule.

Colours are Okabe & Ito's first, which people with colour blindness can tell apart. An alternating
schedule is dashed, a ConvNet has square markers; train and test errors are in panels of their own.
Runs of one method that differ in more than their seed have other shades and markers. Where curves
lie on each other, the one below is wider. matplotlib is the optional extra `plots`.
"""

import textwrap

from . import curves, legends, rules
from .common.command import UserError
from .common.files import write

# (in a picture, in a terminal of 256 colours; 39 is the terminal's own)
PALETTE = (("#000000", "39"), ("#E69F00", "38;5;214"), ("#009E73", "38;5;36"),
           ("#56B4E9", "38;5;117"), ("#0072B2", "38;5;33"), ("#D55E00", "38;5;166"),
           ("#CC79A7", "38;5;175"), ("#7F7F7F", "38;5;245"), ("#8C6D00", "38;5;136"),
           ("#882255", "38;5;126"), ("#44AA99", "38;5;79"), ("#999933", "38;5;143"),
           ("#332288", "38;5;62"), ("#AA4499", "38;5;133"), ("#117733", "38;5;28"),
           ("#661100", "38;5;88"), ("#6699CC", "38;5;110"), ("#DDAA33", "38;5;179"),
           ("#4B0082", "38;5;55"), ("#A0522D", "38;5;130"))
COLOURS = {rule: PALETTE[k % len(PALETTE)][0] for k, rule in enumerate(rules.ALL)}
TERMINAL = {rule: PALETTE[k % len(PALETTE)][1] for k, rule in enumerate(rules.ALL)}
OTHER = "#7F7F7F"  # of what is not a rule
DASHES = {"alternating": (0, (4, 1.4))}
MARKERS = ("o", "^", "D", "v", "P")  # of further runs of a method
SHADES = (0, -0.5, 0.5)  # of its runs: the method's colour, towards black, towards white
THIN = {"color": "#7F7F7F", "linewidth": 0.8, "zorder": 0.9}  # a line at a value
LETTERS = 112  # of a legend in the picture's width
WIDTH, HEIGHT = 9.0, 2.7  # inches: a picture is as wide as README's text; a row of panels
COLUMNS = {1: 1, 2: 2, 4: 2}  # panels side by side, by how many there are; else 3
LEAST = 2  # columns of panels by layer: one does not span the picture
FAR = 10  # between the ends of an axis that is better logarithmic


class PlotsError(UserError):
    """There is no matplotlib; the message says how to get it."""


def pyplot():
    """matplotlib.pyplot, drawing to files. Raises PlotsError."""
    try:
        import matplotlib
    except ImportError:
        raise PlotsError('pictures need matplotlib: pip install -e ".[plots]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    plt.rcParams.update({
        "font.size": 10, "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "axes.titlesize": 10, "figure.dpi": 110, "figure.constrained_layout.use": True,
        "svg.hashsalt": "ref",  # the same curves give the same file
    })
    return plt


def style(rule, schedule=None, conv=False, k=0):
    """How a run's line looks, the k-th of its method."""
    from matplotlib.colors import to_rgb
    base, shade = to_rgb(COLOURS.get(rule, OTHER)), SHADES[k % len(SHADES)]
    if sum(base) < 0.6:  # nearly black: only lighter ones differ from it
        shade = (0, 0.6, 0.35)[k % len(SHADES)]
    colour = tuple(c + abs(shade) * ((shade > 0) - c) for c in base)
    marker = "s" if conv else MARKERS[(k - 1) % len(MARKERS)] if k else None
    return {"color": colour, "linestyle": DASHES.get(schedule, "-"), "marker": marker,
            "markersize": 6 if k else 4.5, "markerfacecolor": colour if k else "white",
            "linewidth": 1.6}


def line(axes, points, label=None, **look):
    """One curve; of a single epoch a marker, since a line through one point is not seen."""
    if len(points) == 1:
        look |= {"marker": look.get("marker") or "o", "markersize": 6,
                 "markerfacecolor": look["color"]}
    if len(points) > 100:  # noise from epoch to epoch would be a band of colour
        look |= {"linewidth": 1.1 + 0.3 * (look.get("linewidth", 1.6) - 1.6)}
    every = max(1, len(points) // 8)  # markers enough to tell the line, few enough to see it
    axes.plot(*zip(*points, strict=True), label=label, markevery=(every - 1, every), **look)


def epochs(axes):
    """The axis of epochs: whole ones, from 0 or from the only one."""
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    axes.set_xlabel("epoch")


def limit(axes, low, high, log=False):
    """The other axis, on the data with a little room on both sides."""
    if log and 0 < FAR * low < high:
        axes.set_yscale("log")
        axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        room = max((high / low) ** curves.ROOM, 1.02)
        axes.set_ylim(low / room, high * room)
    else:
        room = curves.ROOM * ((high - low) or abs(high) or 20)
        axes.set_ylim(low - room, high + room)


def grid(plt, rows):
    """(figure, [[axes of each panel of a row]]): rows of panels, wrapped to the picture's width.

    A panel may be None, a place that stays empty, and so are its axes.
    """
    wide = [COLUMNS.get(len(row), 3) for row in rows]
    lines = [-(-len(row) // n) for row, n in zip(rows, wide, strict=True)]
    figure = plt.figure(figsize=(WIDTH, HEIGHT * sum(lines)))
    cells = figure.add_gridspec(sum(lines), 6)  # 1, 2 or 3 panels side by side
    places = []
    for i, (row, n) in enumerate(zip(rows, wide, strict=True)):
        size = 6 // n
        places.append([figure.add_subplot(cells[sum(lines[:i]) + k // n,
                                                k % n * size:(k % n + 1) * size])
                       if panel is not None else None for k, panel in enumerate(row)])
    return figure, places


def aligned(rows):
    """The rows with their panels by layer below each other; None where one has no such layer."""
    layers = sorted({panel.layer for row in rows for panel in row} - {None})
    layers += [None] * (LEAST - len(layers))
    for row in rows:
        of = {panel.layer: panel for panel in row}
        yield row if None in of else [of.get(layer) for layer in layers]


def legend(figure, looks, notes=()):
    """What the lines are, {label: look}, and notes, below all panels; the figure grows by it."""
    from matplotlib.lines import Line2D
    columns = max(1, min(len(looks), LETTERS // (max(map(len, looks), default=1) + 8)))
    labels = [textwrap.fill(label, LETTERS, break_on_hyphens=False) for label in looks]
    said = "\n".join(textwrap.fill(note, LETTERS, break_on_hyphens=False) for note in notes)
    lines = -(-sum(label.count("\n") + 1 for label in labels) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * (lines + said.count("\n") + bool(said)))
    figure.legend(handles=[Line2D([], [], label=label, **look)
                           for label, look in zip(labels, looks.values(), strict=True)],
                  loc="outside lower center", fontsize=9, ncols=columns, handlelength=2.6,
                  title=said or None, title_fontsize=9, alignment="left")


def draw(axes, panel, looks, top=None):
    """One curves.Panel; looks: the style of each run, by number."""
    from matplotlib.ticker import MultipleLocator
    for k, points in panel.lines:
        line(axes, points, **looks[k])
    limit(axes, *curves.span(panel, top), panel.log)
    if panel.mark is not None and axes.get_ylim()[0] < panel.mark < axes.get_ylim()[1]:
        axes.axhline(panel.mark, **THIN)
    if panel.ends:
        axes.yaxis.set_major_locator(MultipleLocator(30))
    axes.set(title=panel.title, ylabel=panel.unit)
    epochs(axes)
    high = axes.get_ylim()[1]
    if said := curves.said_above(panel, high):  # what leaves the axis is marked where it does
        for k, points in panel.lines:
            for (x, y), (_, after) in zip(points, [*points[1:], (0, high)], strict=True):
                if y > high >= after:
                    axes.plot(x, 1, "^", transform=axes.get_xaxis_transform(), markersize=6,
                              color=looks[k]["color"], clip_on=False)
        axes.set_title(panel.title, pad=20)
        axes.text(0.5, 1.05, f"▲ {said}", transform=axes.transAxes, ha="center", fontsize=8,
                  in_layout=False)


def figure(runs, what=("error",), top=None, layers=None):
    """The matplotlib figure of the quantities `what` (curves.QUANTITIES) of runs (curves.Curves).

    top  where the axes of errors and losses end, which begin at 0 then
    layers  those that are shown, or None for all
    Raises PlotsError, UsageError.
    """
    plt = pyplot()
    runs, notes = curves.drawn(runs, what, layers)
    rows = [*aligned(curves.panels(runs, what, layers))]
    labels, numbers = legends.together(runs)
    looks = [style(run.rule, run.schedule, run.conv, k)
             for run, k in zip(runs, numbers, strict=True)]
    entries = list(dict.fromkeys(labels))
    for label, look in zip(labels, looks, strict=True):  # later ones are on top
        look["linewidth"] += 0.8 * min(3, len(entries) - 1 - entries.index(label))
    last = max(row["epoch"] for run in runs for row in run.rows)
    made, places = grid(plt, rows)
    for panel, axes in zip(sum(rows, []), sum(places, []), strict=True):
        if panel is not None:
            draw(axes, panel, looks, top)
            axes.set_xlim(1 - 0.04 * (last - 1 or 10), last + 0.04 * (last - 1 or 10))
    legend(made, dict(zip(labels, looks, strict=True)), notes)
    return made


def save(figure, path, kind="png"):
    """Write a picture ("png" or "svg") as a whole or not at all, and close it."""
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    write(path, lambda part: figure.savefig(part, format=kind, metadata=metadata))
    from matplotlib import pyplot as plt
    plt.close(figure)
