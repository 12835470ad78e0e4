"""Time training steps: python -m runs.bench --arch mnist-fc --rule bp --against torch

For each pair of a network and a rule: the time of a step, how it compares with the floor that the
machine's own speed sets (floor.py), and with the time that others take for the same step. Each
pair has a process of its own, for its peak memory.
"""

import time

from ref import architectures, rules
from ref.common.command import Parser, UsageError, count, image_shape, new_file, say, tell
from ref.options import number_from, whole

from .. import command, output
from ..alone import alone
from . import cpu, gpu, load, same
from .pair import build

TURN, WARM_UP = 20, 5  # steps


def names(text):
    """An argparse type: a comma-separated list."""
    return text.split(",")


def parser():
    p = Parser(prog="python -m runs.bench", description=__doc__.split(":")[0])
    p.add_argument("--arch", type=architecture_list, default=["mnist-fc"], metavar="ARCH,...",
                   help="networks of Table 3, or one network's layers (default mnist-fc)")
    p.add_argument("--in-shape", type=image_shape, metavar="HxWxC",
                   help="of images, for a network given by its layers (default 28x28x1)")
    p.add_argument("--rule", type=names, default=["bp"], metavar="RULE,...", help="default bp")
    p.add_argument("--batch-size", type=count, default=128, help="default %(default)s")
    p.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                   help="cupy: time by events on the GPU, and its peak memory")
    p.add_argument("--threads", type=count, help="default: one for each CPU")
    p.add_argument("--turns", type=count, default=12, help="turns of each side")
    p.add_argument("--steps", type=count, default=TURN, help="steps in a turn, at most")
    p.add_argument("--seconds", type=number_from(0), default=1.0,
                   help="of a turn, at most (but one step)")
    p.add_argument("--warm-up", type=whole, default=WARM_UP,
                   help="steps before each turn that are not timed, at most")
    p.add_argument("--against", type=names, default=[], metavar="PEER,...",
                   help=f"time others too: {', '.join(cpu.PEERS)}")
    p.add_argument("--busy", action="store_true",
                   help="go on where other processes take part of the machine")
    p.add_argument("--json", metavar="OUT", type=new_file,
                   help="write the results, with the machine and versions, after each pair")
    return p


def architecture_list(text):
    """An argparse type: names of networks, or the layers of one."""
    parts = text.split(",")
    return parts if all(part in architectures.NAMED for part in parts) else [text]


def check(args):
    """Raises UserError for what can't be timed, before anything is."""
    for rule in args.rule:
        if rule not in rules.NAMES:
            raise UsageError(f"--rule {rule}: none of {', '.join(rules.NAMES)}")
    for name in args.against:
        if name not in cpu.PEERS:
            raise UsageError(f"--against {name}: none of {', '.join(cpu.PEERS)}")
        if args.backend == "cupy":
            raise UsageError(f"--against {name}: it is timed on the CPU, so only with "
                             "--backend numpy")
        try:
            peer = cpu.peer(name)
        except ImportError:
            raise UsageError(f"--against {name} needs {cpu.PEERS[name]}: "
                             'pip install -e ".[compare]"') from None
        for rule in set(args.rule) - set(peer.RULES):
            raise UsageError(f"--against {name}: it has no {rule}, only {', '.join(peer.RULES)}")
    for arch in args.arch:
        build(arch, args.in_shape)


def work(args):
    side = gpu if args.backend == "cupy" else cpu
    check(args)
    if side is cpu:
        load.say(args.busy)
    results = []
    for arch in args.arch:
        for rule in args.rule:
            differences = {name: alone(same.difference, arch, rule, name, args)
                           for name in args.against}
            for name, difference in differences.items():
                if not difference < same.SAME_UPDATE:
                    return say(f"error: {rule} on {arch}: the updates here and in "
                               f"{cpu.PEERS[name]} differ by {difference:.0e} of their size", 1)
            results.append(alone(side.measure, arch, rule, args) |
                           {f"{name}_difference": d for name, d in differences.items()})
            tell(*side.lines(results[-1]))
            if args.json:
                output.write_about(args.json, "runs.bench", results=results,
                                   date=time.strftime("%Y-%m-%d %H:%M"))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted")


if __name__ == "__main__":
    main()
