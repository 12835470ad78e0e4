"""Curves drawn with characters, for a terminal: dots of Braille patterns, or letters.

A curve is (points, letter, colour, dashed): points [(x, y)], x rising. In Braille a cell of the
chart is 2 dots wide and 4 high; in letters it is one, a small letter for a dashed curve.
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


def at(points, x):
    """The curve's y at x, between its points; None outside them."""
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        if x0 <= x <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return None


def draw(curves, width, height, y_range, unicode=True, colours=True):
    """The chart's lines: an axis with numbers, the curves, the epochs below."""
    marks = ticks(*y_range)
    low, high = marks[0], marks[-1]
    last = max((x for points, *_ in curves for x, _ in points), default=1)
    columns = max(8, width - MARGIN - 3)  # and one for the letters at the curves' ends
    across, up = (2, 4) if unicode else (1, 1)
    cells = {}  # (row, column): [dots, letter, colour]
    for points, letter, colour, dashed in curves:
        before = end = None
        for i in range(columns * across):
            x = 1 + (last - 1) * i / max(1, columns * across - 1)
            y = at(points, x)
            if y is None:
                continue
            j = round((high - y) / (high - low) * (height * up - 1))
            # a steep curve is filled in from one column to the next
            begin = j if before is None or not unicode else min(max(before, 0), height * up - 1)
            before, end = j, (min(max(j // up, 0), height - 1), i // across + 1)
            if dashed and unicode and i % 6 > 2:
                continue
            for k in range(min(j, begin), max(j, begin) + 1):
                if 0 <= k < height * up:
                    cell = cells.setdefault((k // up, i // across), [0, "", ""])
                    cell[0] |= DOTS[i % across][k % up] if unicode else 0
                    cell[1:] = [letter.lower() if dashed else letter, colour]
        if unicode and end and not dashed:
            cells[end] = [0, letter, colour]
    rows = {round((high - mark) / (high - low) * (height - 1)): mark for mark in marks}
    for row in range(height):
        number = f"{rows[row]:.4g}" if row in rows else ""
        line = f"{number:>{MARGIN - 1}} " + ("┤" if unicode else "|")
        for column in range(columns + 1):
            dots, letter, colour = cells.get((row, column), (0, " ", ""))
            glyph = chr(0x2800 + dots) if dots else letter
            line += f"\x1b[{colour}m{glyph}\x1b[0m" if colours and glyph != " " else glyph
        yield line.rstrip()
    end = f"{last:.0f}"
    yield " " * MARGIN + ("└" + "─" * columns if unicode else "+" + "-" * columns)
    yield " " * (MARGIN + 1) + "1" + "epoch".center(columns - 1 - len(end)) + end
