"""A second, slow implementation, written from the paper's formulas and not from ref/.

One example, one connection, one unit at a time. Of ref/ it reads only the description of a
network: the kind and sizes of net.map[l], the names of net.act[l] and net.loss.
"""

from functools import lru_cache
from math import ceil, exp, log, sqrt, tanh

import numpy as np

# ---- linear maps: a map is the list of its connections -------------------------------------------


@lru_cache
def connections(m):
    """Every connection of a linear map: (index of output unit, of input unit, of its weight)."""
    return {"dense": dense, "local": local, "conv": conv}[m.kind](m)


def dense(m):
    """All to all; units of an image are counted in the order of memory (C order)."""
    return [
        (out, into, (i, j))
        for i, out in enumerate(np.ndindex(m.out_shape))
        for j, into in enumerate(np.ndindex(m.in_shape))
    ]


def local(m):
    """Output (i, j, o) sees input (s i + p - above, s j + q - left, c), weight [i, j, o, p, q, c].

    Inputs outside the image are zeros, so they have no connection. Zero padding is TensorFlow's
    SAME: ⌈H / s⌉ rows come out, and as many rows of zeros as that takes are added: half above,
    half below, the odd one below.
    """
    (H, W, C), (kh, kw), s = m.in_shape, m.kernel, m.stride
    rows, columns = ceil(H / s), ceil(W / s)
    above = max((rows - 1) * s + kh - H, 0) // 2
    left = max((columns - 1) * s + kw - W, 0) // 2
    return [
        ((i, j, o), (s * i + p - above, s * j + q - left, c), (i, j, o, p, q, c))
        for i, j, o, p, q, c in np.ndindex(rows, columns, m.channels, kh, kw, C)
        if 0 <= s * i + p - above < H and 0 <= s * j + q - left < W
    ]


def conv(m):
    """The same connections, with one weight for all positions (i, j): [o, p, q, c]."""
    return [(out, into, w[2:]) for out, into, w in local(m)]


def times(m, W, x):
    """W x of one example: in_shape -> out_shape."""
    y = np.zeros(m.out_shape)
    for out, into, w in connections(m):
        y[out] += W[w] * x[into]
    return y


def transposed(m, W, y):
    """Wᵀ y of one example: out_shape -> in_shape."""
    x = np.zeros(m.in_shape)
    for out, into, w in connections(m):
        x[into] += W[w] * y[out]
    return x


def outer(m, x, y):
    """d⟨y, W x⟩/dW of one example: like W."""
    G = np.zeros(m.weight_shape)
    for out, into, w in connections(m):
        G[w] += y[out] * x[into]
    return G


def matrix(m, W):
    """The explicit matrix of the map: (number of outputs, number of inputs)."""
    M = np.zeros((*m.out_shape, *m.in_shape))
    for out, into, w in connections(m):
        M[out + into] += W[w]
    return M.reshape(np.prod(m.out_shape), np.prod(m.in_shape))


def add_bias(a, b):
    """a + b; b has one entry for each unit, or one for each channel (the last axis)."""
    total = np.zeros(a.shape)
    for unit in np.ndindex(a.shape):
        total[unit] = a[unit] + b[bias_of(unit, b)]
    return total


def bias_gradient(delta, b):
    """d⟨δ, a + b⟩/db of one example: like b."""
    G = np.zeros(b.shape)
    for unit in np.ndindex(delta.shape):
        G[bias_of(unit, b)] += delta[unit]
    return G


def bias_of(unit, b):
    return unit[len(unit) - b.ndim:]


# ---- nonlinearities and losses, of one example ---------------------------------------------------


def sigma(name, a):
    """h = σ(a)."""
    if name == "softmax":
        total = sum(exp(v) for v in a)
        return np.array([exp(v) / total for v in a])
    value = {"tanh": tanh, "relu": lambda v: max(v, 0.0), "identity": lambda v: v}[name]
    return np.array([value(v) for v in a.flat]).reshape(a.shape)


def through_sigma(name, a, v):
    """(dh/da)ᵀ v."""
    if name == "softmax":
        h, n = sigma(name, a), len(a)
        return np.array([
            sum(v[i] * h[i] * ((i == j) - h[j]) for i in range(n)) for j in range(n)
        ])
    slope = {
        "tanh": lambda t: 1 - tanh(t) ** 2,
        "relu": lambda t: 1.0 if t > 0 else 0.0,
        "identity": lambda t: 1.0,
    }[name]
    return np.array([slope(t) * w for t, w in zip(a.flat, v.flat, strict=True)]).reshape(a.shape)


def loss(name, h_L, y):
    """L(h_L)."""
    if name == "squared-error":
        return sum((p - q) ** 2 for p, q in zip(h_L.flat, y.flat, strict=True))
    if name == "cross-entropy-logits":
        h_L = sigma("softmax", h_L)
    return -sum(q * log(p) for p, q in zip(h_L, y, strict=True))


def dL_dh(name, h_L, y):
    """dL/dh_L."""
    if name == "squared-error":
        return 2 * (h_L - y)
    if name == "cross-entropy":
        return -y / h_L
    p = sigma("softmax", h_L)
    return through_sigma("softmax", h_L, -y / p)


# ---- the network, eq. (1) ------------------------------------------------------------------------


def activities(net, params, x):
    """({l: h_l}, {l: a_l}) of one example."""
    h, a = {0: x}, {}
    for l in range(1, net.L + 1):
        a[l] = add_bias(times(net.map[l], params["W"][l], h[l - 1]), params["b"][l])
        h[l] = sigma(net.act[l].name, a[l])
    return h, a


def output_error(net, h, a, y):
    """e = dL/da_L of one example."""
    return through_sigma(net.act[net.L].name, a[net.L], dL_dh(net.loss.name, h[net.L], y))


# ---- backpropagation and feedback alignment: δ_l of one example ----------------------------------


def bp_feedback(net, params, l, delta):
    """dL/dh_l: what backpropagation carries down to layer l."""
    return transposed(net.map[l + 1], params["W"][l + 1], delta[l + 1])


def fa_feedback(net, params, l, delta, last_layer="rule", **of_learning):
    """B_{l+1}ᵀ δ_{l+1}."""
    if last_layer == "bp" and l + 1 == net.L:
        return bp_feedback(net, params, l, delta)
    return transposed(net.map[l + 1], params["B"][l + 1], delta[l + 1])


def dfa_feedback(net, params, l, delta, broadcast="units"):
    """B_l e, B_l (n_l, n_L) or (C_l, n_L); or what a map of n_L outputs sends to its inputs."""
    if broadcast == "inputs":
        m = net.maps["B"][l + 1]
        e = np.broadcast_to(delta[net.L].ravel(), m.out_shape)
        return transposed(m, params["B"][l + 1], e)
    if broadcast == "channels":
        return np.broadcast_to(params["B"][l] @ delta[net.L].ravel(), net.shape(l))
    return (params["B"][l] @ delta[net.L].ravel()).reshape(net.shape(l))


SIZES = {
    "biotorch2021": lambda m: sqrt(2 / (m.fan_in + m.fan_out)),
    "biotorch2021-fan-in": lambda m: (1 / sqrt(m.fan_in)) / sqrt(3),
    "xiao2018": lambda m: (1 / sqrt(np.prod(m.in_shape)) if m.kind == "dense" else
                           sqrt(2 / (m.kernel[0] * m.kernel[1] * m.channels))),
    "liao2016": lambda m: 1.0,
}


def sign_symmetry_feedback(net, params, l, delta, magnitude="uniform", scale="biotorch2021",
                           last_layer="rule"):
    """Weights of W_{l+1}'s signs; of one size for the layer, or of B_{l+1}'s sizes."""
    if last_layer == "bp" and l + 1 == net.L:
        return bp_feedback(net, params, l, delta)
    m, W = net.map[l + 1], params["W"][l + 1]
    feedback = np.zeros(W.shape)
    for w in np.ndindex(W.shape):
        size = SIZES[scale](m) if magnitude == "uniform" else abs(params["B"][l + 1][w])
        feedback[w] = size if W[w] > 0 else -size
    return transposed(m, feedback, delta[l + 1])


FEEDBACK = {
    "bp": bp_feedback,
    "fa": fa_feedback,
    "dfa": dfa_feedback,
    "sign-symmetry": sign_symmetry_feedback,
    "kolen-pollack": fa_feedback,
    "weight-mirror": fa_feedback,
}


def feedback_deltas(rule, net, params, a, e, **options):
    """δ_L = e; δ_l = σ'_l ∘ what comes down."""
    delta = {net.L: e}
    for l in reversed(range(1, net.L)):
        dh = FEEDBACK[rule](net, params, l, delta, **options)
        delta[l] = through_sigma(net.act[l].name, a[l], dh)
    return delta


# ---- target propagation: ĥ_l of one example, section 2.1.2 ---------------------------------------


def inverse_layers(rule, L, first_target="hidden"):
    """The l with an inverse g_l: all but the first; DTP needs no g_L, its ĥ_{L-1} uses W_L."""
    return range(2, L if rule == "dtp" and first_target != "output-mean" else L + 1)


def inverse_preactivation(net, params, l, u):
    return add_bias(transposed(net.maps["V"][l], params["V"][l], u), params["c"][l])


def g(net, params, l, u):
    """g_l(u) = σ_{l-1}(V_l u + c_l), V_l laid out like W_l: from the space of h_l to h_{l-1}'s."""
    return sigma(net.act[l - 1].name, inverse_preactivation(net, params, l, u))


def argmin(y):
    """The h_L of least loss: the correct distribution, or the values to regress on."""
    return y


def difference_target(net, params, l, h, h_hat_above, z=()):
    """Eq. (2), or eq. (3) with z not empty: ĥ_l from ĥ_{l+1}."""
    there = g(net, params, l + 1, np.append(h_hat_above, z) if len(z) else h_hat_above)
    back = g(net, params, l + 1, np.append(h[l + 1], z) if len(z) else h[l + 1])
    return h[l] - back + there


def tp_targets(net, params, h, e, y, N):
    h_hat = {net.L: argmin(y)}
    for l in reversed(range(1, net.L)):
        h_hat[l] = g(net, params, l + 1, h_hat[l + 1])
    return h_hat


def dtp_targets(net, params, h, e, y, N, alpha, first_target="hidden"):
    """N, the size of the batch, matters where the first target is set by the mean loss."""
    L = net.L
    dL_dh = transposed(net.map[L], params["W"][L], e)
    if first_target == "hidden":
        h_hat = {L - 1: h[L - 1] - alpha * dL_dh}
    if first_target == "hidden-mean":
        h_hat = {L - 1: h[L - 1] - alpha * dL_dh / N}
    if first_target == "output-mean":
        h_hat = {L: h[L] - alpha * e / N}
    for l in reversed(range(1, min(h_hat))):
        h_hat[l] = difference_target(net, params, l, h, h_hat[l + 1])
    return h_hat


def sdtp_targets(net, params, h, e, y, N):
    h_hat = {net.L: argmin(y)}
    for l in reversed(range(1, net.L)):
        h_hat[l] = difference_target(net, params, l, h, h_hat[l + 1])
    return h_hat


def auxiliary(net, params, h):
    """z of h = h_{L-1}: W_z is (n_z, n_{L-1}), the nonlinearity that of the hidden layers."""
    L = net.L
    return sigma(net.act[L - 1].name, params["W_z"][L] @ h.ravel() + params["b_z"][L])


def ao_sdtp_targets(net, params, h, e, y, N):
    L = net.L
    z = auxiliary(net, params, h[L - 1])
    h_hat = {L: argmin(y)}
    h_hat[L - 1] = difference_target(net, params, L - 1, h, h_hat[L], z)  # (3)
    for l in reversed(range(1, L - 1)):
        h_hat[l] = difference_target(net, params, l, h, h_hat[l + 1])
    return h_hat


def hybrid_targets(net, params, h, e, y, N, mu):
    """Section 5.6: BP's g_bp(t) = (dh_{l+1}/dh_l)ᵀ t, weight mu, and the learned difference."""
    L = net.L
    h_hat = {L: argmin(y)}
    for l in reversed(range(1, L)):
        if l == L - 1:
            differential = -transposed(net.map[L], params["W"][L], e)
        else:
            a = add_bias(times(net.map[l + 1], params["W"][l + 1], h[l]), params["b"][l + 1])
            through = through_sigma(net.act[l + 1].name, a, h_hat[l + 1] - h[l + 1])
            differential = transposed(net.map[l + 1], params["W"][l + 1], through)
        learned = difference_target(net, params, l, h, h_hat[l + 1]) - h[l]
        h_hat[l] = h[l] + mu * differential + (1 - mu) * learned
    return h_hat


TARGETS = {
    "tp": tp_targets,
    "dtp": dtp_targets,
    "sdtp": sdtp_targets,
    "ao-sdtp": ao_sdtp_targets,
    "hybrid": hybrid_targets,
}


# ---- target propagation: the two local losses ----------------------------------------------------


def forward_deltas(net, h, a, h_hat, e, reduction, factor):
    """δ_l of L_l = ‖h_l - ĥ_l‖² (factor 1; hybrid ½), and e at the output."""
    delta = {net.L: e}
    for l in range(1, net.L):
        share = factor / h[l].size if reduction == "mean" else factor
        delta[l] = through_sigma(net.act[l].name, a[l], 2 * share * (h[l] - h_hat[l]))
    return delta


def corrupted_input(net, params, l, h_tilde):
    """What g_l is given: f_l(h̃_{l-1}), at the top of AO-SDTP with z of h̃_{L-1} beside it."""
    a = add_bias(times(net.map[l], params["W"][l], h_tilde), params["b"][l])
    u = sigma(net.act[l].name, a)
    return np.append(u, auxiliary(net, params, h_tilde)) if l in net.maps_of("W_z") else u


def inverse_loss_and_gradient(net, params, l, h, eps, kind, reduction):
    """L_l^inv = ‖r - g_l(f_l(h_{l-1} + ε))‖² and its gradient in V_l and c_l."""
    h_tilde = h[l - 1] + eps[l - 1]
    r = {"de-noising": h[l - 1], "noise-preserving": h_tilde}[kind]
    u = corrupted_input(net, params, l, h_tilde)
    a = inverse_preactivation(net, params, l, u)
    x = sigma(net.act[l - 1].name, a)
    share = 1 / x.size if reduction == "mean" else 1
    value = share * sum((x[k] - r[k]) ** 2 for k in np.ndindex(x.shape))
    da = through_sigma(net.act[l - 1].name, a, 2 * share * (x - r))
    # a = Vᵀ u: d⟨da, Vᵀ u⟩/dV = d⟨u, V da⟩/dV
    return value, outer(net.maps["V"][l], da, u), bias_gradient(da, params["c"][l])


# ---- one step of any rule ------------------------------------------------------------------------


def step(rule, net, params, x, y, eps=None, **options):
    """What ref.rules' step gives, by the formulas: activities and so on of each example, mean dθ.

    options: alpha, first_target, mu, magnitude, inverse_loss, reduction, as the rule has them.
    """
    N = len(x)
    if rule in FEEDBACK:
        of_rule = {key: options[key] for key in ("magnitude", "scale", "last_layer", "broadcast")
                   if key in options}
        out = join([feedback_example(rule, net, params, x[n], y[n], **of_rule) for n in range(N)])
        return out | LEARNED_FEEDBACK.get(rule, nothing)(net, params, out, eps, **options)
    noise = [{l: eps[l][n] for l in eps} for n in range(N)]
    return join([
        target_example(rule, net, params, x[n], y[n], noise[n], N, **options) for n in range(N)
    ])


def nothing(net, params, out, eps, **options):
    return {}


def kolen_pollack(net, params, out, eps, decay):
    """The same product for both, and each one's own decay."""
    dW = out["dW"]
    return {"dW": {l: dW[l] + decay * W for l, W in params["W"].items()},
            "dB": {l: dW[l] + decay * B for l, B in params["B"].items()}}


def weight_mirror(net, params, out, eps, sigma, decay):
    """B's decay less the correlation of noise and what becomes of it, where weights are shared
    the mean over the places that share them."""
    dB = {}
    for l, B in params["B"].items():
        m, seen = net.map[l], []
        for noise in eps[l - 1]:
            a = times(m, params["W"][l], noise)
            u = sigma_or_identity(net, l, a)
            seen.append(outer(m, noise, u))
        places = np.prod(m.out_shape[:2]) if m.kind == "conv" else 1
        dB[l] = decay * B - np.mean(seen, axis=0) / (places * sigma**2)
    return {"dB": dB}


def sigma_or_identity(net, l, a):
    return a if l == net.L else sigma(net.act[l].name, a)


LEARNED_FEEDBACK = {"kolen-pollack": kolen_pollack, "weight-mirror": weight_mirror}


def feedback_example(rule, net, params, x, y, **options):
    h, a = activities(net, params, x)
    e = output_error(net, h, a, y)
    delta = feedback_deltas(rule, net, params, a, e, **options)
    return {"h": h, "loss": loss(net.loss.name, h[net.L], y), "delta": delta,
            **forward_gradients(net, params, h, delta)}


def target_example(rule, net, params, x, y, eps, N, inverse_loss, reduction="sum", **options):
    h, a = activities(net, params, x)
    e = output_error(net, h, a, y)
    h_hat = TARGETS[rule](net, params, h, e, y, N, **options)
    factor = 0.5 if rule == "hybrid" else 1
    delta = forward_deltas(net, h, a, h_hat, e, reduction, factor)
    inverse = {
        l: inverse_loss_and_gradient(net, params, l, h, eps, inverse_loss, reduction)
        for l in inverse_layers(rule, net.L, options.get("first_target", "hidden"))
    }
    return {
        "h": h, "loss": loss(net.loss.name, h[net.L], y), "h_hat": h_hat, "delta": delta,
        **forward_gradients(net, params, h, delta),
        "inverse_loss": {l: value for l, (value, _, _) in inverse.items()},
        "dV": {l: dV for l, (_, dV, _) in inverse.items()},
        "dc": {l: dc for l, (_, _, dc) in inverse.items()},
    }


def forward_gradients(net, params, h, delta):
    return {
        "dW": {l: outer(net.map[l], h[l - 1], d) for l, d in delta.items()},
        "db": {l: bias_gradient(d, params["b"][l]) for l, d in delta.items()},
    }


def join(examples):
    """Gradients are means over the batch, all else is stacked: (N, ...)."""
    out = {}
    for key, value in examples[0].items():
        reduce = np.mean if key in ("dW", "db", "dV", "dc") else np.stack
        if isinstance(value, dict):
            out[key] = {l: reduce([ex[key][l] for ex in examples], axis=0) for l in value}
        else:
            out[key] = reduce([ex[key] for ex in examples], axis=0)
    return out


# ---- Adam, one number at a time ------------------------------------------------------------------


def adam_kingma(theta, gradients, lr, beta1, beta2, epsilon):
    """Kingma & Ba 2015, Algorithm 1, for one number: [θ_1, θ_2, ...]."""
    m = v = 0.0
    path = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - lr * m_hat / (sqrt(v_hat) + epsilon)
        path.append(theta)
    return path


def adam_hat(theta, gradients, lr, beta1, beta2, epsilon):
    """The same with ε̂ (end of their section 2; TensorFlow), for one number: [θ_1, θ_2, ...]."""
    m = v = 0.0
    path = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        lr_t = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
        theta = theta - lr_t * m / (sqrt(v) + epsilon)
        path.append(theta)
    return path
