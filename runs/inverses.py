"""What SDTP's inverses do: trained beside frozen ones. python -m runs.inverses

Trains a rule with inverses twice for each seed: as its hyperparameters have it, and with inverses
that stay as they were drawn. Of both it gives, for every layer with an inverse g_l, the test error,
the angle of dW_l to backpropagation's, and on training examples what g_l is of f_l: how well it
reconstructs, and how far its Jacobian is from f_l's pseudo-inverse, which target propagation asks
for, and from f_l's transpose, which backpropagation has. The same command goes on with runs that
were stopped.

    loss          ‖g_l(f_l(h_{l-1})) - h_{l-1}‖², mean over the examples
    to_inverse    angle in degrees between dg_l/dh_l at h_l and (df_l/dh_{l-1})⁺ at h_{l-1}
    to_transpose  the same to (df_l/dh_{l-1})ᵀ

Angles are between the matrices as vectors; that of two unrelated matrices is 90. Singular values
below CUT times the largest are left out of the pseudo-inverse: f_l as good as loses them.
"""

from dataclasses import replace

import numpy as np

from ref import evaluate, rules, train
from ref.alignment import angle_and_ratio
from ref.common.command import UsageError, count, tell
from ref.config import complete
from ref.evaluation import to_input
from ref.folder import read_parameters
from ref.network import forward
from ref.rules.inverses import g, squared_norm

from . import command, output, paper, records, table1

FROZEN = 1e-30  # an inverse's learning rate that changes nothing in float32
CUT = 1e-3
STEP = 1e-30  # of complex steps: no difference is taken, so it can't be too small


def parser():
    p = command.parser("runs.inverses", __doc__)
    p.add_argument("--data", default="mnist", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--row", default="sdtp-alternating", metavar="ROW",
                   help="a row of Table 1 with inverses (default %(default)s)")
    p.add_argument("--epochs", type=count, default=40, help="default %(default)s")
    p.add_argument("--seeds", type=command.numbers, default=[0, 1, 2], metavar="SEED,...",
                   help="default 0,1,2")
    p.add_argument("--examples", type=count, default=500,
                   help="training examples on which the inverses are looked at (default "
                        "%(default)s)")
    command.add_training_options(p)
    return p


def jacobian(function, h):
    """d function / dh at one example h (*shape): (number of outputs, number of inputs), float64.

    By complex steps in every direction, as one batch: exact up to rounding, whatever the layer.
    """
    n = h.size
    steps = h + 1j * STEP * np.eye(n).reshape(n, *h.shape)
    return function(steps).imag.reshape(n, -1).T / STEP


def pseudo_inverse(J):
    """J⁺ = Jᵀ (J Jᵀ)⁺ without singular values below CUT times the largest."""
    return J.T @ np.linalg.pinv(J @ J.T, CUT**2, hermitian=True)


def look(net, rule, params, x):
    """{l: {"loss", "to_inverse", "to_transpose"}} of every inverse g_l, on inputs x (N, *shape_0).

    params  in float64
    """
    h, _ = forward(net, params, x)
    found = {}
    for l in sorted(net.maps_of("V")):
        below = h[l - 1]
        u = rule.inverted(net, params, l, below)
        angles = []
        for example, top in zip(below, u, strict=True):
            J_f = jacobian(lambda h, l=l: rule.inverted(net, params, l, h), example)
            J_g = jacobian(lambda u, l=l: g(net, params, l, u), top)
            angles.append([angle_and_ratio(J_g, J)[0] for J in (pseudo_inverse(J_f), J_f.T)])
        to_inverse, to_transpose = np.mean(angles, axis=0)
        found[l] = {"loss": float(squared_norm(g(net, params, l, u) - below).mean()),
                    "to_inverse": float(to_inverse), "to_transpose": float(to_transpose)}
    return found


def rows_of(record, inverses, data, examples):
    """A row of the table for each inverse of a finished run."""
    config = complete(record.config)
    net = train.build(record.arch, record.rule, config["hyperparameters"], data)
    params = evaluate.restore(net, record.path, read_parameters(record.path))
    params = {symbol: {l: array.astype(np.float64) for l, array in layers.items()}
              for symbol, layers in params.items()}
    images, _ = next(iter(data.train.in_order(examples)))
    found = look(net, rules.get(record.rule), params, to_input(images, np, np.dtype("float64")))
    best, last = record.best(), record.rows[-1]
    for l, numbers in found.items():
        yield {"inverses": inverses, "seed": record.seed, "epochs": record.epochs, "layer": l,
               "best_test_error": best["test_error"], "last_test_error": last["test_error"],
               "angle_of_dW": last.get(f"angle_{l - 1}"), **numbers}


def summary(rows):
    """Lines for a person: means over the seeds."""
    yield (f"{'inverses':9} {'layer':>5} {'best test error, %':>19} {'dW below to BP':>15} "
           f"{'loss':>10} {'J_g to J_f⁺':>12} {'to J_fᵀ':>9}")
    for inverses in ("trained", "frozen"):
        for l in sorted({row["layer"] for row in rows}):
            of_layer = [r for r in rows if (r["inverses"], r["layer"]) == (inverses, l)]
            if not of_layer:
                continue

            def mean(key, of_layer=of_layer):
                return np.mean([np.nan if row[key] is None else row[key] for row in of_layer])

            yield (f"{inverses:9} {l:5} {mean('best_test_error'):19.2f} "
                   f"{mean('angle_of_dW'):14.0f}° {mean('loss'):10.3g} "
                   f"{mean('to_inverse'):11.0f}° {mean('to_transpose'):8.0f}°")


def work(args):
    # of images of maps, a Jacobian has hundreds of millions of entries
    column, data = table1.column_of(args.data, "fc")
    table1.check_rows([args.row], column)
    if not rules.get(paper.method(args.row)[0]).noise == "V":
        raise UsageError(f"--row {args.row}: it has no inverses; there are " + ", ".join(
            row for row in paper.TABLE_1[column]
            if rules.get(paper.method(row)[0]).noise == "V"))
    todo = {}
    for seed in args.seeds:
        for inverses, other in (("trained", {}), ("frozen", {"inverse_lr": FROZEN})):
            job = table1.job_of(column, data, args.row, seed, args, other, parameters=True)
            todo[inverses, seed] = replace(job, arguments=(*job.arguments, "--angles"))
    outcomes = table1.train_and_record(todo, args)
    rows = [row for key, job in todo.items() if outcomes[key].state == "done"
            for row in rows_of(records.read(job.out), key[0], data, args.examples)]
    for (inverses, seed), outcome in outcomes.items():
        if outcome.state != "done":
            tell(f"{inverses}, seed {seed} {outcome.state}: {outcome.reason}")
    if not rows:
        return 1
    tell(*summary(rows))
    usual = paper.DATA[column.split("-")[0]]
    path = args.out / f"inverses_{column}_{args.row}{output.suffix(data.name, usual)}.csv"
    output.write_csv(path, rows)
    output.write_about(path.with_suffix(".json"), "runs.inverses", network=column, row=args.row,
                       data=data.name, examples=args.examples, seeds=args.seeds)
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def main():
    command.carry_out(work, parser())


if __name__ == "__main__":
    main()
