"""Measure what the model of scaling needs: python -m runs.scaling.measured --arch mnist-lc

The time of the fastest step of one process at two sizes of batch. With --mpi, as one of several
processes that mpiexec has started: the time of a step that they make together, the share of it that
the sums over the ranks take, with waiting for the slowest of them, and α, β and h of this machine.
Beside other work no such time means anything.
"""

import os
import statistics
import time

import numpy as np

from ref import rules
from ref.common.command import count, tell
from ref.evaluation import batch_of
from ref.parallel import threads
from ref.ranks import Alone
from ref.training import Trainer

from .. import command, output
from ..bench.pair import our_step, setup
from .order import gradient_numbers

SMALL, TIMES = 8, 20  # bytes of a sum that is all latency; sums that are timed


def parser():
    p = command.parser("runs.scaling.measured", __doc__)
    p.add_argument("--arch", type=lambda text: text.split(","), default=["mnist-fc"],
                   metavar="NAME,...", help="named networks (default mnist-fc)")
    p.add_argument("--rule", choices=rules.NAMES, default="bp", metavar="RULE",
                   help="default %(default)s")
    p.add_argument("--batch-size", type=command.numbers, default=[64, 128], metavar="N,...",
                   help="of all ranks together (default 64,128)")
    p.add_argument("--threads", type=count, help="of each process (default: its share of the CPUs)")
    p.add_argument("--seconds", type=float, default=3.0, help="for each time (default %(default)s)")
    p.add_argument("--mpi", action="store_true", dest="ranks", help="on the ranks of an MPI job")
    return p


def steps(trainer, images, labels, seconds, ranks):
    """(seconds of the fastest step, median seconds, seconds of the fastest in sums over the ranks).
    """
    rows, N = ranks.rows(len(labels)), len(labels)
    inside, average = [0.0], ranks.average

    def timed(*arguments):
        start = time.perf_counter()
        average(*arguments)
        inside[0] += time.perf_counter() - start

    ranks.average = timed
    found, until = [], time.perf_counter() + seconds
    try:
        while ranks.agree(len(found) < 5 or time.perf_counter() < until):
            ranks.total({"begin": 0})  # all together
            inside[0], start = 0.0, time.perf_counter()
            trainer.step(*batch_of(trainer.net, images[rows], labels[rows], np, np.float32), N=N)
            found.append((time.perf_counter() - start, inside[0]))
    finally:
        ranks.average = average
    whole, sums = min(found[2:])
    return whole, statistics.median(seconds for seconds, _ in found[2:]), sums


def network(ranks, trainer):
    """{"alpha", "beta", "host"} of the ranks: a small and a large sum, and `average` beside it."""
    n = sum(gradient_numbers(trainer.net, trainer.rule).values())
    large = np.zeros(n, np.float32)

    def least(work):
        found = []
        for _ in range(TIMES):
            ranks.total({"begin": 0})
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
        return min(found)

    small = least(lambda: ranks.sums(np.zeros(1)))
    sums = least(lambda: ranks.comm.Allreduce(ranks.MPI.IN_PLACE, large))
    whole = least(lambda: ranks.average({"all": large}, 1, ranks.size))
    # two ranks: α + n/β, whichever algorithm
    return {"alpha": small, "beta": large.nbytes / max(sums - small, 1e-9),
            "host": max(0.0, whole - sums) / large.nbytes}


def machine(arch, rule, batches):
    """(c, U) of step.Machine: the fastest step at two sizes of batch, and the line through them."""
    least, (trainer, images, labels) = [], setup(arch, rule, batches[1])
    for N in batches:
        one = our_step(trainer, images[:N], labels[:N])
        one()
        found, until = [], time.perf_counter() + 1
        while len(found) < 2 or (time.perf_counter() < until and len(found) < 50):
            start = time.perf_counter()
            one()
            found.append(time.perf_counter() - start)
        least.append(min(found))
    example = max(0.0, (least[1] - least[0]) / (batches[1] - batches[0]))
    return example, max(0.0, least[0] - batches[0] * example)


def measure(arch, args, ranks):
    found = {"arch": arch, "rule": args.rule, "ranks": ranks.size, "threads": threads()}
    for N in args.batch_size:
        trainer, images, labels = setup(arch, args.rule, N)
        trainer = Trainer(trainer.net, trainer.rule, trainer.params, trainer.setting, 0,
                          ranks=ranks)
        whole, median, sums = steps(trainer, images, labels, args.seconds, ranks)
        found |= {f"seconds_{N}": whole, f"median_{N}": median, f"sums_{N}": sums}
    if ranks.size > 1:
        found |= network(ranks, trainer)
    return found


def work(args):
    if args.threads:
        os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
    ranks = Alone()
    if args.ranks:
        from ref import mpi  # which asks for mpi4py

        ranks = mpi.world()
    results = [measure(arch, args, ranks) for arch in args.arch]
    if ranks.rank:
        return 0
    for r in results:
        for N in args.batch_size:
            tell(f"{r['rule']} on {r['arch']}, {r['ranks']} ranks of {r['threads']} threads, batch "
                 f"{N}: {1e3 * r[f'seconds_{N}']:.1f} ms a step (median "
                 f"{1e3 * r[f'median_{N}']:.1f}), sums "
                 f"{100 * r[f'sums_{N}'] / r[f'seconds_{N}']:.0f} %")
    name = f"scaling_measured_{results[0]['ranks']}x{results[0]['threads']}.json"
    output.write_about(args.out / name, "runs.scaling.measured", results=results,
                       date=time.strftime("%Y-%m-%d"))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
