"""CuPy on a real GPU gives what NumPy gives. Skipped, with the reason, where there is no GPU.

Never run by those who wrote it (ref/gpu.md), but for a rehearsal on the stand-in.
"""

import numpy as np
import pytest
from checks import assert_close, defaults, make_case
from strict_runs import REFERENCES, TRAINING, on_host, replayed
from test_strict import assert_agree, metrics, parameters, train  # noqa: F401 - a fixture

from ref import architectures, backend, evaluation, hyperparameters, optim, rules, training
from ref.network import initial_parameters

try:
    xp = backend.select("cupy")
except backend.BackendError as error:
    pytest.skip(f"no GPU: {error}", allow_module_level=True)


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_files(name):
    """Every rule on every kind of layer, float64, two steps with Adam."""
    assert_agree(replayed(name, xp), replayed(name, np), 1e-8)


ARCHITECTURES = {
    "dense": "dense 32, dense 24, softmax 10",
    "local": "local 3x3x4/2, local 3x3x6/1, softmax 10",
    "conv": "conv 3x3x4/2, conv 3x3x6/1, softmax 10",
}


def trainer_of(arch, rule_name, module, dtype, **more):
    """A Trainer at its first step, its arrays on the module's device."""
    rule = rules.get(rule_name)
    setting = {**hyperparameters.GENERIC, **rule.defaults, **defaults(rule), "optimizer": "adam",
               "epsilon_form": "hat", "aux": 16, **more}
    net = rule.build(architectures.build(ARCHITECTURES[arch], (12, 12, 1)), setting)
    params = initial_parameters(net, training.initial_stream(0), np.dtype(dtype))
    return training.Trainer(net, rule, backend.to_device(params, module), setting, seed=0)


def steps(trainer, module, dtype, n):
    """n steps on batches of random images; the mean loss of each."""
    losses = []
    for t in range(n):
        rng = np.random.default_rng(t)
        images = rng.integers(0, 256, (16, 12, 12, 1), dtype=np.uint8)
        x, y = evaluation.batch_of(trainer.net, images, rng.integers(0, 10, 16), module,
                                 np.dtype(dtype))
        losses.append(trainer.step(x, y)["loss"].mean())
    return np.array([float(loss) for loss in losses])


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("rule", rules.NAMES)
def test_a_hundred_steps(rule, arch):
    """Rounding grows from step to step: 1e-16 has become less than 1e-7 after 100."""
    theirs, ours = (trainer_of(arch, rule, module, "float64") for module in (xp, np))
    assert_close(steps(theirs, xp, "float64", 100), steps(ours, np, "float64", 100), 1e-7)
    theirs, ours = (on_host(trainer.params) for trainer in (theirs, ours))
    for symbol in rules.get(rule).symbols:
        assert_close(theirs[symbol], ours[symbol], 1e-7)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_hundred_steps_in_float32(arch):
    theirs, ours = (steps(trainer_of(arch, "bp", module, "float32"), module, "float32", 100)
                    for module in (xp, np))
    assert_close(theirs, ours, 1e-3)


@pytest.mark.parametrize("dtype, tol", [("float32", 1e-5), ("float64", 1e-13)])
@pytest.mark.parametrize("form", ["hat", "kingma"])
def test_fused_adam(dtype, tol, form):
    rng = np.random.default_rng(0)
    start = {"W_1": rng.normal(size=(300, 200)).astype(dtype), "b_1": np.ones(7, dtype)}
    found = []
    for module in (xp, np):
        params = backend.to_device({name: p.copy() for name, p in start.items()}, module)
        state, gradients = optim.new_state(params), np.random.default_rng(1)
        for _ in range(100):
            g = {name: gradients.normal(size=p.shape).astype(dtype) for name, p in start.items()}
            optim.adam(params, backend.to_device(g, module), state, lr=0.01, beta1=0.9,
                       beta2=0.999, epsilon=1e-8, epsilon_form=form)
        found.append(on_host({"params": params, "m": state["m"], "v": state["v"]}))
    assert_close(*found, tol)


@pytest.mark.parametrize("rule", ["bp", "sdtp"])
def test_memory_does_not_grow(rule):
    """Over 1,000 steps: neither what is in use nor what CuPy's pool has taken from the device."""
    trainer, pool = trainer_of("local", rule, xp, "float32"), xp.get_default_memory_pool()
    in_use, taken = [], []
    for _ in range(10):
        steps(trainer, xp, "float32", 100)
        in_use.append(pool.used_bytes())
        taken.append(pool.total_bytes())
    assert in_use[0] > 0
    assert in_use[-1] == in_use[0] and taken[-1] == taken[0]


@pytest.mark.parametrize("name", TRAINING)
def test_training(train, name):  # noqa: F811
    """ref.train from a file of images to metrics, parameters and angles."""
    host, run = train(name, out="host"), train(name, "--backend", "cupy")
    for ours, theirs in zip(metrics(host), metrics(run), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-5)
    assert_agree(parameters(run), parameters(host), 1e-6)


@pytest.mark.parametrize("more", [[], ["--device-noise"]])
def test_resumed_runs(train, command, more):  # noqa: F811
    """Noise is a function of the seed and the step; sums may differ in their last bit."""
    whole = train("sdtp", "--backend", "cupy", "--epochs", "3", *more, out="whole")
    part = train("sdtp", "--backend", "cupy", "--epochs", "1", *more, out="part")
    assert command("ref.train", "--resume", part, "--epochs", 3).status == 0
    assert_agree(parameters(part), parameters(whole), 1e-9)


def test_noise_from_the_device():
    case = make_case("dense", "sdtp")
    trainer = training.Trainer(case.net, rules.get("sdtp"), backend.to_device(case.params, xp),
                               {"sigma": 0.3, "inverse_loss": "", "reduction": ""}, 0, True)
    eps = on_host(trainer.noise(100_000, xp, np.dtype("float32")))
    again = on_host(trainer.noise(100_000, xp, np.dtype("float32")))
    for l, e in eps.items():
        assert e.dtype == np.float32 and np.array_equal(e, again[l])
        assert e.std() == pytest.approx(0.3, rel=0.01) and abs(e.mean()) < 0.005


def test_evaluation(train, command):  # noqa: F811
    run = train("bp", "--backend", "cupy")
    host, device = (command("ref.evaluate", run, *more) for more in ([], ["--backend", "cupy"]))
    assert host.status == device.status == 0 and host.out == device.out


def test_out_of_memory(command, here, tiny):
    """CuPy's own error, of a network that does not fit into what its pool may take."""
    pool = xp.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + (1 << 20))
    try:
        command.refused("ref.train", "--rule", "bp", "--data", tiny, "--backend", "cupy", "--arch",
                        "dense 4096, softmax 10", names=["not enough memory", "Out of memory"])
    finally:
        pool.set_limit(size=0)  # none
