"""A run in its folder: passes, epochs, checkpoints, and how it is stopped.

A signal, or a reader of stdout that has gone, stops a run after the batch it is on, of training or
of evaluation, with a checkpoint; resumed, it ends bit for bit as the uninterrupted run would have.
Stopped in an evaluation it keeps the finished passes, and begins that evaluation again.
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

from . import alignment, checkpoint, evaluation, folder, lines, schedules, selection, training
from .augmentation import augment
from .backend import select, to_host
from .common import schema
from .common.command import NOBODY_READS, Stopped, discard_output, tell
from .network import flat
from .seeds import stream
from .state import SCHEMA, check

IDENTITY = {  # arguments that a run is a function of, and what one that config.json lacks is
    "arch": None, "rule": None, "dtype": None, "seed": None, "init": None, "validation": 0,
    "validation_split": "last", "normalise": "none", "device_noise": False}


class Run:
    """A run: the trainer, and how far it has come.

    epoch         the current one, from 1; more than config's epochs when the run is done
    pass_number   index of the current pass in training.passes(...), after any pre-training in the
                  first epoch; all of them are done while the epoch is evaluated
    batch         batches of that pass that are done
    tally         what they summed to
    row           what the epoch's finished passes recorded;  rows  those of finished epochs
    out, lock     the folder, or None: nothing is written; and its lock, held as long as this is.
                  Of several ranks (ranks.py) only the first has them
    tell          prints a line; None for silence
    """

    def __init__(self, out, lock, config, data, trainer, tell=tell):
        self.out, self.lock, self.config, self.data = out, lock, config, data
        self.tell = tell
        self.trainer, self.net, self.ranks = trainer, trainer.net, trainer.ranks
        self.args = argparse.Namespace(**config["arguments"])
        self.setting = config["hyperparameters"]
        self.xp, self.dtype = select(self.args.backend), np.dtype(self.args.dtype)
        self.epoch, self.pass_number, self.batch = 1, 0, 0
        self.tally, self.row, self.rows = evaluation.Tally(), {}, []
        self.best = None  # {name: NumPy array} of the best epoch, where nothing is written
        self.patience = getattr(self.args, "patience", None)  # older runs have no such key
        self.stop = None  # the signal that asked us to
        self.saved = time.monotonic()

    def ask_to_stop(self, number):
        """Stop after the current batch; called from a signal's handler."""
        self.stop = number

    def identity(self):
        """What a checkpoint must agree with: everything that the run is a function of."""
        given = self.config["arguments"]
        return {key: given.get(key, standard) for key, standard in IDENTITY.items()} | {
            "schedule": None, **self.setting, **self.config["augmentation"],
            "normalisation": self.config.get("normalisation"),
            "data": self.config["data"].get("digest"), "numerics": checkpoint.NUMERICS}

    def save(self):
        """Write a checkpoint. Raises OSError."""
        tally = self.tally.over(self.ranks)
        if self.out is None:
            return
        arrays = {f"parameters/{n}": to_host(p) for n, p in
                  flat(self.trainer.params).items()}
        for group, state in self.trainer.state.items():
            for moment in ("m", "v"):
                arrays |= {f"{group}/{moment}/{n}": to_host(p) for n, p in state[moment].items()}
        arrays |= {f"carried/{n}": to_host(a) for n, a in self.trainer.carried.items()}
        checkpoint.save(self.out, arrays, {
            "identity": self.identity(), "t": self.trainer.t,
            "optimiser_t": {group: state["t"] for group, state in self.trainer.state.items()},
            "epoch": self.epoch, "pass": self.pass_number, "batch": self.batch,
            "tally": tally.state(), "row": self.row, "rows": self.rows,
        })
        self.saved = time.monotonic()

    def restore(self, arrays, state, changed_data=False):
        """Take over a checkpoint's state. Raises FolderError if it is of no such run."""
        state = schema.check(state, SCHEMA, f"{self.out}: its checkpoint", folder.FolderError)
        checkpoint.check_identity(self.out, state["identity"], self.identity())
        check(self, state, arrays, changed_data)
        places = {f"parameters/{n}": p for n, p in
                  flat(self.trainer.params).items()}
        for group, kept in self.trainer.state.items():
            kept["t"] = state["optimiser_t"][group]
            for moment in ("m", "v"):
                places |= {f"{group}/{moment}/{n}": p for n, p in kept[moment].items()}
        places |= {f"carried/{n}": a for n, a in self.trainer.carried.items()}
        for name, place in places.items():
            is_there = name in arrays and (arrays[name].shape, arrays[name].dtype)
            if is_there != (place.shape, place.dtype):
                found = f"{is_there[1]} {is_there[0]}" if is_there else "missing"
                raise folder.FolderError(f"{self.out}: the checkpoint's {name} is {found}, "
                                         f"the network's is {place.dtype} {place.shape}")
        for name, place in places.items():
            place[...] = self.xp.asarray(arrays[name])
        self.trainer.t = state["t"]
        self.epoch, self.pass_number, self.batch = state["epoch"], state["pass"], state["batch"]
        self.tally, self.row = evaluation.Tally(state["tally"]), state["row"]
        if self.ranks.rank:  # the first one has the sums of all
            self.tally = self.tally.empty()
        self.rows = state["rows"]

    def train(self):
        """Train to the last epoch, with a line, a row of metrics and a checkpoint for each.

        Raises Stopped, with a checkpoint and the parameters written.
        """
        try:
            self.all_epochs(self.args.epochs or schedules.DEFAULT_EPOCHS)
        except Stopped:
            self.write_parameters()
            raise
        self.write_parameters()

    def all_epochs(self, epochs):
        while self.epoch <= epochs and not self.exhausted:
            start = time.perf_counter()
            rule = self.trainer.rule
            self.trainer.factors = schedules.factors(self.setting, rule.trains, self.epoch)
            first, todo = self.passes(self.epoch)
            while self.pass_number < len(todo):
                self.one_pass(*todo[self.pass_number], label=f"epoch {self.epoch}/{epochs}")
                self.row |= self.tally.over(self.ranks).means()
                self.tally, self.batch = evaluation.Tally(), 0
                self.pass_number += 1
                if self.pass_number <= len(first):
                    self.report(lines.pretraining_line(self.row, self.pass_number, len(first)))
            row = self.evaluate(start)
            if selection.is_best(self.rows):
                self.keep_best()
            due = (self.epoch % self.args.checkpoint_every == 0 or self.epoch == epochs
                   or self.exhausted)
            self.epoch, self.pass_number, self.row = self.epoch + 1, 0, {}
            due = due or bool(self.asked())
            if due:
                self.save()
            self.report(lines.epoch_line(row, lines.unit_of(self.net)))
            if self.exhausted:
                self.report(self.why_it_ends())
                return
            stop = self.asked()
            if stop and self.epoch <= epochs:
                if not due:
                    self.save()
                raise Stopped(stop)

    def passes(self, epoch):
        """(the passes that come before all epochs, these and those of an epoch)."""
        rule = self.trainer.rule
        first = schedules.pretraining(self.setting, rule.trains) if epoch == 1 else []
        return first, first + training.passes(rule, self.setting.get("schedule"), epoch)

    def one_pass(self, number, phase, label):
        """The rest of one pass over the training data."""
        size = self.setting["batch_size"]
        batches = self.data.train.epoch(size, self.args.seed, number, self.batch, self.ranks.rows)
        total = -(-len(self.data.train) // size)
        bar = tqdm(batches, desc=f"{label} {phase}", initial=self.batch, total=total, leave=False,
                   disable=None if self.tell else True)
        for images, labels in bar:
            N = len(labels)
            rows = self.ranks.rows(N)  # the images are these alone
            images = self.augment(images, rows, N)
            x, y = evaluation.batch_of(self.net, images, labels[rows], self.xp, self.dtype)
            self.tally.add(self.net, self.trainer.step(x, y, phase, N=N), y)
            self.batch += 1
            if self.batch == total or self.trainer.t % training.CHECK_EVERY == 0:
                training.check_finite(self.trainer, self.tally.over(self.ranks).sums, x)
            late = time.monotonic() - self.saved > 60 * self.args.checkpoint_minutes
            self.heed(late)

    def asked(self):
        """The signal that has asked any of the ranks to stop, or 0. A signal may come at any time:
        what all ranks do alike must follow from what is agreed here, never from self.stop."""
        return self.ranks.agree(self.stop or 0)

    def heed(self, late=False):
        """Write a checkpoint and raise Stopped where a signal has asked us to stop; also write one
        where the last one is `late`, by the clock of any rank."""
        said = self.ranks.agree(2 * (self.stop or 0) + late)  # one question of the ranks, not two
        if said:
            self.save()
        if said > 1:
            raise Stopped(said // 2)

    def report(self, line):
        """Print a line; where that fails, keep what was reached before saying so."""
        if self.tell is None:
            return
        try:
            self.tell(line)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                self.stop = NOBODY_READS
                return
            if self.ranks.size == 1:
                self.save()
            discard_output()  # what could not be written must not fail again at the end
            raise

    def augment(self, images, rows, N):
        """These rows of a batch of N as augmentation changes it: a function of the seed and the
        step."""
        how = self.config["augmentation"]
        area = how.get("resized_crop")
        if not how["crop_padding"] and how["flip"] == "none" and area is None:
            return images
        rng = stream(self.args.seed, "augmentation", self.trainer.t)
        return augment(images, rng, how["crop_padding"], how["flip"], area, rows, N)

    def evaluate(self, start):
        """Evaluate, record and return the epoch's row; changes nothing until all of it is there."""
        net, params = self.net, self.trainer.params
        rates = schedules.rates(self.setting, self.trainer.rule.trains, self.epoch)
        row = {"epoch": self.epoch, **self.row, **rates}
        for name, part in (("validation", self.data.validation), ("test", self.data.test)):
            if part is not None:
                error, loss = evaluation.evaluate(
                    net, params, part, self.xp, self.dtype, self.heed, self.ranks)
                training.check_finite(self.trainer, {f"{name}_loss": loss})
                row |= {f"{name}_error": error, f"{name}_loss": loss}
        self.heed()
        if self.args.angles:
            images, labels = next(iter(self.data.train.in_order(alignment.BATCH)))
            x, y = evaluation.batch_of(net, images, labels, self.xp, self.dtype)
            row |= alignment.compare(self.trainer, x, y)
            self.heed()
        row["seconds"] = round(time.perf_counter() - start, 3)
        self.rows.append(row)
        if self.out is not None:
            folder.write_metrics(self.out, self.rows)
        return row

    @property
    def exhausted(self):
        """Whether training stops early: --patience epochs were in vain."""
        return selection.exhausted(self.rows, self.patience)

    def why_it_ends(self):
        """The line of an early end."""
        return (f"stopped early: no lower validation error since epoch "
                f"{selection.best(self.rows)['epoch']}")

    def keep_best(self):
        """Keep the parameters of the epoch just evaluated, before its checkpoint is written."""
        arrays = {name: to_host(p) for name, p in flat(self.trainer.params).items()}
        if self.out is None:
            self.best = {name: array.copy() for name, array in arrays.items()}
        else:
            folder.write_parameters(self.out, arrays, folder.BEST)

    def write_parameters(self):
        """The trained parameters as a file of their own."""
        if self.out is None:
            return
        arrays = flat(self.trainer.params)
        folder.write_parameters(self.out, {name: to_host(p) for name, p in arrays.items()})

    def summary(self):
        """The last line: best and final test error."""
        return lines.summary(self.rows, lines.unit_of(self.net))
