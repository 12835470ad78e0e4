"""How large feedback is, by the conventions of the papers and codes that have it.

    convention            s, of sign-symmetry's s sign W       M, or FA's B (M = |...|)
    biotorch2021          √(2 / (fan_in + fan_out))            uniform, ±√(6 / (fan_in + fan_out))
    biotorch2021-fan-in   1 / √(3 fan_in)                      uniform, ±1 / √fan_in
    xiao2018              convolution: √(2 / (kh kw C_out))    N(0, s²)
                          dense: 1 / √n_in                     uniform, ±s
    liao2016              1                                    uniform, ±1

biotorch2021: Sanfiz & Akrout 2021 and their code, whose W has the same law ("xavier"; fan-in
without), so that s is its standard deviation. xiao2018: their code; s of a convolution is the
standard deviation of its W, that of a dense layer √3 times it. liao2016: V = sign W; the law of M
is our reading (NOTES.md). s never follows W.
"""

from math import sqrt


def _glorot(m):
    return sqrt(2 / (m.fan_in + m.fan_out))


def _fan_in(m):
    return 1 / sqrt(3 * m.fan_in)


def _xiao(m):
    return 1 / sqrt(m.fan_in) if m.kind == "dense" else sqrt(2 / m.fan_out)


# {convention: (s of a linear map, the name of the law in ref/initial.py)}
CONVENTIONS = {
    "biotorch2021": (_glorot, "glorot"),
    "biotorch2021-fan-in": (_fan_in, "fan-in"),
    "xiao2018": (_xiao, "he-fan-out"),
    "liao2016": (lambda m: 1.0, "unit"),
}


def scale(convention, linear_map):
    """s of a layer."""
    return CONVENTIONS[convention][0](linear_map)


def law(convention):
    """The name of the distribution of M, or of FA's B."""
    return CONVENTIONS[convention][1]
