"""The numbers that the paper prints: Table 1, and what can be read off its figures.

Source: Bartunov et al. 2018 (NeurIPS; arXiv 1807.04587), Table 1 and Figures 4 and 6.
"""

EPOCHS = 500  # "best errors achieved in 500 epochs", section 3

COLUMNS = {
    "mnist-fc": "MNIST, fully connected",
    "mnist-lc": "MNIST, locally connected",
    "cifar-fc": "CIFAR-10, fully connected",
    "cifar-lc": "CIFAR-10, locally connected",
}
DATA = {"mnist": "mnist", "cifar": "cifar10"}  # the data set behind a network's name

ROWS = {
    "dtp-parallel": "DTP, parallel",
    "dtp-alternating": "DTP, alternating",
    "sdtp-parallel": "SDTP, parallel",
    "sdtp-alternating": "SDTP, alternating",
    "ao-sdtp-parallel": "AO-SDTP, parallel",
    "ao-sdtp-alternating": "AO-SDTP, alternating",
    "fa": "FA",
    "dfa": "DFA",
    "bp": "BP",
    "bp-conv": "BP, ConvNet",
}

# {column: {row: (train error, test error)}}, in %
TABLE_1 = {
    "mnist-fc": {
        "dtp-parallel": (0.44, 2.86), "dtp-alternating": (0.00, 1.83),
        "sdtp-parallel": (1.14, 3.52), "sdtp-alternating": (0.00, 2.28),
        "ao-sdtp-parallel": (0.96, 2.93), "ao-sdtp-alternating": (0.00, 1.86),
        "fa": (0.00, 1.85), "dfa": (0.85, 2.75), "bp": (0.00, 1.48),
    },
    "mnist-lc": {
        "dtp-parallel": (0.00, 1.52), "dtp-alternating": (0.00, 1.46),
        "sdtp-parallel": (0.00, 1.98), "sdtp-alternating": (0.00, 1.90),
        "ao-sdtp-parallel": (0.00, 1.92), "ao-sdtp-alternating": (0.00, 1.91),
        "fa": (0.00, 1.26), "dfa": (0.23, 2.05), "bp": (0.00, 1.17), "bp-conv": (0.00, 1.01),
    },
    "cifar-fc": {
        "dtp-parallel": (59.45, 59.14), "dtp-alternating": (30.41, 42.32),
        "sdtp-parallel": (51.48, 55.32), "sdtp-alternating": (48.65, 54.27),
        "ao-sdtp-parallel": (4.28, 47.11), "ao-sdtp-alternating": (0.00, 45.40),
        "fa": (25.62, 41.97), "dfa": (33.35, 47.80), "bp": (28.97, 41.32),
    },
    "cifar-lc": {
        "dtp-parallel": (28.69, 39.47), "dtp-alternating": (28.54, 39.47),
        "sdtp-parallel": (43.00, 46.63), "sdtp-alternating": (40.40, 45.66),
        "ao-sdtp-parallel": (32.67, 40.05), "ao-sdtp-alternating": (34.11, 40.21),
        "fa": (17.46, 37.44), "dfa": (32.74, 44.41), "bp": (0.83, 32.41),
        "bp-conv": (1.39, 31.87),
    },
}

# Figure 4, read off: CIFAR test error (%) without auxiliary units, and where it levels off.
FIGURE_4 = {"cifar-fc": (54, 45), "cifar-lc": (46, 40)}


def method(row):
    """(rule, schedule) of a row: "dtp-parallel" is ("dtp", "parallel"), "fa" ("fa", None)."""
    for schedule in ("parallel", "alternating"):
        if row.endswith(f"-{schedule}"):
            return row.removesuffix(f"-{schedule}"), schedule
    return row.removesuffix("-conv"), None


def network(column, row):
    """The architecture of a cell: the column's own, or its ConvNet for the row "bp-conv"."""
    return column.replace("-lc", "-conv") if row.endswith("-conv") else column


def row_of(rule, schedule, arch=""):
    """The name of a method's row, in the paper's table or not."""
    return rule + (f"-{schedule}" if schedule else "") + ("-conv" if arch.endswith("-conv") else "")
