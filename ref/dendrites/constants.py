"""The model's constants (Table 1 and Methods), in steps of dt = 1 ms.

Rates are in spikes per ms, φ_max = 0.2 for 200 Hz: the paper's initial weights and learning rates
are meant for that unit. Conductances and potentials are nominal.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Constants:
    """phi_max    largest rate, spikes per ms
    tau_s, tau_L  short and long time constant of a postsynaptic potential, ms
    settling      Δt_s, at the beginning of a phase, which no average includes, ms
    phase         shortest length of a phase, ms; more is drawn for each
    g_l, g_b, g_d, g_a    conductances: leak, basal, of the output's dendrite, apical
    C_m, V_R      capacitance, resting potential; τ = C_m / g_l = 10 ms
    E_E, E_I      reversal potentials of the teaching current
    teaching      how I enters (19): "membrane" is C_m dV/dt = ... + I, "printed" τ dV/dt = ... + I
    averages      over a phase, "settled": from Δt_s after its beginning; or over its "last-20" ms
    """

    phi_max: float = 0.2
    tau_s: float = 3.0
    tau_L: float = 10.0
    settling: int = 30
    phase: int = 50
    g_l: float = 0.1
    g_b: float = 0.6
    g_d: float = 0.6
    g_a: float = 0.0
    C_m: float = 1.0
    V_R: float = 0.0
    E_E: float = 8.0
    E_I: float = -8.0
    teaching: str = "membrane"
    averages: str = "settled"

    @property
    def k_b(self):
        """V_0 = k_b V_0b + k_a V_0a at rest (34)."""
        return self.g_b / (self.g_l + self.g_b + self.g_a)

    @property
    def k_a(self):
        return self.g_a / (self.g_l + self.g_b + self.g_a)

    @property
    def k_d(self):
        """V_1 = k_d V_1b at rest, in the forward phase (27)."""
        return self.g_d / (self.g_l + self.g_d)

    @property
    def P_0(self):
        """Factor of the hidden layers' updates (35)."""
        return 20 / self.phi_max

    @property
    def P_1(self):
        """Factor of the output's updates (29)."""
        return 20 / self.phi_max**2

    @property
    def g_teach(self):
        """What multiplies I in C_m dV/dt."""
        return 1.0 if self.teaching == "membrane" else self.g_l

    def window(self, T):
        """(T,) weights of the average over a phase of T steps: 1/Δt in its last Δt (22)."""
        first = self.settling if self.averages == "settled" else T - 20
        w = np.zeros(T)
        w[first:] = 1 / (T - first)
        return w


def lengths(c, rng):
    """(T1, T2): steps of the forward and the target phase, each c.phase + Wald(2, 1), floored."""
    return tuple(c.phase + int(rng.wald(2, 1)) for _ in range(2))


def plateau_windows(rng, n, T):
    """(n, T) weights: each neuron's plateau comes min(|N(0, 3)|, 5) ms before the end, and averages
    the 30 ms before it (Figure 6, supplement 1; the paper's variance of 3)."""
    early = np.minimum(np.abs(rng.normal(0, np.sqrt(3), n)), 5).astype(int)
    last = T - early[:, None]
    t = np.arange(T)
    return ((t < last) & (t >= last - 30)) / 30.0
