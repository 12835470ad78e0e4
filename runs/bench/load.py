"""How busy the machine is with other work: a time that was measured beside some means nothing.

Counted is what all processors did (Linux: /proc/stat), less what this process did. A virtual
machine's processors also count as taken while their host gives them to somebody else.
"""

import os
import time

from ref.common.command import UserError, tell

MOST = 0.25  # of one core, that others may take
LOOK = 0.5  # seconds
CPU = "/proc/stat"


class Busy(UserError):
    """Others take too much of the machine."""

    def __init__(self, others):
        self.others = others
        super().__init__(
            f"the machine is busy: other processes take {others:.2f} of its {os.cpu_count()} "
            "cores, and no time measured so means anything: stop them, or give --busy to go on "
            "all the same")

    def __reduce__(self):  # it comes from another process (alone.py)
        return Busy, (self.others,)


class Watch:
    """From now on: what others take."""

    def __init__(self):
        self.start = _state()

    def others(self):
        """Cores that others took, on average, since it began; None where that can't be told."""
        end = _state()
        if end is None or self.start is None:
            return None
        elapsed, busy, own = (b - a for a, b in zip(self.start, end, strict=True))
        return max(0.0, (busy - own) / elapsed)


def look():
    """Cores that others take, over half a second; None where that can't be told."""
    watch = Watch()
    time.sleep(LOOK)
    return watch.others()


def say(busy):
    """Say what others take. Raises Busy where it is too much, unless `busy` is given."""
    others = look()
    if others is not None:
        tell(f"other processes take {others:.2f} of {os.cpu_count()} cores")
    if too_much(others) and not busy:
        raise Busy(others)


def too_much(others):
    """Whether a time that was measured beside them means nothing."""
    return others is not None and others > MOST


def _state():
    """(now, seconds that all processors have worked, seconds that this process has); or None."""
    try:
        with open(CPU) as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):  # another system
        return None
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), busy, time.process_time()
