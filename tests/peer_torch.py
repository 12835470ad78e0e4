"""An independent implementation in PyTorch, as a user of PyTorch would write it.

    python tests/peer_torch.py THEIRS.h5 --rule fa --kind local        from its own random start
    python tests/peer_torch.py THEIRS.h5 --like REF.h5                 from the start in a file
    python -m ref.reference verify THEIRS.h5

Nothing of ref is imported. Images are NCHW and weights have PyTorch's layouts; the file's
layouts are made only when it is written (`to_file`). Gradients come from autograd: of the loss
for backpropagation, of each layer's local loss for target propagation.
"""

import argparse
import json
from types import SimpleNamespace

import h5py
import numpy as np
import torch
import torch.nn.functional as F

FEEDBACK = ("bp", "fa", "dfa", "sign-symmetry", "kolen-pollack", "weight-mirror")
RULES = (*FEEDBACK, "tp", "dtp", "sdtp", "ao-sdtp", "hybrid")
DTYPES = {"float64": torch.float64, "float32": torch.float32}
SETTING = {
    "lr": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6, "optimizer": "adam",
    "epsilon_form": "kingma",
}
INVERSE_SETTING = {
    "inverse_lr": 0.02, "inverse_beta1": 0.8, "inverse_beta2": 0.95, "inverse_epsilon": 1e-5,
    "sigma": 0.2, "inverse": "same", "reduction": "sum", "order": "targets-first",
}
MIRROR_SETTING = {
    "mirror_lr": 0.02, "mirror_beta1": 0.8, "mirror_beta2": 0.95, "mirror_epsilon": 1e-5,
    "sigma": 0.2, "decay": 0.7,
}
NETS = {
    "dense": [("dense", (4, 4, 1), (7,)), ("dense", (7,), (6,)), ("dense", (6,), (4,))],
    "local": [("local", (5, 4, 2), (3, 2, 3)), ("local", (3, 2, 3), (3, 2, 2)),
              ("dense", (3, 2, 2), (4,))],
    "conv": [("conv", (5, 4, 2), (3, 2, 3)), ("conv", (3, 2, 3), (3, 2, 2)),
             ("dense", (3, 2, 2), (4,))],
}
KERNELS = [((3, 3), 2), ((3, 2), 1), (None, None)]


# ---- layers --------------------------------------------------------------------------------------


class Layer(SimpleNamespace):
    """kind, activation, in_shape, out_shape (H, W, C) or (n,), kernel, stride."""

    @property
    def pads(self):
        """F.pad's (left, right, above, below): TensorFlow's SAME."""
        pads = []
        for size, k in zip(self.in_shape[1::-1], self.kernel[::-1], strict=True):
            total = max((-(-size // self.stride) - 1) * self.stride + k - size, 0)
            pads += [total // 2, total - total // 2]
        return pads

    def linear(self, W, h):
        """W h."""
        if self.kind == "dense":
            return image(F.linear(flat(h), W), self.out_shape)
        h = F.pad(h, self.pads)
        if self.kind == "conv":
            return F.conv2d(h, W, stride=self.stride)
        patches = F.unfold(h, self.kernel, stride=self.stride)  # (N, C kh kw, H'W')
        y = torch.einsum("nkp,pok->nop", patches, W)
        return y.unflatten(2, self.out_shape[:2])

    def transposed(self, W, u):
        """Wᵀ u."""
        if self.kind == "dense":
            return image(flat(u) @ W, self.in_shape)
        (height, width, _), (left, right, above, below) = self.in_shape, self.pads
        padded = (height + above + below, width + left + right)
        if self.kind == "conv":
            h = F.conv_transpose2d(u, W, stride=self.stride)
            h = F.pad(h, (0, padded[1] - h.shape[3], 0, padded[0] - h.shape[2]))
        else:
            patches = torch.einsum("nop,pok->nkp", u.flatten(2), W)
            h = F.fold(patches, padded, self.kernel, stride=self.stride)
        return h[:, :, above:above + height, left:left + width]

    def sigma(self, a):
        return {"tanh": torch.tanh, "softmax": lambda a: a.softmax(1),
                "identity": lambda a: a}[self.activation](a)

    def to_file(self, W):
        """Weights in PyTorch's layout -> in the file's."""
        if self.kind == "conv":
            return W.permute(0, 2, 3, 1)
        if self.kind == "local":
            (height, width, out), channels = self.out_shape, self.in_shape[2]
            return W.reshape(height, width, out, channels, *self.kernel).permute(0, 1, 2, 4, 5, 3)
        return W

    def from_file(self, W):
        if self.kind == "conv":
            return W.permute(0, 3, 1, 2)
        if self.kind == "local":
            return W.permute(0, 1, 2, 5, 3, 4).flatten(3).flatten(0, 1)
        return W


def flat(h):
    """(N, C, H, W) -> (N, H W C), in the order of the file; vectors stay."""
    return h.permute(0, 2, 3, 1).flatten(1) if h.ndim == 4 else h


def image(v, shape):
    """(N, H W C) -> (N, C, H, W) where the shape is an image's."""
    return v.unflatten(1, shape).permute(0, 3, 1, 2) if len(shape) == 3 else v


def channels_last(v):
    """Activities (N, C, H, W) or biases (C, H, W) -> channels last."""
    return v.movedim(-3, -1) if v.ndim >= 3 else v


def channels_first(v):
    return v.movedim(-1, -3) if v.ndim >= 3 else v


# ---- the network ---------------------------------------------------------------------------------


class Net:
    """Layers 1..L, parameters by name, and one step of a rule."""

    def __init__(self, rule, layers, loss, setting, params):
        self.rule, self.layers, self.loss_name, self.s = rule, layers, loss, setting
        self.L = len(layers)
        groups = {"kolen-pollack": {"": "WbB"}, "weight-mirror": {"mirror_": "B", "": "Wb"}}.get(
            rule, {"": "Wb", "inverse_": "Vc"})
        learned = "".join(groups.values())
        self.p = {name: p.clone().contiguous().requires_grad_(
            name[0] in learned and "z" not in name) for name, p in params.items()}
        trained = {group: [p for name, p in self.p.items()
                           if name[0] in letters and p.requires_grad]
                   for group, letters in groups.items()}
        self.optimizers = {group: self.optimizer(group, found)
                           for group, found in trained.items() if found}
        self.inverses = sorted(int(name[2:]) for name in params if name.startswith("V_"))

    def optimizer(self, group, params):
        s = {key: self.s[group + key] for key in ("lr", "beta1", "beta2", "epsilon")}
        if self.s["optimizer"] == "sgd":
            return torch.optim.SGD(params, lr=s["lr"])
        if self.s["epsilon_form"] == "kingma":
            return torch.optim.Adam(params, s["lr"], (s["beta1"], s["beta2"]), s["epsilon"])
        return AdamHat(params, **s)

    def f(self, l, h):
        """(a_l, h_l)."""
        b = self.p[f"b_{l}"]
        a = self.layers[l].linear(self.p[f"W_{l}"], h)
        a = a + (b[:, None, None] if b.ndim == 1 and a.ndim == 4 else b)
        return a, self.layers[l].sigma(a)

    def g(self, l, u):
        c, layer = self.p[f"c_{l}"], self.layers[l]
        if self.rule == "ao-sdtp" and l == self.L:
            a = image(u @ self.p[f"V_{l}"], layer.in_shape)
        else:
            a = layer.transposed(self.p[f"V_{l}"], u)
        return self.layers[l - 1].sigma(a + (c[:, None, None] if c.ndim == 1 < a.ndim - 2 else c))

    def z(self, h):
        a = F.linear(flat(h), self.p["W_z"], self.p["b_z"])
        return self.layers[self.L - 1].sigma(a)

    def loss(self, a_L, y):
        """Of each example."""
        if self.loss_name == "squared-error":
            return (a_L - y).square().flatten(1).sum(1)
        return F.cross_entropy(a_L, y, reduction="none")

    def step(self, x, y, eps, phase):
        """{name: tensor} of one training step."""
        for p in self.p.values():
            p.grad = None
        if self.rule in FEEDBACK:
            out = self.feedback(x, y, phase)
            self.learn_feedback(out, eps, phase)
        else:
            out = self.targets(x, y, eps, phase)
        for name, p in self.p.items():
            if p.requires_grad and p.grad is not None:
                out[f"d{name}"] = p.grad.clone()
        for group, optimizer in self.optimizers.items():
            if phase in ("both", group.removesuffix("_") or "forward"):
                optimizer.step()
        return out

    def feedback(self, x, y, phase):
        """Backpropagation by autograd; feedback alignment with each layer cut from the next."""
        N, h, a = len(x), {0: x}, {}
        for l in range(1, self.L + 1):
            below = h[l - 1] if self.rule == "bp" else h[l - 1].detach()
            a[l], h[l] = self.f(l, below)
            a[l].retain_grad()
        loss = self.loss(a[self.L], y)
        if phase == "mirror":
            return {**{f"h_{l}": v for l, v in h.items()}, "loss": loss}
        loss.mean().backward()
        for l in range(self.L - 1, 0, -1):
            if self.rule == "bp":
                continue
            if self.rule in ("fa", "kolen-pollack", "weight-mirror"):
                with torch.no_grad():
                    dh = self.layers[l + 1].transposed(self.p[f"B_{l + 1}"], a[l + 1].grad)
            elif self.rule == "sign-symmetry":
                dh = self.layers[l + 1].transposed(self.feedback_of(l + 1), a[l + 1].grad)
            else:
                dh = image(F.linear(flat(a[self.L].grad), self.p[f"B_{l}"]),
                           self.layers[l].out_shape)
            h[l].backward(dh)
        delta = {f"delta_{l}": N * a[l].grad for l in a}
        return {**{f"h_{l}": v for l, v in h.items()}, "loss": loss, **delta}

    def learn_feedback(self, out, eps, phase):
        """Gradients of B, of losses that autograd can take: ‖B‖² and what B makes of its input."""
        if self.rule == "kolen-pollack":
            N = len(out["h_0"])
            for l in range(1, self.L + 1):
                for name in (f"W_{l}", f"B_{l}"):
                    if name == f"B_{l}" and l > 1:
                        made = self.layers[l].linear(self.p[name], out[f"h_{l - 1}"].detach())
                        (made * out[f"delta_{l}"] / N).sum().backward()
                    if name in self.p:
                        (self.s["decay"] / 2 * self.p[name].square().sum()).backward()
        if self.rule == "weight-mirror" and phase != "forward":
            for l in range(2, self.L + 1):
                layer, B, noise = self.layers[l], self.p[f"B_{l}"], eps[l - 1]
                with torch.no_grad():
                    u = layer.linear(self.p[f"W_{l}"], noise)
                    u = u if l == self.L else layer.sigma(u)
                agree = (u * layer.linear(B, noise)).flatten(1).sum(1).mean() / self.s["sigma"]**2
                if layer.kind == "conv":
                    agree = agree / np.prod(layer.out_shape[:2])
                (self.s["decay"] / 2 * B.square().sum() - agree).backward()

    def feedback_of(self, l):
        """Sign-symmetry: the signs of W_l, the magnitudes of another matrix or of Glorot's σ."""
        W = self.p[f"W_{l}"]
        if self.s["magnitude"] != "uniform":
            return self.p[f"B_{l}"].abs() * W.sign()
        layer = self.layers[l]
        if layer.kind == "dense":
            fans = np.prod(layer.in_shape) + np.prod(layer.out_shape)
        else:
            fans = np.prod(layer.kernel) * (layer.in_shape[2] + layer.out_shape[2])
        return (2 / fans) ** 0.5 * W.sign()

    def targets(self, x, y, eps, phase):
        """Target propagation: local losses of each layer and each inverse."""
        s, L, N = self.s, self.L, len(x)
        h, a = {0: x}, {}
        for l in range(1, L + 1):
            a[l], h[l] = self.f(l, h[l - 1].detach().requires_grad_())
            a[l].retain_grad()
        loss = self.loss(a[L], y)
        fixed = {l: v.detach() for l, v in h.items()}
        out = {**{f"h_{l}": v for l, v in h.items()}, "loss": loss}
        first = s["order"] == "inverse-first" and phase == "both"
        if first:
            self.inverse_losses(fixed, eps, out)
            out |= {f"d{name}": self.p[name].grad.clone() for name in self.p if name[0] in "Vc"}
            self.optimizers["inverse_"].step()
            self.optimizers["inverse_"].zero_grad()
        if phase != "inverse":
            h_hat = self.h_hat(fixed, y, out)
            loss.mean().backward(retain_graph=True)
            half = 0.5 if self.rule == "hybrid" else 1
            for l in range(1, L):
                local = half * self.norm(h[l] - h_hat[l])
                local.mean().backward(retain_graph=True)
            out |= {f"h_hat_{l}": v for l, v in h_hat.items()}
            out |= {f"delta_{l}": N * a[l].grad for l in a}
        if phase != "forward" and not first:
            self.inverse_losses(fixed, eps, out)
        return out

    def norm(self, v):
        """‖v‖² of each example, or its mean over units."""
        v = v.square().flatten(1)
        return v.sum(1) if self.s["reduction"] == "sum" else v.mean(1)

    def inverse_losses(self, h, eps, out):
        for l in self.inverses:
            noisy = h[l - 1] + eps[l - 1]
            with torch.no_grad():
                u = self.f(l, noisy)[1]
                if self.rule == "ao-sdtp" and l == self.L:
                    u = torch.cat([u, self.z(noisy)], 1)
            aim = h[l - 1] if self.s["inverse_loss"] == "de-noising" else noisy
            loss = self.norm(aim - self.g(l, u))
            loss.mean().backward()
            out[f"inverse_loss_{l}"] = loss

    def h_hat(self, h, y, out):
        """{l: the target of h_l}; no gradient goes through it."""
        L, s = self.L, self.s
        top = h[L - 1].clone().requires_grad_()
        dL_dh, = torch.autograd.grad(self.loss(self.f(L, top)[0], y).sum(), top)
        with torch.no_grad():
            if self.rule == "dtp" and s["first_target"] != "output-mean":
                N = len(y) if s["first_target"] == "hidden-mean" else 1
                t = {L - 1: h[L - 1] - s["alpha"] * dL_dh / N}
            elif self.rule == "dtp":
                a = self.f(L, h[L - 1])[0].requires_grad_()
                with torch.enable_grad():
                    e, = torch.autograd.grad(self.loss(a, y).mean(), a)
                t = {L: h[L] - s["alpha"] * e}
            else:
                t = {L: y}
            for l in range(min(t) - 1, 0, -1):
                above, mine = t[l + 1], h[l + 1]
                if self.rule == "ao-sdtp" and l + 1 == L:
                    z = out["z"] = self.z(h[L - 1])
                    above, mine = torch.cat([above, z], 1), torch.cat([mine, z], 1)
                if self.rule == "tp":
                    t[l] = self.g(l + 1, above)
                    continue
                difference = self.g(l + 1, above) - self.g(l + 1, mine)
                if self.rule == "hybrid":
                    if l == L - 1:
                        gradient = -dL_dh
                    else:
                        gradient = torch.func.vjp(lambda v, l=l: self.f(l + 1, v)[1], h[l])[1](
                            above - mine)[0]
                    difference = s["mu"] * gradient + (1 - s["mu"]) * difference
                t[l] = h[l] + difference
        return t


class AdamHat:
    """Adam with ε outside the bias correction: θ - lr √(1-β2ᵗ)/(1-β1ᵗ) m / (√v + ε)."""

    def __init__(self, params, lr, beta1, beta2, epsilon):
        self.params, self.lr, self.betas, self.eps = params, lr, (beta1, beta2), epsilon
        self.m = [torch.zeros_like(p) for p in params]
        self.v = [torch.zeros_like(p) for p in params]
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        rate = self.lr * (1 - beta2 ** self.t) ** 0.5 / (1 - beta1 ** self.t)
        for p, m, v in zip(self.params, self.m, self.v, strict=True):
            m.lerp_(p.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            p -= rate * m / (v.sqrt() + self.eps)

    def zero_grad(self):
        for p in self.params:
            p.grad = None


# ---- the start: parameters, inputs, noise --------------------------------------------------------


def own_start(rule, kind, schedule, dtype, steps, N=3, seed=0, **setting):
    """Random everything, in PyTorch's layouts."""
    torch.manual_seed(seed)
    layers = {}
    for l, ((k, *shapes), (kernel, stride)) in enumerate(zip(NETS[kind], KERNELS, strict=True), 1):
        act = "tanh" if l < 3 else "softmax"
        layers[l] = Layer(kind=k, activation=act, in_shape=shapes[0], out_shape=shapes[1],
                          kernel=kernel, stride=stride)
    s = SETTING | ({"magnitude": "fixed"} if rule == "sign-symmetry" else {})
    if rule not in FEEDBACK:
        s |= INVERSE_SETTING | {
            "schedule": schedule,
            "inverse_loss": "noise-preserving" if rule == "dtp" else "de-noising",
            **{"dtp": {"alpha": 0.3, "first_target": "hidden"}, "ao-sdtp": {"aux": 5},
               "hybrid": {"mu": 0.4}}.get(rule, {})}
    if rule == "weight-mirror":
        s |= MIRROR_SETTING | {"schedule": schedule}
    if rule == "kolen-pollack":
        s |= {"decay": 0.3}
    s |= setting
    params = {}

    def draw(name, shape, fan_in):
        params[name] = torch.randn(shape, dtype=torch.float64) / fan_in ** 0.5

    first_inverse_missing = 3 if rule == "dtp" and s["first_target"] != "output-mean" else 4
    for l, layer in layers.items():
        n_out, n_in = (int(np.prod(shape)) for shape in (layer.out_shape, layer.in_shape))
        if layer.kind == "dense":
            shape, bias, inverse_bias = (n_out, n_in), layer.out_shape, layer.in_shape
        else:
            patch = (layer.in_shape[2], *layer.kernel)
            bias, inverse_bias = layer.out_shape, layer.in_shape
            if layer.kind == "conv":
                shape = (layer.out_shape[2], *patch)
                bias, inverse_bias = bias[2:], inverse_bias[2:]
            else:
                shape = (n_out // layer.out_shape[2], layer.out_shape[2], int(np.prod(patch)))
        draw(f"W_{l}", shape, 9)
        draw(f"b_{l}", bias[-1:] + bias[:-1], 9)
        if rule not in FEEDBACK and 2 <= l < first_inverse_missing:
            extra = s.get("aux", 0) if l == 3 else 0
            draw(f"V_{l}", (n_out + extra, n_in) if extra else shape, 9)
            draw(f"c_{l}", inverse_bias[-1:] + inverse_bias[:-1], 9)
        if rule in ("fa", "sign-symmetry", "kolen-pollack", "weight-mirror") and l > 1:
            draw(f"B_{l}", shape, 9)
        if rule == "dfa" and l < 3:
            draw(f"B_{l}", (n_out, layers[3].out_shape[0]), 4)
    if rule == "ao-sdtp":
        draw("W_z", (s["aux"], int(np.prod(layers[3].in_shape))), 9)
        draw("b_z", (s["aux"],), 9)
    batches = []
    for t in range(1, steps + 1):
        trains_noise = {"weight-mirror": "mirror"}.get(rule, "inverse")
        phase = "forward" if rule in FEEDBACK and rule != "weight-mirror" else "both"
        if schedule == "alternating":
            phase = trains_noise if t % 2 else "forward"
        height, width, channels = layers[1].in_shape
        x = torch.rand((N, channels, height, width), dtype=dtype)
        y = F.one_hot(torch.randint(4, (N,)), 4).to(dtype)
        eps = {int(name[2:]) - 1: s["sigma"] * torch.randn(
            N, *channels_first(torch.empty(layers[int(name[2:])].in_shape)).shape, dtype=dtype)
            for name in params if name.startswith("B_" if trains_noise == "mirror" else "V_")
        } if phase in ("both", trains_noise) else {}
        batches.append((x, y, eps, phase))
    params = {name: p.to(dtype) for name, p in params.items()}
    return rule, layers, "cross-entropy", s, params, batches


def start_like(path):
    """The same from a file of reference outputs."""
    with h5py.File(path) as file:
        layers = {}
        for l in range(1, len(file["net"]) + 1):
            found = {"kernel": None, "stride": None, **file[f"net/layer_{l}"].attrs}
            tuples = {key: tuple(int(n) for n in found[key])
                      for key in ("in_shape", "out_shape", "kernel") if found[key] is not None}
            layers[l] = Layer(kernel=tuples.pop("kernel", None), kind=found["kind"],
                              activation=found["activation"], **tuples,
                              stride=None if found["stride"] is None else int(found["stride"]))
        rule, setting = file.attrs["rule"], json.loads(file.attrs["config"])
        params = {name: from_file(layers, rule, name, torch.tensor(file["init"][name][()]))
                  for name in file["init"]}
        batches = []
        for t in range(1, sum(name.startswith("step_") for name in file) + 1):
            step = file[f"step_{t}"]
            read = {name: channels_first(torch.tensor(step[name][()])) for name in step
                    if name in ("x", "y") or name.startswith("eps_")}
            eps = {int(name[4:]): v for name, v in read.items() if name.startswith("eps_")}
            batches.append((read["x"], read["y"], eps, step.attrs["phase"]))
        return rule, layers, file["net"].attrs["loss"], setting, params, batches


def layer_of(layers, rule, name):
    """The layer whose layout a weight array has, or None for a plain matrix or a bias."""
    kind, _, l = name.removeprefix("d").rpartition("_")
    dense = rule == "dfa" and kind == "B"
    return layers[int(l)] if l.isdigit() and kind in ("W", "V", "B") and not dense else None


def from_file(layers, rule, name, array):
    layer = layer_of(layers, rule, name)
    if layer is not None:
        return layer.from_file(array)
    return channels_first(array) if array.ndim == 3 else array


def to_file(layers, rule, name, array):
    layer = layer_of(layers, rule, name)
    array = array.detach()
    if layer is not None:
        return layer.to_file(array).numpy()
    return (channels_last(array) if array.ndim >= 3 else array).numpy()


# ---- run, and write the file ---------------------------------------------------------------------


def write(path, rule, layers, loss, setting, params, batches):
    """Train on the batches, and write everything on the way."""
    net = Net(rule, layers, loss, setting, params)
    with h5py.File(path, "w") as file:

        def put(group, arrays):
            for name, array in arrays.items():
                file[f"{group}/{name}"] = to_file(layers, rule, name, array)

        file.attrs.update({"format": "ref-outputs", "version": 1, "rule": rule,
                           "config": json.dumps(setting), "producer": "tests/peer_torch.py"})
        file.create_group("net").attrs["loss"] = loss
        for l, layer in layers.items():
            known = {key: value for key, value in vars(layer).items() if value is not None}
            file.create_group(f"net/layer_{l}").attrs.update(known)
        put("init", params)
        for t, (x, y, eps, phase) in enumerate(batches, 1):
            file.create_group(f"step_{t}").attrs["phase"] = phase
            put(f"step_{t}", {"x": x, "y": y, **{f"eps_{l}": e for l, e in eps.items()}})
            put(f"step_{t}", net.step(x, y, eps, phase))
            put(f"step_{t}/after", net.p)


def main(arguments=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("out", metavar="THEIRS.h5")
    p.add_argument("--like", metavar="REF.h5", help="start from this file; else from random arrays")
    p.add_argument("--rule", choices=RULES, default="bp")
    p.add_argument("--kind", choices=NETS, default="dense")
    p.add_argument("--schedule", choices=("parallel", "alternating"), default="parallel")
    p.add_argument("--dtype", choices=DTYPES, default="float64")
    p.add_argument("--steps", type=int, default=3)
    args = p.parse_args(arguments)
    if args.like:
        start = start_like(args.like)
    else:
        start = own_start(args.rule, args.kind, args.schedule, DTYPES[args.dtype], args.steps)
    write(args.out, *start)


if __name__ == "__main__":
    main()
