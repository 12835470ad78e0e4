"""Biologically motivated learning rules in plain array code (Bartunov et al. 2018).

Read in this order: activations, losses, linear/dense, network, rules/bp, rules/fa, rules/dfa,
then the target-propagation family: rules/inverse, rules/tp, rules/dtp, rules/sdtp, rules/ao_sdtp.
DESIGN and symbols: NOTES.md.
"""

__version__ = "0.1.0"
