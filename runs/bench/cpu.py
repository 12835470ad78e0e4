"""Time and memory of steps on the CPU, beside its peers' and the floor.

Sides run alternately, in turns of a few steps each, so that a slow minute of the machine meets all
of them; ratios are medians over turns. A turn beside other work is taken again (load.py).
"""

import os
import resource
import statistics
import time
from importlib import import_module

import numpy as np

from ref.parallel import threads

from . import floor, load
from .pair import batch, our_step, setup, state_bytes

MIB = 1 << 20
TRIES = 4  # of each turn, on average
PEERS = {"torch": "PyTorch", "jax": "JAX"}


def peer(name):
    """The module of a peer. Raises ImportError where its package is not installed."""
    return import_module(f".peer_{name}", __package__)


def use_threads(n):
    """Hold this process to n threads (None: as many as it finds)."""
    if n is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = str(n)  # parallel.threads looks it up


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


def undisturbed(sides, args):
    """[(the machine's limits, {side: seconds of a step}, cores that others took)] of each turn.

    Raises load.Busy where others had too much of the machine in most of them.
    """
    found = []
    for _ in range(TRIES * args.turns):
        watch = load.Watch()
        limits = floor.limits(np, floor.seconds)
        times = {name: turn(step, args) for name, step in sides.items()}
        others = watch.others()
        if args.busy or not load.too_much(others):
            found.append((limits, times, others))
        if len(found) == args.turns:
            return found
    raise load.Busy(others)


def measure(arch, rule_name, args):
    """The results of one pair, {name: value}, in a process of its own. Raises load.Busy."""
    use_threads(args.threads)
    trainer, images, labels = setup(arch, rule_name, args.batch_size, args.in_shape)
    ours = our_step(trainer, images, labels)
    ours()
    used = peak_memory()  # of our side alone, before a peer is loaded
    flop = floor.products(trainer, *batch(trainer, images, labels))
    sides = {"ref": ours}
    for name in args.against:
        sides[name], _ = peer(name).side(trainer, rule_name, images, labels, threads())
    limits, turns, others = zip(*undisturbed(sides, args), strict=True)
    times = {name: [this[name] for this in turns] for name in sides}
    step_time = statistics.median(times["ref"])
    result = {
        "arch": arch, "rule": rule_name, "batch_size": args.batch_size, "threads": threads(),
        "others": None if None in others else statistics.median(others),
        **{f"{name}_ms": 1e3 * statistics.median(turns) for name, turns in times.items()},
        "ref_ms_lowest": 1e3 * min(times["ref"]), "ref_ms_highest": 1e3 * max(times["ref"]),
        "examples_per_second": args.batch_size / step_time,
        **floor.summary(flop, floor.optimiser_bytes(trainer), times["ref"], limits),
        "memory_MiB": used / MIB, "state_MiB": state_bytes(trainer) / MIB,
    }
    for name in args.against:
        result |= floor.ratio(f"{name}_ratio", times["ref"], times[name])
    return result


def lines(r):
    """What a person reads of one pair."""
    yield (f"{r['rule']} on {r['arch']}, batch {r['batch_size']}, {r['threads']} threads: "
           f"{r['ref_ms']:.2f} ms a step ({r['ref_ms_lowest']:.2f} to {r['ref_ms_highest']:.2f}), "
           f"{r['examples_per_second']:,.0f} examples/s")
    yield from floor.lines(r)
    for name, written in PEERS.items():
        if f"{name}_ms" in r:
            yield (f"  {written} {r[f'{name}_ms']:.2f} ms, ratio {r[f'{name}_ratio']:.2f} "
                   f"({r[f'{name}_ratio_lowest']:.2f} to {r[f'{name}_ratio_highest']:.2f}); "
                   f"one update agrees to {r[f'{name}_difference']:.0e}")
    yield (f"  peak memory {r['memory_MiB']:.0f} MiB, of which parameters, gradients and moments "
           f"{r['state_MiB']:.0f} MiB")
    if r["others"] is not None:
        yield f"  other processes took {r['others']:.2f} of the machine's cores"
