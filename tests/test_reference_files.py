"""Files that can't be used: one clear line, status 2, nothing executed, nothing large made."""

import errno
import json
import resource

import h5py
import numpy as np
import pytest
from seldom import slow_but
from test_reference import run
from write_reference import FOLDER, arguments

from ref import optim
from ref.common import files, untrusted

GOOD = FOLDER / "fa_conv.h5"


def put(name, array, **options):
    """Replace an array."""

    def change(file):
        del file[name]
        file.create_dataset(name, data=array, **options)

    return change


def declare(name, shape, dtype="f8", **options):
    """Replace an array by one that is declared and never written, and so takes no room."""

    def change(file):
        del file[name]
        file.create_dataset(name, shape, dtype, **options)

    return change


def attribute(group, name, value):
    def change(file):
        if value is None:
            del file[group].attrs[name]
        else:
            file[group].attrs[name] = value

    return change


def remove(*names):
    def change(file):
        for name in names:
            del file[name]

    return change


def config(**options):
    def change(file):
        file.attrs["config"] = json.dumps(json.loads(file.attrs["config"]) | options)

    return change


def entry(name, value):
    def change(file):
        file[name][0] = value

    return change


def soft_link(file):
    del file["step_1/x"]
    file["step_1/x"] = h5py.SoftLink("/step_2/x")


def external_link(file):
    del file["step_1/x"]
    file["step_1/x"] = h5py.ExternalLink("/etc/passwd", "x")


def external_storage(file):
    del file["step_1/x"]
    file.create_dataset("step_1/x", (3, 5, 4, 2), "f8", external=[("/etc/passwd", 0, 960)])


def virtual(file):
    del file["step_1/x"]
    layout = h5py.VirtualLayout((3, 5, 4, 2), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 5, 4, 2))
    file.create_virtual_dataset("step_1/x", layout)


def loop(file):
    file["step_1/after/after"] = file["step_1"]


def references(file):
    del file["init/b_3"]
    file["init/b_3"] = np.array([file["init"].ref] * 4, h5py.ref_dtype)


def narrow(file, name, size, fields, bias):
    """An array in a float type that NumPy does not have: bfloat16, 8 bits."""
    array = file[name][()]
    del file[name]
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(*fields)
    kind.set_size(size)
    kind.set_ebias(bias)
    group, last = name.rsplit("/", 1)
    space = h5py.h5s.create_simple(array.shape)
    h5py.h5d.create(file[group].id, last.encode(), kind, space)
    file[name][...] = array


def huge_dense(file):
    """An architecture as absurd as the array that it declares."""
    for name in ("init/W_3", "init/B_3"):
        declare(name, (4, 10**9))(file)
    file["net/layer_2"].attrs["kind"] = "dense"
    file["net/layer_2"].attrs["out_shape"] = [10**9]
    file["net/layer_3"].attrs["in_shape"] = [10**9]
    for step in ("step_1", "step_2"):
        del file[step + "/h_2"], file[step + "/delta_2"], file[step + "/after"]
        for name in ("dW_2", "db_2", "dW_3"):
            del file[f"{step}/{name}"]
    for name in ("W_2", "B_2"):
        declare("init/" + name, (10**9, 18))(file)
    declare("init/b_2", (10**9,))(file)


def huge_batch(file):
    del file["step_1"], file["step_2"]
    file.create_dataset("step_1/x", (10**9, 5, 4, 2), "f8")
    file.create_dataset("step_1/y", (10**9, 4), "f8")


def huge_patches(file):
    """Small weights, but patches that would take terabytes to gather."""
    layer = file["net/layer_1"]
    layer.attrs["in_shape"] = [3000, 3000, 1]
    layer.attrs["out_shape"] = [3000, 3000, 1]
    layer.attrs["kernel"], layer.attrs["stride"] = [1000, 1000], 1
    del file["net/layer_2"], file["net/layer_3"], file["step_2"], file["step_1"], file["init"]
    layer.attrs["activation"], file["net"].attrs["loss"] = "identity", "squared-error"
    file.create_dataset("init/W_1", (1, 1000, 1000, 1), "f8")
    file.create_dataset("init/b_1", (1,), "f8")
    file.create_dataset("step_1/x", (2, 3000, 3000, 1), "f8")
    file.create_dataset("step_1/y", (2, 3000, 3000, 1), "f8")


SPOILED = {  # name: (change of a good file, words of the error)
    "format": (attribute("/", "format", "npz"), "not a file of reference outputs"),
    "no format": (attribute("/", "format", None), "not a file of reference outputs"),
    "version": (attribute("/", "version", 2), "version is 2, this program reads version 1"),
    "version text": (attribute("/", "version", "one"), "its attribute version is 'one', this"),
    "no version": (attribute("/", "version", None), "its attribute version is missing"),
    "rule": (attribute("/", "rule", "rprop"), "rule 'rprop' is none of bp, fa"),
    "rule number": (attribute("/", "rule", 3), "its attribute rule is 3, expected text"),
    "config text": (attribute("/", "config", "{lr: 1}"), "not a JSON object"),
    "config list": (attribute("/", "config", "[1]"), "not a JSON object"),
    "config deep": (attribute("/", "config", "[" * 50_000), "not a JSON object"),
    "config code": (attribute("/", "config", "__import__('os').abort()"), "not a JSON object"),
    "config long": (attribute("/", "config", " " * 65_537), "not a JSON object"),
    "option": (config(speed=1), "config: there is no option 'speed'"),
    "option of another rule": (config(alpha=0.1), "config: --alpha: the rule fa has no such"),
    "option value": (config(lr=-1), "config: --lr: -1 is not a number above 0"),
    "option NaN": (config(lr=float("nan")), "config: --lr: nan is"),
    "option type": (config(lr=[1]), "config: lr is neither a number nor a word"),
    "option choice": (config(optimizer="--help"), "config: --optimizer: '--help' is none of"),
    "no network": (remove("net"), "net is missing"),
    "no layer 2": (remove("net/layer_2"), "net must hold layer_1, layer_2"),
    "kind": (attribute("net/layer_1", "kind", "pool"), "kind 'pool' is none of dense"),
    "activation": (attribute("net/layer_1", "activation", "gelu"), "activation 'gelu'"),
    "kernel": (attribute("net/layer_1", "kernel", None), "net/layer_1: its attribute kernel is"),
    "kernel sizes": (attribute("net/layer_1", "kernel", [3, -3]), "2 positive integers"),
    "kernel fraction": (attribute("net/layer_1", "kernel", [1.5, 3]), "2 positive integers"),
    "stride": (attribute("net/layer_1", "stride", 0), "positive integers"),
    "padding": (attribute("net/layer_1", "padding", "VALID"), "padding is 'VALID'"),
    "out_shape": (attribute("net/layer_1", "out_shape", [5, 4, 3]), "at stride 2 gives 3x2x3"),
    "chain": (attribute("net/layer_3", "in_shape", [13]), "in_shape is 13, but layer_2 gives"),
    "loss": (attribute("net", "loss", "hinge"), "loss 'hinge' over 'softmax'"),
    "loss of another output": (attribute("net", "loss", "squared-error"), "over 'softmax'"),
    "phase": (attribute("step_1", "phase", "sideways"), "phase 'sideways'"),
    "no steps": (remove("step_1", "step_2"), "its steps must be step_1, step_2"),
    "a step is left out": (remove("step_1"), "its steps must be step_1, step_2"),
    "no parameters": (remove("init/W_2", "init/B_3"), "a replay needs init/W_2, init/B_3"),
    "no inputs": (remove("step_2/x"), "a replay needs step_2/x"),
    "nothing to compare": (lambda file: [
        file[f"step_{t}"].__delitem__(name) for t in (1, 2) for name in list(file[f"step_{t}"])
        if name not in ("x", "y")], "nothing to compare"),
    "unknown array": (lambda file: file.move("step_1/dW_2", "step_1/dw_2"),
                      "step_1/dw_2: fa on this network has no such array; it has x, y, h_0"),
    "shape": (put("step_1/dW_3", np.ones((4, 13))), "architecture says (4, 12)"),
    "transposed": (put("init/W_3", np.ones((12, 4))), "transposed? W is (n_out, n_in)"),
    "PyTorch's layout": (put("init/W_1", np.ones((3, 2, 3, 3))), "says (3, 3, 3, 2)"),
    "other batch": (put("step_1/h_3", np.ones((4, 4))), "says (3, 4)"),
    "mean loss": (put("step_1/loss", 1.0), "a number for each example, not their mean"),
    "no examples": (put("step_1/x", np.ones((0, 5, 4, 2))), "says (N, 5, 4, 2)"),
    "NaN": (entry("step_1/delta_3", np.nan), "step_1/delta_3 holds nan at [0, 0]"),
    "infinity": (entry("init/b_1", np.inf), "init/b_1 holds inf at [0]"),
    "complex": (put("init/b_1", np.ones(3, complex)), "of type complex128"),
    "half": (put("init/b_1", np.ones(3, np.float16)), "init/b_1 is of type float16 (5 bits"),
    "bfloat16": (lambda file: narrow(file, "init/b_1", 2, (15, 7, 8, 0, 7), 127),
                 "init/b_1 is of type bfloat16 (8 bits of exponent, 7 of fraction), expected "
                 "float32 or float64: compute and write it in one of these"),
    "bfloat16 of a result": (lambda file: narrow(file, "step_1/h_3", 2, (15, 7, 8, 0, 7), 127),
                             "step_1/h_3 is of type bfloat16"),
    "an 8-bit float": (lambda file: narrow(file, "step_1/h_3", 1, (7, 3, 4, 0, 3), 7),
                       "step_1/h_3 is of type a 8-bit float"),
    "long double": (put("init/b_1", np.ones(3, np.longdouble)), "init/b_1 is of type"),
    "multi-hot": (put("step_1/y", [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
                  "step_1/y: row 0 sums to 2, not to 1: with the loss cross-entropy each row is a "
                  "distribution over the classes (one-hot, or several labels divided by their "
                  "number), and δ = h - y holds for nothing else"),
    "no label": (put("step_2/y", [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
                 "step_2/y: row 1 sums to 0, not to 1"),
    "bias": (attribute("net/layer_1", "bias", 2), "net/layer_1: its attribute bias is 2, expected"),
    "a bias that is not to be there": (attribute("net/layer_1", "bias", 0),
                                       "init/b_1: fa on this network has no such array"),
    "integers": (put("step_1/dW_3", np.ones((4, 12), int)), "of type int64"),
    "text": (put("init/b_1", np.array([b"a"] * 3)), "of type |S1"),
    "vlen": (put("init/b_1", ["a"] * 3), "of type object"),
    "compound": (put("init/b_1", np.zeros(3, "f8,f8")), "of type"),
    "references": (references, "of type object"),
    "empty": (put("init/b_1", h5py.Empty("f8")), "is empty"),
    "a group": (lambda file: [file.__delitem__("init/b_1"), file.create_group("init/b_1")],
                "init/b_1 is not an array"),
    "an array": (lambda file: [file.__delitem__("init"), file.create_dataset("init", data=1.0)],
                 "init is not a group"),
    "soft link": (soft_link, "step_1/x is a soft or external link"),
    "external link": (external_link, "step_1/x is a soft or external link"),
    "external storage": (external_storage, "its numbers lie in another file"),
    "virtual": (virtual, "its numbers lie in another file"),
    "a loop": (loop, "step_1/after/after: fa on this network has no such array"),
    "claims terabytes": (declare("step_1/h_1", (10**6, 10**3, 10**3), chunks=(1, 10, 10)),
                         "architecture says (3, 3, 2, 3)"),
    "claims terabytes of examples": (huge_batch, "GiB, the limit is 4"),
    "huge network": (huge_dense, "GiB, the limit is 4"),
    "huge patches": (huge_patches, "GiB, the limit is 4"),
    "huge chunks": (lambda file: declare("step_1/x", (3, 5, 4, 2), chunks=(10**6, 5, 4, 2),
                                         maxshape=(None, 5, 4, 2))(file), "chunks are larger"),
}


@pytest.fixture
def spoil(tmp_path):
    """A function that gives the path of a changed copy of a good file."""

    def spoiled(change):
        path = tmp_path / "theirs.h5"
        path.write_bytes(GOOD.read_bytes())
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return spoiled


def refused(capsys, path, *given):
    """The one line of a refusal."""
    status, out, err = run(capsys, "verify", path, *given)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {path}: ") and err.endswith("\n") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_file(name, spoil, capsys):
    change, words = SPOILED[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refused(capsys, spoil(change))
    assert words in line
    assert len(line) < 1200
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, "kilobytes"  # nothing of what it claims was made


def test_not_hdf5(tmp_path, capsys):
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n", GOOD.read_bytes()[:3000]):
        path = tmp_path / "theirs.h5"
        path.write_bytes(content)
        refused(capsys, path)
    assert "it is a folder, not a file" in refused(capsys, tmp_path)
    assert "there is no such file" in refused(capsys, tmp_path / "absent.h5")


def test_a_reference_that_cannot_be_used(spoil, capsys):
    path = spoil(attribute("/", "rule", "rprop"))
    status, _, err = run(capsys, "verify", GOOD, "--against", path)
    assert status == 2 and err.startswith(f"error: {path}: rule")


def test_integer_labels_and_other_byte_order_are_taken(spoil, capsys):
    def change(file):
        put("step_1/y", file["step_1/y"][()].astype(np.uint8))(file)
        put("step_1/h_1", file["step_1/h_1"][()].astype(">f8"))(file)
        put("step_1/dW_1", file["step_1/dW_1"][()], compression="gzip")(file)

    assert run(capsys, "verify", spoil(change))[0] == 0


def as_matlab(value):
    """Text of fixed length, numbers as arrays of floats."""
    if isinstance(value, str):
        return np.array([value.encode()])
    return np.array(value, float).reshape(1, -1) if np.ndim(value) == 0 else np.array(value, float)


@pytest.mark.parametrize("name", ["fa_conv", "ao-sdtp_local_alternating", "sdtp_dense_parallel"])
def test_attributes_however_they_are_written(name, tmp_path, capsys):
    """All text of fixed length, all numbers floats: as MATLAB and C write them."""
    path = tmp_path / "theirs.h5"
    path.write_bytes((FOLDER / f"{name}.h5").read_bytes())
    with h5py.File(path, "a") as file:
        groups = [file, file["net"], *file["net"].values(),
                  *(file[key] for key in file if key.startswith("step_"))]
        for group in groups:
            for key, value in dict(group.attrs).items():
                group.attrs[key] = as_matlab(value)
        assert file.attrs["rule"].dtype.kind == "S"
        assert file["net/layer_1"].attrs["in_shape"].dtype.kind == "f"
    assert run(capsys, "verify", path)[0] == 0


@pytest.mark.parametrize("version", [1.0, "1", b"1", np.uint8(1), np.array([1]), np.array([1.0])])
def test_version_one(version, spoil, capsys):
    assert run(capsys, "verify", spoil(attribute("/", "version", version)))[0] == 0


@pytest.mark.parametrize("version, shown", [(1.5, "1.5"), ("1.1", "'1.1'"), ([1, 2], "[1, 2]")])
def test_another_version_is_named(version, shown, spoil, capsys):
    line = refused(capsys, spoil(attribute("/", "version", version)))
    assert f"its attribute version is {shown}, this program reads version 1" in line


@pytest.mark.parametrize("y", [
    [[0.5, 0.5, 0, 0], [0.9, 0.1, 0, 0], [0.25, 0.25, 0.25, 0.25]],
    [[0.925, 0.025, 0.025, 0.025]] * 3,
])
def test_labels_may_be_any_distribution(y, tmp_path, capsys):
    path = tmp_path / "theirs.h5"
    path.write_bytes((FOLDER / "bp_dense.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file["step_1/y"][...] = y
        del file["step_2"]
        for name in [name for name in file["step_1"] if name not in ("x", "y", "h_3", "delta_3")]:
            del file[f"step_1/{name}"]
        file["step_1/delta_3"][...] = file["step_1/h_3"][()] - y
    assert run(capsys, "verify", path)[0] == 0


def test_labels_of_a_regression_are_any_numbers(tmp_path, capsys):
    path = tmp_path / "out.h5"
    given = ("--rule", "bp", "--arch", "dense 4, reconstruction", "--in-shape", "2x2x2")
    assert run(capsys, "write", path, *given)[0] == 0 and run(capsys, "verify", path)[0] == 0


def held(params, grads, state, right=optim.adam, **options):
    """Adam that leaves the biases where they are: at zero."""
    right(params, grads, state, **options)
    for name, p in params.items():
        if name[0] in "bc":
            p[...] = 0


@pytest.mark.parametrize("kind", slow_but(["dense"], ["dense", "local", "conv"]))
@pytest.mark.parametrize("rule, given", [
    ("bp", ()), ("sdtp", ()), ("dtp", ("--schedule", "alternating")), ("ao-sdtp", ()),
    ("sdtp", ("--order", "inverse-first")),
])
def test_a_network_without_biases(rule, given, kind, tmp_path, capsys, monkeypatch):
    path = tmp_path / "theirs.h5"
    with monkeypatch.context() as patched:
        patched.setattr(optim, "adam", held)
        assert run(capsys, "write", path, *arguments(rule, kind, *given, "--steps", "3"))[0] == 0
    assert run(capsys, "verify", path)[0] == 1  # its biases are there, and do not train
    with h5py.File(path, "a") as file:
        names = []
        file.visit(names.append)
        for name in names:
            last = name.rpartition("/")[2]
            if name.split("/")[0] != "net" and last.removeprefix("d")[:2] in ("b_", "c_"):
                if last != "b_z":
                    del file[name]
        for layer in file["net"].values():
            layer.attrs.update(bias=0, inverse_bias=False)
    status, out, _ = run(capsys, "verify", path)
    assert status == 0 and "quantities agree" in out and "b_1" not in out.split("agree")[0].split()
    with h5py.File(path, "a") as file:  # and what is wrong is still found
        file["step_2/after/W_2"][0] *= 1.01
    status, out, _ = run(capsys, "verify", path)
    assert status == 1 and "first to differ: step_2/after/W_2" in out


def test_another_limit(capsys):
    status, _, err = run(capsys, "verify", GOOD, "--limit", "1e-5")
    assert status == 2 and "GiB, the limit is 1e-05 (--limit)" in err


def test_broken_bytes_never_get_through(tmp_path, capsys):
    """Any byte of the file may be wrong: the answer is a verdict or one line."""
    rng = np.random.default_rng(0)
    good = np.frombuffer(GOOD.read_bytes(), np.uint8)
    path = tmp_path / "theirs.h5"
    for _ in range(60):
        bad = good.copy()
        places = rng.integers(len(bad), size=rng.integers(1, 40))
        bad[places] = rng.integers(0, 256, len(places))
        path.write_bytes(bad.tobytes())
        status, _, err = run(capsys, "verify", path)
        assert status in (0, 1) or (status == 2 and err.count("\n") == 1)


def test_names_are_capped(spoil, capsys, monkeypatch):
    monkeypatch.setattr(untrusted, "MAX_NAMES", 10)
    assert "names, more than 10" in refused(capsys, spoil(lambda file: None))


# ---- arguments of write --------------------------------------------------------------------------


@pytest.mark.parametrize("given, words", [
    (["--rule", "fa", "--arch", "dense 5, softmax 3"], "needs --in-shape HxWxC, or --data"),
    (["--rule", "fa", "--arch", "resnet", "--in-shape", "2x2x1"], "unknown architecture"),
    (["--rule", "fa", "--arch", "mnist-fc", "--in-shape", "2x2x1"], "mnist-fc takes 28x28x1"),
    (["--rule", "fa", "--arch", "dense 5", "--in-shape", "2x2x1"], "the last layer"),
    (["--rule", "fa", "--arch", "softmax 3", "--in-shape", "2x2x1", "--alpha", "1"], "--alpha"),
    (["--rule", "fa", "--arch", "softmax 3", "--in-shape", "2x2x1", "--data", "absent.h5"],
     "absent.h5 is not there"),
    (["--rule", "fa", "--arch", "imagenet-lc"], "GiB, the limit is 4: fewer --steps"),
    (["--rule", "bp", "--arch", "dense 5, softmax 3", "--in-shape", "2x2x1", "--optimizer", "sgd",
      "--lr", "1e308"], "became NaN or infinite; try a smaller --lr"),
])
def test_write_refuses(given, words, tmp_path, capsys):
    status, out, err = run(capsys, "write", tmp_path / "out.h5", *given)
    assert (status, out) == (2, "") and words in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_write_puts_its_file(tmp_path, capsys, monkeypatch):
    path = tmp_path / "folder" / "out.h5"
    given = ("--rule", "bp", "--arch", "softmax 3", "--in-shape", "2x2x1")
    assert run(capsys, "write", path, *given)[0] == 0  # makes the folder
    before = path.read_bytes()
    status, _, err = run(capsys, "write", path / "out.h5", *given)
    assert status == 2 and str(path) in err and "a file is in its place" in err

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "reserve", full)
    status, _, err = run(capsys, "write", path, *given)
    assert (status, err) == (2, f"error: can't write {path}: No space left on device\n")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    status, _, err = run(capsys, "write", tmp_path, *given)
    assert status == 2 and "is a folder" in err
