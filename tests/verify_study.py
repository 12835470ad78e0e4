"""False alarms in right files, and planted errors found: python tests/verify_study.py [N [SEED]]

Makes N right files (right_files.py), verifies each, and in each scales the update of every
parameter in turn by 0.97. Prints what went wrong and a summary. Its figures:
ref/reference/FORMAT.md.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import right_files  # noqa: E402  (the script runs from any folder)

from ref.reference.allowance import RTOL  # noqa: E402
from ref.reference.replay import replay  # noqa: E402
from ref.reference.verify import Measure, compare, first  # noqa: E402

LARGE = 20  # one file in so many is mnist-fc's


class Verified:
    """A right file, our replay of it, and what there is to compare."""

    def __init__(self, content):
        self.content = content
        size = content.dtype.itemsize
        self.measure = Measure(RTOL[size], 0.0, content.dtype, content)
        self.ours = replay(content, allowances=self.measure)
        self.given = {q.name for q in content.quantities if q.is_input}

    def rows(self, content=None):
        content = content or self.content
        return compare(content.quantities, content.arrays, self.ours, self.measure, self.given)

    def planted(self, k=0.97):
        """(the name, what was named first or None) for the first update of every parameter."""
        for q in self.content.quantities:
            if not q.stem[0].startswith("after/") or not any(
                    "/d" in name for name in q.inputs):
                continue
            name = q.name.rpartition("/")[2]
            wrong = right_files.scaled(self.content, q.step, name, k)
            row = first(self.rows(wrong))
            yield q.name, row and row.quantity.name


def study(n, seed, folder, large=LARGE, report=print):
    """Counter of right files, false alarms, planted errors, those missed or named late."""
    count = Counter()
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        given, way = right_files.draw(rng, large=bool(large) and k % large == large - 1)
        verified = Verified(right_files.made(folder / "out.h5", given, way, rng))
        wrong = [row for row in verified.rows() if not row.agrees]
        count["right files"] += 1
        if wrong:
            count["false alarms"] += 1
            row = wrong[0]
            report(f"{k} FALSE ALARM {' '.join(given)} ({way}): {row.quantity.name} "
                   f"error {row.error:.2g} limit {row.limit:.2g} wrong {row.wrong} "
                   f"of {row.quantity.shape} theirs {row.theirs:.9g} ours {row.ours:.9g}")
            continue
        for name, found in verified.planted():
            count["planted"] += 1
            if found != name:
                count["not found" if found is None else "named late"] += 1
                report(f"{k} {'MISSED' if found is None else found} {name} {' '.join(given)}")
    return count


if __name__ == "__main__":
    n, seed = [*map(int, sys.argv[1:]), 200, 0][:2] if len(sys.argv) != 2 else (
        int(sys.argv[1]), 0)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = study(n, seed, Path(folder))
    print(dict(found), f"{time.perf_counter() - start:.0f} s")
    sys.exit(bool(found["false alarms"] or found["not found"] or found["named late"]))
