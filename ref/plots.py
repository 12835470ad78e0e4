"""How every picture looks: one colour a rule, dashed train and solid test, as in the paper.

Colours are Okabe & Ito's, which people with colour blindness can tell apart; a method's schedule
is told by a marker and not by a colour. matplotlib is the optional extra `plots`.
"""

from . import rules
from .common.command import UserError
from .common.files import write

PALETTE = ("#000000", "#E69F00", "#009E73", "#56B4E9", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F",
           "#8C6D00", "#882255", "#44AA99", "#999933", "#332288")
COLOURS = {rule: PALETTE[k % len(PALETTE)] for k, rule in enumerate(rules.NAMES)}
ORDER = list(COLOURS.values())  # for lines that are not rules
# acronyms in capitals: "ao-sdtp" is AO-SDTP, "hybrid" hybrid
NAMES = {rule: rule.upper() if max(map(len, rule.split("-"))) < 5 else rule for rule in COLOURS}


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
        "figure.dpi": 110, "figure.constrained_layout.use": True,
    })
    return plt


def style(rule, schedule=None, conv=False):
    """Colour and marker of a method's lines: circles when alternating, squares for a ConvNet."""
    marker = "s" if conv else "o" if schedule == "alternating" else None
    return {"color": COLOURS.get(rule, "#7F7F7F"), "marker": marker, "markersize": 4.5,
            "markerfacecolor": "white"}


def label(rule, schedule=None, conv=False):
    """A method's name in a legend."""
    return (NAMES.get(rule, rule) + (f", {schedule}" if schedule else "")
            + (", ConvNet" if conv else ""))


def curves(axes, rows, name, look, columns=("train_error", "test_error")):
    """Draw a run's error by epoch: dashed train, solid test with the legend's entry."""
    epochs = [row["epoch"] for row in rows]
    every = max(1, len(epochs) // 12)  # markers enough to tell the line, few enough to see it
    lines = (("--", 1.0, None), ("-", 1.6, name))
    for column, (dashes, width, text) in zip(columns, lines, strict=True):
        if rows and column in rows[0]:
            axes.plot(epochs, [row[column] for row in rows], dashes, linewidth=width,
                      label=text, markevery=(every - 1, every), **look)


def legend(axes, **where):
    """The methods, and what dashed and solid mean."""
    from matplotlib.lines import Line2D
    handles, names = axes.get_legend_handles_labels()
    handles += [Line2D([], [], color="#555555", linestyle=dashes) for dashes in ("--", "-")]
    axes.legend(handles, [*names, "train", "test"], **where)


def save(figure, path):
    """Write a picture as a whole or not at all, and close it."""
    write(path, lambda part: figure.savefig(part, format="png", metadata={"Software": None}))
    from matplotlib import pyplot as plt
    plt.close(figure)
