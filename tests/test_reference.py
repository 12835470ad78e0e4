"""ref/reference/: what is written verifies; what is wrong is found, and named, first.

tests/test_reference_slips.py plants errors, tests/test_reference_files.py spoils files,
tests/test_peer_torch.py holds all of it against PyTorch.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from seldom import slow_but
from write_reference import FOLDER, arguments, library

import data_prep.hdf5
from ref import rules
from ref.common.command import STOPPING
from ref.reference import cli
from ref.reference.read import read
from ref.reference.replay import replay

ROOT = Path(__file__).resolve().parents[1]
MARKER = "<!-- example: verify a PyTorch FA step -->"


def run(capsys, *given):
    """(status, standard output, standard error) of a command."""
    capsys.readouterr()
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in given])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return end.value.code, *capsys.readouterr()


def verified(capsys, *given):
    """(status, the result as a dict) of ref.reference verify."""
    status, out, err = run(capsys, "verify", "--json", *given)
    assert status in (0, 1), err
    return status, json.loads(out)


@pytest.fixture
def written(tmp_path, capsys):
    """A function that writes a file of the library by its name, with other arguments behind."""

    def write(name, *more):
        path = tmp_path / f"{name}.h5"
        status, _, err = run(capsys, "write", path, *library()[name], *more)
        assert status == 0, err
        return path

    return write


# test_strict.py replays every committed file too, of every kind
@pytest.mark.parametrize("name", slow_but(
    [name for name in library() if "_local" not in name], library()))
def test_what_is_written_verifies_and_is_what_is_committed(name, written, capsys):
    """Replayed, and against the committed file; the committed file replayed too."""
    path, committed = written(name), FOLDER / f"{name}.h5"
    for given in ([path], [path, "--against", committed], [committed]):
        status, result = verified(capsys, *given)
        assert status == 0, result["first"]
        worst = max(q["error"] for q in result["quantities"])
        assert worst <= (0 if given[0] is path and len(given) == 1 else 1e-9)


def test_the_library_is_complete_and_small():
    assert {path.stem for path in FOLDER.glob("*.h5")} == set(library())
    assert sum(path.stat().st_size for path in FOLDER.glob("*.h5")) < 4e6


def contents(path):
    """{name: (shape, type, bytes)} of every array in a file."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
    return {name: (a.shape, str(a.dtype), a.tobytes()) for name, a in found.items()}


def test_writing_again_gives_the_same_bits(written, tmp_path, capsys):
    first = contents(written("ao-sdtp_local_parallel"))
    assert first == contents(written("ao-sdtp_local_parallel"))
    assert first != contents(written("ao-sdtp_local_parallel", "--seed", "1"))


def test_every_array_says_what_it_is(written):
    with h5py.File(written("dtp_conv_parallel")) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: dict(item.attrs)})
                        if isinstance(item, h5py.Dataset) else None)
        for name, attributes in found.items():
            assert attributes.keys() == {"symbol", "equation", "axes"}, name
            if "/" not in attributes["axes"]:  # as many axes as it has
                assert len(attributes["axes"].split(", ")) == file[name].ndim, name
        assert found["step_1/h_hat_1"]["symbol"] == "ĥ_1"
        assert found["init/W_1"]["axes"] == "C_out, kh, kw, C_in"
        assert file["net/layer_1"].attrs["to_pytorch"].startswith("W.transpose(0, 3, 1, 2)")
        assert json.loads(file.attrs["config"])["inverse_loss"] == "noise-preserving"
        assert file["step_1"].attrs["phase"] == "both"


def test_alternating_steps_train_the_inverses_first(written):
    with h5py.File(written("sdtp_dense_alternating")) as file:
        assert [file[f"step_{t}"].attrs["phase"] for t in (1, 2)] == ["inverse", "forward"]
        assert "dV_2" in file["step_1"] and "dW_2" not in file["step_1"]
        assert np.array_equal(file["step_1/after/W_2"], file["init/W_2"])


@pytest.mark.parametrize("given", [
    ["--arch", "dense 7, reconstruction", "--rule", "sdtp", "--in-shape", "3x3x1"],
    ["--arch", "mnist-fc", "--rule", "bp", "--batch-size", "1"],
    *(["--arch", "softmax 4", "--rule", rule, "--in-shape", "2x2x1"] for rule in rules.NAMES),
    ["--arch", "softmax 4", "--rule", "dtp", "--in-shape", "2x2x1", "--convention",
     "meulemans2020", "--schedule", "alternating"],
    ["--arch", "dense 5, softmax 3", "--rule", "sign-symmetry", "--magnitude", "batch",
     "--in-shape", "2x2x1"],
    ["--arch", "local 3x3x2/2, softmax 3", "--rule", "sdtp", "--inverse", "wide",
     "--in-shape", "4x4x1"],
    ["--arch", "conv 3x3x2/2, softmax 3", "--rule", "tp", "--inverse", "dense",
     "--in-shape", "4x4x1"],
    ["--arch", "dense 5, softmax 3", "--rule", "fa", "--optimizer", "sgd", "--in-shape", "2x2x1"],
    ["--arch", "dense 5, softmax 3", "--rule", "ao-sdtp", "--aux", "0", "--in-shape", "2x2x1"],
], ids=" ".join)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_other_networks_and_options(given, dtype, tmp_path, capsys):
    path = tmp_path / "out.h5"
    status, _, err = run(capsys, "write", path, "--dtype", dtype, *given)
    assert status == 0, err
    assert verified(capsys, path)[0] == 0


def test_batches_of_a_data_set(tmp_path, capsys):
    data = tmp_path / "tiny.h5"
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (5, 2, 2, 1), dtype=np.uint8), np.arange(5) % 3
    data_prep.hdf5.write(data, (images, labels), (images, labels), name="tiny",
                         classes=["a", "b", "c"], seed=0, source="noise", command="none")
    path = tmp_path / "out.h5"
    given = ("--rule", "bp", "--arch", "dense 4, softmax 3", "--data", data, "--batch-size", "3")
    assert run(capsys, "write", path, *given)[0] == 0
    assert verified(capsys, path)[0] == 0
    with h5py.File(path) as file:  # 3 steps: 3 + 2 examples, which is all of them, and 3 more
        seen = np.concatenate([file["step_1/x"], file["step_2/x"]])
        assert len(file["step_3/x"]) == 3
    assert np.array_equal(np.sort(seen.reshape(5, -1), axis=0),
                          np.sort(images.reshape(5, -1) / 255, axis=0))


def test_any_subset_is_enough(written, capsys):
    path = written("fa_dense")
    with h5py.File(path, "a") as file:
        for t in (1, 2):
            keep = {"x", "y", "delta_1", "delta_2"}
            for name in set(file[f"step_{t}"]) - keep:
                del file[f"step_{t}/{name}"]
    status, result = verified(capsys, path)
    assert status == 0
    assert [q["name"] for q in result["quantities"]] == [
        f"step_{t}/delta_{l}" for t in (1, 2) for l in (2, 1)]


def test_what_follows_from_an_error_is_not_told_as_one(written, capsys):
    """Two errors that have nothing to do with each other, and all that follows from them."""
    path = written("sdtp_dense_parallel")
    with h5py.File(path, "a") as file:
        file["step_1/dV_3"][...] *= 1.1
        file["step_1/h_hat_1"][0] += 0.1
    _, result = verified(capsys, path)
    assert result["first"]["name"] == "step_1/h_hat_1"
    assert [other["name"] for other in result["others"]] == ["step_1/dV_3"]
    assert result["others"][0]["slips"] == ["it is 1.1 times ours everywhere"]
    assert "step_1/h_hat_2" in result["first"]["upstream_agrees"]
    assert "init/V_2" in result["first"]["upstream_given"]


def test_the_table_for_a_person(written, capsys):
    path = written("fa_dense")
    with h5py.File(path, "a") as file:
        del file["step_1/delta_3"]
        file["step_1/delta_2"][...] *= -1
    status, out, _ = run(capsys, "verify", path)
    assert status == 1
    lines = out.splitlines()
    row = next(line for line in lines if line.startswith("step_1/delta_2"))
    assert row.split()[-1] == "DIFFERS" and "δ_2 = σ'_2 ∘ B_3ᵀ δ_3" in row
    assert "first to differ: step_1/delta_2" in out
    assert "known slip: the sign is wrong" in out
    assert "upstream, agrees: step_1/h_2" in out
    assert "upstream, taken from the file: init/B_3" in out
    assert "upstream, not in the file: step_1/delta_3" in out
    assert max(map(len, lines)) < 130


def test_against_a_file_needs_no_complete_start(written, capsys, tmp_path):
    path = written("bp_dense")
    with h5py.File(path, "a") as file:
        del file["init"], file["step_1/x"]
        file["step_2/dW_2"][0, 0] += 1
    status, _, err = run(capsys, "verify", path)
    assert status == 2 and "a replay needs init/W_1" in err
    status, result = verified(capsys, path, "--against", FOLDER / "bp_dense.h5")
    assert status == 1 and result["first"]["name"] == "step_2/dW_2"


def test_against_a_file_compares_the_start_too(written, capsys):
    path = written("bp_dense", "--seed", "5")
    _, result = verified(capsys, path, "--against", FOLDER / "bp_dense.h5")
    assert result["first"]["name"] == "init/W_1"
    status, _, err = run(capsys, "verify", path, "--against", FOLDER / "fa_dense.h5")
    assert status == 2 and "another rule" in err


def test_tolerances(written, capsys):
    path = written("bp_dense")
    with h5py.File(path, "a") as file:
        file["step_1/h_1"][0, 0] += 1e-6
        file["step_1/after/b_1"][...] += 1e-13  # small beside b_1's change
    _, result = verified(capsys, path)
    assert result["first"]["name"] == "step_1/h_1"
    assert len(result["others"]) == 0
    assert verified(capsys, path, "--rtol", "1e-5")[0] == 0
    assert verified(capsys, path, "--atol-scale", "1e4")[0] == 0


def test_the_tolerance_is_that_of_what_was_computed(written, capsys):
    """Inputs in float32 do not loosen it; one result in float32 does."""
    path = written("bp_dense", "--dtype", "float32")
    with h5py.File(path, "a") as file:
        results = [q.name for q in read(path).quantities if not q.is_input]
        arrays = {name: array.astype(np.float64) for name, array in replay(read(path)).items()}
        for name in results:
            del file[name]
            file[name] = arrays[name]
    status, result = verified(capsys, path)
    assert (status, result["dtype"], result["rtol"]) == (0, "float64", 1e-9)
    with h5py.File(path, "a") as file:
        del file["step_1/h_1"]
        file["step_1/h_1"] = arrays["step_1/h_1"].astype(np.float32)
    status, result = verified(capsys, path)
    assert (status, result["dtype"], result["rtol"]) == (0, "float32", 1e-4)


def test_zeros_are_held_to_a_scale_only_if_asked(written, capsys):
    path = written("dtp_dense_parallel", "--alpha", "0", "--dtype", "float64")
    with h5py.File(path, "a") as file:
        assert not file["step_1/delta_2"][()].any()
        file["step_1/delta_2"][0, 0] = 1e-17
    assert verified(capsys, path)[0] == 1
    assert verified(capsys, path, "--atol-scale", "1e-3")[0] == 0


def test_a_layer_that_never_trains_is_found_however_small_its_step(written, capsys):
    path = written("bp_dense", "--lr", "1e-8")
    with h5py.File(path, "a") as file:
        file["step_1/after/W_2"][...] = file["init/W_2"][()]
    _, result = verified(capsys, path)
    assert result["first"]["name"] == "step_1/after/W_2"
    assert "left out of the optimiser's update" in result["first"]["slips"][0]


def test_example_of_the_readme(tmp_path):
    """As it stands, in an empty folder."""
    readme = ROOT / "README.md"
    text = readme.read_text() if readme.exists() else ""
    if MARKER not in text:
        pytest.skip(f"README.md has no example after {MARKER}")
    pytest.importorskip("torch", reason="the example is written in PyTorch")
    code = re.search(r"```python\n(.*?)```", text.split(MARKER, 1)[1], re.S)[1]
    assert len(code.splitlines()) <= 60
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "quantities agree" in done.stdout


def environment():
    """So that `python -m ref.reference` is found from any folder, on one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def test_as_a_command(tmp_path):
    """The one way in that main(arguments) does not show: the module, its streams and its status."""

    def command(*words):
        return subprocess.run([sys.executable, "-m", "ref.reference", *words], cwd=tmp_path,
                              capture_output=True, text=True, timeout=60,
                              env={**environment(), "PYTHONIOENCODING": "ascii"})

    assert command("write", "out.h5", *arguments("fa", "dense")).returncode == 0
    done = command("verify", "out.h5")
    assert done.returncode == 0 and "all 44 quantities agree" in done.stdout
    done = command("verify", "absent.h5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: absent.h5: there is no such file\n"
