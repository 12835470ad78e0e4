"""Initial weights and biases, by name: what each reference begins with.

    glorot       W uniform in ±√(6 / (fan_in + fan_out)), b = 0 (Glorot & Bengio 2010, eq. (16);
                 this paper, and BioTorch's networks)
    fan-in       W and b uniform in ±1 / √fan_in (PyTorch's own; AlexNet)
    he-fan-out   convolutions N(0, 2 / fan_out), fan_out = kh kw C_out (He et al. 2015);
                 the dense layer as fan-in (ResNet-18)

    unit         W uniform in ±1: magnitudes for sign-symmetry alone (rules/scales.py)
    normal       N(0, 2 / (fan_in + fan_out)), glorot's deviation: feedback alone (rules/fa.py)

fan_in of a convolution is kh kw C_in. γ begins at 1, β at 0, the running statistics at 0 and 1.
"""

from math import sqrt


def glorot(rng, linear_map, dtype):
    """Weights of Glorot & Bengio 2010, eq. (16): uniform in ±√(6 / (fan_in + fan_out))."""
    limit = sqrt(6 / (linear_map.fan_in + linear_map.fan_out))
    return rng.uniform(-limit, limit, linear_map.weight_shape).astype(dtype)


def fan_in(rng, linear_map, dtype):
    limit = 1 / sqrt(linear_map.fan_in)
    return rng.uniform(-limit, limit, linear_map.weight_shape).astype(dtype)


def he_fan_out(rng, linear_map, dtype):
    if linear_map.kind == "dense":
        return fan_in(rng, linear_map, dtype)
    size = linear_map.weight_shape
    return (sqrt(2 / linear_map.fan_out) * rng.standard_normal(size)).astype(dtype)


def unit(rng, linear_map, dtype):
    return rng.uniform(-1, 1, linear_map.weight_shape).astype(dtype)


def normal(rng, linear_map, dtype):
    deviation = sqrt(2 / (linear_map.fan_in + linear_map.fan_out))
    return (deviation * rng.standard_normal(linear_map.weight_shape)).astype(dtype)


def fan_in_bias(rng, linear_map, dtype):
    """b in the same limits as W."""
    limit = 1 / sqrt(linear_map.fan_in)
    return rng.uniform(-limit, limit, linear_map.bias_shape).astype(dtype)


WEIGHTS = {"glorot": glorot, "fan-in": fan_in, "he-fan-out": he_fan_out, "unit": unit,
           "normal": normal}
BIASES = {"fan-in": fan_in_bias, "he-fan-out": fan_in_bias}  # 0 with the others
