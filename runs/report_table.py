"""Table 1 on runs.report's page: how near the paper, a line a column; cell by cell; the order."""

from . import paper, ranks, table1

CLOSE = 0.35  # percentage points: this project's aim for MNIST, fully connected
FEW = 5  # methods that a verdict names; more are counted
LATE = 0.1  # the share of its epochs in which a run that is still improving has its best
HEADER = ["method", "paper", "ours", "ours − paper", "range", "seeds",
          f"epochs (of {paper.EPOCHS})", "best in epoch", "paper, train", "ours, train",
          "hyperparameters"]


def markdown(header, rows):
    """A table's lines."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def folded(title, lines):
    """Lines that a reader opens; nothing where there are none."""
    if lines := list(lines):
        yield from (f"<details><summary>{title}</summary>", "", *lines, "</details>", "")


def count(number, what):
    """"1 seed", "2 seeds"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def epochs_of(row):
    """How many epochs each seed of a cell has, []: none."""
    return [int(n) for n in str(row["epochs"] or "").split("/") if n]


def span(numbers):
    """"15", or "100 to 300"."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def table_lines(rows, mixed):
    """The rows of HEADER; mixed: of recorded runs and of yours, so each says which."""
    for row in rows:
        name = row["method"] + (f" ({row['whose']})" if mixed else "")
        runs = (row["seeds"] or 0) + (row["diverged"] or 0)
        note = f"{row['diverged']} of {runs} diverged" if row["diverged"] else ""
        on_paper = f"{row['paper_test']:.2f}", f"{row['paper_train']:.2f}"
        if not row["seeds"]:
            yield (name, on_paper[0], note or "not run", "", "", "", "", "", on_paper[1], "",
                   row["hyperparameters_from"] if note else "")
            continue
        gap = (f"{row['test_difference']:+.2f}" if row["test_difference"] is not None
               else "too short to compare")
        wide = f"{row['test_low']:.2f} to {row['test_high']:.2f}" if row["seeds"] > 1 else ""
        yield (name, on_paper[0], f"{row['test']:.2f}{note and f'; {note}'}", gap, wide,
               row["seeds"], *(row[key].replace("/", ", ") for key in ("epochs", "best_epochs")),
               on_paper[1], f"{row['train']:.2f}", row["hyperparameters_from"])


def verdict(title, rows):
    """A column in a line: how many methods come near the paper, and which do not."""
    rows = {row["method"].replace(",", ""): row for row in rows}  # which has commas of its own
    gaps = {name: round(row["test_difference"], 2) for name, row in rows.items()
            if row["test_difference"] is not None}
    parts = []
    if gaps:
        epochs = [n for name in gaps for n in epochs_of(rows[name])]
        near = [name for name, gap in gaps.items() if gap <= CLOSE]  # as printed
        verb = "has" if len(near) == 1 else "have"
        parts.append(f"{len(near)} of {count(len(gaps), 'method')} {verb} a test error of at "
                     f"most the paper's + {CLOSE}, after {span(epochs)} of {paper.EPOCHS} epochs")
        if far := [f"{name} ({gap:+.2f})" for name, gap in gaps.items() if gap > CLOSE]:
            parts.append(f"further off: {', '.join(far)}")
        if late := [name for name in gaps if improving(rows[name])]:
            parts.append(f"still improving at their end: {len(late)}")
    ended = {name: row for name, row in rows.items() if row["seeds"] and name not in gaps}
    others = {"too short to compare": [f"{name} ({count(max(epochs_of(row)), 'epoch')})"
                                       for name, row in ended.items()],
              "diverged": [name for name, row in rows.items()
                           if not row["seeds"] and row["diverged"]],
              "not run": [name for name, row in rows.items()
                          if not row["seeds"] and not row["diverged"]]}
    for what, names in others.items():
        if len(names) == len(rows):
            parts.append(what)
        elif names:
            parts.append(f"{what}: {', '.join(names) if len(names) <= FEW else len(names)}")
    return f"- **{title}:** {'; '.join(parts)}."


def improving(row):
    """Whether a run of the cell has its best test error in the last of its epochs."""
    best = [int(n) for n in row["best_epochs"].split("/")]
    return any(b > (1 - LATE) * n for b, n in zip(best, epochs_of(row), strict=True))


def order(rows):
    """How the order of the methods by test error agrees with the paper's."""
    rows = [row for row in rows if row["test_difference"] is not None]
    ours = {row["method"]: row["test"] for row in rows}
    papers = {row["method"]: row["paper_test"] for row in rows}
    rho = ranks.spearman(list(ours.values()), list(papers.values()))
    if len(rows) < 3 or rho is None:
        return
    for name, found in (("ours", ours), ("the paper", papers)):
        best_first = sorted(found, key=lambda method: (found[method], method))
        yield f"- {name}: " + " < ".join(f"{m} ({found[m]:.2f})" for m in best_first)
    wrong = ranks.reversed_pairs(ours, papers)
    wrong.sort(key=lambda pair: (papers[pair[0]] - papers[pair[1]], pair))
    n = len(rows) * (len(rows) - 1) // 2
    yield f"- Spearman's rank correlation {rho:.2f}; {len(wrong)} of {n} pairs in opposite order"
    epochs = [n for row in rows for n in epochs_of(row)]
    if len(set(epochs)) > 1:
        yield f"- the runs have {span(epochs)} epochs; those with fewer would gain most from more"
    yield ""
    yield from markdown(["better in the paper", "worse in the paper", "the paper's errors", "ours"],
                        [(low, high, f"{papers[low]:.2f}, {papers[high]:.2f}",
                          f"{ours[low]:.2f}, {ours[high]:.2f}") for low, high in wrong])


def told_apart(rows):
    """What the seeds say of the order: groups of methods whose ranges all overlap, and those with
    one seed."""
    rows = sorted((row for row in rows if row["seeds"]), key=lambda row: row["test"])
    name = {id(row): row["method"].replace(",", "") for row in rows}  # which has commas of its own
    several = [row for row in rows if row["seeds"] > 1]
    if not several:
        return
    # all whose ranges hold one number overlap one another; where a range begins there are the most
    groups = [[name[id(row)] for row in several if row["test_low"] <= at <= row["test_high"]]
              for at in sorted({row["test_low"] for row in several})]
    largest = [", ".join(group) for group in groups
               if len(group) > 1 and not any(set(group) < set(other) for other in groups)]
    yield f"Ranges overlap, so the order is open, within: {'; '.join(largest) or 'none'}."
    if single := [name[id(row)] for row in rows if row["seeds"] == 1]:
        yield f"One seed, so no range: {', '.join(single)}."
    yield ""


def tables(groups):
    """{column: {whose: the table's rows}} of {whose: cells}."""
    return {column: {whose: list(table1.table(column, paper.DATA[column.split("-")[0]],
                                              paper.TABLE_1[column], cells, whose))
                     for whose, cells in groups.items()} for column in paper.COLUMNS}


def filled(by_whose):
    """Those {whose: rows} that have any run; the recorded ones, empty, where none has."""
    found = {whose: rows for whose, rows in by_whose.items()
             if any(row["seeds"] or row["diverged"] for row in rows)}
    return found or dict(list(by_whose.items())[:1])


def merged(by_whose):
    """The rows of `filled`, method by method; an empty one stands once."""
    return [row for rows in zip(*filled(by_whose).values(), strict=True)
            for row in [r for r in rows if r["seeds"] or r["diverged"]] or rows[:1]]


def verdicts(found):
    """A line for each column of `tables`, and whose it is where both are there."""
    for column, by_whose in found.items():
        shown = filled(by_whose)
        for whose, rows in shown.items():
            yield verdict(paper.COLUMNS[column] + (f", {whose}" if len(shown) > 1 else ""), rows)


def table_1(found):
    """The lines of all columns of `tables`."""
    for column, by_whose in found.items():
        yield from (f"### {paper.COLUMNS[column]}", "")
        if any(row["seeds"] or row["diverged"] for rows in by_whose.values() for row in rows):
            yield from markdown(HEADER, table_lines(merged(by_whose), len(filled(by_whose)) > 1))
            for whose, rows in filled(by_whose).items():
                lines = list(told_apart(rows))
                yield from [f"Of {whose} runs:"] if lines and len(filled(by_whose)) > 1 else []
                yield from lines
        else:
            yield from (f"Not run: none of the {len(paper.TABLE_1[column])} methods is here.", "")


def orders(found):
    """The order of the methods in each column of `tables`, folded."""
    for column, by_whose in found.items():
        shown = filled(by_whose)
        for whose, rows in shown.items():
            title = paper.COLUMNS[column] + (f", {whose}" if len(shown) > 1 else "")
            yield from folded(f"The order of the methods: {title}", order(rows))
