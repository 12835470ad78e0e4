"""Figures 6, 8 and 9: test error by epoch, a run of ref.train for each condition."""

from ref import plots
from ref.common.command import UsageError, tell
from ref.data import open_data
from ref.find import find_data

from .. import jobs, output, records, table1
from ..command import RECORDED
from .paper import FIGURES

RULE = "segregated-dendrites"
KEPT = RECORDED / "dendrites"  # apart from the runs of the other paper


def is_record(out):
    """Whether --out is the folder of what is recorded."""
    return out.resolve() == KEPT.resolve()


def matching(found, condition, data, seed):
    """The recorded or begun runs of a condition, the longest first."""
    what = (condition.arch, RULE, None, data.name)
    runs = [r for r in found if r.what == what and r.seed == seed
            and r.config["data"].get("digest") == data.digest and said(r) == condition.options]
    return sorted(runs, key=lambda r: -r.epochs)


def said(record):
    """{option: value} of a run that is not as today's defaults, where it means anything."""
    found = {key: value for key, (value, _) in records.differences(record).items()}
    if record.arch.count("dense") < 2:  # there is no lower feedback
        found.pop("lower_feedback", None)
    return found


def job_of(condition, data, args):
    """The job of a condition: a run that was begun below --work, or one in a new folder; or, with
    --out runs/results/dendrites, one that is recorded with as many epochs."""
    line = ["--rule", RULE, "--arch", condition.arch, "--data", args.data, "--seed", args.seed]
    for key, value in condition.options.items():
        line += [f"--{key.replace('_', '-')}", value]
    found = [r for r in matching(records.read_all(args.work), condition, data, args.seed)
             if (r.path / jobs.LOG).exists() and (r.epochs >= args.epochs or table1.can_go_on(r))]
    if is_record(args.out):
        found += [r for r in matching(records.read_all(KEPT), condition, data, args.seed)
                  if r.epochs >= args.epochs]
    called = records.name_of(condition.arch, RULE, None, data.name, args.seed,
                             [f"{k}{v}" for k, v in condition.options.items()])
    place = found[0].path if found else records.free(args.work / called)
    return jobs.Job(place, tuple(line), args.epochs)


def shown(figure, data, args):
    """[(condition, its longest run)], recorded or, without --out runs/results/dendrites,
    yours too."""
    found = records.read_all(KEPT)
    if not is_record(args.out):
        found += records.read_all(args.work)
    runs = [(c, matching(found, c, data, args.seed)) for c in FIGURES[figure]]
    return [(c, of[0].first(args.epochs)) for c, of in runs if of and of[0].rows]


def rows_of(runs):
    """Rows of the table: a condition's last and best test error beside the paper's."""
    for condition, run in runs:
        best = run.best()
        yield {"condition": condition.name, "network": condition.arch, "whose": run.whose,
               "epochs": run.epochs, "final_test_error": run.rows[-1]["test_error"],
               "best_test_error": best["test_error"], "best_epoch": int(best["epoch"]),
               "paper_60_epochs": condition.error, "paper_remark": condition.remark,
               "rate_hz_hidden": run.rows[-1].get("rate_hz_1")}


def draw(plt, runs, title):
    """Test error by epoch; the paper's after 60 epochs as ticks at the right, in their colours."""
    figure, axes = plt.subplots(figsize=(plots.WIDTH * 0.75, 1.6 * plots.HEIGHT))
    looks = {}
    for k, (condition, run) in enumerate(runs):
        look = {"color": plots.PALETTE[k][0], "linestyle": "-"}
        plots.line(axes, [(r["epoch"], r["test_error"]) for r in run.rows], **look)
        if condition.error is not None:
            axes.plot(1.02, condition.error, "<", transform=axes.get_yaxis_transform(),
                      clip_on=False, color=look["color"], markersize=6)
        looks[condition.name] = look
    last = [run.rows[-1]["test_error"] for _, run in runs]
    errors = [c.error for c, _ in runs if c.error is not None]
    plots.limit(axes, min(last + errors), max(3 * max(last + errors), 1) / 1.5)
    plots.epochs(axes)
    axes.set(title=title, ylabel="test error (%)")
    looks["the paper after 60 epochs"] = {"linestyle": "", "marker": "<", "color": plots.OTHER,
                                          "markersize": 6}
    plots.legend(figure, looks)
    return figure


def work(args):
    """Train the figure's conditions and write its table and picture; the exit status."""
    data = open_data(find_data(args.data))
    wanted = [c for c in FIGURES[args.figure]
              if not args.only or any(words in c.name for words in args.only)]
    if not wanted:
        raise UsageError(f"--only {args.only[0]}: no condition of {args.figure} has these words; "
                         "there are " + "; ".join(c.name for c in FIGURES[args.figure]))
    todo = {c.name: job_of(c, data, args) for c in wanted}
    outcomes = table1.train_and_record(todo, args) if not args.draw else {}
    runs = shown(args.figure, data, args)
    rows = list(rows_of(runs))
    for row in rows:
        paper = row["paper_60_epochs"] or row["paper_remark"] or "no number"
        tell(f"{row['condition']:42} {row['whose']:8} {row['epochs']:3} epochs: "
             f"{row['final_test_error']:.2f} %, best {row['best_test_error']:.2f}; the paper, 60 "
             f"epochs: {paper}")
    if rows:
        path = args.out / f"dendrites_{args.figure}.csv"
        output.write_csv(path, rows)
        output.write_about(path.with_suffix(".json"), "runs.dendrites", figure=args.figure,
                           data=data.name, runs=[output.about_run(r) for _, r in runs])
        title = f"Segregated dendrites on {data.name}: {args.figure}"
        output.picture(path.with_suffix(".png"), lambda plt: draw(plt, runs, title))
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0
