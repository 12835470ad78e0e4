"""Train a network with one of the paper's rules: python -m ref.train --rule fa

Without --data it trains on `digits`, which it makes on the first run. `--resume RUN` goes on with a
run that was stopped or killed, and ends as the uninterrupted run would have, bit for bit. Ctrl-C,
SIGTERM, SIGHUP or SIGUSR1 stop it after the current batch with a checkpoint; so does a stdout that
nobody reads any more (status 141). A second signal ends it at once.
"""

import argparse
import shlex
import signal
import sys
import warnings
from pathlib import Path

from . import architectures, backend, checkpoint, folder, lines, rules, show, training, transplant
from .augmentation import FLIPS
from .begin import CROP_PADDING, SPLITS, begin, build, first_of, new_trainer, split_seed
from .common import command, version
from .common.command import (
    NOBODY_READS,
    Parser,
    Stopped,
    UsageError,
    UserError,
    count,
    new_folder,
    say,
    seed,
    tell,
)
from .common.command import one_line as reason
from .common.names import file_name
from .config import complete
from .config import read as read_config
from .data import DataFormatError, open_data
from .find import find_data, find_recorded
from .normalisation import KINDS as NORMALISATIONS
from .options import add_setting_arguments, positive, typed
from .ranks import ALONE, Elsewhere
from .rules.rule import Option
from .run import Run
from .schedules import DEFAULT_EPOCHS

MODULE = "ref.train"
RESUME_OPTIONS = ("--resume", "--epochs", "--data", "--checkpoint-every", "--checkpoint-minutes",
                  "--allow-changed-data", "--mpi")
ERRORS = (UserError,)  # the user can put right


def parser():
    p = Parser(prog="python -m ref.train", description=__doc__,
               epilog="The options that one rule has, and their values on a network: "
                      "--rule dtp --arch mnist-fc --show")
    p.add_argument("--rule", choices=rules.ALL, metavar="RULE",
                   help=f"learning rule: {', '.join(rules.ALL)}")
    p.add_argument("--show", action="store_true",
                   help="print the options that the rule has, and their values on the network; "
                        "train nothing")
    p.add_argument("--arch", default="mnist-fc",
                   help="a network of Table 3 by name, or layers: \"dense 256, softmax 10\" "
                        "(default %(default)s)")
    p.add_argument("--data", metavar="NAME|FILE",
                   help="data/NAME.h5, or an HDF5 file (default digits)")
    p.add_argument("--epochs", type=count, help=f"default {DEFAULT_EPOCHS}")
    p.add_argument("--batch-size", type=count, help="default 100, or as in the hyperparameters")
    p.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    p.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="numpy, or cupy for a GPU (default %(default)s)")
    p.add_argument("--device-noise", action="store_true",
                   help="draw the noise that trains the inverses on the GPU: faster, but a run is "
                        "then not the numpy run up to rounding")
    p.add_argument("--out", type=lambda text: str(new_folder(text)), metavar="DIR",
                   help="the run's folder (default: a new runs/out/...)")
    p.add_argument("--validation", type=int, default=0, metavar="N",
                   help="set N training examples apart, report their error too, and keep the "
                        "parameters of the epoch where it is lowest")
    p.add_argument("--validation-split", choices=SPLITS, default="last",
                   help="the last N, or N at random by the seed (default %(default)s)")
    p.add_argument("--patience", type=count, metavar="EPOCHS",
                   help="stop after so many epochs without a lower validation error")
    p.add_argument("--mpi", action="store_true",
                   help="one of several processes that mpiexec or srun has started: each trains on "
                        "its rows of every batch (ref/mpi.md)")
    p.add_argument("--angles", action="store_true",
                   help="record, for each layer, the angle in degrees between the rule's dW and "
                        "backpropagation's on the first 250 training examples, that of B or V to "
                        "W, and the ratios of their norms (ref/alignment.py)")
    p.add_argument("--init", metavar="FILE|RUN",
                   help="parameters to begin with: a PyTorch state dict (.pt), .npz, or a run")
    c = p.add_argument_group("checkpoints")
    c.add_argument("--resume", metavar="RUN", help="go on with the run in this folder")
    c.add_argument("--checkpoint-every", type=count, default=1, metavar="EPOCHS",
                   help="default %(default)s")
    c.add_argument("--checkpoint-minutes", type=positive, default=10, metavar="MINUTES",
                   help="also within an epoch, after so many minutes (default %(default)s)")
    c.add_argument("--allow-changed-data", action="store_true",
                   help="resume though the data file is not the one it was trained on")
    g = p.add_argument_group("augmentation of the training images (defaults depend on the data)")
    g.add_argument("--crop-padding", type=typed(CROP_PADDING), metavar="PIXELS",
                   help="random crops after padding (default: 4 for cifar10, else 0)")
    g.add_argument("--flip", choices=FLIPS, help="default: horizontal for cifar10, else none")
    g.add_argument("--resized-crop", type=typed(Option("", "", high=1, above=True)), metavar="AREA",
                   help="random crops of at least this share of the image, 0.08 for ImageNet, "
                        "stretched to its size")
    p.add_argument("--normalise", choices=NORMALISATIONS, default="none",
                   help="channels: take the training images' mean off each channel of the inputs, "
                        "and divide by their deviation; symmetric: from [0, 1] to [-1, 1] (default "
                        "%(default)s)")
    add_setting_arguments(p)
    return p


def start(args, ranks):
    """Open the data, build the network, make the folder: a run at its beginning."""
    folder.check_free(args.out)
    new = begin(args, ranks=ranks)
    config = new.config(command.command_line(MODULE))
    if ranks.rank:
        return Run(None, None, config, new.data, new.trainer, tell=None)
    out, lock = folder.create(args.out, name_of(args, new.setting))
    try:
        folder.write_config(out, config)
    except OSError as error:
        raise folder.FolderError(f"--out {out}: can't write here ({error.strerror})") from None
    tell(*lines.opening(out, config, new.data))
    return Run(out, lock, config, new.data, new.trainer)


def name_of(args, setting):
    """What a run's folder is called where --out does not say."""
    arch = args.arch if args.arch in architectures.NAMED else "custom"
    schedule = f"-{setting['schedule']}" if setting.get("schedule") else ""
    data = file_name(Path(args.data).stem, 100)
    return f"{arch}_{args.rule}{schedule}_{data}_seed{args.seed}"


def resume(args, ranks):
    """Take up the run in the folder args.resume where its newest whole checkpoint left it."""
    given = {option.split("=")[0] for option in sys.argv[1:] if option.startswith("--")}
    for name in sorted(given):
        if name not in RESUME_OPTIONS:
            raise UsageError(f"{name}: the rest of a resumed run is as it was started; "
                             f"it takes only {', '.join(RESUME_OPTIONS)}")
    out = Path(args.resume)
    config = complete(read_config(out))
    if not checkpoint.can_go_on(out):
        raise UsageError(f"--resume {out}: it has results but no checkpoint to go on from: whoever "
                         "removed that kept the results alone")
    arguments = config["arguments"]
    if args.epochs is not None:
        if args.epochs < (arguments["epochs"] or DEFAULT_EPOCHS):
            raise UsageError(f"--epochs {args.epochs}: the run was started with "
                             f"{arguments['epochs'] or DEFAULT_EPOCHS}; it can only be raised")
        arguments["epochs"] = args.epochs
    for name in ("checkpoint_every", "checkpoint_minutes"):
        if f"--{name.replace('_', '-')}" in given:
            arguments[name] = getattr(args, name)
    path = find_data(args.data) if args.data else find_recorded(
        config, out, args.allow_changed_data)
    data = open_data(path, arguments["validation"], split_seed(argparse.Namespace(**arguments)))
    if data.digest != config["data"].get("digest") and not args.allow_changed_data:
        raise UsageError(f"{data.path} is not the file that {out} was trained on (its digest "
                         "differs); put that one back, or add --allow-changed-data")
    setting = config["hyperparameters"]
    net = build(arguments["arch"], arguments["rule"], setting, data, config.get("normalisation"))
    trainer = new_trainer(argparse.Namespace(**arguments), setting, net, ranks)
    if ranks.rank:
        run = Run(None, None, config, data, trainer, tell=None)
        if found := checkpoint.load(out, warn=lambda line: None):
            run.restore(*found, args.allow_changed_data)
        else:
            start_over(arguments, trainer)
        return run
    run = Run(out, folder.lock(out), config, data, trainer)
    try:
        found = checkpoint.load(out, warn=say)
        if found:
            run.restore(*found, args.allow_changed_data)
        config.setdefault("resumed", []).append(
            {"command": command.command_line(MODULE), "commit": version.commit()})
        folder.write_config(out, config)  # now that nothing is refused any more
    except BaseException:
        run.lock.close()
        raise
    tell(*lines.opening(out, config, data))
    if found is None:
        rows = len(folder.read_metrics(out))
        again = f"; the {rows} finished epochs are trained again" if rows else ""
        tell(f"{out}: no checkpoint yet, starting at the beginning{again}")
        start_over(arguments, trainer)
    else:
        done = run.epoch > (arguments["epochs"] or DEFAULT_EPOCHS)
        if done:  # metrics.csv may have lost rows since
            folder.write_metrics(out, run.rows)
        tell(run.why_it_ends() if run.exhausted else
             f"{out}: all {run.epoch - 1} epochs are done; --epochs can be raised" if done else
             f"{out}: going on in epoch {run.epoch}, after {run.trainer.t} steps")
    return run


def start_over(arguments, trainer):
    """What --init brought to a run that has no checkpoint yet, once more."""
    if arguments.get("init"):
        args = argparse.Namespace(**arguments)
        transplant.apply(first_of(args), trainer, args)


def carry_out(run):
    """Train until done, stopped or failed; returns the exit status."""
    ranks, out = run.ranks, run.ranks.share(run.out)
    again = f"go on with: python -m {MODULE} --resume {shlex.quote(str(out))}"
    try:
        with command.noticing(run.ask_to_stop):
            run.train()
    except Stopped as stop:  # on every rank
        if stop.number != NOBODY_READS and ranks.rank == 0:
            say(f"stopped in epoch {run.epoch}, everything is kept; {again}")
        return 128 + stop.number
    except training.Diverged as error:  # on every rank
        return 1 if ranks.rank else say(f"error: epoch {run.epoch}: {error}", 1)
    except Exception as error:
        if isinstance(error, MemoryError):
            why = (f"not enough memory ({reason(error)}): free some, or start again with a smaller "
                   "--batch-size or network")
        elif backend.is_device_error(error):
            why = f"the device failed ({reason(error)})"
        elif ranks.lost_touch(error):
            why = f"no answer from another rank ({reason(error)})"
        elif isinstance(error, (OSError, DataFormatError)):
            why = reason(error)
        else:
            ranks.fail()
            raise
        kept = (f"the last checkpoint in {out} is whole" if checkpoint.exists(out) else
                f"{out} has no checkpoint yet, so it begins again")
        say(f"error: {ranks.who}{why}; {kept}; when this is put right, {again}")
        ranks.abort(1)
        return 1
    finally:
        if run.lock:
            run.lock.close()
    if run.tell:
        tell(run.summary())
    return 0


def work():
    args = parser().parse_args()
    if args.show:
        return tell(*show.lines(args))
    del args.show  # no part of a run
    # an overflow is reported once, with its layer, by training.check_finite
    warnings.simplefilter("ignore", RuntimeWarning)
    ranks = ALONE
    try:
        try:
            if args.mpi:
                from . import mpi, watched

                out = args.resume or args.out
                out = shlex.quote(out) if out else "RUN, the run's folder"
                watched.go_on_in_child(f"go on with: python -m {MODULE} --mpi --resume {out}")
                ranks = mpi.world()
            run = ranks.together(lambda: resume(args, ranks) if args.resume else start(args, ranks))
            if args.mpi and (line := mpi.opening(ranks, run.config["arguments"]["backend"])):
                tell(line)
        except KeyboardInterrupt as stop:
            return say("interrupted before training began; give the command again",
                       128 + getattr(stop, "number", signal.SIGINT))
        return carry_out(run)
    except Elsewhere as failure:
        return failure.status
    except MemoryError as error:
        said = f" ({reason(error)})" if str(error) else ""
        raise UserError(
            f"not enough memory{said}; try a smaller --batch-size or network") from None
    except Exception as error:
        if backend.is_device_error(error):
            raise UserError(f"the device failed ({reason(error)})") from None
        raise


def main():
    command.run(work)


if __name__ == "__main__":
    main()
