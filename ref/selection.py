"""The best epoch, picked on the validation part, and when to stop: nothing is picked on the test
part.

    best epoch       the first one with the lowest validation error
    early stopping   after `patience` epochs without a lower one (Prechelt 1998)
"""

ERROR = "validation_error"


def best(rows):
    """The row of the best epoch; None where there is no validation part, or no row yet."""
    return min((row for row in rows if ERROR in row), key=lambda row: row[ERROR], default=None)


def is_best(rows):
    """Whether the newest epoch is the best so far."""
    return bool(rows) and rows[-1] is best(rows)


def exhausted(rows, patience):
    """Whether the last `patience` epochs were in vain; never where patience is None."""
    found = best(rows)
    return bool(found and patience) and rows[-1]["epoch"] - found["epoch"] >= patience
