"""The compartments of a neuron: what flows into its soma (1-4, 13-20).

    V_b = W s + b        basal dendrite (the output's only one)                      (2, 13, 18)
    V_a = Y s_L          apical dendrite, from the output's spikes                       (2, 13)
    C_m dV/dt = g_l (V_R - V) + g_b (V_b - V) + g_a (V_a - V)      hidden                (1, 14)
    C_m dV/dt = g_l (V_R - V) + g_d (V_b - V) + I                  output                (4, 19)
    I = g_E (E_E - V) + g_I (E_I - V)                                                       (20)
    φ = φ_max σ(V)                                                                       (3, 17)

In the target phase the right unit has g_E = 1, g_I = 0, the others g_E = 0, g_I = 1: with y
one-hot, g_E = y and g_I = 1 - y. (19) is printed as τ dV/dt = ... + I, with τ = C_m / g_l. There I
would have to be I/g_l for the units to fire or be silent as the text says; `teaching` in
constants.py.
"""

from ..backend import get_xp


def sigma(V):
    """The logistic function, 1 / (1 + e^-V), which can't overflow when written so."""
    return (1 + get_xp(V).tanh(V / 2)) / 2


def sigma_derivative(V):
    """σ'(V) = σ (1 - σ)."""
    p = sigma(V)
    return p * (1 - p)


def hidden_current(c, V, V_b, V_a):
    """C_m dV/dt of a hidden soma (14)."""
    return c.g_l * (c.V_R - V) + c.g_b * (V_b - V) + c.g_a * (V_a - V)


def output_current(c, V, V_b, y=None):
    """C_m dV/dt of an output soma (19); y (n_L,) one-hot, or None in the forward phase."""
    flow = c.g_l * (c.V_R - V) + c.g_d * (V_b - V)
    if y is not None:
        g_E, g_I = y, 1 - y
        flow = flow + c.g_teach * (g_E * (c.E_E - V) + g_I * (c.E_I - V))  # (20)
    return flow


def euler(c, y=None, hidden=True):
    """(a, g, drive): Euler's step of those equations, for g_a = 0, is V ← a V + g V_b + drive."""
    g = c.g_b if hidden else c.g_d
    total, drive = c.g_l + g, c.g_l * c.V_R
    if y is not None:
        total = total + c.g_teach
        drive = drive + c.g_teach * (y * c.E_E + (1 - y) * c.E_I)
    return 1 - total / c.C_m, g / c.C_m, drive / c.C_m


def output_at_rest(c, V_b, y=None):
    """V of the output where dV/dt = 0."""
    a, g, drive = euler(c, y, hidden=False)
    return (g * V_b + drive) / (1 - a)
