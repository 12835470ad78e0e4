"""Reference outputs: write them, and verify another implementation against them.

    python -m ref.reference write OUT.h5 --rule fa --arch "dense 8, softmax 4" --in-shape 4x4x1
    python -m ref.reference verify THEIRS.h5                     replayed from its own start
    python -m ref.reference verify THEIRS.h5 --against REF.h5    compared with a file

Exit status of verify: 0 all agree; 1 something differs; 2 a file that can't be used.
The file: FORMAT.md; its names: file.py; its quantities: quantities.py.
"""

import numpy as np

from .. import architectures, evaluation, options, rules, training
from ..backend import select, to_device, to_host
from ..begin import build
from ..common import command
from ..common.command import Parser, UsageError, count, image_shape, new_file, seed
from ..data import open_data
from ..find import find_data
from ..network import flat
from ..seeds import stream
from . import images
from .file import Content, FileError, check_steps, resolve, save
from .read import LIMIT, read
from .replay import outputs
from .report import as_json, report
from .verify import by_file, by_replay


def parser():
    p = Parser(prog="python -m ref.reference", description=__doc__.splitlines()[0])
    commands = p.add_subparsers(dest="command", required=True, metavar="write|verify")

    w = commands.add_parser("write", help="run training steps and write every quantity of them")
    w.add_argument("out", metavar="OUT.h5", type=new_file)
    w.add_argument("--rule", required=True, choices=rules.ALL, metavar="RULE",
                   help=f"learning rule: {', '.join(rules.ALL)}")
    w.add_argument("--arch", required=True,
                   help="a network of Table 3 by name, or layers: \"dense 8, softmax 4\"")
    w.add_argument("--in-shape", type=image_shape, metavar="HxWxC",
                   help="of the inputs, where neither --arch nor --data says it")
    w.add_argument("--data", metavar="NAME|FILE",
                   help="data/NAME.h5, or an HDF5 file (default: random images and labels)")
    w.add_argument("--batch-size", type=count, default=4, help="default %(default)s")
    w.add_argument("--steps", type=count, default=3, help="default %(default)s")
    w.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    w.add_argument("--dtype", choices=("float32", "float64"), default="float64",
                   help="default %(default)s")
    w.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="what computes them: numpy, or cupy for a GPU (default %(default)s)")
    add_limit(w)
    options.add_setting_arguments(w, of_step=True)

    v = commands.add_parser("verify", help="compare a file with what this project computes")
    v.add_argument("theirs", metavar="THEIRS.h5")
    v.add_argument("--against", metavar="REF.h5",
                   help="compare with this file; without it, everything is recomputed in float64 "
                        "from the parameters, inputs and noise in THEIRS")
    v.add_argument("--rtol", type=options.positive,
                   help="error that agrees, relative to the largest entry of the array; what "
                        "rounding makes of it comes on top (default 1e-9 for float64, 1e-4 for "
                        "float32)")
    v.add_argument("--atol-scale", type=options.number_from(0), default=0.0, metavar="S",
                   help="measure an array whose largest entry is below S against S instead, so "
                        "that rounding in an array that should be all zero is no error (default "
                        "%(default)s: zeros must be zero)")
    add_limit(v)
    v.add_argument("--json", action="store_true", help="print the result as JSON")
    return p


def add_limit(p):
    p.add_argument("--limit", type=options.number_from(1e-6, 1e9), default=LIMIT / 2**30,
                   metavar="GIB", help="memory that arrays may take (default %(default)g)")


# ---- write ---------------------------------------------------------------------------------------


def write(args):
    """Train for args.steps and write every quantity. Raises UserError."""
    xp = select(args.backend)
    given = {key: getattr(args, key) for key in options.names(of_step=True)}
    setting = resolve(args.rule, args.arch, given)
    dtype = np.dtype(args.dtype)
    rule = rules.get(args.rule)
    if rule.trainer:  # a step is an image
        args.batch_size = 1
    net, batches = inputs(args, setting, xp, dtype)
    check_steps(net.L, args.steps)
    phases = {t: training.phase_of_step(rule, setting.get("schedule"), t)
              for t in range(1, args.steps + 1)}
    content = Content(args.rule, args.arch, setting, net, phases)
    size = content.numbers(args.batch_size) * dtype.itemsize / 2**30
    if size > args.limit:
        raise UsageError(
            f"{args.steps} steps of {args.arch} take {size:.3g} GiB, the limit is {args.limit:g}: "
            "fewer --steps, or a larger --limit")
    initial = rule.initial_parameters(net, training.initial_stream(args.seed), dtype, setting)
    if rule.trainer:
        images.write(content, rule.trainer(net, rule, initial, setting, args.seed), batches)
        save(args.out, content)
        return content
    content.arrays = {f"init/{name}": array.copy() for name, array in flat(initial).items()}
    params = to_device(initial, xp)
    drawn_anew = flat({symbol: net.maps_of(symbol) for symbol in rule.redrawn(setting)})
    trainer = training.Trainer(net, rule, params, setting, args.seed)
    for (t, phase), (x, y) in zip(phases.items(), batches, strict=False):
        with np.errstate(all="ignore"):  # told below
            out = trainer.step(x, y, phase)
        content.arrays |= {f"step_{t}/x": to_host(x), f"step_{t}/y": to_host(y)}
        content.arrays |= outputs(t, out, trainer)
        content.arrays |= {f"step_{t}/{name}": to_host(flat(params)[name]).copy()
                           for name in drawn_anew}
        if rule.needs_noise(phase):
            eps = trainer.noise(len(x), np, dtype)  # that of the step just taken, from the host
            content.arrays |= {f"step_{t}/eps_{l}": e for l, e in eps.items()}
    for name, array in content.arrays.items():
        if not np.isfinite(array).all():
            raise FileError(f"{name} became NaN or infinite; try a smaller --lr")
    save(args.out, content)
    return content


def inputs(args, setting, xp, dtype):
    """(the network extended by the rule, batches (x, y)): of --data, or random ones."""
    if args.data is not None:
        data = open_data(find_data(args.data))
        if args.in_shape not in (None, data.in_shape):
            raise UsageError("--in-shape: leave it out, --data has its own")
        net = build(args.arch, args.rule, setting, data)
        found = without_end(data, args)
    else:
        if args.in_shape is None and args.arch not in architectures.NAMED:
            raise UsageError(f"--arch {args.arch!r} needs --in-shape HxWxC, or --data")
        net = architectures.build(
            args.arch, args.in_shape, setting.get("output", "probabilities"))
        net = rules.get(args.rule).build(net, setting)
        found = random_batches(net, args)
    return net, (evaluation.batch_of(net, *batch, xp, dtype) for batch in found)


def without_end(data, args):
    """Batches of a data set without end, in the order in which training sees them."""
    epoch = 1
    while True:
        yield from data.train.epoch(args.batch_size, args.seed, epoch)
        epoch += 1


def random_batches(net, args):
    """Batches (images uint8, labels) without end, of uniform random numbers."""
    classes = 1 if architectures.is_autoencoder(net) else net.shape(net.L)[0]
    t = 0
    while True:
        t += 1
        rng = stream(args.seed, "order", t)
        images = rng.integers(0, 256, (args.batch_size, *net.shape(0)), dtype=np.uint8)
        yield images, rng.integers(0, classes, args.batch_size)


# ---- verify --------------------------------------------------------------------------------------


def verify(args):
    """The Result of comparing args.theirs with a replay, or with args.against."""
    limit = int(args.limit * 2**30)
    theirs = read(args.theirs, limit)
    if args.against is None:
        return by_replay(args.theirs, theirs, args.rtol, args.atol_scale)
    return by_file(args.theirs, theirs, args.against, read(args.against, limit),
                   args.rtol, args.atol_scale)


def work(arguments=None):
    """Do what the command line says; its exit status. Raises UserError."""
    args = parser().parse_args(arguments)
    if args.command == "write":
        content = write(args)
        command.tell(f"wrote {args.out}: {len(content.arrays)} arrays of {args.steps} steps; "
                     f"check it: python -m ref.reference verify {args.out}")
        return 0
    result = verify(args)
    command.tell(as_json(result) if args.json else "\n".join(report(result)))
    return 0 if result.agrees else 1


def main(arguments=None):
    command.run(lambda: work(arguments))
