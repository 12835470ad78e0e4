"""A locally-connected layer beside PyTorch's unfold and einsum: python -m runs.bench.local

For each layer: its way up, W x, and all three products that training takes, W x, Wᵀ y and the outer
product; there these are the forward pass and autograd's backward pass. The results agree before
they are timed. Both sides have the same threads and float32.
"""

import os

import numpy as np

from ref.architectures import build
from ref.common.command import Parser, UsageError, say, tell
from ref.layouts import inward, outward
from ref.parallel import threads

from .. import command
from . import cpu, load, turns

# the layers of mnist-lc and cifar-lc (Table 3)
LAYERS = tuple(m for arch in ("mnist-lc", "cifar-lc") for m in build(arch).map.values()
               if m.kind == "local")


def parser():
    p = Parser(prog="python -m runs.bench.local", description=__doc__.split("\n\n")[0])
    turns.add_options(p, batch_size=128, turns=7, seconds=0.3, warm_up=2)
    return p


def sides(m, N):
    """({"up": (ours, theirs), "all three": (ours, theirs)}, the largest relative difference)."""
    import torch
    import torch.nn.functional as F

    from ref.torch_net import LocallyConnected2d

    torch.set_num_threads(threads())
    rng = np.random.default_rng(0)
    W, x, y = (rng.normal(size=shape).astype(np.float32)
               for shape in (m.weight_shape, (N, *m.in_shape), (N, *m.out_shape)))
    layer = LocallyConnected2d(m, bias=False)
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(outward(m, "weight_shape", W)))
    (top, bottom), (left, right) = m.patches.padding
    there, delta = (torch.from_numpy(np.ascontiguousarray(v.transpose(0, 3, 1, 2)))
                    for v in (x, y))
    there.requires_grad_()

    def up():
        return layer(F.pad(there, (left, right, top, bottom)))

    def up_without_graph():
        with torch.no_grad():
            return up()

    def all_three():
        layer.weight.grad = there.grad = None
        up().backward(delta)
        return layer.weight.grad, there.grad

    dW, dx = all_three()
    pairs = ((m.forward(W, x).transpose(0, 3, 1, 2), up_without_graph().numpy()),
             (m.transpose(W, y).transpose(0, 3, 1, 2), dx.numpy()),
             (m.outer(x, y), inward(m, "weight_shape", dW.numpy())))
    difference = max(abs(a - b).max() / abs(b).max() for a, b in pairs)
    return {"up": (lambda: m.forward(W, x), up_without_graph),
            "all three": (lambda: (m.forward(W, x), m.transpose(W, y), m.outer(x, y)), all_three),
            }, difference


def work(args):
    try:
        import torch
    except ImportError:
        raise UsageError('PyTorch is not installed: pip install -e ".[compare]"') from None
    load.say(args.busy)
    cpu.use_threads(args.threads)
    tell(f"batch {args.batch_size}, float32, {threads()} threads, PyTorch {torch.__version__}, "
         f"{os.cpu_count()} processors")
    for m in LAYERS:
        of, difference = sides(m, args.batch_size)
        if not difference < 1e-4:
            return say(f"error: the results differ by {difference:.0e} of their size", 1)
        size = "x".join(map(str, (*m.kernel, m.channels)))
        image = "x".join(map(str, m.in_shape))
        for what, (ours, theirs) in of.items():
            times = [(cpu.turn(ours, args), cpu.turn(theirs, args)) for _ in range(args.turns)]
            here, there = zip(*times, strict=True)
            tell(turns.line(f"{image:>10} -> {size}/{m.stride}, {what:9}", here, there))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
