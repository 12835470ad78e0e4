"""The model of data-parallel steps: costs of a sum, exact bytes, what waits, the command."""

import csv
import itertools
import json
import sys
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from ref import rules
from ref.common.command import UserError
from ref.network import flat, initial_parameters
from ref.settings import resolve
from ref.training import Trainer, initial_stream
from runs.bench.pair import build
from runs.scaling import __main__ as scaling
from runs.scaling import allreduce, order, step

CHAIN, SKIPS = "local 3x3x4/2, conv 3x3x5, dense 6, softmax 5", "resnet20"
NAMES = [name for name in rules.NAMES if not rules.get(name).trainer]
OUT = Path("runs/out/results")
ALPHA, BETA = 5e-6, 1e9


def made(name, arch=CHAIN, shape=(7, 8, 2)):
    """(network, rule, setting, graph)."""
    rule, (setting, _) = rules.get(name), resolve(name, arch)
    net = rule.build(build(arch, shape), setting)
    return net, rule, setting, order.graph(net, rule, setting)


# ---- sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("P", [2, 4, 8, 16])
def test_what_the_algorithms_cost(P):
    """Counted by carrying them out: messages one after another, and the bytes of each."""
    n, k = 5040.0, P.bit_length() - 1
    rounds = {"ring": [n / P] * (2 * (P - 1)), "tree": [n] * k,
              "halving-doubling": [n / 2**j for j in (*range(1, k + 1), *range(k, 0, -1))]}
    for name, messages in rounds.items():
        expected = sum(ALPHA + size / BETA for size in messages)
        assert allreduce.ALGORITHMS[name](n, P, ALPHA, BETA) == pytest.approx(expected, rel=1e-12)


def test_the_fastest_is_taken():
    assert allreduce.seconds(8, 1024, ALPHA, BETA) == pytest.approx(10 * (ALPHA + 8 / BETA))
    large = allreduce.seconds(1e9, 1024, ALPHA, BETA)
    assert large == pytest.approx(2 * 1023 / 1024 + 20 * ALPHA)
    assert allreduce.seconds(1e9, 1, ALPHA, BETA) == 0


# ---- what is sent --------------------------------------------------------------------------------


class Counting:
    """Two ranks that count what a step sums."""

    rank, size, who, counts = 0, 2, "", True

    def __init__(self):
        self.groups, self.sums_of = [], []

    def rows(self, N):
        return slice(0, N)

    def average(self, grads, n, N):
        self.groups.append(sum(array.nbytes for array in grads.values()))

    def sums(self, array):
        self.sums_of.append(array.nbytes)
        return array


@pytest.mark.parametrize(("name", "arch", "shape"), [
    *((name, CHAIN, (7, 8, 2)) for name in NAMES), ("bp", SKIPS, (32, 32, 3)),
    ("kolen-pollack", SKIPS, (32, 32, 3))])
def test_bytes_are_those_of_a_true_step(name, arch, shape):
    """All that a step sums over the ranks, array by array, batch norm's sums too."""
    net, rule, setting, graph = made(name, arch, shape)
    ranks = Counting()
    trainer = Trainer(net, rule, initial_parameters(net, initial_stream(0), np.dtype("float32")),
                      setting, 0, ranks=ranks)
    rng = np.random.default_rng(0)
    classes = net.shape(net.L)[0]
    trainer.step(rng.random((3, *shape), np.float32), np.eye(classes, dtype=np.float32)[[0, 1, 2]])
    assert [4 * n for n in order.gradient_numbers(net, rule).values()] == ranks.groups
    assert sorted(order.synchronous(net, 4)) == sorted(ranks.sums_of)
    assert 4 * sum(piece.numbers for piece in graph.gradients) == sum(ranks.groups)
    assert len(graph.gradients) == len(flat(trainer.params, rule.symbols))


# ---- what waits for what -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "nothing", "passes", "down"), [
    ("bp", "dW_4 db_4", "dW_3 db_3", "dW_1 dW_2 db_1 db_2"),
    ("fa", "dW_4 db_4", "dW_3 db_3", "dW_1 dW_2 db_1 db_2"),
    ("dfa", "dW_4 db_4", "dW_1 dW_2 dW_3 db_1 db_2 db_3", ""),
    ("dtp", "dV_2 dV_3 dW_4 db_4 dc_2 dc_3", "dW_3 db_3", "dW_1 dW_2 db_1 db_2"),
    ("weight-mirror", "dB_2 dB_3 dB_4 dW_4 db_4", "dW_3 db_3", "dW_1 dW_2 db_1 db_2"),
])
def test_what_gradients_wait_for(name, nothing, passes, down):
    graph = made(name)[-1]
    found = {what: set() for what in order.WAITS}
    for piece in graph.gradients:
        found[graph.waits_for(piece.name)].add(piece.name)
    assert found == dict(zip(order.WAITS, (set(w.split()) for w in (nothing, passes, down)),
                             strict=True))


def test_work_is_counted_in_products():
    """BP: L forward, L - 1 down, L outer; DTP on dense layers as Algorithm 1 has them."""
    net, *_, graph = made("bp")
    one = {l: m.multiply_adds for l, m in net.map.items()}
    assert graph.work == 3 * sum(one.values()) - one[1]
    net, *_, graph = made("dtp", "dense 5, dense 6, dense 7, softmax 3")
    one = {l: m.multiply_adds for l, m in net.map.items()}
    targets, inverses = 2 * (one[2] + one[3]), 3 * (one[2] + one[3])
    assert graph.work == 2 * sum(one.values()) + one[4] + targets + inverses
    # Kolen-Pollack's dB_l is dW_l's own product
    assert made("kolen-pollack")[-1].work == made("fa")[-1].work


@pytest.mark.parametrize("name", NAMES)
def test_every_order_is_one(name):
    """Each gradient once, its work done by then."""
    graph = made(name)[-1]
    for sent in (graph.best, graph.written):
        shares = [share for share, _ in sent]
        assert shares == sorted(shares) and shares[-1] <= 1 + 1e-12
        assert sorted(n for _, n in sent) == sorted(p.numbers for p in graph.gradients)
        for share, n in sent:  # no earlier than by its own equations alone
            least = min(sum(graph.pieces[b].work for b in graph.before[p.name])
                        for p in graph.gradients if p.numbers == n)
            assert share >= least / graph.work - 1e-12
    behind = [sum(n * (1 - share) for share, n in sent) for sent in (graph.best, graph.written)]
    assert behind[0] >= behind[1] * (1 - 1e-12)


def test_the_best_order_is_about_the_best():
    """On a small graph, beside every order: within 2 % of the best of all."""
    graph = made("dtp", "dense 9, dense 4, softmax 3", (3, 3, 1))[-1]
    best = 0
    for names in itertools.permutations([p.name for p in graph.gradients]):
        done, value = set(), 0
        for name in names:
            done |= graph.before[name]
            share = sum(graph.pieces[b].work for b in done) / graph.work
            value += (1 - share) * graph.pieces[name].numbers
        best = max(best, value)
    assert sum(n * (1 - share) for share, n in graph.best) >= 0.98 * best


# ---- a step on P machines ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def load():
    return scaling.load_of("mnist-fc", "dtp")


MACHINE = step.Machine(1e-3, 5e-3, 1e-9)


def test_a_step_by_hand(load):
    P, rows = 4, 10
    found = step.times(load, MACHINE, P, rows, ALPHA, BETA)
    sums = sum(allreduce.seconds(n, P, ALPHA, BETA) for n in load.groups.values())
    assert found["step"] == pytest.approx(0.01 + 5e-3 + 1e-9 * load.bytes + sums, rel=1e-12)
    assert found["shared"] == pytest.approx(found["step"] - 5e-3 * 3 / 4, rel=1e-12)
    assert found["compute"] + found["communication"] == pytest.approx(found["step"])
    least = max(0.01, allreduce.seconds(load.bytes, P, 0, BETA)) + 5e-3 + 1e-9 * load.bytes
    assert least <= found["overlapped"] <= found["step"]


def test_messages_go_one_after_another():
    sent = [(0.25, 100), (0.25, 50), (0.5, 400), (1.0, 10)]
    assert step.last_message(sent, 8.0, 1, lambda n: n / 100) == pytest.approx(8.1)
    assert step.last_message(sent, 8.0, 1, lambda n: n / 10) == pytest.approx(2 + 15 + 40 + 1)


@pytest.mark.parametrize("strong", [True, False])
def test_efficiency(load, strong):
    """1 on one machine; without any cost of messages what is left is the update and the rows."""
    rows = step.curve(load, MACHINE, 100, ALPHA, BETA, strong)
    assert rows[0]["efficiency"] == 1 and [r["machines"] for r in rows] == [
        P for P in step.MACHINES if P <= 100 or not strong]
    free = step.curve(load, step.Machine(1e-3, 5e-3), 100, 0.0, float("inf"), strong)
    for row in free:
        P = row["machines"]
        alone = 100e-3 + 5e-3
        step_time = (ceil(100 / P) if strong else 100) * 1e-3 + 5e-3
        assert row["efficiency"] == pytest.approx(alone / (P * step_time if strong else step_time))
    assert step.pays_until(rows) == max(
        P for i, P in enumerate(step.MACHINES[:len(rows)])
        if all(r["efficiency"] >= 0.5 for r in rows[:i + 1]))


# ---- the command ---------------------------------------------------------------------------------


@pytest.mark.slow  # .ci/run runs it
def test_the_command(command, here):
    result = command("runs.scaling.__main__", "--arch", "mnist-fc,resnet18", "--rule", "bp,dtp",
                     "--gbps", "10,400", "--seconds", "1e-4,2e-3")
    assert result.status == 0, result
    assert "dtp on resnet18 is left out: layer 1" in result.err
    with open(OUT / "scaling.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(r["network"], r["rule"]) for r in rows} == {
        ("mnist-fc", "bp"), ("mnist-fc", "dtp"), ("resnet18", "bp")}
    loads = {pair: scaling.load_of(*pair) for pair in {(r["network"], r["rule"]) for r in rows}}
    for r in rows:
        found = step.times(loads[r["network"], r["rule"]], step.Machine(1e-4, 2e-3, 0.3e-9),
                           int(r["machines"]),
                           ceil(int(r["batch"]) / int(r["machines"])) if r["scaling"] == "strong"
                           else int(r["batch"]), 5e-6, float(r["gbps"]) * 1e9 / 8)
        assert float(r["step"]) == pytest.approx(found["step"], rel=1e-12)
        assert int(r["bytes"]) == loads[r["network"], r["rule"]].bytes
    about = json.loads((OUT / "scaling.json").read_text())
    assert about["machines"]["mnist-fc bp"] == {"example": 1e-4, "update": 2e-3,
                                                 "host": pytest.approx(3e-10)}
    assert command("runs.scaling.__main__", "--arch", "mnist-fc", "--rule", "bp", "--out", "other",
                   "--machines", OUT / "scaling.json", "--gbps", "10").status == 0
    assert json.loads(Path("other/scaling.json").read_text())["machines"] == {
        "mnist-fc bp": about["machines"]["mnist-fc bp"]}
    if "matplotlib" in sys.modules:
        assert (OUT / "scaling.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.slow  # .ci/run runs it
def test_it_measures(command, here):
    """The two numbers of this machine, in a plausible range."""
    line = ("--arch", "mnist-fc", "--rule", "bp", "--gbps", "10", "--measure", "2,300")
    assert command("runs.scaling.__main__", *line).status == 0
    machine = json.loads((OUT / "scaling.json").read_text())["machines"]["mnist-fc bp"]
    assert 1e-7 < machine["example"] < 1e-2 and 1e-5 < machine["update"] < 1


@pytest.mark.parametrize(("line", "names"), [
    (["--arch", "nosuch"], ["--arch nosuch", "mnist-fc"]),
    (["--rule", "nosuch"], ["--rule nosuch", "bp"]),
    (["--rule", "segregated-dendrites"], ["segregated-dendrites"]),
    (["--seconds", "1"], ["--seconds"]), (["--measure", "8,2"], ["--measure"]),
    (["--gbps", "0"], ["--gbps"]),
    (["--machines", "nothere"], ["--machines nothere"]),
    (["--arch", "resnet18", "--rule", "tp"], ["tp on resnet18"])])
def test_bad_input(command, here, line, names):
    result = command("runs.scaling.__main__", *line)
    assert result.status == 2 and "Traceback" not in result.err
    assert all(name in result.err for name in names)
    assert not any(here.iterdir())


def test_a_rule_that_can_not_train_the_network():
    with pytest.raises(UserError, match="no inverse"):
        scaling.load_of("resnet18", "sdtp")


@pytest.mark.slow  # .ci/run runs it
def test_what_is_recorded_is_made_again(command, here):
    """From the machines that are recorded, the same tables."""
    recorded = Path(__file__).resolve().parents[1] / "runs" / "results" / "scaling"
    assert command("runs.scaling.__main__", "--machines", recorded / "scaling.json",
                   "--rule", "bp,dtp").status == 0
    for name in ("scaling.csv", "scaling_summary.csv"):
        assert (OUT / name).read_bytes() == (recorded / name).read_bytes()
