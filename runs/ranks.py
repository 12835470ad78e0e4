"""How far two orders of the same methods agree."""

from itertools import combinations


def ranks(values):
    """Ranks from 1, the lowest value first; equal values share the mean of their ranks."""
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2
            for value in values]


def spearman(a, b):
    """Spearman's rank correlation of two equally long lists: Pearson's of their ranks.

    None for fewer than two values, or where all values of a list are equal.
    """
    a, b = ranks(a), ranks(b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values")
    mean = (len(a) + 1) / 2
    ab, aa, bb = (sum((x - mean) * (y - mean) for x, y in zip(u, v, strict=True))
                  for u, v in ((a, b), (a, a), (b, b)))
    return ab / (aa * bb) ** 0.5 if aa and bb else None


def reversed_pairs(a, b):
    """Pairs of keys that the dicts a and b put in opposite order, (lower in b, higher in b)."""
    found = []
    for x, y in combinations(a, 2):
        if (a[x] - a[y]) * (b[x] - b[y]) < 0:
            found.append((x, y) if b[x] < b[y] else (y, x))
    return found
