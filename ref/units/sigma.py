"""A nonlinearity as a part of a unit (ref/activations.py has the functions).

    h = σ(a),    v -> σ'(a) ∘ v

What it keeps is h itself, through which the derivative is written.
"""

from dataclasses import dataclass

from ..activations import Activation


@dataclass(frozen=True)
class Sigma:
    act: Activation

    def value(self, a, theta=None, skip=None, train=True):
        h = self.act.value(a, out=a)
        return h, h

    def pull(self, h, v):
        return self.act.times_derivative(h, v), {}

    def out_shape(self, shape):
        return shape

    @property
    def name(self):
        return self.act.name
