"""Learning rates over epochs, several updates of inverses on a batch, and their pre-training."""

import csv
import re

import numpy as np
import pytest
from checks import assert_close, assert_same_bits, make_case

from ref import folder, rules, schedules, settings
from ref.common.command import UsageError
from ref.seeds import normals, stream
from ref.training import Trainer

RATE = {"lr": 0.1, "inverse_lr": 0.03, "mirror_lr": 0.05, "optimizer": "sgd",
        "epsilon_form": "hat"}
OTHERS = [(name, group) for name in rules.NAMES for group in rules.get(name).trains
          if group != "forward"]


@pytest.mark.parametrize("setting, expected", [
    ({}, [1, 1, 1, 1, 1]),
    ({"lr_step": 2, "lr_factor": 0.1}, [1, 1, 0.1, 0.1, 0.1**2]),
    ({"lr_milestones": "1,4", "lr_factor": 0.5}, [1, 0.5, 0.5, 0.5, 0.25]),
])
def test_factors(setting, expected):
    """Of epochs 1 to 5: a rate falls when its epoch is over."""
    assert [schedules.factor(setting, "", e) for e in range(1, 6)] == expected


@pytest.mark.parametrize("ours, theirs", [
    ({"inverse_lr_step": 3, "inverse_lr_factor": 0.5}, ("StepLR", {"step_size": 3, "gamma": 0.5})),
    ({"inverse_lr_milestones": "2,3,7", "inverse_lr_factor": 0.1},
     ("MultiStepLR", {"milestones": [2, 3, 7], "gamma": 0.1})),
])
def test_as_torch(ours, theirs):
    torch = pytest.importorskip("torch", reason="compared with PyTorch's schedulers")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = getattr(torch.optim.lr_scheduler, theirs[0])(optimiser, **theirs[1])
    for epoch in range(1, 12):
        assert_close(np.array(schedules.factor(ours, "inverse_", epoch)),
                     np.array(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize("given", ["50,75", " 50, 75", [50, 75], (50, 75)])
def test_milestones_may_be_a_list(given):
    setting, _ = settings.resolve("bp", "mnist-fc", lr_milestones=given)
    assert setting["lr_milestones"] == "50,75"


@pytest.mark.parametrize("given, words", [
    ({"lr_step": 1, "lr_milestones": "2"}, "--lr-milestones: steps or milestones, not both"),
    ({"lr_factor": 0.5}, "--lr-factor: it needs steps or milestones"),
    ({"lr_milestones": [3, 2]}, "growing numbers of epochs"),
    ({"inverse_steps": 2}, "--inverse-steps: the rule bp has no such option"),
    ({"inverse_lr_step": 2}, "--inverse-lr-step: the rule bp has no such option"),
])
def test_refused(given, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        settings.resolve("bp", "mnist-fc", **given)


@pytest.mark.parametrize("rule, group", OTHERS)
def test_each_group_has_its_own_rate(rule, group):
    """In epoch 2 the inverses' rate is halved, the forward parameters' is not."""
    changes = {}
    for epoch in (1, 2):
        case = make_case("dense", rule)
        trainer = Trainer(case.net, rules.get(rule), case.params, case.options | RATE | {
            f"{group}_lr_step": 1, f"{group}_lr_factor": 0.5, "lr_milestones": "2"}, seed=0)
        trainer.factors = schedules.factors(trainer.setting, trainer.rule.trains, epoch)
        before = make_case("dense", rule).params
        trainer.step(case.x, case.y)
        changes[epoch] = {s: {l: a - before[s][l] for l, a in case.params[s].items()}
                          for s in rules.get(rule).symbols}
    for symbol in rules.get(rule).trains[group]:
        halved = {l: 2 * a for l, a in changes[2][symbol].items()}
        assert_close(halved, changes[1][symbol], 1e-9)
    assert_same_bits(changes[1]["W"], changes[2]["W"])


# ---- several updates on a batch ------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["both", "other"])
@pytest.mark.parametrize("rule, group", OTHERS)
def test_several_updates_on_a_batch(rule, group, phase):
    """K - 1 of the group alone, each with noise of its own, then the step as it always is."""
    phase = group if phase == "other" else phase
    declared, K = rules.get(rule), 3
    ours, theirs = make_case("dense", rule), make_case("dense", rule)
    setting = ours.options | RATE
    trainer = Trainer(ours.net, declared, ours.params, setting | {f"{group}_steps": K}, seed=7)
    trainer.step(ours.x, ours.y, phase)

    def eps(*counter):
        shapes = {l: (len(ours.x), *ours.net.shape(l)) for l in declared.noisy_layers(ours.net)}
        drawn = normals(stream(7, "noise", 1, *counter), shapes, np.dtype(np.float64))
        return {l: setting["sigma"] * e for l, e in drawn.items()}

    once = Trainer(theirs.net, declared, theirs.params, setting, seed=7)
    for k in range(1, K):
        once.step(theirs.x, theirs.y, group, eps(k))
    once.step(theirs.x, theirs.y, phase, eps())
    assert_same_bits(ours.params, theirs.params)
    assert trainer.state[group]["t"] == K and trainer.t == 1
    assert trainer.state["forward"]["t"] == (phase == "both")
    assert not np.allclose(eps(1)[min(eps())], eps()[min(eps())])


def test_the_forward_pass_trains_no_inverse():
    case = make_case("dense", "dtp")
    trainer = Trainer(case.net, rules.get("dtp"), case.params,
                      case.options | RATE | {"inverse_steps": 3}, seed=0)
    trainer.step(case.x, case.y, "forward")
    assert trainer.state["inverse"]["t"] == 0 and trainer.state["forward"]["t"] == 1


# ---- whole runs ----------------------------------------------------------------------------------


@pytest.fixture
def phases(monkeypatch):
    """The phase of every step that a run takes, and its batch's sum."""
    seen = []
    step = Trainer.step

    def spy(self, x, y, phase="both", **more):
        seen.append((phase, float(x.sum())))
        return step(self, x, y, phase, **more)

    monkeypatch.setattr(Trainer, "step", spy)
    return seen


@pytest.mark.parametrize("rule, group", OTHERS)
@pytest.mark.parametrize("schedule", ["parallel", "alternating"])
def test_pretraining(command, tiny, here, phases, rule, group, schedule):
    """Two passes of the group alone in orders of their own; then the run as it always is."""
    line = ["ref.train", "--rule", rule, "--arch", "dense 8, dense 8, softmax 10", "--data", tiny,
            "--batch-size", 50, "--epochs", 1, "--schedule", schedule]
    assert command(*line, "--out", "without").status == 0
    usual = phases.copy()
    phases.clear()
    result = command(*line, f"--{group}-pretraining", 2, "--out", "with")
    assert result.status == 0
    assert "pre-training 1/2" in result.out and "pre-training 2/2" in result.out
    assert phases[8:] == usual
    assert [phase for phase, _ in phases[:8]] == [group] * 8
    sums = [total for _, total in phases]
    assert not set(sums[:4]) & set(sums[4:8])
    assert f"{group} pre-trained for 2 passes" in result.out


def test_rates_are_recorded(command, tiny, here):
    line = ["ref.train", "--rule", "dtp", "--arch", "dense 8, dense 8, softmax 10", "--data", tiny,
            "--epochs", 3, "--lr", 0.5, "--lr-milestones", "1,2", "--lr-factor", 0.25]
    assert command(*line, "--out", "run").status == 0
    with open("run/metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == [0.5, 0.125, 0.03125]
    assert "inverse_lr" not in rows[0]


def test_a_rule_with_a_trainer_of_its_own(command, tiny, here):
    """... has rates over epochs too, of all that it trains; but neither momentum nor decay."""
    line = ["ref.train", "--rule", "segregated-dendrites", "--arch", "dense 4, softmax 10",
            "--data", tiny, "--test-ms", 60, "--model", "rates"]
    assert command(*line, "--epochs", 1, "--out", "one").status == 0
    assert command(*line, "--epochs", 2, "--lr-step", 1, "--lr-factor", "1e-300", "--out",
                   "two").status == 0
    one, two = (folder.read_parameters(run) for run in ("one", "two"))
    assert_same_bits({name: one[name] for name in ("W_1", "W_2")},
                     {name: two[name] for name in ("W_1", "W_2")})
    for option in ("--momentum", "--weight-decay"):
        command.refused(*line, option, "0.5", names=[option, "segregated-dendrites"])
