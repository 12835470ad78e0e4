"""Data-parallel steps on paper: python -m runs.scaling --arch imagenet-lc,mnist-fc --rule bp,dtp

For each network, rule and bandwidth: the time of a step on 1 to 1024 machines, where it stops
paying, and what overlapping messages with work would give. The two numbers of compute are measured
here, or given with --seconds. step.py has the formulas, order.py what follows from the equations.
"""

import json
from dataclasses import asdict

from ref import architectures, rules
from ref.common.command import UsageError, UserError, count, say, tell
from ref.options import positive
from ref.settings import resolve

from .. import command, output
from ..alone import alone
from . import figure, measured, order, step


def names(text):
    """An argparse type: a comma-separated list."""
    return text.split(",")


def numbers(text):
    """An argparse type: numbers above 0 separated by commas."""
    return [positive(part) for part in text.split(",")]


def parser():
    p = command.parser("runs.scaling", __doc__)
    p.add_argument("--arch", type=names, default=["imagenet-lc", "resnet18", "mnist-fc"],
                   metavar="NAME,...",
                   help="named networks (default imagenet-lc,resnet18,mnist-fc)")
    p.add_argument("--rule", type=names, default=["bp", "dfa", "dtp"], metavar="RULE,...",
                   help="default bp,dfa,dtp; a network that a rule can't train is left out")
    p.add_argument("--batch-size", type=count, default=128,
                   help="strong scaling: of all machines (default %(default)s)")
    p.add_argument("--each", type=count, default=32, metavar="N",
                   help="weak scaling: of each machine (default %(default)s)")
    p.add_argument("--gbps", type=numbers, default=[10.0, 40.0, 100.0, 400.0], metavar="GB/S,...",
                   help="bandwidths in Gb/s (default 10,40,100,400)")
    p.add_argument("--latency", type=positive, default=5.0, metavar="US",
                   help="of a message, in microseconds (default %(default)s)")
    p.add_argument("--seconds", type=numbers, metavar="EXAMPLE,UPDATE",
                   help="of one machine, for an example and for what does not depend on the batch; "
                        "default: measured here, for each network and rule")
    p.add_argument("--machines", type=names, default=[], metavar="FILE,...",
                   help="scaling.json of other runs of this command: what they measured is taken")
    p.add_argument("--measure", type=command.numbers, default=[2, 8], metavar="N,M",
                   help="batches that are measured (default 2,8)")
    p.add_argument("--faster", type=positive, default=1.0, metavar="TIMES",
                   help="machines so many times as fast as that (default %(default)s)")
    p.add_argument("--host", type=positive, default=0.3, metavar="NS",
                   help="nanoseconds in which a machine packs, adds and unpacks a byte of the "
                        "gradients (default %(default)s)")
    return p


def load_of(arch, rule_name):
    """The step.Load of a rule on a network. Raises UserError where it can't train it."""
    rule, (setting, _) = rules.get(rule_name), resolve(rule_name, arch)
    net = rule.build(architectures.build(arch), setting)
    groups = {g: 4 * n for g, n in order.gradient_numbers(net, rule).items()}
    return step.Load(groups, order.synchronous(net, 4), order.graph(net, rule, setting))


def waits(load):
    """{what: share of the bytes whose gradients wait for it}, and how much work may hide them."""
    graph = load.graph
    total = sum(piece.numbers for piece in graph.gradients)
    found = {what: sum(p.numbers for p in graph.gradients if graph.waits_for(p.name) == what)
             / total for what in order.WAITS}
    for key, sent in (("work_behind", graph.best), ("work_behind_in_order", graph.written)):
        found[key] = sum(n * (1 - share) for share, n in sent) / total
    return found


def check(args):
    """Raises UsageError."""
    for name in args.arch:
        if name not in architectures.NAMED:
            raise UsageError(f"--arch {name}: none of {', '.join(architectures.NAMED)}")
    for name in args.rule:
        if name not in rules.NAMES or rules.get(name).trainer:
            known = [n for n in rules.NAMES if not rules.get(n).trainer]
            raise UsageError(f"--rule {name}: none of {', '.join(known)}")
    if args.seconds and len(args.seconds) != 2:
        raise UsageError("--seconds takes two numbers, of an example and of the update: 1e-3,2e-2")
    if len(args.measure) != 2 or not 0 < args.measure[0] < args.measure[1]:
        raise UsageError("--measure takes two sizes of batch, the smaller first, such as 2,8")


def known(paths):
    """{"network rule": (c, U)} of scaling.json files. Raises UsageError."""
    found = {}
    for path in paths:
        try:
            with open(path) as file:
                found |= {pair: (float(m["example"]), float(m["update"]))
                          for pair, m in json.load(file)["machines"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"--machines {path}: it is no scaling.json of this command") from None
    return found


def of_pair(arch, rule, load, machine, args):
    """The CSV's rows of one network and rule."""
    for gbps in args.gbps:
        for kind, batch in (("strong", args.batch_size), ("weak", args.each)):
            for row in step.curve(load, machine, batch, args.latency * 1e-6, gbps * 1e9 / 8,
                                  kind == "strong"):
                yield {"network": arch, "rule": rule, "gbps": gbps, "scaling": kind,
                       "batch": batch, "bytes": load.bytes, **row}


def summary(rows):
    """A row for each network, rule, bandwidth and scaling: where it stops paying."""
    curves = {}
    for row in rows:
        key = ("network", "rule", "gbps", "scaling", "batch", "bytes")
        curves.setdefault(tuple(row[k] for k in key), []).append(row)
    for key, curve in curves.items():
        least = step.fastest(curve)
        yield dict(zip(("network", "rule", "gbps", "scaling", "batch", "bytes"), key,
                       strict=True)) | {
            "pays_until": step.pays_until(curve),
            **{f"pays_until_{key}": step.pays_until(curve, f"efficiency_{key}")
               for key in step.HELP},
            "alone_s": curve[0]["step"], "least_s": least["step"], "least_at": least["machines"]}


def show(found):
    """The summary for a person."""
    yield (f"{'network':12} {'rule':13} {'MB sent':>8} {'Gb/s':>5} {'scaling':7} "
           f"{'pays until P':>13} {'overlapped':>11} {'shared':>7}   least time of a step")
    for r in found:
        least = (f"{1e3 * r['least_s']:.3g} ms at {r['least_at']}, alone "
                 f"{1e3 * r['alone_s']:.3g}" if r["scaling"] == "strong" else "")
        yield (f"{r['network']:12} {r['rule']:13} {r['bytes'] / 1e6:8.1f} {r['gbps']:5g} "
               f"{r['scaling']:7} {r['pays_until']:13} {r['pays_until_overlapped']:11} "
               f"{r['pays_until_shared']:7}   {least}").rstrip()


def show_waits(of_pairs):
    yield "share of the gradients' bytes that wait for"
    yield (f"{'network':12} {'rule':14} {order.WAITS[0]:>14} {order.WAITS[1]:>17} "
           f"{order.WAITS[2]:>13} {'work behind them':>17} {'in the order written':>21}")
    for (arch, rule), w in of_pairs.items():
        yield (f"{arch:12} {rule:14} {w[order.WAITS[0]]:14.0%} {w[order.WAITS[1]]:17.0%} "
               f"{w[order.WAITS[2]]:13.0%} {w['work_behind']:17.0%} "
               f"{w['work_behind_in_order']:21.0%}")


def work(args):
    check(args)
    there = known(args.machines)
    rows, machines, of_pairs = [], {}, {}
    for arch in args.arch:
        for rule in args.rule:
            try:
                load = load_of(arch, rule)
            except UserError as error:
                say(f"{rule} on {arch} is left out: {error}")
                continue
            example, update = (args.seconds or there.get(f"{arch} {rule}")
                               or alone(measured.machine, arch, rule, args.measure))
            machine = step.Machine(example, update, args.host * 1e-9).faster(args.faster)
            tell(f"{rule} on {arch}: {1e3 * machine.example:.4g} ms an example, "
                 f"{1e3 * machine.update:.4g} ms an update")
            machines[f"{arch} {rule}"] = asdict(machine)
            of_pairs[arch, rule] = waits(load)
            rows += of_pair(arch, rule, load, machine, args)
    if not rows:
        raise UsageError("--rule, --arch: no pair of them is left")
    found = list(summary(rows))
    tell("", *show(found), "", *show_waits(of_pairs), "")
    stem = args.out / "scaling"
    output.write_csv(stem.with_suffix(".csv"), rows)
    output.write_csv(args.out / "scaling_summary.csv", found)
    output.write_about(stem.with_suffix(".json"), "runs.scaling", machines=machines,
                       latency_us=args.latency, measured=not args.seconds,
                       waits={" ".join(pair): w for pair, w in of_pairs.items()})
    networks = list(dict.fromkeys(row["network"] for row in rows))
    output.picture(stem.with_suffix(".png"),
                   lambda plt: figure.efficiency(plt, rows, networks, args.gbps[0]))
    return 0


def main():
    command.carry_out(work, parser(), stopped="interrupted; give the same command again")


if __name__ == "__main__":
    main()
