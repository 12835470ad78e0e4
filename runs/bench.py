"""Time training steps: python -m runs.bench --arch mnist-fc --rule bp --against torch

For each pair of a network and a rule: the time of a step, how it compares with the floor that the
machine's own speed sets (runs/floor.py), and with PyTorch's. Sides run alternately, in turns of a
few steps each, so that a slow minute of the machine meets all of them; ratios are medians over
turns. Each pair has a process of its own, for its peak memory. On a GPU: runs/bench_gpu.py.
"""

import os
import resource
import statistics
import sys
import time

import numpy as np

from ref import architectures, rules, training
from ref.backend import to_device
from ref.common.command import Parser, UsageError, count, new_file, say, tell
from ref.network import initial_parameters
from ref.options import whole
from ref.reference.cli import in_shape
from ref.settings import resolve

from . import bench_gpu, command, floor, output
from .alone import alone

TURN, WARM_UP = 20, 5  # steps
MIB = 1 << 20
SAME_UPDATE = 1e-8  # of the largest change of an array, in float64


def names(text):
    """An argparse type: a comma-separated list."""
    return text.split(",")


def parser():
    p = Parser(prog="python -m runs.bench", description=__doc__.split(":")[0])
    p.add_argument("--arch", type=architecture_list, default=["mnist-fc"], metavar="ARCH,...",
                   help="networks of Table 3, or one network's layers (default mnist-fc)")
    p.add_argument("--in-shape", type=in_shape, default=(28, 28, 1), metavar="HxWxC",
                   help="of images, for a network given by its layers (default 28x28x1)")
    p.add_argument("--rule", type=names, default=["bp"], metavar="RULE,...", help="default bp")
    p.add_argument("--batch-size", type=count, default=128, help="default %(default)s")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="cupy: time by events on the GPU, and its peak memory")
    p.add_argument("--threads", type=count, help="default: one for each CPU")
    p.add_argument("--turns", type=count, default=12, help="turns of each side")
    p.add_argument("--steps", type=count, default=TURN, help="steps in a turn, at most")
    p.add_argument("--seconds", type=float, default=1.0, help="of a turn, at most (but one step)")
    p.add_argument("--warm-up", type=whole, default=WARM_UP,
                   help="steps before each turn that are not timed, at most")
    p.add_argument("--against", choices=("torch",), help="time PyTorch eager too")
    p.add_argument("--json", metavar="OUT", type=new_file,
                   help="write the results, with the machine and versions, after each pair")
    return p


def architecture_list(text):
    """An argparse type: names of networks, or the layers of one."""
    parts = text.split(",")
    return parts if all(part in architectures.NAMED for part in parts) else [text]


def build(arch, shape=(28, 28, 1)):
    """The network; `shape` is for one given by its layers.

    Raises ArchitectureError.
    """
    return architectures.build(arch, None if arch in architectures.NAMED else shape)


def setup(arch, rule_name, batch_size, shape=(28, 28, 1), xp=np, dtype=np.float32,
          **changes):
    """(our trainer, images, labels): the same network, rule and batch for all sides."""
    setting, _ = resolve(rule_name, arch)
    setting |= changes
    rule = rules.get(rule_name)
    net = rule.build(build(arch, shape), setting)
    params = to_device(initial_parameters(net, training.initial_stream(0), dtype), xp)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, *net.shape(0)), dtype=np.uint8)
    labels = rng.integers(0, net.shape(net.L)[0], batch_size)
    return training.Trainer(net, rule, params, setting, seed=0), images, labels


def batch(trainer, images, labels, xp=np):
    """(x, y) for the trainer's network."""
    return training.batch_of(trainer.net, images, labels, xp, trainer.params["W"][1].dtype)


def our_step(trainer, images, labels, xp=np):
    return lambda: trainer.step(*batch(trainer, images, labels, xp))


def their_step(trainer, rule_name, images, labels):
    """The same step in PyTorch, and the object that holds its parameters."""
    import torch

    from . import bench_torch

    side = bench_torch.Step(trainer.net, rule_name, trainer.params, trainer.setting)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels)
    return lambda: side(x, y), side


def use_threads(n):
    """Hold this process to n threads (None: as many as it finds)."""
    if n is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = str(n)  # parallel.threads looks it up
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(floor.threads())


def check_same_update(arch, rule_name, args):
    """Largest difference of a parameter after one step here and in PyTorch, over its change.

    In float64, without noise, which each side draws for itself, and with PyTorch's place for Adam's
    epsilon, a large one, because it keeps Adam from magnifying rounding.
    """
    from . import bench_torch

    like_torch = {"epsilon_form": "kingma", "epsilon": 1e-3, "inverse_epsilon": 1e-3, "sigma": 0.0}
    trainer, images, labels = setup(
        arch, rule_name, args.batch_size, args.in_shape, dtype=np.float64, **like_torch)
    step, side = their_step(trainer, rule_name, images, labels)
    before = {s: {l: p.copy() for l, p in trainer.params[s].items()} for s in "WV"}
    our_step(trainer, images, labels)()
    step()
    worst = 0
    for s, theirs in (("W", side.W), ("V", side.V)):
        for l, m in trainer.net.maps_of(s).items():
            ours = bench_torch.weight(m, trainer.params[s][l])
            change = ours - bench_torch.weight(m, before[s][l])
            difference = (ours - theirs[l].detach()).abs().max()
            worst = max(worst, float(difference / change.abs().max()))
    return worst


def turn(step, args):
    """Median seconds of a step in one turn."""
    for most, times in ((args.warm_up, []), (args.steps, [])):
        end = time.perf_counter() + args.seconds
        while len(times) < most and (not times or time.perf_counter() < end):
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


def measure(arch, rule_name, args):
    """The results of one pair, {name: value}, in a process of its own."""
    use_threads(args.threads)
    trainer, images, labels = setup(arch, rule_name, args.batch_size, args.in_shape)
    ours = our_step(trainer, images, labels)
    ours()
    used = peak_memory()  # of our side alone, before PyTorch is loaded
    flop = floor.products(trainer, *batch(trainer, images, labels))
    sides = {"ref": ours}
    if args.against == "torch":
        sides["torch"], _ = their_step(trainer, rule_name, images, labels)
        use_threads(args.threads)
    times = {name: [] for name in sides}
    limits = []
    for _ in range(args.turns):
        limits.append(floor.limits(np, floor.seconds))
        for name, step in sides.items():
            times[name].append(turn(step, args))
    step_time = statistics.median(times["ref"])
    result = {
        "arch": arch, "rule": rule_name, "batch_size": args.batch_size,
        "threads": floor.threads(),
        **{f"{name}_ms": 1e3 * statistics.median(turns) for name, turns in times.items()},
        "ref_ms_lowest": 1e3 * min(times["ref"]), "ref_ms_highest": 1e3 * max(times["ref"]),
        "examples_per_second": args.batch_size / step_time,
        **floor.summary(flop, floor.optimiser_bytes(trainer), times["ref"], limits),
        "memory_MiB": used / MIB, "state_MiB": state_bytes(trainer) / MIB,
    }
    if args.against:
        result |= floor.ratio("ratio", times["ref"], times["torch"])
    return result


def lines(r):
    """What a person reads of one pair."""
    yield (f"{r['rule']} on {r['arch']}, batch {r['batch_size']}, {r['threads']} threads: "
           f"{r['ref_ms']:.2f} ms a step ({r['ref_ms_lowest']:.2f} to {r['ref_ms_highest']:.2f}), "
           f"{r['examples_per_second']:,.0f} examples/s")
    yield from floor.lines(r)
    if "torch_ms" in r:
        yield (f"  PyTorch {r['torch_ms']:.2f} ms, ratio {r['ratio']:.2f} "
               f"({r['ratio_lowest']:.2f} to {r['ratio_highest']:.2f}); "
               f"one update agrees to {r['update_difference']:.0e}")
    yield (f"  peak memory {r['memory_MiB']:.0f} MiB, of which parameters, gradients and moments "
           f"{r['state_MiB']:.0f} MiB")


def check(args):
    """Raises UsageError or ArchitectureError for what can't be timed, before anything is."""
    for rule in args.rule:
        if rule not in rules.NAMES:
            raise UsageError(f"--rule {rule}: none of {', '.join(rules.NAMES)}")
    if args.against and args.backend == "cupy":
        raise UsageError("--against torch: it is timed on the CPU, so only with "
                                   "--backend numpy")
    if args.against:
        try:
            from . import bench_torch
        except ImportError:
            raise UsageError(
                "--against torch needs PyTorch: pip install -e \".[compare]\"") from None
        for rule in set(args.rule) - set(bench_torch.RULES):
            raise UsageError(f"--against torch: runs/bench_torch.py has no {rule}")
    for arch in args.arch:
        build(arch, args.in_shape)


def work(args):
    side = bench_gpu if args.backend == "cupy" else sys.modules[__name__]
    check(args)
    results = []
    for arch in args.arch:
        for rule in args.rule:
            difference = (alone(check_same_update, arch, rule, args)
                          if args.against else 0)
            if not difference < SAME_UPDATE:
                return say(f"error: {rule} on {arch}: the updates here and in PyTorch differ by "
                           f"{difference:.0e} of their size", 1)
            results.append(alone(side.measure, arch, rule, args))
            if args.against:
                results[-1]["update_difference"] = difference
            tell(*side.lines(results[-1]))
            if args.json:
                output.write_about(args.json, "runs.bench", results=results,
                                   date=time.strftime("%Y-%m-%d %H:%M"))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
