"""Segregated dendrites: spiking neurons of three compartments that learn with local updates.

Guerguiev, Lillicrap & Richards 2017, "Towards deep learning with segregated dendrites", eLife
6:e22901; numbers of equations are that paper's. In the order of reading:

    constants.py      Table 1, in ms and spikes per ms
    kernel.py         filtered spike trains                               (11, 12)
    compartments.py   dendrites, soma, teaching current                   (1-4, 13-20)
    spikes.py         Poisson spikes, given spikes, or rates in their place
    steps.py          a phase as a loop over time steps: the one to read, and for g_a > 0
    whole.py          a phase as a few matrix products: the same numbers for g_a = 0
    learning.py       plateaus, targets, losses, updates                  (5-9, 21-35)
    example.py        an image: forward phase, target phase, gradients
    rate.py           the same without spikes
    initial.py        initial weights and feedback
    measures.py       angles to backpropagation, Theorem 1's μ, rates
    model.py          a model from a setting; what stands in for eq. (1)
    trainer.py        training

Layers are counted as everywhere here, l = 1..L with the input 0 (the paper's hidden layer 0 is our
1). Parameters are W[l] (n_l, n_{l-1}) and b[l] for all l, and B[l] (n_l, n_L), the paper's Y, for
l < L. Everything is pure; spikes come in from a source (spikes.py).
"""
