"""--backend cupy on a stand-in that refuses what CuPy refuses (strict_xp.py): no GPU needed.

Every rule on every kind of layer, the loader, the optimisers, evaluation, checkpoints and the
reference writer give what NumPy gives, and none of them waits for the device within a step. Then
violations are planted in ref's own code, and each is caught.
"""

import csv
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import strict_runs
import strict_xp
from checks import assert_close, assert_same_bits, every_case, make_case
from strict_runs import TRAINING, strict, training_arguments
from write_reference import FOLDER

import ref.network
import ref.train
from ref import backend, evaluation, optim, training
from ref.reference import cli

ROUNDING = 1e-10  # relative to the largest entry, float64; sums are taken in another order


@pytest.fixture
def device():
    with strict() as xp:
        yield xp


@pytest.fixture
def train(command, here, tiny):
    """train(name, *more) -> a run's folder: on NumPy, unless more has --backend."""

    def run(name, *more, out="run"):
        result = command("ref.train", *training_arguments(name, tiny, "--out", out, *more))
        assert result.status == 0, result
        return here / out

    return run


def metrics(run):
    with open(run / "metrics.csv") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"}
                for row in csv.DictReader(file)]


def parameters(run):
    with h5py.File(run / "parameters.h5") as file:
        return {name: file[name][:] for name in file}


def assert_agree(got, want, tol):
    """As assert_close; what is all zero (biases of fixed features, for one) must be zero."""
    zero = {name for name, array in want.items() if not np.any(array)}
    assert len(zero) < len(want) / 2 and got.keys() == want.keys()
    assert not any(np.any(got[name]) for name in zero)
    assert_close(*({name: arrays[name] for name in want.keys() - zero} for arrays in (got, want)),
                 tol)


# ---- the same numbers ----------------------------------------------------------------------------


@every_case()
def test_every_rule_on_every_kind_of_layer(device, net, rule, options):
    case = make_case(net, rule, **options)
    assert_close(strict_runs.rule_step(case), case.step(), ROUNDING)


@pytest.mark.parametrize("name", strict_runs.REFERENCES)
def test_reference_files(device, name):
    """Two training steps with Adam each, parallel and alternating."""
    assert_agree(strict_runs.replayed(name, strict_xp), strict_runs.replayed(name, np), 1e-8)


@pytest.mark.parametrize("name", TRAINING)
def test_training(train, name):
    """From uint8 images in a file to metrics and parameters, with augmentation and angles."""
    host = train(name, out="host")
    with strict():
        run = train(name, "--backend", "cupy")
    assert len(metrics(run)) == 2
    for ours, theirs in zip(metrics(host), metrics(run), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-5)  # angles of 0
    assert_agree(parameters(run), parameters(host), 1e-6)


@pytest.mark.parametrize("more", [[], ["--device-noise"]])
def test_resumed_runs_are_the_uninterrupted_run_bit_for_bit(train, command, device, more):
    whole = train("sdtp", "--backend", "cupy", "--epochs", "3", *more, out="whole")
    part = train("sdtp", "--backend", "cupy", "--epochs", "1", *more, out="part")
    assert command("ref.train", "--resume", part, "--epochs", 3).status == 0
    assert_same_bits(parameters(part), parameters(whole))
    assert metrics(part) == metrics(whole)


def test_noise_from_the_device_is_other_noise(train, device):
    runs = [train("sdtp", "--backend", "cupy", *more, out=out)
            for out, more in (("host", []), ("device", ["--device-noise"]))]
    host, other = map(parameters, runs)
    assert not np.array_equal(host["V_2"], other["V_2"])


def test_noise_from_the_device_has_its_size(device):
    """N(0, σ²), and other numbers for every layer and step."""
    case = make_case("dense", "sdtp")
    setting = {"sigma": 0.3, **{key: None for key in ("inverse_loss", "reduction")}}
    trainer = training.Trainer(case.net, ref.rules.get("sdtp"),
                               backend.to_device(case.params, strict_xp), setting, 0, True)
    drawn = []
    for t in (1, 2, 1):
        trainer.t = t
        drawn.append(strict_runs.on_host(trainer.noise(5000, strict_xp, np.dtype("float32"))))
    assert_same_bits(drawn[0], drawn[2])
    for l, eps in drawn[0].items():
        assert eps.dtype == np.float32 and eps.shape == (5000, *case.net.shape(l))
        assert eps.std() == pytest.approx(0.3, rel=0.05) and abs(eps.mean()) < 0.01
        assert abs(np.corrcoef(eps.ravel(), drawn[1][l].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn[0][1].ravel(), drawn[0][2].ravel())[0, 1]) < 0.05


def test_evaluation(train, command, device):
    run = train("bp", "--backend", "cupy")
    host = command("ref.evaluate", run)
    assert host.status == 0 and host.out == command("ref.evaluate", run, "--backend", "cupy").out


def test_reference_writer(device, here):
    """A file that the device wrote agrees with a replay on NumPy."""
    for name, given in (("a", ["--rule", "sdtp", "--arch", "conv 3x3x2, softmax 4"]),
                        ("b", ["--rule", "sign-symmetry", "--magnitude", "batch",
                               "--arch", "dense 8, softmax 4"])):
        assert cli.work(["write", name + ".h5", *given, "--in-shape", "4x4x1",
                         "--backend", "cupy"]) == 0
        assert strict_xp.syncs["asnumpy()"] > 10
        assert cli.work(["verify", name + ".h5"]) == 0


@pytest.mark.slow
def test_bench(device, command, here):
    """By events, with the device's own speed and the pool's peak."""
    result = command("runs.bench.__main__", *strict_runs.BENCH)
    assert result.status == 0 and "peak memory on the device 123 MiB" in result.out
    assert device.syncs["synchronize()"] == 6  # a turn: of a product, of a copy, of the steps
    command.refused("runs.bench.__main__", *strict_runs.BENCH, "--against", "torch",
                    names=["--against torch", "--backend numpy"])


def test_the_backend_is_asked_for_in_two_files_alone():
    """backend.py knows the modules, parallel.py how work is shared out; mathematics does not."""
    asking = re.compile(r"\bis (?:not )?np\b|\bcupy\.|import cupy|== \"cupy\"|cupy is")
    found = {path.name for path in Path(ref.__file__).parent.rglob("*.py")
             if asking.search(path.read_text())}
    assert found == {"backend.py", "parallel.py"}


# ---- the kernels ---------------------------------------------------------------------------------

SETTING = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


@pytest.mark.parametrize("dtype, tol", [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("optimiser, setting", [
    (optim.adam, SETTING), (optim.adam, SETTING | {"epsilon_form": "kingma"}),
    (optim.sgd, {"lr": 0.1})], ids=["hat", "kingma", "sgd"])
def test_fused_updates(device, optimiser, setting, dtype, tol):
    """... are the formula of the NumPy ones, and all that the device is asked to do."""
    rng = np.random.default_rng(0)
    start = {"W_1": rng.normal(size=(7, 5)).astype(dtype), "b_1": np.ones(5, dtype)}
    results = {}
    for xp in (np, strict_xp):
        params = backend.to_device({k: p.copy() for k, p in start.items()}, xp)
        state, grads = optim.new_state(params), np.random.default_rng(1)
        for _ in range(10):
            g = {k: grads.normal(size=p.shape).astype(dtype) for k, p in start.items()}
            g, strict_xp.calls = backend.to_device(g, xp), set()
            optimiser(params, g, state, **setting)
        if xp is strict_xp:
            assert {call.kind for call in strict_xp.calls} <= {"kernel", "method", "attribute"}
        results[xp] = strict_runs.on_host({"params": params, "m": state["m"], "v": state["v"]})
    moments = optimiser is optim.adam
    keep = ("params", "m", "v") if moments else ("params",)
    assert_close(*({key: results[xp][key] for key in keep} for xp in (strict_xp, np)), tol)


def test_a_wrong_kernel_is_found(device, monkeypatch):
    wrong = backend.Kernel("adam", optim.ADAM.inputs, optim.ADAM.outputs,
                           optim.ADAM.body.replace("rest2 * g * g", "rest2 * g"))
    monkeypatch.setattr(optim, "ADAM", wrong)
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError, match="off by"):
        test_fused_updates(device, optim.adam, SETTING, "float64", 1e-14)


# ---- what goes to the device and comes back ------------------------------------------------------


def test_images_go_to_the_device_as_bytes(train, device):
    train("bp", "--backend", "cupy")
    images = [dtype for dtype, shape in device.uploads if shape[1:] == (28, 28, 1)]
    assert len(images) >= 8 and set(images) == {np.dtype("uint8")}


@pytest.mark.parametrize("name", ["bp", "tp", "ao-sdtp"])
def test_metrics_come_back_once_a_pass(train, name):
    """As often in an epoch of 10 steps as in one of 4."""
    waited = []
    for size in (20, 50):
        with strict() as xp:
            train(name, "--backend", "cupy", "--batch-size", size, "--epochs", 1, out=f"run{size}")
            waited.append(dict(xp.syncs))
    assert waited[0] == waited[1]
    assert 0 < waited[0]["float()"] < 20


# ---- planted violations --------------------------------------------------------------------------


def numpy_function_elementwise(net, params, l, h):
    return np.add(net.map[l].forward(params["W"][l], h), params["b"][l])


def implicit_conversion(v, bias_shape):
    return np.asarray(v).sum(axis=tuple(range(v.ndim - len(bias_shape))))


def numpy_function_of_arrays(u, v):
    return np.concatenate([u, v], axis=1)


def host_array_beside_device_array(self, N, xp, dtype):
    return {l - 1: np.zeros((N, *self.net.shape(l - 1)), dtype) for l in self.net.maps_of("V")}


def host_array_as_an_index(net, images, labels, xp, dtype):
    return evaluation.to_input(images, xp, dtype), xp.eye(10, dtype=dtype)[labels]


def host_array_assigned(net, images, labels, xp, dtype):
    y = xp.zeros((len(labels), 10), dtype)
    y[...] = np.eye(10, dtype=dtype)[labels]
    return evaluation.to_input(images, xp, dtype), y


def float_in_a_step(v):
    return v * float(v.sum())


def branch_in_a_step(v):
    return v if v.max() > 1 else -v


def iteration_in_a_step(v):
    return sum(row for row in v)


def transfer_in_a_step(v):
    return backend.to_host(v)


def mask_in_a_step(v):
    return v[v > 0]


def unsupported_dtype(v):
    return v.sum(axis=1, dtype=np.longdouble)


def unsupported_keyword(v):
    return backend.get_xp(v).multiply(v, v, where=v > 0)


def unsupported_function(v):
    return backend.get_xp(v).einsum("ni->n", v)


def unsupported_keyword_of_a_method(v):
    return v.sum(axis=1, where=v > 0)


def change_through_indices(v):
    rows = backend.get_xp(v).asarray(np.arange(len(v)))
    v[rows] += 1
    return v.sum(axis=1)


def change_through_two_masks(v):
    v[v.max(axis=1) > 0, v.max(axis=0) > 0] = 0
    return v.sum(axis=1)


def numpy_scalar_from_numpy(v):
    return np.float64(2) * v


NORM = "ref.rules.inverses.squared_norm"
BATCH, NOISE = "ref.evaluation.batch_of", "ref.training.Trainer.noise"
PLANTED = {  # violation: (what it takes the place of, what the stand-in says)
    numpy_function_elementwise: ("ref.network.preactivation", "numpy.add of a device array"),
    numpy_function_of_arrays: ("ref.rules.ao_sdtp.join", "numpy.concatenate of a device array"),
    numpy_scalar_from_numpy: (NORM, "numpy.multiply of a device array"),
    implicit_conversion: ("ref.network.sum_to", "Implicit conversion"),
    host_array_beside_device_array: (NOISE, "Unsupported type <class 'numpy.ndarray'>"),
    host_array_as_an_index: (BATCH, "Unsupported type <class 'numpy.ndarray'> as an index"),
    host_array_assigned: (BATCH, "Unsupported type <class 'numpy.ndarray'>"),
    float_in_a_step: (NORM, r"float\(\) waits for the device, within a step"),
    branch_in_a_step: (NORM, r"bool\(\) waits"),
    transfer_in_a_step: (NORM, r"asnumpy\(\) waits"),
    mask_in_a_step: (NORM, "a mask as an index waits"),
    iteration_in_a_step: (NORM, "iteration over a device array, within a step"),
    unsupported_dtype: (NORM, "Unsupported dtype"),
    unsupported_keyword: (NORM, r"Wrong arguments \['where'\]"),
    unsupported_keyword_of_a_method: (NORM, "unexpected keyword argument 'where'"),
    unsupported_function: (NORM, "no attribute 'einsum'"),
    change_through_indices: (NORM, "assignment through an array of indices"),
    change_through_two_masks: (NORM, "more than one mask"),
}
CAUGHT = (TypeError, ValueError, AttributeError, IndexError, strict_xp.SyncError)


@pytest.mark.parametrize("violation", PLANTED, ids=lambda violation: violation.__name__)
def test_planted(tiny, here, monkeypatch, violation):
    """Each stops a run of ref.train on the stand-in; the run without it is test_training."""
    place, said = PLANTED[violation]
    monkeypatch.setattr(place, violation)
    with strict(), pytest.raises(CAUGHT, match=said):
        strict_runs.command(ref.train.main, *training_arguments(
            "ao-sdtp", tiny, "--backend", "cupy", "--out", "run"))


def test_the_references_are_all_there():
    assert len(strict_runs.REFERENCES) == len(list(FOLDER.glob("*.h5"))) >= 40
