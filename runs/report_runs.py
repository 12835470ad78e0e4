"""The page of all runs: what each one is, how far it came, and where its numbers come from."""

from ref import curves

from . import paper, records
from .report_table import markdown

PAGE = "all_runs.md"
HEADER = ["run", "epochs", "best test", "in epoch", "last test", "last train", "s/epoch", "commit",
          "processor", "started"]


def variant(record, in_a_cell):
    """What sets a run apart from the cells of Table 1."""
    differences = records.differences(record)
    papers = differences.pop("hyperparameters", None)
    found = [f"{key} {value:g}" if isinstance(value, (int, float)) else f"{key} {value}"
             for key, (value, _) in differences.items()]
    if papers:
        found.append("Table 5's values" if not found else "otherwise Table 5's values")
    if not in_a_cell and not found:
        found.append("another run of this cell is longer")
    in_table = record.arch.replace("-conv", "-lc") in paper.COLUMNS
    own_data = paper.DATA.get(record.arch.split("-")[0]) == record.data
    if not own_data:
        found.append(f"on {record.data}")
    row = paper.row_of(record.rule, record.schedule, record.arch)
    if in_table and own_data and row not in paper.ROWS:
        found.append("not in the paper's table")
    return ", ".join(found)


def name(record, in_a_cell):
    """What a run is, in words: its method, what differs from the cell, its seed."""
    conv = record.arch.endswith("-conv")
    parts = [curves.method(record.rule, record.schedule, conv), variant(record, in_a_cell),
             f"seed {record.seed}" if record.seed else ""]
    return "; ".join(filter(None, parts))


def row(record, in_a_cell, link):
    """The cells of HEADER."""
    linked = f"[{name(record, in_a_cell)}]({link(record.path / 'config.json')})"
    if record.diverged:
        linked += f" diverged: {record.diverged}"
    versions = record.config.get("versions", {})
    about = (versions.get("commit") or "", versions.get("processor") or "not recorded",
             record.config.get("started", "")[:10])
    if not record.rows:
        return (linked, 0, *[""] * 5, *about)
    best, last = record.best(), record.rows[-1]
    show = "{:.5f}" if "autoencoder" in record.arch else "{:.2f}"
    return (linked, record.epochs, show.format(best["test_error"]), f"{best['epoch']:.0f}",
            show.format(last["test_error"]), show.format(last["train_error"]),
            f"{sum(r['seconds'] for r in record.rows) / record.epochs:.1f}", *about)


def page(groups, in_cells, link):
    """The lines of the page of {whose: runs}.

    in_cells  the paths of the runs that are in a cell of Table 1
    link      a path as the page has to write it
    """
    yield from (
        "# All runs", "",
        "Each run's name says what it is: its method, then what differs from this project's "
        "default hyperparameters, then its seed, where that is not 0. It leads to the config.json, "
        "which has everything else and the command; metrics.csv is beside it.", "",
        "Errors are in %, an autoencoder's squared errors, mean over pixels. The best test error "
        "is the lowest over the epochs; `last` is after the last one.", "")
    for whose, runs in groups.items():
        networks = dict.fromkeys(record.arch for record in runs)
        for network in networks:
            of_it = [r for r in runs if r.arch == network]
            mixed = len([w for w in groups if groups[w]]) > 1
            yield from (f"## {network}{f', {whose}' if mixed else ''}", "")
            yield from markdown(HEADER, [row(r, r.path in in_cells, link) for r in sorted(
                of_it, key=lambda r: (r.rule, r.schedule or "", r.path not in in_cells, r.seed,
                                      r.path.name))])
