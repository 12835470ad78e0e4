"""Time training steps: python -m runs.bench --arch mnist-fc --rule bp --against torch

Ours and PyTorch's run alternately, in turns of a few steps each so that one library's idle
threads do not spin beside the other's work; the ratio is the median over turns.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import numpy as np

from data_prep.command import Parser, count
from ref import architectures, rules, training
from ref import train as ref_train
from ref.network import initial_parameters

TURN, WARM_UP = 20, 5  # steps
MIB = 1 << 20


def parser():
    p = Parser(prog="python -m runs.bench", description=__doc__.split(":")[0])
    p.add_argument("--arch", default="mnist-fc")
    p.add_argument("--rule", default="bp", choices=rules.NAMES)
    p.add_argument("--batch-size", type=count, default=128)
    p.add_argument("--turns", type=count, default=12, help="turns of each side")
    p.add_argument("--steps", type=count, default=TURN, help="steps in a turn")
    p.add_argument("--warm-up", type=ref_train.whole, default=WARM_UP,
                   help="steps before each turn that are not timed")
    p.add_argument("--against", choices=("torch",), help="time PyTorch eager too")
    p.add_argument("--json", metavar="OUT", type=argparse.FileType("w"))
    return p


def setup(args):
    """(our trainer, images, labels): the same network, rule and batch for both sides."""
    given = ref_train.parser().parse_args(["--rule", args.rule, "--arch", args.arch])
    setting, _ = ref_train.resolve(given)
    rule = rules.get(args.rule)
    net = rule.extend(architectures.build(args.arch), **{k: setting[k] for k in rule.BUILD_OPTIONS})
    params = initial_parameters(net, training.initial_stream(0), np.float32)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (args.batch_size, *net.shape(0)), dtype=np.uint8)
    labels = rng.integers(0, net.shape(net.L)[0], args.batch_size)
    return training.Trainer(net, rule, params, setting, seed=0), images, labels


def our_step(trainer, images, labels):
    def step():
        x, y = training.batch_of(trainer.net, images, labels, np, np.dtype(np.float32))
        trainer.step(x, y)

    return step


def their_step(trainer, rule_name, images, labels):
    import torch

    from . import bench_torch

    step = bench_torch.Step(trainer.net, rule_name, trainer.params, trainer.setting)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)
    return lambda: step(x, y)


def turn(step, steps, warm_up):
    """Median seconds of a step in one turn."""
    for _ in range(warm_up):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory():
    """The largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def state_bytes(trainer):
    """Bytes of the parameters, and of a gradient and two moments for each trained one."""
    fixed = sum(p.nbytes for s in ("B", "W_z", "b_z") for p in trainer.params[s].values())
    return fixed + sum(4 * p.nbytes for g in trainer.trained.values() for p in g.values())


def main():
    args = parser().parse_args()
    try:
        trainer, images, labels = setup(args)
    except ref_train.ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sides = {"ref": our_step(trainer, images, labels)}
    if args.against == "torch":
        sides["torch"] = their_step(trainer, args.rule, images, labels)
    times = {name: [] for name in sides}
    for _ in range(args.turns):
        for name, step in sides.items():
            times[name].append(turn(step, args.steps, args.warm_up))
    result = {"arch": args.arch, "rule": args.rule, "batch_size": args.batch_size}
    for name, turns in times.items():
        result[f"{name}_ms"] = 1e3 * statistics.median(turns)
    line = ", ".join(f"{name} {result[f'{name}_ms']:.2f} ms" for name in sides)
    if args.against:
        ratios = [a / b for a, b in zip(times["ref"], times["torch"], strict=True)]
        result["ratio"] = statistics.median(ratios)
        line += f", ratio {result['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    peak, needed = peak_memory(), state_bytes(trainer)
    result |= {"peak_MiB": peak / MIB, "state_MiB": needed / MIB}
    line += f"; peak memory {peak / MIB:.0f} MiB, of which parameters, gradients and moments "
    line += f"{needed / MIB:.0f} MiB"
    print(f"{args.rule} on {args.arch}, batch {args.batch_size}: {line}")
    if args.json:
        json.dump(result, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
