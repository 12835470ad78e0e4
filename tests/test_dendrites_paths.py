"""Segregated dendrites: loop, whole phase, naive sums and rate model give the same numbers."""

from dataclasses import replace

import dendrite_models as models
import naive_dendrites as naive
import numpy as np
import pytest
from checks import assert_close
from seldom import slow_but

from ref.dendrites import compartments, example, kernel, learning, rate, spikes, steps, whole
from ref.dendrites.constants import plateau_windows

T = (53, 51)
CASES = [(name, memory) for name in models.NETS for memory in (10, 1, 0)]


def against_naive(sizes, memory, g_a=0.0, phase=steps.phase):
    """Raise AssertionError unless potentials' averages, G and dW are those of the naive sums."""
    c, params, x, y = models.make(sizes, g_a=g_a)
    n = models.drawn(c, params, x, y, T, memory)
    want, losses = naive.gradients(params, n, y, T[0], memory, g_a)
    found = models.image(c, params, x, y, T, spikes.Given(n), memory, phase=phase)
    assert_close({"G": found.G, "dW": models.outer(found)}, want)
    assert_close(learning.losses(c, found.forward, found.target), losses)


@pytest.mark.parametrize("memory", (10, 0))
@pytest.mark.parametrize("name", models.NETS)
def test_the_loop_is_the_papers_sums(name, memory):
    against_naive(models.NETS[name], memory)


def test_the_loop_is_the_papers_sums_with_apical_conductance():
    against_naive(models.NETS["two"], 10, g_a=0.05)


def _printed(c, V, V_b, y=None):
    flow = c.g_l * (c.V_R - V) + c.g_d * (V_b - V)
    return flow if y is None else flow + c.g_l * (y * (c.E_E - V) + (1 - y) * (c.E_I - V))


def _of_target(c, forward, target):
    return right_gradients(c, target, forward)


right_gradients, right_kappa = learning.gradients, kernel.kappa

PLANTED = {
    "I in place of I/g_l": (steps, "output_current", _printed),
    "a factor 2": (learning, "sigma_derivative", lambda V: 2 * compartments.sigma_derivative(V)),
    "phases exchanged": (example.learning, "gradients", _of_target),
    "a kernel one step late": (kernel, "kappa", lambda t, *tau: right_kappa(t - 1, *tau)),
    "a kernel one step early": (kernel, "kappa", lambda t, *tau: right_kappa(t + 1, *tau)),
}


@pytest.mark.parametrize("slip", PLANTED)
def test_a_planted_error_is_seen(slip, monkeypatch):
    monkeypatch.setattr(*PLANTED[slip])
    monkeypatch.setattr(kernel, "make", kernel.make.__wrapped__)  # not the right one that is kept
    with pytest.raises(AssertionError, match="off by"):
        against_naive(models.NETS["one"], 10)


def test_a_presynaptic_average_of_the_wrong_phase_is_seen(monkeypatch):
    monkeypatch.setattr(models, "outer", lambda found: {
        l: np.outer(G, found.target.s[l - 1]) for l, G in found.G.items()})
    with pytest.raises(AssertionError, match="dW_1"):
        against_naive(models.NETS["one"], 10)


# ---- the whole-phase path ------------------------------------------------------------------------


def flat(found):
    """Everything that an Example holds, by name, but for state that is all zero."""
    means = {f"{phase}_{name}": layers for phase in ("forward", "target")
             for name, layers in vars(getattr(found, phase)).items()}
    state = {"top": found.state.top, "V": found.state.V,
             **{f"trace_{l}": a for l, a in found.state.trace.items()}}
    return means | {"G": found.G} | {
        name: a for name, a in state.items() if isinstance(a, dict) or a.any()}


@pytest.mark.parametrize("fed_back", ("spikes", "rates"))
@pytest.mark.parametrize("name, memory", CASES)
def test_whole_phases_are_the_loop_over_several_images(name, memory, fed_back):
    """The same spikes; states go on over the borders of phases and images of other lengths."""
    c, params, _, y = models.make(models.NETS[name])
    rng = np.random.default_rng(2)
    source = spikes.Poisson(rng, c.phi_max)
    by_loop = by_phase = models.rest(params, memory, c)
    for lengths in ((50, 50), (51, 64), (50, 57)):
        x = rng.random(7) * (rng.random(7) < 0.6)  # some pixels are dark
        kept = {}, {}
        fast = models.image(c, params, x, y, lengths, source, memory, by_phase,
                            phase=whole.phase, series=kept, fed_back=fed_back)
        n = {l: np.concatenate([kept[0]["n"][l], kept[1]["n"][l]]) for l in kept[0]["n"]}
        again = {}, {}
        slow = models.image(c, params, x, y, lengths, spikes.Given(n), memory, by_loop,
                            phase=steps.phase, series=again, fed_back=fed_back)
        assert_close(flat(fast), flat(slow))
        for name_of in ("n", "s", "V", "phi", "V_a"):
            got, want = kept[1][name_of], again[1][name_of]
            assert_close(got, want)
        by_loop, by_phase = slow.state, fast.state


def test_plateau_windows_of_each_neuron_are_the_loops():
    c, params, x, y = models.make(models.NETS["two"])
    rng = np.random.default_rng(3)
    windows = tuple({l: plateau_windows(rng, n, t) for l, n in ((1, 6), (2, 5))} for t in T)
    n = models.drawn(c, params, x, y, T)
    both = [models.image(c, params, x, y, T, spikes.Given(n), windows=windows, phase=phase)
            for phase in (steps.phase, whole.phase)]
    assert_close(flat(both[1]), flat(both[0]))
    plain = models.image(c, params, x, y, T, spikes.Given(n), phase=steps.phase)
    assert np.abs(plain.forward.V_a[1] - both[0].forward.V_a[1]).max() > 1e-6


@pytest.mark.parametrize("lost", ("V", "trace", "top"))
def test_state_that_is_not_carried_over_is_seen(lost):
    """In the first steps of a phase, before it fades."""
    c, params, x, y = models.make(models.NETS["one"])
    n, k = models.drawn(c, params, x, y, T), kernel.make(c, 10)
    state = models.image(c, params, x, y, T, spikes.Given(n)).state
    without = replace(state, **{lost: getattr(models.rest(params, 10, c), lost)})
    series = {}, {}
    for begun, kept in zip((state, without), series, strict=True):
        whole.phase(c, k, params, begun, x, 31, spikes.Given(n), series=kept)
    name = "V_a" if lost == "top" else "V"
    with pytest.raises(AssertionError, match="off by"):
        assert_close({1: series[1][name][1][:5]}, {1: series[0][name][1][:5]})


def test_active_dendrites_take_the_loop():
    c = models.make(models.NETS["one"], g_a=0.05)[0]
    assert example.path(c) is steps.phase
    assert example.path(models.make(models.NETS["one"])[0]) is whole.phase


# ---- the rate model ------------------------------------------------------------------------------


@pytest.mark.parametrize("g_a", slow_but([0.0, 0.6], [0.0, 0.05, 0.6]))
@pytest.mark.parametrize("memory", (10, 0))
@pytest.mark.parametrize("name", models.NETS)
def test_spikes_replaced_by_rates_are_the_rate_model(name, memory, g_a):
    """In phases so long that everything has settled."""
    c, params, x, y = models.make(models.NETS[name], g_a=g_a, scale=8.0)
    found = models.image(c, params, x, y, (900, 900), spikes.Rates(c.phi_max), memory,
                         phase=steps.phase)
    k = kernel.make(c, memory)
    # the average begins 30 ms after a phase does; what is at rest is its last step
    kept = {}, {}
    models.image(c, params, x, y, (900, 900), spikes.Rates(c.phi_max), memory, phase=steps.phase,
                 series=kept)
    for series, wanted in zip(kept, (None, y), strict=True):
        want = vars(rate.phase(c, k.mass, params, x, wanted))
        assert_close({name: {l: rows[-1] for l, rows in series[name].items()} for name in want},
                     want, 1e-11)
    assert found.G.keys() == params["W"].keys()


def test_potentials_of_the_rate_model_by_hand():
    """The fact that only I/g_l gives: the right unit fires, the wrong ones are silent."""
    c = models.make([1, 2])[0]
    V = compartments.output_at_rest(c, np.array([0.0, 3.0]), np.array([1.0, 0.0]))
    assert_close(V, np.array([8, -8 + 0.6 * 3]) / 1.7)
    printed = models.make([1, 2], teaching="printed")[0]
    V = compartments.output_at_rest(printed, np.array([0.0, 3.0]), np.array([1.0, 0.0]))
    assert_close(V, np.array([1.0, 1.25]))
