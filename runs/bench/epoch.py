"""Whole epochs: python -m runs.bench.epoch --data mnist

ref.train's epochs of backpropagation on mnist-fc, evaluation and all, beside a PyTorch loop as its
users write it: a DataLoader that shuffles, fused Adam, the test error after each epoch. The first
epoch of each process is not counted.
"""

import statistics
import time

import numpy as np

import ref
from ref.architectures import NAMED
from ref.common.command import Parser, UsageError, count, tell
from ref.data import open_data
from ref.find import find_data
from ref.parallel import threads

from .. import command
from ..alone import alone
from . import cpu, load, turns

ARCH, BATCH = "mnist-fc", 100


def parser():
    p = Parser(prog="python -m runs.bench.epoch", description=__doc__.split(":")[0])
    p.add_argument("--data", default="mnist", help="28x28 images (default %(default)s)")
    p.add_argument("--threads", type=count, help="default: one for each CPU")
    p.add_argument("--turns", type=count, default=3, help="processes of each side")
    p.add_argument("--epochs", type=count, default=2, help="of each process, after the first")
    p.add_argument("--busy", action="store_true",
                   help="go on where other processes take part of the machine")
    return p


def our_epochs(args):
    """(seconds of each epoch, test errors in %)."""
    cpu.use_threads(args.threads)
    run = ref.fit("bp", ARCH, data=args.data, epochs=1 + args.epochs, batch_size=BATCH)
    return run.metrics["seconds"][1:], run.metrics["test_error"][1:]


def their_epochs(args):
    """The same in PyTorch; images become floats in [0, 1] once, before the first epoch."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    cpu.use_threads(args.threads)
    torch.set_num_threads(threads())
    torch.manual_seed(0)
    data = open_data(find_data(args.data))
    (x, y), (x_test, y_test) = (tensors(part) for part in (data.train, data.test))
    sizes = [int(np.prod(data.in_shape)), *5 * [256], len(data.classes)]
    assert NAMED[ARCH][1] == "dense 256, " * 5 + "softmax 10"
    layers = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.Tanh()]
    model = torch.nn.Sequential(torch.nn.Flatten(), *layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    seconds, errors = [], []
    for _ in range(1 + args.epochs):
        start = time.perf_counter()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        with torch.no_grad():
            wrong = sum((model(images).argmax(1) != labels).sum().item()
                        for images, labels in DataLoader(TensorDataset(x_test, y_test), 250))
        seconds.append(time.perf_counter() - start)
        errors.append(100 * wrong / len(y_test))
    return seconds[1:], errors[1:]


def tensors(part):
    """(images in [0, 1], labels) of a part of the data."""
    import torch

    images, labels = zip(*part.in_order(1000), strict=True)
    x = np.concatenate(images).astype(np.float32) / 255
    return torch.from_numpy(x), torch.from_numpy(np.concatenate(labels).astype(np.int64))


def work(args):
    try:
        import torch
    except ImportError:
        raise UsageError('PyTorch is not installed: pip install -e ".[compare]"') from None
    args.data = str(find_data(args.data))
    load.say(args.busy)
    times = {our_epochs: [], their_epochs: []}
    for _ in range(args.turns):
        for side, found in times.items():
            seconds, errors = alone(side, args)
            found.append(statistics.median(seconds))
    ours, theirs = times.values()
    tell(turns.line(f"an epoch of bp on {ARCH}, batch {BATCH}", ours, theirs, 1, "s", 3,
                    f"PyTorch {torch.__version__}"))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
