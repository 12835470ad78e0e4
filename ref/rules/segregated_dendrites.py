"""Segregated dendrites (Guerguiev, Lillicrap & Richards 2017): ref/dendrites has the model.

It is no rule for eq. (1)'s networks: it brings spiking neurons, their forward pass, their initial
weights and a trainer. Here is what can be set about it, with the defaults of NOTES.md's readings.
"""

from ..dendrites import model, trainer
from .rule import Option, Rule

OPTIONS = (
    Option("model", "spikes, or the rates that they stand for", "spikes", ("spikes", "rates")),
    Option("output_lr", "learning rate of the output layer", above=True),
    Option("kernel_steps", "ms that a synapse remembers a spike; 0: for ever, as the paper has it",
           10, whole=True),
    Option("g_a", "conductance between soma and apical dendrite; the paper also has 0.05 and 0.6",
           0.0, high=10),
    Option("feedback_weights", "what carries the output's spikes to the apical dendrites", "random",
           ("random", "symmetric", "noisy-symmetric", "sparse", "sparse-unscaled")),
    Option("lower_feedback", "below the last hidden layer, the feedback is a random matrix of its "
           "own, or the product of one with that above", "own", ("own", "product")),
    Option("fed_back", "whether apical dendrites hear the output's spikes or its rates", "spikes",
           ("spikes", "rates")),
    Option("plateaus", "when they happen: at the end of a phase, or up to 5 ms before it, for each "
           "neuron at random", "end", ("end", "random")),
    Option("initial_range", "of weights and feedback; doubled is that of the authors' code since "
           "May 2017", "paper", ("paper", "doubled")),
    Option("teaching", "how the teaching current enters: in the equation of the membrane, or in "
           "that divided by the leak, as printed", "membrane", ("membrane", "printed")),
    Option("averages", "over a phase from the settling time on, or over its last 20 ms", "settled",
           ("settled", "last-20")),
    Option("readout", "the answer is the output with the largest potential, or rate", "potential",
           ("potential", "rate")),
    Option("phase_ms", "least length of the forward and of the target phase", 50, low=1,
           whole=True),
    Option("settling_ms", "beginning of a phase that averages leave out", 30, whole=True),
    Option("test_ms", "how long a test image is shown", 500, low=1, whole=True),
    Option("phi_max", "largest firing rate, in spikes per ms: 0.2 is 200 Hz", 0.2, high=1,
           above=True),
)
HIDDEN = {"lr": 0.21, "output_lr": 0.21, "batch_size": 1}


def no_step(*args, **options):
    """A batch of eq. (1)'s network is nothing that dendrites could take a step on."""
    raise NotImplementedError("segregated dendrites have a trainer of their own")


RULE = Rule(
    no_step, lambda net, setting, phase: (), model.build, options=OPTIONS, defaults=HIDDEN,
    sgd_defaults=HIDDEN, optimizers=("sgd",), trainer=trainer.Trainer,
    initial=trainer.first_parameters,
    of_networks={  # the paper's, found on its test set; any other network has those of HIDDEN
        "softmax 10": {"lr": 0.19, "output_lr": 0.19},
        "dense 500, dense 100, softmax 10": {"lr": 0.23, "output_lr": 0.12},
    },
)
