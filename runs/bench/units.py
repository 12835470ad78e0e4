"""Networks with batch norm, pooling and skips beside PyTorch: python -m runs.bench.units

A step of backpropagation with momentum, float32, the same threads on both sides. The losses of the
first two steps agree before anything is timed. PyTorch is eager, its layers those of
ref/torch_net.py with the convolutions' own padding.
"""

import os

import numpy as np

from ref import settings
from ref.architectures import NAMED, build
from ref.common.command import Parser, UsageError, say, tell
from ref.network import initial_parameters
from ref.parallel import threads
from ref.rules.bp import RULE as BP
from ref.training import Trainer, initial_stream

from .. import command
from . import cpu, load, turns

SETTING = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}


def parser():
    p = Parser(prog="python -m runs.bench.units", description=__doc__.split("\n\n")[0])
    p.add_argument("--arch", default="resnet20,alexnet", help="names, default %(default)s")
    turns.add_options(p, batch_size=32, turns=5, seconds=2.0, warm_up=1)
    return p


def sides(arch, N):
    """(our step, PyTorch's), each of which returns the mean loss of the batch before its update."""
    import torch
    import torch.nn.functional as F

    from ref.torch_net import Net

    class Peer(Net):
        def _mapped(self, l, m, x):
            if getattr(m, "pad", None) is None:
                return super()._mapped(l, m, x)
            layer = getattr(self, f"layer{l}")
            return F.conv2d(x, layer.weight, layer.bias, m.stride, m.pad)

    from ref.layouts import outward

    torch.set_num_threads(threads())
    net = build(arch, None, "logits")
    rng = np.random.default_rng(0)
    x = rng.random((N, *net.shape(0)), dtype=np.float32)
    labels = rng.integers(0, net.shape(net.L)[0], N)
    y = np.eye(*net.shape(net.L), dtype=np.float32)[labels]
    params = initial_parameters(net, initial_stream(0), np.dtype("float32"))
    peer = Peer(net)
    for l, m in net.map.items():
        layer = getattr(peer, f"layer{l}")
        layer.weight.data = torch.from_numpy(outward(m, "weight_shape", params["W"][l]).copy())
        if l in params["b"]:
            layer.bias.data = torch.from_numpy(params["b"][l].copy())
    setting, _ = settings.resolve("bp", arch, **SETTING)
    trainer = Trainer(net, BP, params, setting, seed=0)
    optimizer = torch.optim.SGD(peer.parameters(), lr=SETTING["lr"], momentum=SETTING["momentum"])
    there = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    classes = torch.from_numpy(labels)

    def ours():
        return float(trainer.step(x, y)["loss"].mean())

    def theirs():
        optimizer.zero_grad()
        loss = F.cross_entropy(peer(there), classes)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return ours, theirs


def work(args):
    try:
        import torch
    except ImportError:
        raise UsageError('PyTorch is not installed: pip install -e ".[compare]"') from None
    unknown = [name for name in args.arch.split(",") if name not in NAMED]
    if unknown:
        raise UsageError(f"--arch: {unknown[0]!r} is no name of a network")
    load.say(args.busy)
    cpu.use_threads(args.threads)
    tell(f"batch {args.batch_size}, float32, {threads()} threads, PyTorch {torch.__version__}, "
         f"{os.cpu_count()} processors")
    for arch in args.arch.split(","):
        ours, theirs = sides(arch, args.batch_size)
        a, b = [ours() for _ in range(2)], [theirs() for _ in range(2)]  # the second: updated
        if not np.allclose(a, b, rtol=1e-3):
            return say(f"error: {arch}: losses {a} here, {b} there", 1)
        times = [(cpu.turn(ours, args), cpu.turn(theirs, args)) for _ in range(args.turns)]
        here, there = zip(*times, strict=True)
        tell(turns.line(arch, here, there, digits=1))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
