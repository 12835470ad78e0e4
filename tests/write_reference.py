"""Write the library of reference outputs, tests/reference/*.h5: python tests/write_reference.py

Every rule on a tiny dense, local and conv net, with both schedules where a rule has inverses, and
a few other conventions. Writing it again gives the same arrays, bit for bit, on one machine.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ref import rules  # noqa: E402  (the script runs from any folder)
from ref.reference import cli  # noqa: E402

FOLDER = ROOT / "tests" / "reference"

# The image is 4 wide, so that stride 2 needs zeros on the right but not on the left.
NETS = {
    "dense": ("dense 7, dense 6, softmax 4", "4x4x1"),
    "local": ("local 3x3x3/2, local 3x2x2, softmax 4", "5x4x2"),
    "conv": ("conv 3x3x3/2, conv 3x2x2, softmax 4", "5x4x2"),
}
# large steps, so that the second step's numbers show whether the first was taken
TRAINING = ("--batch-size", "3", "--steps", "2", "--lr", "0.01")
WITH_INVERSES = ("--inverse-lr", "0.02", "--sigma", "0.2")
OWN = {"ao-sdtp": ("--aux", "5"), "kolen-pollack": ("--decay", "0.1"),
       "weight-mirror": ("--mirror-lr", "0.02", "--sigma", "0.2")}
OTHERS = {
    "dtp_lee2015": ("dtp", "dense", "--convention", "lee2015"),
    "dtp_meulemans2020": ("dtp", "dense", "--convention", "meulemans2020"),
    "sign-symmetry_fixed": ("sign-symmetry", "conv", "--magnitude", "fixed"),
    "sdtp_other-options": ("sdtp", "dense", "--reduction", "mean", "--order", "inverse-first",
                           "--inverse-loss", "noise-preserving", "--epsilon-form", "kingma"),
}


def library():
    """{name of a file, without .h5: arguments of ref.reference write}."""
    found = {}
    for rule in rules.NAMES:
        several = len(rules.get(rule).trains) > 1
        for kind in NETS:
            for schedule in ("parallel", "alternating") if several else ("",):
                name = "_".join(filter(None, (rule, kind, schedule)))
                found[name] = arguments(rule, kind, *(("--schedule", schedule) if several else ()))
    return found | {name: arguments(*given) for name, given in OTHERS.items()}


def arguments(rule, kind, *more):
    """Arguments of ref.reference write, but for the file."""
    arch, shape = NETS[kind]
    inverses = WITH_INVERSES if "V" in rules.get(rule).symbols else ()
    own = OWN.get(rule, ())
    return ["--rule", rule, "--arch", arch, "--in-shape", shape, *TRAINING, *inverses, *own, *more]


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, given in library().items():
        status = cli.work(["write", str(FOLDER / f"{name}.h5"), *given])
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
