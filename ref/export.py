"""A run's parameters for other programs: python -m ref.export RUN --to torch

Writes RUN/network.pt, a PyTorch state dict (--to npz: RUN/network.npz, the same names and numbers
for NumPy), in channels-first layouts (layouts.py), and beside it network.json: what the network is
and how it was trained. The names are layer1.weight, layer1.bias, ..., those of batch norm
norm1.weight (γ), .bias (β), .running_mean and .running_var; with --all also what belongs to the
rule: inverse2.weight (V) and .bias (c), feedback2.weight (B), auxiliary.weight (W_z).
"""

import json
import os
from pathlib import Path

import numpy as np

from . import architectures, python
from .common import command, files
from .common.called import called_as
from .common.command import Parser, UsageError, check_ending, new_file
from .imported import SUFFIXES
from .layouts import NAMES, outward
from .network import SYMBOLS

# symbols of one layer in the order of a state dict: of the network itself, and of the rule
NETWORK = (("W", "b"), ("gamma", "beta", "running_mean", "running_var"))
RULES = (("V", "c"), ("B",), ("W_z", "b_z"))


def arrays(net, params, every=False):
    """{name there: NumPy array}, of the forward parameters alone or of all.

    Each is an array of its own, contiguous, and of the parameters' type.
    """
    return {NAMES[symbol].format(l=l): np.ascontiguousarray(
                outward(net.maps_of(symbol)[l], SYMBOLS[symbol][1], params[symbol][l]))
            for group in (NETWORK + RULES if every else NETWORK)
            for l in sorted(params.get(group[0], ()))
            for symbol in group if l in params.get(symbol, ())}


def export(run, to="torch", out=None, every=False):
    """The parameters of a run for another program, and the file of them where `out` names one.

    run    a run's folder, or what ref.fit and ref.load return
    to     "torch": a state dict, {name: tensor};  "npz": {name: NumPy array};
           "module": a torch.nn.Module with these parameters, (N, C, H, W) -> h_L
    every  whether with the rule's own: inverses, feedback
    Raises UserError: FolderError, UsageError; where PyTorch is not there, how to install it.
    """
    if to not in (*SUFFIXES, "module"):
        raise UsageError(f"to {to!r}: there are {', '.join(SUFFIXES)}, module")
    if to == "module" and (out is not None or every):
        raise UsageError("to 'module': it is not a file, and has the forward parameters alone")
    if out is not None:
        check_ending(out, SUFFIXES[to])
    run = python.load(run) if isinstance(run, str | os.PathLike) else run
    found = arrays(run.net, run.params, every)
    if to == "npz":
        if out is not None:
            _write(out, run, found, lambda file: np.savez(file, **found))
        return found
    if run.net.own_forward and to == "module":
        raise UsageError("to 'module': this rule trains a network of its own kind")
    from .torch_net import Net, torch

    state = {name: torch.from_numpy(array) for name, array in found.items()}
    if to == "module":
        made = Net(run.net).to(next(iter(state.values())).dtype)
        made.load_state_dict(state)
        return made.eval()
    if out is not None:
        _write(out, run, found, lambda file: torch.save(state, file))
    return state


def settings(run):
    """What network.json says: enough to build the network and to train it on."""
    arguments, data = run.config["arguments"], run.config["data"]
    return {"arch": arguments["arch"], "in_shape": list(run.net.shape(0)),
            "layers": {f"layer{l}": architectures.words(run.net, l) for l in run.net.map},
            "rule": arguments["rule"], "hyperparameters": run.config["hyperparameters"],
            "dtype": arguments["dtype"], "data": data["name"],
            "normalisation": run.config.get("normalisation"),
            "classes": data.get("classes"), "epochs": len(run.rows)}


def _write(out, run, found, fill):
    def opened(path):  # by name PyTorch would keep the temporary one, NumPy add an .npz to it
        with open(path, "wb") as file:
            fill(file)

    files.write(out, opened, 2 * sum(array.nbytes for array in found.values()))
    text = json.dumps(settings(run), indent=2) + "\n"
    files.write(Path(out).with_suffix(".json"), lambda path: path.write_text(text))


def parser():
    p = Parser(prog="python -m ref.export", description=__doc__)
    p.add_argument("run", metavar="RUN", help="a folder of ref.train")
    p.add_argument("--to", choices=tuple(SUFFIXES), default="torch", help="default %(default)s")
    p.add_argument("--out", type=new_file, metavar="FILE",
                   help="default: network.pt or network.npz in the run's folder")
    p.add_argument("--all", action="store_true", dest="every",
                   help="the rule's own arrays too: inverses, feedback")
    return p


def work():
    args = parser().parse_args()
    out = args.out or Path(args.run) / f"network{SUFFIXES[args.to][0]}"
    found = export(args.run, args.to, out, args.every)
    for name, array in found.items():
        command.tell(f"{name:18} {tuple(array.shape)}")
    command.tell(f"wrote {out} and {out.with_suffix('.json').name}")


def main():
    command.run(work)


if __name__ == "__main__":
    main()
else:
    called_as(__name__, export)
