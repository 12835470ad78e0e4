"""Reference files of segregated dendrites: written, replayed, and wrong ones found and named."""

import json
from types import SimpleNamespace

import dendrite_models as models
import h5py
import naive_dendrites as naive
import numpy as np
import pytest

import ref
from ref import settings

RULE = "segregated-dendrites"
SIZES, T = models.NETS["two"], (53, 51)


def write(path, *more):
    from ref.reference import cli
    assert cli.work(["write", str(path), "--rule", RULE, "--arch", "dense 8, dense 6, softmax 4",
                     "--in-shape", "4x4x1", "--steps", "2", *more]) == 0
    return path


def by_hand(path, change=lambda arrays: None, memory=10, config=(), **planted):
    """A stranger's file of one image: what naive_dendrites computes, with the naive `planted`."""
    c, params, x, y = models.make(SIZES, scale=10.0)
    n = models.drawn(c, params, x, y, T, memory)
    patched = SimpleNamespace(**{name: getattr(naive, name) for name in planted})
    for name, function in planted.items():
        setattr(naive, name, function)
    try:
        V, V_a, s = naive.potentials(params, n, y, T[0], memory, 0.0)
        found, losses = naive.gradients(params, n, y, T[0], memory)
    finally:
        for name in planted:
            setattr(naive, name, getattr(patched, name))
    arrays = {f"n_{l}": n[l] for l in n} | {"y": y, "T1": np.array(float(T[0]))}
    for name, layers in (("s", s), ("V", V), ("V_a", V_a)):
        arrays |= {f"{name}_{l}": np.array(rows) for l, rows in layers.items()}
    arrays |= {f"loss_{l}": np.array(loss) for l, loss in losses.items()}
    arrays |= {f"G_{l}": G for l, G in found["G"].items()}
    L = len(params["W"])
    rates = {l: 0.21 * (20 / 0.2**2 if l == L else 20 / 0.2) for l in params["W"]}
    arrays |= {f"after/W_{l}": params["W"][l] - rates[l] * found["dW"][l] for l in rates}
    arrays |= {f"after/b_{l}": params["b"][l] - rates[l] * found["G"][l] for l in rates}
    arrays["s_mean_0"] = np.array(s[0])[30:T[0]].mean(axis=0)
    change(arrays)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="ref-outputs", version=1, rule=RULE,
                          config=json.dumps({"kernel_steps": memory, **dict(config)}))
        for l in range(1, L + 1):
            file.create_group(f"net/layer_{l}").attrs.update(
                kind="dense", in_shape=[SIZES[l - 1]], out_shape=[SIZES[l]])
        for symbol, layers in params.items():
            for l, array in layers.items():
                file[f"init/{symbol}_{l}"] = array
        for name, array in arrays.items():
            file[f"step_1/{name}"] = array
    return path


def first(path):
    """(the name of what differs first, what is said of it)."""
    result = ref.verify(str(path))
    rows = [row for row in result.rows if not row.agrees]
    name = rows[0].quantity.name if rows else None
    return name, " ".join(result.slips.get(name, []))


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("more", ([], ["--g-a", "0.05"], ["--kernel-steps", "0"],
                                  ["--feedback-weights", "symmetric"], ["--fed-back", "rates"],
                                  ["--teaching", "printed"], ["--averages", "last-20"]), ids=str)
def test_what_is_written_is_verified(tmp_path, more, dtype):
    result = ref.verify(str(write(tmp_path / "a.h5", "--dtype", dtype, *more)))
    assert result.agrees and not result.notes
    assert {"step_2/V_3", "step_1/G_1", "step_2/after/W_1"} <= {
        row.quantity.name for row in result.rows}


def test_the_small_library_has_one(tmp_path):
    """The trainer's own weights after two images are those in the file."""
    path = write(tmp_path / "a.h5")
    with h5py.File(path) as file:
        assert np.abs(file["step_2/after/W_1"][:] - file["init/W_1"][:]).max() > 1e-4
        assert file["step_1/n_1"].shape == file["step_1/V_1"].shape
        assert file.attrs["rule"] == RULE


@pytest.mark.parametrize("memory", (10, 0))
def test_a_strangers_right_file_agrees(tmp_path, memory):
    result = ref.verify(str(by_hand(tmp_path / "a.h5", memory=memory)))
    assert result.agrees, [row.quantity.name for row in result.rows if not row.agrees]
    assert len(result.rows) > 20


right = naive.kappa
WRONG = {
    "kernel late": (dict(kappa=lambda t: right(t - 1)), {}, "step_1/s_0", "one step late"),
    "kernel early": (dict(kappa=lambda t: right(t + 1)), {}, "step_1/s_0", "one step ahead"),
    "kernel forgets": ({}, dict(config={"kernel_steps": 0}), "step_1/s_0", "kernel_steps 10"),
    "teaching": ({}, dict(config={"teaching": "printed"}), "step_1/V_3", "teaching membrane"),
}


@pytest.mark.parametrize("name", WRONG)
def test_slips_are_named(tmp_path, name):
    planted, more, where, words = WRONG[name]
    found, said = first(by_hand(tmp_path / "a.h5", **planted, **more))
    assert found == where and words in said


def doubled(arrays):
    arrays["G_1"] = 2 * arrays["G_1"]


def of_target(arrays):
    arrays["s_mean_0"] = arrays["s_0"][T[0] + 30:].mean(axis=0)


def no_update(arrays):
    arrays["after/W_2"] = models.make(SIZES, scale=10.0)[1]["W"][2]


def one_wrong(arrays):
    arrays["V_2"][60, 1] += 0.01


@pytest.mark.parametrize("change, where, words", (
    (doubled, "step_1/G_1", "twice ours"), (of_target, "step_1/s_mean_0", "of the target phase"),
    (no_update, "step_1/after/W_2", "did not change"),
    (one_wrong, "step_1/V_2", "only 1 of")), ids=lambda a: getattr(a, "__name__", None))
def test_wrong_arrays_are_found_and_named(tmp_path, change, where, words):
    found, said = first(by_hand(tmp_path / "a.h5", change))
    assert found == where and words in said


def test_spikes_that_their_rates_would_not_give_are_told(tmp_path):
    """Twice as many spikes: a rate in other units, or a seed that is not what it seems."""

    def more(arrays):
        arrays["n_3"] = arrays["n_3"] + 1
        for name in [name for name in arrays if name not in ("n_0", "n_1", "n_2", "n_3", "y",
                                                              "T1")]:
            del arrays[name]
        arrays["s_0"] = np.array([naive.filtered(arrays["n_0"], t, 10) for t in range(sum(T))])

    result = ref.verify(str(by_hand(tmp_path / "a.h5", more)))
    assert result.agrees and any("layer 3 has" in note for note in result.notes)


@pytest.mark.parametrize("change, words", (
    (lambda a: a.update(T1=np.array(53.5)), "T1 is 53.5"),
    (lambda a: a.update(T1=np.array(20.0)), "T1 is 20"),
    (lambda a: a.update(y=np.array([1.0, 1.0, 0.0])), "not one-hot"),
    (lambda a: a["n_1"].__setitem__((0, 0), -1.0), "n_1"),
    (lambda a: a["n_1"].__setitem__((0, 0), 0.5), "n_1"),
    (lambda a: a.pop("n_2"), "step_1/n_2"),
    (lambda a: a.update(h_1=a["V_1"]), "h_1"),
    (lambda a: a.update(n_1=a["n_1"][:-1]), "n_1")), ids=range(8))
def test_files_that_can_not_be_used(tmp_path, change, words):
    from ref.reference.file import FileError
    path = by_hand(tmp_path / "a.h5", change)
    with pytest.raises(FileError, match=words) as error:
        ref.verify(str(path))
    assert "\n" not in str(error.value)


def test_rates_in_a_file_are_those_of_ref_train():
    setting, _ = settings.resolve(RULE, "custom")
    assert (setting["lr"], setting["output_lr"]) == (0.21, 0.21)
