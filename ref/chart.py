"""Curves drawn with characters, for a terminal: dots of Braille patterns, or letters.

A curve is (points, letter, colour, dashed): points [(x, y)], x rising. In Braille a cell of the
chart is 2 dots wide and 4 high; in letters it is one, a small letter for a dashed curve. Where
letters meet they take turns. An arrow at the edge is where a curve leaves the axis or comes back.
"""

import math

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of U+2800, by column and row
MARGIN = 9  # characters left of the chart, for the numbers of the axis


def ticks(low, high, most=6):
    """Round numbers from at or below low to at or above high, evenly spaced."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def rows(low, high, most):
    """Lines of a chart, at most so many, of which the numbers of its axis are as far apart."""
    steps = len(ticks(low, high)) - 1
    return 1 + max(1, (most - 1) // steps) * steps


def at(points, x):
    """The curve's y at x, between its points; None outside them and where it is no number."""
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        if x0 <= x <= x1:
            y = y0 if x == x0 else y1 if x == x1 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
            if math.isfinite(y):
                return y
    return None


def draw(curves, width, height, y_range, unicode=True, colours=True, mark=None):
    """The chart's lines: an axis with numbers, the curves, the epochs below.

    mark  a y with a thin line across
    """
    marks = ticks(*y_range)
    low, high = marks[0], marks[-1]
    last = max((x for points, *_ in curves for x, _ in points), default=1)
    columns = max(8, width - MARGIN - 3)  # and one for the letters at the curves' ends
    across, up = (2, 4) if unicode else (1, 1)
    bottom = height * up - 1
    apart = max(8, columns // 3)  # columns between the letters on a curve of dots
    cells = {}  # (row, column): [dots, letters, colour]
    above = {}  # the same of letters on curves of dots and of arrows
    across_at = None
    if mark is not None and low <= mark <= high:
        across_at = round((high - mark) / (high - low) * (height - 1))
    for n, (points, letter, colour, dashed) in enumerate(curves, 1):
        ys = (at(points, 1 + (last - 1) * i / max(1, columns * across - 1))
              for i in range(columns * across))
        js = [None if y is None else round((high - y) / (high - low) * bottom) for y in ys]
        shown = [j is not None and 0 <= j <= bottom for j in js]
        letter = letter.lower() if dashed and not unicode else letter
        for i, j in enumerate(js):
            if j is None:
                continue
            column = i // across
            if not shown[i]:
                if i == 0 or shown[i - 1] or any(shown[i + 1:i + 2]):
                    arrow = ("▲▼" if unicode else "^v")[j > bottom]
                    above[0 if j < 0 else height - 1, column] = [0, arrow, colour]
            elif unicode and len(curves) > 1 and (column + n * apart // len(curves)) % apart == 0:
                above[j // up, column] = [0, letter, colour]
            if dashed and unicode and i % 6 > 2:
                continue
            # a steep curve is filled in from one column to the next
            before = js[i - 1] if unicode and i and js[i - 1] is not None else j
            for k in range(max(0, min(j, before)), min(bottom, max(j, before)) + 1):
                cell = cells.setdefault((k // up, column), [0, "", ""])
                cell[0] |= DOTS[i % across][k % up] if unicode else 0
                cell[1:] = [cell[1] + letter * (not unicode), colour]
        if unicode and any(shown) and not dashed:
            i = max(i for i, on in enumerate(shown) if on)
            above[js[i] // up, i // across + 1] = [0, letter, colour]
    cells |= above
    rows = {round((high - mark) / (high - low) * (height - 1)): mark for mark in marks}
    for row in range(height):
        number = f"{rows[row]:.4g}" if row in rows else ""
        line = f"{number:>{MARGIN - 1}} " + ("┤" if unicode else "|")
        for column in range(columns + 1):
            empty = ("┈" if unicode else ".") if row == across_at and column < columns else " "
            dots, letters, colour = cells.get((row, column), (0, empty, ""))
            glyph = letters[column % len(letters)] if letters else chr(0x2800 + dots)
            line += f"\x1b[{colour}m{glyph}\x1b[0m" if colours and colour else glyph
        yield line.rstrip()
    yield " " * MARGIN + ("└" + "─" * columns if unicode else "+" + "-" * columns)
    yield f"{'epoch':<{MARGIN + 1}}" + epochs(last, columns)


def epochs(last, columns):
    """The numbers below a chart: the first and the last epoch, round ones where there is room."""
    line, end = "1", f"{last:.0f}"
    for x in ticks(1, last, max(2, columns // 12)):
        place = round((x - 1) / max(1, last - 1) * (columns - 1))
        if x == round(x) and len(line) + 3 < place < columns - len(end) - 4:
            line = f"{line:{place}}{x:.0f}"
    return f"{line}{end:>{columns - len(line)}}" if last > 1 else line
