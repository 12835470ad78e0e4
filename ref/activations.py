"""Nonlinearities σ and their derivatives.

Each is a pair of functions:

    value(a, out=None)            h = σ(a); `out` may be `a` itself
    times_derivative(h, v)        (dσ/da)ᵀ v, the derivative written through the output h = σ(a)

For the elementwise ones the second is σ'(a) ∘ v. Softmax acts on the last axis.
Arrays: a, h, v (N, ...) of one shape.
"""

from collections.abc import Callable
from typing import NamedTuple

from .backend import get_xp


class Activation(NamedTuple):
    name: str
    value: Callable
    times_derivative: Callable


def _tanh(a, out=None):
    return get_xp(a).tanh(a, out=out)


def _tanh_derivative(h, v):
    # σ'(a) = 1 - tanh²(a); two passes over memory fewer than the formula written in one line
    d = h * h
    get_xp(h).subtract(1, d, out=d)
    d *= v
    return d


def _relu(a, out=None):
    # written with a product so that it holds for complex steps too: σ(a) = a where Re a > 0
    return get_xp(a).multiply(a, a.real > 0, out=out)


def _relu_derivative(h, v):
    return v * (h.real > 0)


def _identity(a, out=None):
    return a


def _identity_derivative(h, v):
    return v


def _softmax(a, out=None):
    xp = get_xp(a)
    # subtracting the largest entry changes nothing and keeps exp from overflowing
    p = xp.exp(a - a.real.max(axis=-1, keepdims=True), out=out)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def _softmax_derivative(h, v):
    # dh_i/da_j = h_i (1[i=j] - h_j), a symmetric matrix
    return h * (v - (h * v).sum(axis=-1, keepdims=True))


tanh = Activation("tanh", _tanh, _tanh_derivative)
relu = Activation("relu", _relu, _relu_derivative)
identity = Activation("identity", _identity, _identity_derivative)
softmax = Activation("softmax", _softmax, _softmax_derivative)

BY_NAME = {act.name: act for act in (tanh, relu, identity, softmax)}
