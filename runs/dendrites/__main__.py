"""Segregated dendrites beside Guerguiev et al. 2017. python -m runs.dendrites figure6

    figure6, figure8, figure9    test errors: depth; feedback; apical conductance
    readings                     test errors of what the paper leaves open
    figure7                      angles to backpropagation, Theorem 1's μ; correlations (figure 5C)
    first                        what each option does to the first images
    raster                       a picture of one image through both phases
    tests                        one trained network tested several times, as the paper's bars

The figures with test errors train what is missing, and go on where they were stopped.
"""

from ref.common.command import count, seed

from .. import command
from . import errors, first, measure, raster, repeat
from .paper import EPOCHS, FIGURES, ONE


def add(commands, name, help):
    p = commands.add_parser(name, help=help, description=help)
    p.add_argument("--out", type=command.new_folder, default=command.YOURS, metavar="DIR",
                   help="where tables and pictures go (default %(default)s)")
    p.add_argument("--data", default="mnist", metavar="NAME|FILE", help="default %(default)s")
    p.add_argument("--seed", type=seed, default=0, help="default %(default)s")
    return p


def parser():
    p = command.Parser(prog="python -m runs.dendrites", description=__doc__.splitlines()[0])
    commands = p.add_subparsers(dest="figure", required=True, metavar="COMMAND")
    for name in FIGURES:
        f = add(commands, name, "test errors of " + "; ".join(c.name for c in FIGURES[name]))
        f.add_argument("--epochs", type=count, default=EPOCHS, help="default %(default)s")
        f.add_argument("--only", action="append", metavar="WORDS",
                       help="conditions whose name has these words (may be repeated)")
        f.add_argument("--draw", action="store_true", help="train nothing, show what there is")
        command.add_training_options(f)
        f.set_defaults(does=errors.work)
    m = add(commands, "figure7", "angles to backpropagation, μ, correlations of losses, rates")
    m.add_argument("--arch", default=ONE, help="default \"%(default)s\"")
    m.add_argument("--epochs", type=count, default=1, help="default %(default)s; the paper's: 10")
    m.add_argument("--images", type=count, help="stop after so many")
    m.set_defaults(does=measure.work)
    o = add(commands, "first", "train error over the first images, for every condition")
    o.add_argument("--images", type=count, default=20000, help="default %(default)s")
    o.add_argument("--only", action="append", metavar="WORDS",
                   help="conditions whose name has these words (may be repeated)")
    o.set_defaults(does=first.work)
    r = add(commands, "raster", "one image through both phases, as a picture")
    r.add_argument("--run", metavar="RUN", help="a run's folder; without it, before any learning")
    r.add_argument("--arch", default=ONE, help="without --run; default \"%(default)s\"")
    r.add_argument("--digit", type=int, help="the first test image of this class")
    r.set_defaults(does=raster.work)
    t = add(commands, "tests", "test a trained network several times")
    t.add_argument("run", metavar="RUN", help="a run's folder")
    t.add_argument("--repeats", type=count, default=20, help="default %(default)s")
    t.set_defaults(does=repeat.work)
    return p


def main():
    command.carry_out(lambda args: args.does(args), parser())


if __name__ == "__main__":
    main()
