"""Figure 5: histograms of the best accuracies in searches. python -m runs.figure5

It draws every search of runs.search that is recorded or in --out, and says which. A configuration
that diverged counts as chance in figure5.csv; in the picture, whose bins are where the others lie,
such are only counted.
"""

import math
import textwrap

from ref import curves, plots
from ref.folder import FolderError

from . import command, output, searches

BINS = 20
LINE = 64  # characters of a panel's title


def parser():
    return command.parser("runs.figure5", __doc__)


def read(place):
    """A search's folder: (what search.json says, accuracies in % of those that ended, diverged)."""
    about, rows = searches.read(place)
    rows = [row for row in rows if row["error"] is not None]
    accuracy = {state: [100 - row["error"] for row in rows if
                        (row["state"] == "diverged") == (state == "diverged")]
                for state in ("ended", "diverged")}
    return about | {"whose": command.whose(place)}, accuracy


def title(about, accuracy):
    """What a search was over, and how it ended."""
    epochs = f"{about['epochs']} epochs"
    if about["keep_epochs"]:
        epochs += f" (best {about['keep']}: {about['keep_epochs']})"
    ended, diverged = len(accuracy["ended"]), len(accuracy["diverged"])
    return (f"{curves.method(about['rule'], about['schedule'])} on {about['arch']}, "
            f"{ended + diverged} configurations, {diverged} diverged\n"
            + textwrap.fill(f"{about['ranges']}; {epochs}; {about['whose']}", LINE))


def histograms(plt, searches):
    """A panel for each search, its bins where the results lie; how many diverged is said beside."""
    columns = min(2, len(searches))
    lines = -(-len(searches) // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(plots.WIDTH, 3.0 * lines),
                                  squeeze=False)
    for axes, (about, accuracy) in zip(panels.flat, searches, strict=False):
        axes.set_title(title(about, accuracy), fontsize=9)
        ended = accuracy["ended"]
        if not ended:
            continue
        low, high = min(ended), max(ended)
        room = 0 if high > low else 0.5  # of one value, or several that are the same
        axes.hist(ended, bins=BINS, range=(low - room, high + room), edgecolor="#333333",
                  color=plots.style(about["rule"])["color"])
        axes.set(xlabel=f"best {about['selected_on']} accuracy (%)", ylabel="configurations")
        axes.yaxis.get_major_locator().set_params(integer=True)
    for axes in list(panels.flat)[len(searches):]:
        axes.remove()
    return figure


def folders(out):
    """Every search's folder that is recorded or in `out`."""
    return [path.parent for place in command.places(out)
            for path in sorted(place.glob("search_*/search.json"))]


def find(out):
    """Every search of a classifier that is recorded or in `out`."""
    read_all = [read(path) for path in folders(out)]
    return [found for found in read_all if not math.isnan(found[0]["chance"])
            and any(found[1].values())]


def write(out, searches):
    """figure5.csv, .png and .json."""
    output.write_csv(out / "figure5.csv", [
        {"rule": about["rule"], "schedule": about["schedule"], "network": about["arch"],
         "whose": about["whose"], "epochs": about["epochs"], "ranges": about["ranges"],
         "selected_on": about["selected_on"], "state": state, "accuracy": value}
        for about, accuracy in searches for state, values in accuracy.items() for value in values])
    output.picture(out / "figure5.png", lambda plt: histograms(plt, searches))
    output.write_about(out / "figure5.json", "runs.figure5", searches=[
        {"search": about["command"], "whose": about["whose"], "epochs": about["epochs"]}
        for about, _ in searches])


def work(args):
    found = find(args.out)
    if not found:
        raise FolderError(f"{' and '.join(map(str, command.places(args.out)))}: no search in it; "
                          "make one with python -m runs.search")
    write(args.out, found)


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
