"""Where a test error would end with more epochs. python -m runs.extrapolate RUN...

Each curve is fitted, from several first epochs on, with a power law,

    error(t) = a + b t^-c,     a, b >= 0,  t the epoch

and the fits are carried on to --to. It knows nothing of what happens later: where overfitting
begins, the error ends higher. The range holds 90 % of the fits to curves made anew: the fit and the
run's own deviations from it, drawn in blocks of ten epochs, as neighbouring epochs deviate alike.
How far all this can be believed, the same for the first half of the run tells: what it says of the
run's last ten epochs, beside what they were.
"""

from pathlib import Path

import numpy as np

from ref.common.command import UsageError, count, tell

from . import command, output, paper, records

EXPONENTS = np.geomspace(0.05, 3, 160)  # that c is sought among
STARTS = (0.07, 0.15, 0.3)  # the share of the epochs that a fit leaves out
BLOCK, TIMES = 10, 100  # epochs that stay together; curves that are made anew, for each start
FEWEST = 40  # epochs that tell a trend
RANGE = 5, 95  # percentiles


def parser():
    p = command.parser("runs.extrapolate", __doc__)
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN",
                   help="a folder of ref.train, or of a recorded run")
    p.add_argument("--to", type=count, default=paper.EPOCHS, metavar="EPOCH",
                   help="default %(default)s, the paper's")
    return p


def power_law(t, errors, at):
    """The least-squares a + b t^-c of each curve, at epochs `at`: (epochs of at, curves).

    t  (epochs,);  errors  (epochs, curves)
    For each c, a and b are linear; the best c is taken.
    """
    least = np.full(errors.shape[1], np.inf)
    found = np.empty((len(at), errors.shape[1]))
    for c in EXPONENTS:
        x = t**-c
        d = x - x.mean()
        b = np.maximum(d @ errors / (d @ d), 0)
        a = errors.mean(axis=0) - b * x.mean()
        b = np.where(a < 0, x @ errors / (x @ x), b)
        a = np.maximum(a, 0)
        squares = ((errors - a - b * x[:, None]) ** 2).sum(axis=0)
        better = squares < least
        least[better] = squares[better]
        found[:, better] = (a + b * at[:, None] ** -c)[:, better]
    return found


def extrapolate(errors, to):
    """{"trend", "to", "low", "high"}: the trend at the last epoch, at epoch `to`, and its range.

    errors  (epochs,)
    """
    T, rng = len(errors), np.random.default_rng(0)
    ends, fits, drawn = [], [], []
    for share in STARTS:
        first = int(share * T)
        t, y = np.arange(first + 1.0, T + 1), errors[first:]
        at = np.append(t, to)
        fit = power_law(t, y[:, None], at)[:, 0]
        begins = rng.integers(0, len(t) - BLOCK + 1, (-(-len(t) // BLOCK), TIMES))
        places = (begins[:, None] + np.arange(BLOCK)[:, None]).reshape(-1, TIMES)[:len(t)]
        anew = fit[:-1, None] + (y - fit[:-1])[places]
        ends.append(fit[-2])
        fits.append(fit[-1])
        drawn.append(power_law(t, anew, at[-1:])[0])
    low, high = np.percentile(drawn, RANGE)
    return {"trend": np.mean(ends), "to": np.mean(fits), "low": low, "high": high}


def row_of(record, to):
    """The row of the table for a run."""
    errors = np.array([row["test_error"] for row in record.rows])
    T = len(errors)
    end, half = extrapolate(errors, to), extrapolate(errors[: T // 2], T)
    return {"run": record.path.name, "epochs": T, "best": errors.min(),
            "last_ten": errors[-10:].mean(), **{f"half_{key}": half[key] for key in
                                                ("to", "low", "high")},
            "trend": end["trend"], "epoch": to, **{key: end[key] for key in ("to", "low", "high")}}


def show(rows, to):
    """The table for a person."""
    yield (f"{'run':34} {'epochs':>6} {'best':>6} {'last ten':>8}  {'its first half said':>21}  "
           f"{'trend now':>9}  {f'in epoch {to}':>21}")
    for row in rows:
        half, end = (f"{row[f'{which}to']:.2f} ({row[f'{which}low']:.2f} to "
                     f"{row[f'{which}high']:.2f})" for which in ("half_", ""))
        yield (f"{row['run']:34} {row['epochs']:6} {row['best']:6.2f} {row['last_ten']:8.2f}  "
               f"{half:>21}  {row['trend']:9.2f}  {end:>21}")


def work(args):
    found = [records.read(path) for path in args.runs]
    for record in found:
        if record.epochs < FEWEST:
            raise UsageError(f"{record.path}: {record.epochs} epochs tell no trend; give runs of "
                             f"at least {FEWEST}")
        if record.epochs > args.to:
            raise UsageError(f"--to {args.to}: {record.path} has {record.epochs} epochs already")
    rows = [row_of(record, args.to) for record in found]
    tell(*show(rows, args.to))
    path = args.out / "extrapolated.csv"
    output.write_csv(path, rows)
    output.write_about(path.with_suffix(".json"), "runs.extrapolate", runs=[
        output.about_run(record) for record in found])


def main():
    command.carry_out(work, parser(), stopped="interrupted; give the same command again")


if __name__ == "__main__":
    main()
