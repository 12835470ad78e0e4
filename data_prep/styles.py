"""How people write the ten digits: strokes as smooth curves through control points.

Coordinates are in half-heights of the digit, x to the right and y downwards, from about -1 to 1.
A stroke is a list of points; the pen passes through all of them on a Catmull-Rom spline. A corner
is where one stroke ends and the next begins. A point written down twice in a style is one point: it
is jittered once, so that strokes which meet go on meeting.
"""

import math

import numpy as np

DOT_SPACING = 0.09  # between the dots that a stroke is sampled into, in half-heights


class Style:
    """One way to write one digit.

    control   (C, 2), its distinct control points
    index     (P, 4), the 4 control points that each dot of its strokes is a combination of
    weight    (P, 4), how much of each
    """

    def __init__(self, *strokes):
        names = list(dict.fromkeys(point for stroke in strokes for point in stroke))
        self.control = np.array(names, np.float64)
        index, weight = [], []
        for stroke in strokes:
            at = [names.index(point) for point in stroke]
            at = [at[0], *at, at[-1]]  # the ends count double, so that the curve reaches them
            for k in range(len(stroke) - 1):
                (x, y), (x1, y1) = stroke[k:k + 2]
                # Not math.dist, which rounds differently in different versions of Python.
                length = math.sqrt((x1 - x) * (x1 - x) + (y1 - y) * (y1 - y))
                dots = math.ceil(length / DOT_SPACING)
                for j in range(dots + (k == len(stroke) - 2)):  # the last dot only once
                    index.append(at[k:k + 4])
                    weight.append(catmull_rom(j / dots))
        self.index, self.weight = np.array(index), np.array(weight)

    def dots(self, control):
        """The dots' x and y, each (P, m), for control points (C, 2, m) of m images."""
        dots = 0.0
        for k in range(4):
            dots = dots + self.weight[:, k, None, None] * control[self.index[:, k]]
        return dots[:, 0], dots[:, 1]


def catmull_rom(t):
    """Weights of points 0..3 at t from 0 (point 1) to 1 (point 2) (Catmull and Rom, 1974)."""
    return (0.5 * t * (-1.0 + t * (2.0 - t)),
            0.5 * (2.0 + t * t * (-5.0 + 3.0 * t)),
            0.5 * t * (1.0 + t * (4.0 - 3.0 * t)),
            0.5 * t * t * (t - 1.0))


ZERO = (
    Style([(.1, -1.), (-.4, -.7), (-.6, 0.), (-.4, .75), (.05, 1.), (.45, .7), (.6, 0.), (.45, -.7),
           (.1, -1.)]),
    Style([(.35, -.85), (-.1, -.98), (-.5, -.5), (-.55, .3), (-.2, .95), (.3, .85), (.6, .2),
           (.45, -.6), (.1, -1.)]),
)
ONE = (
    Style([(0., -1.), (0., -.3), (0., .4), (0., 1.)]),
    Style([(-.4, -.55), (-.15, -.75), (.05, -1.)], [(.05, -1.), (.05, -.3), (.05, .4), (.05, 1.)]),
    Style([(-.35, -.6), (.05, -1.)], [(.05, -1.), (.05, 0.), (.05, .95)],
          [(-.4, .95), (.05, .95), (.45, .95)]),
)
TWO = (
    Style([(-.5, -.6), (-.2, -.95), (.25, -.95), (.5, -.55), (.3, -.05), (-.15, .5), (-.55, .95)],
          [(-.55, .95), (0., .92), (.6, .95)]),
    Style([(-.45, -.65), (-.05, -1.), (.4, -.7), (.35, -.2), (-.05, .4), (-.45, .85), (-.5, .55),
           (-.15, .65), (.2, .9), (.6, .8)]),
)
THREE = (
    Style([(-.5, -.75), (-.1, -1.), (.4, -.75), (.35, -.3), (-.1, -.05)],
          [(-.1, -.05), (.4, .15), (.5, .55), (.15, .95), (-.3, .95), (-.55, .7)]),
    Style([(-.45, -.95), (0., -.95), (.45, -.95)], [(.45, -.95), (.2, -.55), (-.1, -.15)],
          [(-.1, -.15), (.35, 0.), (.5, .45), (.2, .9), (-.2, .98), (-.55, .75)]),
)
FOUR = (
    Style([(-.35, -.95), (-.45, -.4), (-.5, .1)], [(-.5, .1), (.05, .1), (.6, .05)],
          [(.3, -.75), (.28, .1), (.25, 1.)]),
    Style([(.25, -1.), (-.15, -.4), (-.6, .25)], [(-.6, .25), (0., .25), (.6, .25)],
          [(.25, -1.), (.25, 0.), (.25, 1.)]),
)
FIVE = (
    Style([(-.35, -.95), (-.4, -.5), (-.45, -.1)],
          [(-.45, -.1), (0., -.3), (.45, 0.), (.5, .5), (.15, .95), (-.3, .95), (-.55, .7)],
          [(-.35, -.95), (.05, -.95), (.5, -.98)]),
    Style([(.5, -.95), (.1, -.9), (-.3, -.9)], [(-.3, -.9), (-.4, -.2)],
          [(-.4, -.2), (.1, -.2), (.4, .2), (.35, .65), (0., .95), (-.5, .9)]),
)
SIX = (
    Style([(.35, -1.), (-.1, -.75), (-.45, -.2), (-.5, .4), (-.2, .95), (.25, .9), (.5, .5),
           (.25, .1), (-.15, .1), (-.45, .5)]),
    Style([(.1, -1.), (-.25, -.5), (-.4, .1), (-.3, .75), (.1, 1.), (.45, .65), (.3, .2), (-.1, .2),
           (-.35, .55)]),
)
SEVEN = (
    Style([(-.55, -.9), (0., -.92), (.55, -.9)], [(.55, -.9), (.25, -.3), (0., .3), (-.15, 1.)]),
    Style([(-.5, -.9), (0., -.92), (.5, -.9)], [(.5, -.9), (.2, -.3), (-.05, .35), (-.2, 1.)],
          [(-.25, .05), (.1, .05), (.45, .05)]),
    Style([(-.5, -.55), (-.48, -.9)], [(-.48, -.9), (0., -.85), (.5, -.92)],
          [(.5, -.92), (.3, -.2), (.2, .4), (.15, 1.)]),
)
EIGHT = (
    Style([(.4, -.75), (0., -1.), (-.4, -.75), (-.3, -.3), (.15, .05), (.45, .5), (.2, .95),
           (-.2, .95), (-.45, .5), (-.1, .05), (.3, -.3), (.4, -.75)]),
    Style([(0., -.05), (-.35, -.35), (-.3, -.8), (0., -1.), (.3, -.8), (.35, -.35), (0., -.05)],
          [(0., -.05), (-.4, .3), (-.4, .75), (0., 1.), (.4, .75), (.4, .3), (0., -.05)]),
)
NINE = (
    Style([(.4, -.7), (.05, -1.), (-.4, -.75), (-.4, -.25), (0., -.05), (.35, -.35), (.4, -.7)],
          [(.4, -.7), (.4, .1), (.35, 1.)]),
    Style([(.4, -.6), (.1, -.98), (-.35, -.8), (-.45, -.35), (-.1, -.1), (.3, -.3), (.4, -.6)],
          [(.4, -.6), (.42, .1), (.2, .75), (-.15, 1.), (-.45, .8)]),
)
STYLES = (ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE)
