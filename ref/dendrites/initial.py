"""Initial weights (Methods) and the feedback Y.

W and b are uniform, W ~ W̄ + √3 W_sd U(-1, 1), such that the dendrites' potentials have mean V̂ = 3
and standard deviation 3, were the rates below ν V with ν = φ_max / 4, the slope of φ at 0, and V
of the same mean and second moment M2 = V̂² + 3², independent of W. With N inputs:

    b̂ + N ν W̄ V̂ = V̂
    b̂² + 2 N ν b̂ W̄ V̂ + ν² (N ⟨W²⟩ M2 + (N² - N) W̄² V̂²) = M2
"""

from math import sqrt

V_MEAN, V_SD = 3.0, 3.0
B_MEAN, B_SD = 0.8, 0.001
NOISE = 0.05  # standard deviation of what is added to a symmetric Y
LEFT = 0.2  # of a sparse Y


def moments(N, phi_max):
    """(W̄, W_sd) for N inputs."""
    nu, M2 = phi_max / 4, V_MEAN**2 + V_SD**2
    mean = (V_MEAN - B_MEAN) / (nu * N * V_MEAN)
    square = (M2 + nu**2 * (N - N * N) * mean**2 * V_MEAN**2
              - 2 * N * nu * B_MEAN * V_MEAN * mean - B_MEAN**2) / (N * nu**2 * M2)
    return mean, sqrt(square - mean**2)


def weights(rng, n, N, phi_max, dtype, spread=1.0):
    """(W (n, N), b (n,)). spread 2 is the range of the authors' code since May 2017."""
    mean, sd = moments(N, phi_max)
    W = mean + spread * sqrt(3) * sd * rng.uniform(-1, 1, (n, N))
    b = B_MEAN + spread * sqrt(3) * B_SD * rng.uniform(-1, 1, n)
    return W.astype(dtype), b.astype(dtype)


def feedback(rng, sizes, phi_max, dtype, how="random", lower="own"):
    """{l: Y_l (n_l, n_L)} for l = 1..L-1. sizes  [n_0, ..., n_L]

    how    "random": zero mean, standard deviation W_sd(n_l); "sparse": 80 % of it set to 0 and the
           rest times 5; "sparse-unscaled": not times 5; others as "random", till `follow` is called
    lower  below the last hidden layer Y_l is a draw of its "own", or, in "product", a random
           matrix (n_l, n_{l+1}) times Y_{l+1}
    """
    L = len(sizes) - 1
    Y = {}
    for l in range(L - 1, 0, -1):
        into = sizes[l + 1] if lower == "product" else sizes[L]
        half = sqrt(3) * moments(sizes[l], phi_max)[1]
        Y[l] = rng.uniform(-half, half, (sizes[l], into))
        if lower == "product" and l < L - 1:
            Y[l] = Y[l] @ Y[l + 1]
    for l in sorted(Y) if how.startswith("sparse") else ():
        zero = rng.permutation(Y[l].size)[:round((1 - LEFT) * Y[l].size)]
        Y[l].flat[zero] = 0
        Y[l] *= 1 if how == "sparse-unscaled" else 5
    return {l: array.astype(dtype) for l, array in sorted(Y.items())}


def follow(params, rng=None):
    """Set Y to what W says, in place: Y_l = W_{l+1}ᵀ Y_{l+1}, the last W_Lᵀ itself.

    rng  adds N(0, NOISE²) to each, drawn anew
    """
    W, Y = params["W"], params["B"]
    above = None
    for l in sorted(Y, reverse=True):
        above = W[l + 1].T if above is None else W[l + 1].T @ above
        Y[l][...] = above
        if rng is not None:
            Y[l] += rng.normal(0, NOISE, Y[l].shape)
