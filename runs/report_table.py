"""Table 1 as lines of runs.report's page: how near the paper, cell by cell, in which order."""

from . import paper, ranks, table1

CLOSE = 0.35  # percentage points: this project's aim for MNIST, fully connected


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
            yield (row["method"], row["whose"], papers, ours, f"{row['test_difference']:+.2f}",
                   row["epochs"], row["seeds"], row["hyperparameters_from"])
        else:
            yield (row["method"], row["whose"] if note else "", papers, note or "missing", "", "",
                   "", row["hyperparameters_from"] if note else "")


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


def table_1(groups):
    """Table 1 cell by cell, of {whose: cells}: lines of the page, and rows for the CSV."""
    lines, everything = [], []
    for column, title in paper.COLUMNS.items():
        data_name = paper.DATA[column.split("-")[0]]
        tables = {whose: list(table1.table(column, data_name, paper.TABLE_1[column], cells, whose))
                  for whose, cells in groups.items()}
        filled = {whose: rows for whose, rows in tables.items()
                  if any(row["seeds"] or row["diverged"] for row in rows)}
        shown = [row for rows in zip(*filled.values(), strict=True)
                 for row in [r for r in rows if r["seeds"] or r["diverged"]] or rows[:1]]
        everything += shown or list(tables.values())[0]
        lines += [f"### {title}", ""]
        if not filled:
            lines += [f"Missing: no run of the {len(paper.TABLE_1[column])} rows is recorded.", ""]
            continue
        names = {whose: [f"*{whose.capitalize()}*:", ""] if len(filled) > 1 else []
                 for whose in filled}
        for whose, rows in filled.items():
            lines += [*names[whose], *verdict(rows)]
        lines += markdown(["method", "whose", "paper, train / test", "ours, train / test",
                           "test, ours − paper", f"epochs (paper {paper.EPOCHS})", "seeds",
                           "hyperparameters"], table_lines(shown))
        for whose, rows in filled.items():
            if found := list(order(rows)):
                lines += [*names[whose], *found]
    return lines, everything
