"""Recorded runs: what a folder of ref.train tells, and which cell of Table 1 it belongs to.

A run belongs to a cell if it was trained with the hyperparameters that ref/hyperparameters.py has
for the cell today, on all of the training data. Any other is a variant, named with what differs.
"""

import hashlib
import itertools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ref import folder, hyperparameters
from ref.common import files
from ref.common.names import file_name
from ref.common.reading import read_bytes
from ref.common.schema import read_text
from ref.config import read as read_config
from ref.settings import resolve

from . import paper
from .command import whose

DIVERGED = "diverged"  # the file
FEWEST = 10  # epochs that tell something of a run beside longer ones


@dataclass(frozen=True)
class Record:
    """A run: its folder, config.json, and rows of metrics.csv, or the first `upto` of them."""

    path: Path
    config: dict
    rows: list
    upto: int | None = None

    @property
    def arch(self):
        return self.config["arguments"]["arch"]

    @property
    def rule(self):
        return self.config["arguments"]["rule"]

    @property
    def schedule(self):
        return self.config["hyperparameters"].get("schedule")

    @property
    def seed(self):
        return self.config["arguments"]["seed"]

    @property
    def data(self):
        return self.config["data"]["name"]

    @property
    def what(self):
        """What a cell is made of."""
        return self.arch, self.rule, self.schedule, self.data

    @property
    def epochs(self):
        return len(self.rows)

    @property
    def diverged(self):
        """Why the run ended before its last epoch (runs.jobs keeps it in a file), or ""."""
        if self.upto and len(self.rows) >= self.upto:
            return ""
        try:
            return read_text(self.path / DIVERGED, folder.FolderError).strip()
        except FileNotFoundError:
            return ""

    @property
    def whose(self):
        """"recorded" in the repository, or "yours"."""
        return whose(self.path)

    def first(self, epochs):
        """The same run as it was after so many epochs, or at its end if it has fewer."""
        return replace(self, rows=self.rows[:epochs], upto=epochs)

    def best(self, column="test_error"):
        """The first row with the lowest value."""
        return min(self.rows, key=lambda row: row[column])


def read(path):
    """The run in a folder. Raises folder.FolderError where there is none."""
    return Record(Path(path), read_config(path), folder.read_metrics(path))


def read_all(parent):
    """Every run directly below a folder, by name; folders without a config.json are passed over.

    Raises folder.FolderError where one is damaged: a table without it would not say so.
    """
    return [read(path.parent) for path in sorted(Path(parent).glob("*/config.json"))]


def defaults(arch, rule, schedule=None):
    """(hyperparameters, their source) that ref.train takes today if nothing else is asked for."""
    return resolve(rule, arch, schedule=schedule)


def differences(record):
    """{what: (the run's value, today's default)}; {} for a run that belongs to a cell.

    Of a run with --hyperparameters paper: what differs from Table 5.
    """
    arguments, setting = record.config["arguments"], record.config["hyperparameters"]
    setting = {"batch_size": arguments.get("batch_size") or 100} | setting
    ours, _ = defaults(record.arch, record.rule, record.schedule)
    # an option that a run's config.json does not name yet had no other value then
    found = {key: (setting[key], value) for key, value in ours.items()
             if setting.get(key, value) != value}
    if found and arguments.get("hyperparameters") == "paper":  # named once, not value by value
        papers = ours | {"batch_size": 100} | hyperparameters.TABLE_5.get(
            (record.arch, record.rule, record.schedule), {})
        found = {key: (setting[key], value) for key, value in papers.items()
                 if setting.get(key, value) != value}
        found["hyperparameters"] = ("paper", "default")
    crop, flip = (4, "horizontal") if record.data == "cifar10" else (0, "none")
    augmented = record.config.get("augmentation") or {"crop_padding": 0, "flip": "none"}
    others = {"crop_padding": (augmented["crop_padding"], crop), "flip": (augmented["flip"], flip),
              "normalise": (arguments.get("normalise", "none"), "none"),
              "resized_crop": (augmented.get("resized_crop"), None),
              "validation_split": (arguments.get("validation_split", "last"), "last"),
              "patience": (arguments.get("patience"), None),
              "dtype": (arguments.get("dtype", "float32"), "float32"),
              "validation": (arguments.get("validation", 0), 0)}
    return found | {key: pair for key, pair in others.items() if pair[0] != pair[1]}


def name_of(arch, rule, schedule, data, seed, variant=()):
    """What a run is called among the results: network, rule, schedule, and what is special.

    mnist-fc_dtp-alternating, mnist-fc_bp_seed1, mnist-fc_bp_digits, mnist-lc_bp-lr0.0005
    """
    if len(variant) > 2:
        variant = ["variant" + hashlib.sha256(" ".join(variant).encode()).hexdigest()[:6]]
    parts = [re.sub(r"[^\w-]+", "-", arch)[:60],
             "-".join([rule, *([schedule] if schedule else []), *variant])]
    if paper.DATA.get(arch.split("-")[0]) != data:
        parts.append(data)
    if seed:
        parts.append(f"seed{seed}")
    return file_name("_".join(parts))


def name(record):
    """name_of a run, with what is not as today's defaults have it."""
    variant = ["paper" if value == "paper" else f"{key}{value}"
               for key, (value, _) in differences(record).items()]
    return name_of(*record.what, record.seed, variant)


def same_run(a, b):
    """Whether one folder is a copy of the other, of any day: two runs may begin in one second."""

    def identity(record):
        return (record.config.get("started"), record.what, record.seed,
                record.config["hyperparameters"])

    return identity(a) == identity(b)


def collect(record, results, called=None, renew=False):
    """Copy a run's small files to results/<name>, or to where it is recorded; tell so in a line.

    Another run recorded there stays if it has as many epochs or more; one with other
    hyperparameters, such as the defaults of an earlier day, is given the name that it has today.

    renew  take the place of one with as many epochs
    """
    already = [r.path.name for r in read_all(results) if same_run(r, record)]
    place = Path(results) / (called or next(iter(already), name(record)))
    if not record.rows and not record.diverged:
        return f"{record.path}: no epoch is done yet, nothing to record"
    try:
        there = read(place)
    except folder.FolderError:
        there = None
    if there and not called and not already and name(there) != place.name:
        os.rename(place, free(place.with_name(name(there))))
        there = None
    equal = there and there.epochs == record.epochs and not same_run(there, record)
    if there and there.epochs > record.epochs or equal and not renew:
        return f"{place}: has {there.epochs} epochs, kept; {record.path} has {record.epochs}"
    # where the data were on this machine is of no use on another (ref/find.py)
    data = {**record.config["data"], "path": f"data/{file_name(record.data)}.h5"}
    copies = {"config.json": folder.config_bytes({**record.config, "data": data})}
    for file in ("metrics.csv", DIVERGED):
        if (record.path / file).exists():
            copies[file] = read_bytes(record.path / file, error=folder.FolderError)
    files.write_all({place / file: lambda part, content=content: part.write_bytes(content)
                     for file, content in copies.items()})
    for file in {"metrics.csv", DIVERGED} - copies.keys():
        (place / file).unlink(missing_ok=True)
    best = f", best test error {record.best()['test_error']:.4g}" if record.rows else ""
    return f"{place}: {record.epochs} epochs{best}" + (record.diverged and ", diverged")


def matching(found, what, seed, other=None, digest=None):
    """Those runs of a cell (or of the cell but for the hyperparameters `other`) and a seed.

    digest  of the data, where it must be the same
    """
    return [r for r in found if r.what == what and r.seed == seed
            and digest in (None, r.config["data"].get("digest"))
            and {key: value for key, (value, _) in differences(r).items()} == (other or {})]


def free(path):
    """The folder, or one with a number behind its name where that holds another run, or anything
    of somebody's."""
    for number in itertools.count(2):
        try:
            folder.check_free(path)
            return path
        except folder.FolderError:
            path = path.with_name(f"{path.name.removesuffix(f'-{number - 1}')}-{number}")


def cells(found):
    """{(arch, rule, schedule, data): [the longest run of each seed]} and the runs left over.

    One that diverged is there only where its seed has no other. One of less than FEWEST epochs
    would spoil the mean of longer ones: it is there only where no seed has a longer one.
    """
    plain = [r for r in sorted(found, key=lambda r: (bool(r.diverged), -r.epochs, str(r.path)))
             if (r.rows or r.diverged) and not differences(r)]
    long = {r.what for r in plain if r.epochs >= FEWEST and not r.diverged}
    chosen = {}
    for record in plain:
        if record.epochs >= FEWEST or record.diverged or record.what not in long:
            chosen.setdefault(record.what, {}).setdefault(record.seed, record)
    full = {what: [seeds[s] for s in sorted(seeds)] for what, seeds in chosen.items()}
    used = {r.path for runs in full.values() for r in runs}
    return full, sorted((r for r in found if r.path not in used), key=lambda r: r.path.name)
