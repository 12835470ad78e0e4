"""Tell a person, or a program, what a verification found."""

import json

import numpy as np

from .verify import first, upstream

WIDEST = 64  # letters of a formula in the table; the first that differs has all of it
SHOWN_ROOTS = 8  # differences that nothing upstream explains, told one by one


def table(result):
    """The lines of the table, in order of computation."""
    width = max(len(row.quantity.name) for row in result.rows)
    formula = min(max(len(row.quantity.equation) for row in result.rows), WIDEST)
    yield f"{'quantity':{width}}  {'equation':{formula}}  {'error':>8}  {'limit':>8}  verdict"
    for row in result.rows:
        q = row.quantity
        equation = q.equation if len(q.equation) <= WIDEST else f"{q.equation[:WIDEST - 1]}…"
        yield (f"{q.name:{width}}  {equation:{formula}}  {row.error:8.1e}  {row.limit:8.1e}  "
               f"{row.verdict}")


def report(result):
    """What the user reads, line by line."""
    content, how = result.content, result.measure
    mode = ("replayed in float64 from its own parameters, inputs and noise"
            if result.against is None else f"compared with {result.against}")
    kinds = ", ".join(f"{m.kind} {'x'.join(map(str, m.out_shape))}"
                      for m in content.net.map.values())
    yield f"{result.path}: {content.rule} on {kinds}; {_count(content.phases, 'step')}, {how.dtype}"
    yield f"{mode}; rtol {how.rtol:g}"
    yield from result.notes
    yield ""
    yield from table(result)
    yield ""
    if result.agrees:
        yield f"all {len(result.rows)} quantities agree"
        return
    row = first(result.rows)
    yield f"first to differ: {row.quantity.name}   {row.quantity.equation}"
    yield from (f"  {line}" for line in details(result, row))
    others = [r for r in result.roots if r is not row]
    if others:
        yield "also different, though nothing they are computed from is:"
    for other in others[:SHOWN_ROOTS]:
        said = result.slips.get(other.quantity.name)
        yield f"  {other.quantity.name}: {said[0] if said else entries(other)}"
    if len(others) > SHOWN_ROOTS:
        yield f"  ... and {len(others) - SHOWN_ROOTS} more"
    following = sum(r.follows for r in result.rows)
    if following:
        yield f"{following} more differ, each computed from something that does"
    wrong = sum(not r.agrees for r in result.rows)
    yield f"{wrong} of {len(result.rows)} quantities differ"


def _count(things, word):
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def details(result, row):
    """Lines about one quantity that differs."""
    yield entries(row)
    for sentence in result.slips.get(row.quantity.name, []):
        yield f"known slip: {sentence}"
    agree, taken, unknown = upstream(row, result.rows, result.given)
    for what, names in (("upstream, agrees", agree), ("upstream, taken from the file", taken),
                        ("upstream, not in the file", unknown)):
        if names:
            yield f"{what}: {', '.join(names)}"


def entries(row):
    """How many entries differ, and the worst."""
    size = int(np.prod(row.quantity.shape, dtype=int))
    many = f"{row.wrong} entries differ" if row.quantity.per_example else (
        f"{row.wrong} of {size} entries differ")
    if not row.wrong:
        many = (f"no entry differs by itself, but as a whole the change is too "
                f"{'large' if row.lean > 0 else 'small'}")
    at = f" at {list(row.worst)}" if row.worst else ""
    return f"{many}, the worst{at}: theirs {row.theirs:.9g}, ours {row.ours:.9g}"


def as_json(result):
    """The same for a program."""

    def number(value):
        return float(value) if np.isfinite(value) else None

    def described(row):
        agree, taken, unknown = upstream(row, result.rows, result.given)
        return {
            "name": row.quantity.name, "equation": row.quantity.equation,
            "slips": result.slips.get(row.quantity.name, []),
            "upstream_agrees": agree, "upstream_given": taken, "upstream_missing": unknown,
            "entries_wrong": row.wrong, "worst": list(row.worst), "theirs": number(row.theirs),
            "ours": number(row.ours),
        }

    row = first(result.rows)
    return json.dumps({
        "file": result.path, "against": result.against, "rule": result.content.rule,
        "dtype": str(result.measure.dtype), "rtol": result.measure.rtol,
        "atol_scale": result.measure.atol_scale, "agrees": result.agrees,
        "notes": result.notes,
        "first": described(row) if row else None,
        "others": [described(r) for r in result.roots if r is not row],
        "quantities": [
            {"name": r.quantity.name, "symbol": r.quantity.symbol,
             "equation": r.quantity.equation, "error": number(r.error), "limit": number(r.limit),
             "verdict": r.verdict} for r in result.rows],
    }, indent=1)
