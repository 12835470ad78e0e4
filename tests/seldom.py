"""Parameters of which the suite tries some, and the gate (.ci/run) all."""

import pytest


def slow_but(some, values):
    """pytest.param of each value (or tuple of values), marked slow but for those in `some`."""
    assert set(some) < set(values)
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)),
                         marks=() if v in some else pytest.mark.slow) for v in values]
