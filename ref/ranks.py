"""Several processes that train one network, each on its rows of every batch (data-parallel).

    ranks.rows(N)        the rows of a batch of N that are this rank's
    ranks.average(...)   gradients of the whole batch from those of each rank's rows
    ranks.total(...)     sums over the ranks, of a few numbers
    ranks.agree(k)       the largest k that any rank has: who asks to stop, asks all
    ranks.together(f)    f() on all; where one fails, all end, and one of them says why

ALONE is one process, where each of these is what it is without ranks. ref/mpi.py makes those of an
MPI job. Every rank holds the whole network and makes the same update from the same sums, so the
parameters are the same everywhere, bit for bit.
"""

import time
import traceback

import numpy as np

from .backend import get_xp, to_host
from .common.command import UserError, one_line

LARGE = 1 << 16  # numbers of an array whose sum takes much longer than its latency


class Elsewhere(Exception):
    """Another rank has failed, and says so; `status` is the exit status of all."""

    def __init__(self, status):
        super().__init__()
        self.status = status


class Alone:
    """One process."""

    rank, size, local_rank = 0, 1, None
    who = ""  # before the text of an error
    counts = True  # whether this rank has rows of the batch that is trained on

    def rows(self, N):
        return slice(0, N)

    def average(self, grads, n, N):
        pass

    def total(self, numbers):
        return numbers

    def sums(self, array):
        return array

    def agree(self, number):
        return number

    def share(self, value):
        return value

    def together(self, work):
        return work()

    def abort(self, status):
        pass

    def lost_touch(self, error):
        return False

    def fail(self):
        pass


ALONE = Alone()


class Ranks:
    """The processes of an MPI communicator.

    MPI         the module mpi4py.MPI;  comm  the communicator
    local_rank  number of this rank among those on its machine
    """

    def __init__(self, MPI, comm, local_rank=0):
        self.MPI, self.comm, self.local_rank = MPI, comm, local_rank
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.counts = True
        self.who = f"rank {self.rank} of {self.size}: "
        self.buffer = {}  # {dtype: flat array}, kept from step to step

    def rows(self, N):
        """The slice of N rows that is this rank's: as equal as can be, empty where N is too small.
        """
        return slice(N * self.rank // self.size, N * (self.rank + 1) // self.size)

    def average(self, grads, n, N):
        """Put the mean over all N rows in the place of each mean over this rank's n rows.

        grads  {name: array}, of one dtype, with the same names and shapes on every rank. On the
               host the arrays themselves are changed, or their entries replaced by views of the
               buffer, until the next call

        The mean is Σ_r (n_r / N) grads_r. A sum has a latency, so small arrays go together in one
        flat buffer; large ones are summed where they lie, which saves a copy of each.
        """
        share, small = n / N, {}
        for name, array in grads.items():
            place = to_host(array)
            if place.size < LARGE:
                small[name] = place
                continue
            if not (place.flags.c_contiguous and place.flags.writeable):
                place = place.copy(order="C")
            place *= share
            self.comm.Allreduce(self.MPI.IN_PLACE, place)
            grads[name] = get_xp(array).asarray(place)  # no copy back on the host
        if not small:
            return
        start, buffer = 0, self._buffer(small)
        for name, array in small.items():
            place = small[name] = buffer[start : start + array.size].reshape(array.shape)
            np.multiply(array, share, out=place)
            start += array.size
        self.comm.Allreduce(self.MPI.IN_PLACE, buffer)
        for name, place in small.items():
            grads[name] = get_xp(grads[name]).asarray(place)

    def _buffer(self, arrays):
        """Flat memory for all of {name: array} of one dtype, kept from step to step."""
        size = sum(array.size for array in arrays.values())
        dtype = next(iter(arrays.values())).dtype
        if dtype not in self.buffer or self.buffer[dtype].size < size:
            self.buffer[dtype] = np.empty(size, dtype)
        return self.buffer[dtype][:size]

    def sums(self, array):
        """The sum of one array, a new one, over the ranks that have rows of the batch."""
        host = np.ascontiguousarray(to_host(array))
        if not self.counts:
            host = np.zeros_like(host)
        found = np.empty_like(host)
        self.comm.Allreduce(host, found)
        return get_xp(array).asarray(found)

    def total(self, numbers):
        """{name: number} summed over the ranks, in float64; the names are the same on all."""
        if not numbers:
            return {}
        found = np.array([float(number) for number in numbers.values()])
        self.comm.Allreduce(self.MPI.IN_PLACE, found)
        return dict(zip(numbers, found.tolist(), strict=True))

    def agree(self, number):
        """The largest integer that any rank gives."""
        found = np.array(number, np.int64)
        self.comm.Allreduce(self.MPI.IN_PLACE, found, self.MPI.MAX)
        return int(found)

    def share(self, value):
        """What rank 0 gives, on every rank."""
        return self.comm.bcast(value, root=0)

    def together(self, work):
        """work() on every rank, and what it returns; where it fails on any, it fails on all.

        The lowest rank that failed raises what it raised, with its number if others did not fail;
        all others raise Elsewhere.
        """
        result = problem = None
        try:
            result = work()
        except (UserError, OSError, MemoryError) as error:
            problem = error
        statuses = self.comm.allgather(problem and getattr(problem, "status", 2))
        failed = [rank for rank, status in enumerate(statuses) if status]
        if not failed:
            return result
        if self.rank != failed[0]:
            raise Elsewhere(statuses[failed[0]])
        if len(failed) < self.size and self.rank:
            raise UserError(self.who + one_line(problem)) from None
        raise problem

    def lost_touch(self, error):
        """Whether it says that a message to another rank failed: one is gone, most likely. Whoever
        saw it go (watched.py) has time to say so first, and to end us."""
        if not isinstance(error, self.MPI.Exception):
            return False
        time.sleep(2)
        return True

    def abort(self, status):
        """End every rank at once, after a line that says why."""
        time.sleep(0.5)  # mpiexec must have read the line: it drops what comes with the end
        self.comm.Abort(status)

    def fail(self):
        """End every rank at once, with the traceback of an error in the program."""
        traceback.print_exc()
        self.abort(1)
