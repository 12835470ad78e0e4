"""What the field does differently, as named options, and presets that follow one source.

    option         values                             what it settles
    first_target   hidden, hidden-mean, output-mean   where DTP's first target is (rules/dtp.py)
    inverse_loss   de-noising, noise-preserving       what is reconstructed (rules/inverses.py)
    output         probabilities, logits              what h_L is to the inverses
    reduction      sum, mean                          of local losses, over units
    order          targets-first, inverse-first       within a step of the parallel schedule

`targets-first` is Algorithm 1: targets with the inverses as they stand before the step;
`inverse-first` trains the inverses on the batch, then computes targets with the trained ones.
NOTES.md has the table of who uses which.
"""

# bartunov2018 leaves first_target and inverse_loss to each rule's own default (section 5.1).
PRESETS = {
    "bartunov2018": {"output": "probabilities", "reduction": "sum", "order": "targets-first"},
    "lee2015": {
        "first_target": "hidden-mean",
        "inverse_loss": "noise-preserving",
        "output": "probabilities",
        "reduction": "sum",
        "order": "targets-first",
    },
    "meulemans2020": {
        "first_target": "output-mean",
        "inverse_loss": "noise-preserving",
        "output": "logits",
        "reduction": "sum",
        "order": "targets-first",
    },
}
