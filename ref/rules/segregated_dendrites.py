"""Segregated dendrites (Guerguiev, Lillicrap & Richards 2017): ref/dendrites has the model.

It is no rule for eq. (1)'s networks: it brings spiking neurons, their forward pass, their initial
weights and a trainer. Here is what can be set about it, with the defaults of NOTES.md's readings.
"""

from math import prod

from ..dendrites import model, recompute, trainer
from .rule import Equation, Option, Rule

OPTIONS = (
    Option("model", "spikes, or the rates that they stand for", "spikes", ("spikes", "rates")),
    Option("output_lr", "learning rate of the output layer", above=True),
    Option("kernel_steps", "ms that a synapse remembers a spike; 0: for ever, as the paper has it",
           10, whole=True),
    Option("g_a", "conductance between soma and apical dendrite; the paper also has 0.05 and 0.6",
           0.0, high=10),
    Option("feedback_weights", "what carries the output's spikes to the apical dendrites", "random",
           ("random", "symmetric", "noisy-symmetric", "sparse", "sparse-unscaled")),
    Option("lower_feedback", "below the last hidden layer, the feedback is the product of a random "
           "matrix with that above, or a matrix of its own", "product", ("product", "own")),
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


def equations(net, setting, phase):
    """What an image holds, in order of computation; T steps of both phases, T1 of the first.

    n_l, y, T1 are given. s_l, V_b_l, V_a_l, V_l, phi_l are (T, n_l), all else is of a phase.
    """
    L = net.L
    size = {l: int(prod(net.shape(l))) for l in range(L + 1)}

    def series(name, formula, inputs, l, given=False):
        return Equation(name, formula, inputs, (size[l],), "ms, units", True, given)

    def vector(name, formula, inputs, l, given=False):
        return Equation(name, formula, inputs, (size[l],), "units", False, given)

    for l in range(L + 1):
        yield series(f"n_{l}", f"spikes of layer {l}, counts of each step", (), l, given=True)
    yield vector("y", "the class, one-hot", (), L, given=True)
    yield Equation("T1", "steps of the forward phase", (), (), "", False, True)
    for l in range(L + 1):
        yield series(f"s_{l}", f"s_{l} = Σ_k κ(t - t_k)  (11)", (f"n_{l}",), l)
    for l in range(1, L + 1):
        yield series(f"V_b_{l}", f"V_b_{l} = W_{l} s_{l - 1} + b_{l}  (13, 18)",
                     (f"W_{l}", f"s_{l - 1}", f"b_{l}"), l)
    yield series(f"V_{L}", "the output's soma; the teaching current from T1 on  (19, 20)",
                 (f"V_b_{L}", "y", "T1"), L)
    yield series(f"phi_{L}", f"φ_{L} = φ_max σ(V_{L})  (17)", (f"V_{L}",), L)
    sent = f"s_{L}" if setting["fed_back"] == "spikes" else f"phi_{L}"
    for l in range(1, L):
        yield series(f"V_a_{l}", f"V_a_{l} = B_{l} {sent} of the step before  (13)",
                     (f"B_{l}", sent), l)
        yield series(f"V_{l}", f"the hidden soma of layer {l}  (14)",
                     (f"V_b_{l}", *((f"V_a_{l}",) if setting["g_a"] else ())), l)
        yield series(f"phi_{l}", f"φ_{l} = φ_max σ(V_{l})  (17)", (f"V_{l}",), l)
    for l in range(L):
        yield vector(f"s_mean_{l}", f"average of s_{l}, forward phase  (22)", (f"s_{l}", "T1"), l)
    for l in range(1, L + 1):
        yield vector(f"V_mean_{l}", f"average of V_{l}, forward phase  (22)", (f"V_{l}", "T1"), l)
    for l in range(1, L):
        for p, words in (("f", "forward"), ("t", "target")):
            yield vector(f"alpha_{p}_{l}", f"σ of the average of V_a_{l}, {words} phase  (21)",
                         (f"V_a_{l}", "T1"), l)
    yield vector("phi_target", f"average of φ_{L}, target phase  (6)", (f"phi_{L}", "T1"), L)
    for l in range(1, L + 1):
        goal = ("phi_target",) if l == L else (f"alpha_f_{l}", f"alpha_t_{l}")
        rate = () if l == L else (f"phi_{l}",)
        yield Equation(f"loss_{l}", f"L_{l}  ({23 if l == L else 30})",
                       (*rate, *goal, f"V_mean_{l}"), (), "", False)
        yield vector(f"G_{l}", f"G_{l}  ({28 if l == L else 33})", (*goal, f"V_mean_{l}"), l)
    eta = {l: "η P_0" for l in range(1, L)} | {L: "η_L P_1"}
    for l in range(1, L + 1):
        yield Equation(f"after/W_{l}", f"W_{l} - {eta[l]} G_{l} s_mean_{l - 1}ᵀ  (29, 35)",
                       (f"W_{l}", f"G_{l}", f"s_mean_{l - 1}"))
        yield Equation(f"after/b_{l}", f"b_{l} - {eta[l]} G_{l}  (29, 35)", (f"b_{l}", f"G_{l}"))
    for l in range(L - 1, 0, -1):
        follows = setting["feedback_weights"] == "symmetric"
        above = (f"after/W_{l + 1}", *((f"after/B_{l + 1}",) if l + 1 < L else ()))
        yield Equation(f"after/B_{l}", f"B_{l} follows W" if follows else f"B_{l} is fixed",
                       above if follows else (f"B_{l}",))


RULE = Rule(
    no_step, equations, model.build, options=OPTIONS, defaults=HIDDEN,
    sgd_defaults=HIDDEN, optimizers=("sgd",), trainer=trainer.Trainer,
    initial=trainer.first_parameters, recompute=recompute,
    of_networks={  # the paper's, found on its test set; any other network has those of HIDDEN
        "softmax 10": {"lr": 0.19, "output_lr": 0.19},
        "dense 500, dense 100, softmax 10": {"lr": 0.23, "output_lr": 0.12},
    },
)
