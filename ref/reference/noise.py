"""Whether the noise in a file has the size that its sigma says."""

from math import sqrt

import numpy as np

UNLIKELY = 5  # standard deviations: once in 1.7 million right files


def unlike_sigma(content):
    """Sentences about the noise of a file, N(0, σ²) by Algorithm 1, whose size is another.

    Nothing is said where the file's config does not give sigma. All noise together is held
    against it, then that of each layer over all steps.
    """
    if "sigma" not in content.given:
        return []
    layers = {}
    for q in content.quantities:
        if q.stem[0] == "eps" and q.name in content.arrays:
            values = content.arrays[q.name].astype(np.float64).ravel()
            layers.setdefault(f"eps_{q.stem[1]}", []).append(values)
    layers = {name: np.concatenate(found) for name, found in layers.items()}
    if not layers:
        return []
    sigma = content.setting["sigma"]
    everything = np.concatenate(list(layers.values()))
    if _differs(everything, sigma):
        return [_sentence("the noise eps", everything, sigma)]
    return [_sentence(name, eps, sigma) for name, eps in sorted(layers.items())
            if _differs(eps, sigma)]


def _size(eps):
    return sqrt(float(np.mean(eps * eps))) if eps.size else 0.0


def _differs(eps, sigma):
    """Whether the mean square of n normal numbers would hardly ever be so far from σ²."""
    if not sigma or not eps.size:
        return bool(eps.any())
    # Wilson & Hilferty 1931: the cube root of χ²/n is nearly normal, mean 1 - 2/(9n), this variance
    variance = 2 / (9 * eps.size)
    return abs((_size(eps) / sigma) ** (2 / 3) - (1 - variance)) > UNLIKELY * sqrt(variance)


def _sentence(name, eps, sigma):
    return (f"noise of another size: {name} has root mean square {_size(eps):.4g} over {eps.size} "
            f"numbers, config says sigma {sigma:g}")
