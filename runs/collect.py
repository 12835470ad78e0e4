"""Collect runs of ref.train for the tables: python -m runs.collect RUN... copies their small files

config.json and metrics.csv go to <name> in --out, named after what the run is; a run that is still
being trained can be collected again later. What is there with more epochs stays. With
`--out runs/results` they are recorded in the repository.
"""

from ref.common.command import tell
from ref.folder import FolderError

from . import command, records


def parser():
    p = command.parser("runs.collect", __doc__.split(":")[0])
    p.add_argument("runs", nargs="+", metavar="RUN", help="a folder of ref.train")
    p.add_argument("--name", help="instead of the name made from what the run is (one RUN only)")
    return p


def work(args):
    if args.name and (len(args.runs) > 1 or "/" in args.name or args.name in (".", "..")):
        raise FolderError(f"--name {args.name}: it names the folder of one run")
    found = [records.read(path) for path in args.runs]  # all of them, before anything is written
    for record in found:
        tell(records.collect(record, args.out, args.name))


def main():
    command.carry_out(work, parser(), stopped="interrupted; give the same command again")


if __name__ == "__main__":
    main()
