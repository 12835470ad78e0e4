"""Time and memory of steps on a GPU: python -m runs.bench --backend cupy

A step only puts its work into the device's queue, so the host's clock would time that alone. Events
go into the queue between the steps, and the device notes when it comes to each.
"""

import statistics
from itertools import pairwise

from ref.backend import select, versions
from ref.common.command import UsageError

from . import floor, pair

MIB = 1 << 20


def turn(xp, step, steps, warm_up):
    """Median seconds of a step in one turn, by the device's clock; xp is cupy.

    The steps to warm up compile kernels and fill the pool of memory, so there should be some.
    """
    for _ in range(warm_up):
        step()
    events = [xp.cuda.Event() for _ in range(steps + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    events[-1].synchronize()
    milliseconds = [xp.cuda.get_elapsed_time(*pair) for pair in pairwise(events)]
    return 1e-3 * statistics.median(milliseconds)


def peak_memory(xp):
    """The most that CuPy's pool has taken from the device so far, in bytes; xp is cupy.

    Of what is freed the pool gives nothing back, so this is a peak. CUDA's own context and cuBLAS's
    work space, some hundred MiB, are not in it.
    """
    return xp.get_default_memory_pool().total_bytes()


def measure(arch, rule_name, args):
    """The results of one pair of runs.bench, {name: value}, in a process of its own.

    Raises BackendError, or UsageError where the device's memory does not do.
    """
    xp = select("cupy")
    try:
        trainer, images, labels = pair.setup(arch, rule_name, args.batch_size, args.in_shape, xp)
        step = pair.our_step(trainer, images, labels, xp)
        flop = floor.products(trainer, *pair.batch(trainer, images, labels, xp))
        step()
        used = peak_memory(xp)  # of the steps, before the limits are measured
        times, limits = [], []
        for _ in range(args.turns):
            limits.append(floor.limits(xp, lambda work: turn(xp, work, 5, 1)))
            times.append(turn(xp, step, args.steps, args.warm_up))
    except MemoryError as error:
        raise UsageError(f"{rule_name} on {arch}: not enough memory ({error}); try a smaller "
                         "--batch-size") from None
    return {
        "arch": arch, "rule": rule_name, "batch_size": args.batch_size, **versions("cupy"),
        "ref_ms": 1e3 * statistics.median(times), "ref_ms_lowest": 1e3 * min(times),
        "ref_ms_highest": 1e3 * max(times),
        "examples_per_second": args.batch_size / statistics.median(times),
        **floor.summary(flop, floor.optimiser_bytes(trainer), times, limits),
        "device_memory_MiB": used / MIB, "state_MiB": pair.state_bytes(trainer) / MIB,
    }


def lines(r):
    """What a person reads of one pair."""
    yield (f"{r['rule']} on {r['arch']}, batch {r['batch_size']}, {r['device']}: "
           f"{r['ref_ms']:.2f} ms a step ({r['ref_ms_lowest']:.2f} to {r['ref_ms_highest']:.2f}), "
           f"{r['examples_per_second']:,.0f} examples/s")
    yield from floor.lines(r)
    yield (f"  peak memory on the device {r['device_memory_MiB']:.0f} MiB, of which parameters, "
           f"gradients and moments {r['state_MiB']:.0f} MiB")
