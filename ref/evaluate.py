"""Report a finished run on a data set: python -m ref.evaluate RUN [--data NAME|FILE]"""

import argparse

import numpy as np

from . import architectures, evaluation, folder
from .backend import is_device_error, select, to_device
from .begin import build, split_seed
from .common import command
from .common.command import Parser, UserError
from .config import complete
from .config import read as read_config
from .data import open_data
from .find import find_data, find_recorded
from .lines import percent, unit_of
from .network import name_of, zero_parameters


def parser():
    p = Parser(prog="python -m ref.evaluate", description=__doc__.split(":")[0])
    p.add_argument("run", metavar="RUN", help="a run's folder, as ref.train prints it")
    p.add_argument("--data", metavar="NAME|FILE",
                   help="default: the data it was trained on, found by name and digest")
    p.add_argument("--best", action="store_true",
                   help="the parameters of the best epoch on the validation part, not the last")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="numpy, or cupy for a GPU (default %(default)s)")
    return p


def restore(net, path, arrays):
    """{"W": {l: array}, ...} of the network from {"W_1": array, ...}.

    Raises FolderError where an array is missing or has another shape.
    """
    params = zero_parameters(net, np.float32)
    for symbol, layers in params.items():
        for l, zeros in layers.items():
            name = name_of(symbol, l)
            stored = arrays.get(name)
            if stored is None or stored.shape != zeros.shape or stored.dtype.kind != "f":
                found = "missing" if stored is None else f"{stored.dtype} {stored.shape}"
                raise folder.FolderError(
                    f"{path}: {name} is {found}, the network's is {zeros.shape}")
            if not np.isfinite(stored).all():
                raise folder.FolderError(f"{path}: {name} is not all finite numbers")
            layers[l] = stored
    return params


def report(run, data_name, backend, best=False):
    """Lines for a person: error and loss on each part, and the error of each class."""
    xp = select(backend)
    config = complete(read_config(run))
    arguments, setting = config["arguments"], config["hyperparameters"]
    arrays = folder.read_parameters(run, best)
    path = find_data(data_name) if data_name else find_recorded(config, run)
    data = open_data(path)
    if arguments["validation"] and data.digest == config["data"]["digest"]:  # parts as in training
        data = open_data(path, arguments["validation"],
                         split_seed(argparse.Namespace(**arguments)))
    net = build(arguments["arch"], arguments["rule"], setting, data, config.get("normalisation"))
    params = to_device(restore(net, run, arrays), xp)
    dtype = np.dtype(arguments["dtype"])
    show = unit_of(net)
    yield f"{run}: {arguments['rule']} on {arguments['arch']}, evaluated on {data.name}"
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    width = max(len(name) for name, part in parts.items() if part)
    for name, part in parts.items():
        if part:
            error, loss = evaluation.evaluate(net, params, part, xp, dtype)
            yield f"{name:{width}} error {show(error)}   loss {loss:.4f}   ({len(part)} examples)"
    if not architectures.is_autoencoder(net):
        errors = evaluation.errors_by_class(net, params, data.test, xp, dtype)
        shown = "   ".join(f"{c} {percent(e)}" for c, e in zip(data.classes, errors, strict=True))
        yield f"test error by class: {shown}"


def work():
    args = parser().parse_args()
    try:
        for line in report(args.run, args.data, args.backend, args.best):
            command.tell(line)
    except Exception as error:
        if is_device_error(error):
            raise UserError(f"the device failed ({command.one_line(error)})") from None
        raise


def main():
    command.run(work)


if __name__ == "__main__":
    main()
