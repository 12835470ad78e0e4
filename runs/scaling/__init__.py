"""How a data-parallel step scales over machines, on paper: python -m runs.scaling

    allreduce.py    what a sum over P machines costs
    order.py        a rule's equations as work, and when each gradient can be sent
    step.py         the time of a step on P machines
    measured.py     the two numbers of compute, and the ranks of this machine beside the model
    figure.py       the picture

runs/scaling.md says what comes out.
"""
