"""Random search over Table 4 (section 5.3): python -m runs.search --rule R --arch A --epochs E

All configurations are trained for a few epochs, then the best --keep of them go on to
--keep-epochs, as the paper did on ImageNet. The same command again goes on with what was stopped;
more --configs, --epochs or --keep add to what is there. A configuration is a function of
--search-seed and its number alone. Learning rates are drawn log-uniformly, since they span decades,
alpha and sigma uniformly (NOTES.md, reading 30).
"""

import argparse
import math
import shlex

import numpy as np

from ref import architectures, hyperparameters, rules, settings, train
from ref.common.command import UsageError, count, say, seed, tell
from ref.data import open_data
from ref.normalisation import KINDS
from ref.rules.rule import Option
from ref.settings import resolve

from . import command, figure5, jobs, output, records

NORMALISE = Option("normalise", "", choices=KINDS)
MOST = 10_000  # configurations, each of which gets a process and a folder
LOG_UNIFORM = ("lr", "inverse_lr", "feedback_scale")
ORDER = ("lr", "beta1", "beta2", "epsilon", "inverse_lr", "inverse_beta1", "inverse_beta2",
         "inverse_epsilon", "alpha", "sigma", "batch_size")


def parser():
    p = command.parser("runs.search", __doc__)
    p.add_argument("--rule", choices=rules.NAMES, required=True, metavar="RULE",
                   help=", ".join(rules.NAMES))
    p.add_argument("--arch", default="mnist-fc", help="default %(default)s")
    p.add_argument("--schedule", choices=("parallel", "alternating"))
    p.add_argument("--data", default="mnist", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--configs", type=count, default=60, help="default %(default)s, the paper's")
    p.add_argument("--epochs", type=count, default=10, help="of every one (default %(default)s)")
    p.add_argument("--keep", type=count, default=1, metavar="K",
                   help="how many of the best go on (default %(default)s)")
    p.add_argument("--keep-epochs", type=count, metavar="EPOCHS",
                   help="epochs of those in all (default: no more than the others)")
    p.add_argument("--wider", action="store_true",
                   help="draw from hyperparameters.WIDER, not Table 4; the outputs say so")
    p.add_argument("--vary", type=varied, action="append", default=[], metavar="OPTION=VALUES",
                   help="draw another option too, or from other values: batch_size=16,50,200, "
                        "lr=1e-4:1e-2, normalise=none,channels; may be given again")
    p.add_argument("--search-seed", type=seed, default=0, help="default %(default)s")
    p.add_argument("--seed", type=seed, default=0, help="of every run (default %(default)s)")
    group = p.add_mutually_exclusive_group()
    group.add_argument("--validation", type=count, default=5000, metavar="N",
                       help="training examples set apart to select on (default %(default)s)")
    group.add_argument("--select-on-test", action="store_true",
                       help="select on the test set, as best test errors do; the outputs say so")
    command.add_training_options(p)
    return p


def varied(text):
    """An argparse type: (option, list of values or (low, high)) of "lr=1e-4:1e-2"."""
    key, _, values = text.partition("=")
    key = key.removeprefix("--").replace("-", "_")
    option = settings.every().get(key, {"normalise": NORMALISE}.get(key))
    if option is None or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not OPTION=VALUE,VALUE or OPTION=LOW:HIGH "
                                         "with an option of a rule, batch_size or normalise")
    try:
        if ":" in values:
            if option.whole:
                raise ValueError("whole numbers are drawn from a list: VALUE,VALUE")
            low, high = (float(option.value(v)) for v in values.split(":"))
            if not 0 < low < high:
                raise ValueError(f"{values} is not LOW:HIGH, numbers above 0")
            return key, (low, high)
        return key, [option.value(v) for v in values.split(",")]
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def draw(search_seed, number, ranges):
    """Configuration `number`: a value for each of ORDER that the ranges have, and for what else
    they have, four digits each.

    Every value has a random number of its own, drawn whether it is used or not, so that the
    configurations of all rules and ranges correspond.
    """
    setting = {}
    keys = (*ORDER, *sorted(set(ranges) - set(ORDER)))
    for key, u in zip(keys, np.random.default_rng([search_seed, number]).random(len(keys)),
                      strict=True):
        values = ranges.get(key, ranges.get(key.removeprefix("inverse_")))
        if isinstance(values, list):
            setting[key] = values[int(u * len(values))]
        elif values is not None:
            low, high = values
            value = low * (high / low) ** u if key in LOG_UNIFORM else low + (high - low) * u
            setting[key] = float(f"{value:.4g}")
    return setting


def options(setting):
    """A setting as ref.train's options."""
    return [word for key, value in setting.items()
            for word in (f"--{key.replace('_', '-')}",
                         value if isinstance(value, str) else f"{value:g}")]


class Search:
    """A search's place, its jobs, and what they reached."""

    def __init__(self, args):
        self.args = args
        self.line = ["--rule", args.rule, "--arch", args.arch, "--data", args.data]
        self.line += ["--schedule", args.schedule] if args.schedule else []
        setting, _ = resolve(args.rule, args.arch, schedule=args.schedule)
        self.schedule = setting.get("schedule")
        batch = {"batch_size": setting["batch_size"]}  # Table 4 has none: what is used here today
        extra = dict(args.vary)
        for key in extra:
            if key not in setting and key != "normalise":
                raise UsageError(f"--vary {key}: the rule {args.rule} has no such option")
        ranges = (hyperparameters.WIDER if args.wider else hyperparameters.TABLE_4) | extra
        self.settings = [
            {k: v for k, v in draw(args.search_seed, i, ranges).items()
             if k in setting or k in extra}
            | {k: v for k, v in batch.items() if k not in ranges} for i in range(args.configs)]
        held_out = 0 if args.select_on_test else args.validation
        data = open_data(train.find_data(args.data), held_out)
        net = train.build(args.arch, args.rule, setting, data)
        self.chance = (math.nan if architectures.is_autoencoder(net)
                       else 100 * (1 - 1 / len(data.classes)))
        self.selected_on = "test" if args.select_on_test else "validation"
        special = ["wider"] * args.wider + ["on-test"] * args.select_on_test
        if extra:
            special.append("-".join(["vary", *sorted(extra)]))
        if args.search_seed:
            special.append(f"searchseed{args.search_seed}")
        self.name = "_".join(["search", records.name_of(
            args.arch, args.rule, self.schedule, data.name, args.seed), *special])
        self.line += ["--seed", args.seed, *([] if args.select_on_test else
                                             ["--validation", args.validation])]
        self.outcomes = {}
        self.check(held_out, data.digest)

    def check(self, held_out, digest):
        """Raises UsageError where a run that is there is not what we would have begun."""
        for number, setting in enumerate(self.settings):
            record = self.record(number)
            if record is None:
                continue
            theirs = record.config["hyperparameters"] | {
                "validation": record.config["arguments"].get("validation", 0),
                "normalise": record.config["arguments"].get("normalise", "none"),
                "digest": record.config["data"].get("digest")}
            ours = setting | {"validation": held_out, "digest": digest}
            for key, value in ours.items():
                if theirs.get(key) != value:
                    raise UsageError(f"{record.path} was begun with {key} {theirs.get(key)}, not "
                                     f"{value}: give another --work, or that one again")

    def job(self, number, epochs):
        return jobs.Job(self.args.work / self.name / f"config{number:03d}",
                        (*self.line, *options(self.settings[number])), epochs)

    def train(self, numbers, epochs):
        """Train these configurations to so many epochs."""
        todo = {number: self.job(number, epochs) for number in numbers}
        outcomes = jobs.run(list(todo.values()), self.args.jobs, begin=self.args.begin)
        self.outcomes |= {number: outcomes[job] for number, job in todo.items()}

    def record(self, number):
        """A configuration's run, or None before it has begun."""
        path = self.job(number, 1).out
        return records.read(path) if (path / "config.json").exists() else None

    def error(self, number, epochs=None):
        """The best error on what we select on, NaN for one that diverged or has not all epochs: to
        be stopped early, by whatever, is no merit and no fault.

        epochs  look at the first ones alone, so that the selection stays when some have gone on
        """
        record = self.record(number)
        if record is None or record.diverged or record.epochs < (epochs or self.args.epochs):
            return math.nan
        rows = record.rows[:epochs]
        return min(row[f"{self.selected_on}_error"] for row in rows)

    def ranking(self, epochs=None):
        """Numbers of all configurations, the best first, those without an error left out."""
        errors = {i: self.error(i, epochs) for i in range(len(self.settings))}
        return sorted((i for i, e in errors.items() if not math.isnan(e)),
                      key=lambda i: (errors[i], i))

    def rows(self):
        """configs.csv: a row a configuration. One that diverged counts as chance."""
        for number, setting in enumerate(self.settings):
            outcome, record = self.outcomes.get(number), self.record(number)
            column = f"{self.selected_on}_error"
            best = None
            if not math.isnan(self.error(number)):
                best = record.best(column)
            state = ("missing" if record is None else "diverged" if record.diverged
                     else outcome.state if outcome else "done" if best else "stopped")
            yield {
                "config": number, **setting, "state": state,
                "epochs": record.epochs if record else 0, "selected_on": self.selected_on,
                "error": best[column] if best else self.chance if state == "diverged" else None,
                "best_epoch": int(best["epoch"]) if best else None,
                "test_error_there": best["test_error"] if best else None,
                "train_error_there": best["train_error"] if best else None,
                "reason": outcome.reason if outcome else "",
            }

    def curves(self):
        """curves.csv: a row an epoch of each configuration."""
        for number in range(len(self.settings)):
            record = self.record(number)
            for row in record.rows if record else ():
                yield {"config": number, "epoch": int(row["epoch"])} | {
                    f"{part}_error": row.get(f"{part}_error")
                    for part in ("train", "validation", "test")}

    def write(self):
        """The tables, what made them, and Figure 5's histogram of this search."""
        place = self.args.out / self.name
        output.write_csv(place / "configs.csv", list(self.rows()))
        if curves := list(self.curves()):
            output.write_csv(place / "curves.csv", curves)
        output.write_about(
            place / "search.json", "runs.search", rule=self.args.rule, schedule=self.schedule,
            arch=self.args.arch, data=self.args.data, seed=self.args.seed,
            ranges="; ".join(["wider than Table 4" if self.args.wider else "Table 4", *(
                f"{key} {(' to ' if isinstance(v, tuple) else ', ').join(map(str, v))}"
                for key, v in self.args.vary)]),
            selected_on=self.selected_on, chance=self.chance,
            epochs=self.args.epochs, keep=self.args.keep, keep_epochs=self.args.keep_epochs)
        output.picture(place / "histogram.png",
                       lambda plt: figure5.histograms(plt, [figure5.read(place)]))


def found(search, number):
    """The best setting as an entry of hyperparameters.FOUND, and as a command."""
    a, setting = search.args, search.settings[number]
    key = (a.arch, a.rule, search.schedule)
    yield f"    {key!r}: {{".replace("'", '"')
    for prefix, make in (("", "_adam"), ("inverse_", "_inverse")):
        values = [setting.get(f"{prefix}{k}") for k in ("lr", "beta1", "beta2", "epsilon")]
        if values[0] is not None:
            yield f"        **{make}({', '.join(f'{v:g}' for v in values)}),"
    rest = [f'"{k}": {setting[k]:g}' for k in ("alpha", "sigma", "batch_size") if k in setting]
    if rest:
        yield f"        {', '.join(rest)},"
    yield "    },"
    schedule = ["--schedule", search.schedule] if search.schedule else []
    yield shlex.join(["python", "-m", "ref.train", "--rule", a.rule, "--arch", a.arch, "--data",
                      a.data, *schedule, *options(setting)])


def work(args):
    if args.keep_epochs is not None and args.keep_epochs < args.epochs:
        raise UsageError(f"--keep-epochs {args.keep_epochs}: all have --epochs {args.epochs}")
    if args.configs > MOST:
        raise UsageError(f"--configs {args.configs}: at most {MOST}")
    search = Search(args)
    try:
        search.train(range(args.configs), args.epochs)
        if args.keep_epochs is not None:
            search.train(search.ranking(args.epochs)[:args.keep], args.keep_epochs)
    finally:
        search.write()
    ranking = search.ranking()
    for number in ranking[:5]:
        row = search.record(number).best(f"{search.selected_on}_error")
        tell(f"config {number}: {search.selected_on} error {search.error(number):.4g} in epoch "
             f"{row['epoch']:.0f}, test error there {row['test_error']:.4g}")
    if ranking:
        tell(f"best of {len(search.settings)}, selected on the {search.selected_on} set:",
             *found(search, ranking[0]))
    failed = [o.reason for o in search.outcomes.values() if o.state == "failed"]
    if failed:
        say(f"error: {len(failed)} runs failed: {failed[0]}")
    return 1 if failed or not ranking else 0


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
