"""The time of a data-parallel step on P machines.

A machine takes c seconds for each example of its rows and U for what does not depend on them (the
optimiser's update, which every machine makes of all parameters). To sum gradients of n bytes it
packs, adds and unpacks them in h seconds a byte. A sum over P machines takes A(n) seconds
(allreduce.py), and those that batch norm waits for S in all (order.synchronous). With r rows:

    T(1) = r c + U
    T(P) = r c + S + h n + Σ A(n_group) + U          what ref.train does: all sums after all work
    T(P) = max(r c + S, last message) + h n + U      overlapped: each gradient's message leaves when
                                                     that gradient is there, one after another
    T(P) = r c + S + h n + Σ A(n_group) + U / P      shared: each machine updates a P-th of the
                                                     parameters; the sum is then half before, half
                                                     after the update (Rajbhandari et al. 2020)

The overlapped time is the best of three orders: the one with most work behind the bytes (order.py),
that of the equations, one message at the end. A network that sends while the machine computes is
taken to cost the machine nothing. Scaling is

    strong    the batch B is fixed, r = ⌈B / P⌉      efficiency T(1) / (P T(P))
    weak      r is fixed                             efficiency T(1) / T(P)
"""

from dataclasses import dataclass, replace
from math import ceil

from . import allreduce

MACHINES = tuple(2**k for k in range(11))  # 1 to 1024
HELP = ("overlapped", "shared")  # what would help
LEAST = 0.5  # efficiency below which it no longer pays


@dataclass(frozen=True)
class Machine:
    """c and U in seconds; h in seconds a byte."""

    example: float
    update: float
    host: float = 0.0

    def faster(self, times):
        """One that does everything in a fraction of the time."""
        return replace(self, example=self.example / times, update=self.update / times,
                       host=self.host / times)


@dataclass(frozen=True)
class Load:
    """What a step sends: {group: bytes}, the bytes of every sum of batch norm, and the graph with
    bytes a number."""

    groups: dict
    norms: list
    graph: object
    itemsize: int = 4

    @property
    def bytes(self):
        return sum(self.groups.values())


def times(load, machine, P, rows, alpha, beta):
    """{"compute": r c + U, "communication": of ref.train, "step", "overlapped",
    "shared"} in seconds."""
    work = rows * machine.example
    compute = work + machine.update
    if P == 1:
        return {"compute": compute, "communication": 0.0, "step": compute, "overlapped": compute,
                "shared": compute}

    def cost(n):
        return allreduce.seconds(n, P, alpha, beta)

    norms, host = sum(map(cost, load.norms)), machine.host * load.bytes
    sums = sum(map(cost, load.groups.values()))
    ends = [last_message(sent, work, load.itemsize, cost)
            for sent in (load.graph.best, load.graph.written)]
    end = min(*ends, work + cost(load.bytes))
    return {"compute": compute, "communication": norms + host + sums,
            "step": compute + norms + host + sums,
            "overlapped": norms + max(work, end) + host + machine.update,
            "shared": work + norms + host + sums + machine.update / P}


def last_message(sent, work, itemsize, cost):
    """When the last message has come: one after another, each not before its gradients are there.
    Gradients that are there at the same time go together."""
    together = {}
    for share, numbers in sent:
        together[share] = together.get(share, 0) + numbers
    end = 0.0
    for share, numbers in together.items():
        end = max(end, share * work) + cost(numbers * itemsize)
    return end


def curve(load, machine, batch, alpha, beta, strong):
    """A row for each number of machines: times and efficiencies. batch: of all machines
    (strong), or of each (weak). No more machines than rows in the batch."""
    rows = []
    for P in MACHINES:
        if strong and batch < P:
            break
        found = times(load, machine, P, ceil(batch / P) if strong else batch, alpha, beta)
        alone = rows[0]["step"] if rows else found["step"]
        ideal = alone / P if strong else alone
        rows.append({"machines": P, **found, "efficiency": ideal / found["step"]}
                    | {f"efficiency_{key}": ideal / found[key] for key in HELP})
    return rows


def pays_until(rows, key="efficiency"):
    """The most machines up to which every efficiency is at least LEAST."""
    most = 1
    for row in rows:
        if row[key] < LEAST:
            break
        most = row["machines"]
    return most


def fastest(rows, key="step"):
    """The row of least time."""
    return min(rows, key=lambda row: row[key])
