"""ref.train --show: each rule's own options and their values, and nothing is trained."""

import re

import pytest

from ref import begin, rules, settings


def shown(result):
    """{option: (value, whether it is marked as given)}."""
    assert result.status == 0, result
    assert max(map(len, result.out.splitlines())) <= 100
    return {name.replace("-", "_"): (value or "", bool(given)) for name, value, given in re.findall(
        r"^  --([\w-]+)(?: ([^\s(]+))?( \(given\))?(?:  .*)?$", result.out, re.M)}


@pytest.mark.parametrize("rule", rules.ALL)
def test_all_that_a_run_would_have(command, here, rule):
    """With the values that training would resolve; no folder, no data."""
    arch = "mnist-fc" if rules.get(rule).trainer else "mnist-lc"  # spiking neurons have no local
    result = command("ref.train", "--rule", rule, "--arch", arch, "--show")
    setting, source = settings.resolve(rule, arch)
    found = shown(result)
    unused = ("momentum",) if setting["optimizer"] == "adam" else (
        "beta1", "beta2", "epsilon", "epsilon_form")
    assert found.keys() == {key for key in setting if not key.endswith(unused)}
    for name, (value, given) in found.items():
        expected = setting[name]
        assert value == (f"{expected:g}" if isinstance(expected, float) else str(expected))
        assert not given
    assert f"[{' | '.join(rules.get(rule).optimizers)}]" in " ".join(result.out.split())
    assert result.out.startswith(f"{rule} on {arch}; hyperparameters: {source}\n")
    assert not list(here.iterdir())


def test_what_is_given_changes_the_rest(command, here):
    one, two = (shown(command("ref.train", "--rule", "dtp", *more, "--show"))
                for more in ([], ["--schedule", "alternating", "--sigma", "0.5"]))
    assert one["lr"] == ("0.000757", False) and two["lr"] == ("0.000308", False)
    assert one["schedule"] == ("parallel", False) and two["schedule"] == ("alternating", True)
    assert two["sigma"] == ("0.5", True)


def test_of_the_parameters_that_the_network_has(command, here):
    """And what is given besides the setting is listed, for a run's command to be checked."""
    for arch, symbols in (("dense 8, softmax 10", "W, b"), ("resnet20", "W, b, gamma, beta")):
        said = command("ref.train", "--rule", "bp", "--arch", arch, "--show").out
        assert re.search(f" learning rate of {symbols}\n", said) and "besides" not in said
    said = command("ref.train", "--rule", "bp", "--validation", 200, "--angles", "--lr", 1,
                   "--show").out
    assert "\nGiven besides: --validation 200 --angles\n" in said


def test_optimisers(command, here):
    found = shown(command("ref.train", "--rule", "bp", "--optimizer", "sgd", "--show"))
    assert "momentum" in found and not {"beta1", "epsilon", "epsilon_form"} & set(found)


@pytest.mark.parametrize(("arguments", "named"), [
    ([], "--rule"), (["--rule", "bp", "--sigma", 1], "--sigma"), (["--rule", "magic"], "magic"),
    (["--rule", "bp", "--optimizer", "sgd", "--beta1", 0.5], "--beta1"),
    (["--rule", "bp", "--arch", "nonsense"], "unknown architecture 'nonsense'"),
    (["--rule", "bp", "--arch", "dense 8 sigmoid, softmax 10"], "'sigmoid'"),
    (["--rule", "segregated-dendrites", "--arch", "mnist-lc"], "theirs are `dense UNITS`"),
    (["--rule", "bp", "--resume", "run"], "run/config.json"),
    (["--rule", "bp", "--data", "nothere.h5"], "nothere.h5 is not there"),
])
def test_bad_input(command, here, arguments, named):
    command.refused("ref.train", *arguments, "--show", names=[named])


def test_it_is_no_option_of_a_run():
    assert "show" not in begin.DEFAULTS


def test_help_leads_to_it(command, here):
    said = " ".join(command("ref.train", "--help").out.split())
    assert said.endswith("on a network: --rule dtp --arch mnist-fc --show")
