"""ref.export: layouts turned and back; PyTorch's outputs from our parameters."""

import json
import zipfile

import numpy as np
import pytest
from run_folders import make

import ref
from ref import architectures, layouts, rules
from ref.network import SYMBOLS, initial_parameters
from ref.training import initial_stream

NETWORKS = {
    "dense": "dense 7 relu, dense 6 nobias, softmax 4",
    "images": "conv 3x3x4/2, local 3x2x5/2, dense 7, softmax 4",
    "local": "local 5x5x3/3 nobias, conv 2x2x3 identity, softmax 4",
    "autoencoder": "local 3x3x2, dense 6, reconstruction",
}
# batch norm, pools, both kinds of skips: for rules that have them
UNITS = ("conv 3x3x4 pad 1 bn relu, maxpool 3/2 pad 1, block 4, block 8/2, block 12/2 a, "
         "meanpool 1, mean, dense 6 bn, softmax 4")
IN_SHAPE = (7, 10, 3)
RULES = ("sdtp", "ao-sdtp", "dfa", "kolen-pollack")


def images(dtype, N=20):
    return np.random.default_rng(0).random((N, *IN_SHAPE)).astype(dtype)


def fitted(arch, rule="bp", dtype="float32"):
    x = images(dtype)
    return ref.fit(rule, arch, data=(x, np.arange(len(x)) % 4), epochs=1, dtype=dtype,
                   batch_size=5, lr=0.01)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("arch", NETWORKS.values(), ids=NETWORKS)
def test_there_and_back(arch, rule):
    """Every array of every kind: no entry is lost, and it is as it was."""
    declared = rules.get(rule)
    net = architectures.build(arch, IN_SHAPE)
    if architectures.is_autoencoder(net) and rule == "ao-sdtp":
        net = architectures.build(NETWORKS["dense"], IN_SHAPE)
    net = declared.build(net, {"aux": 3})
    params = initial_parameters(net, initial_stream(0), np.float64)
    for symbol, of_layers in params.items():
        for l, array in of_layers.items():
            m, shape = net.maps_of(symbol)[l], SYMBOLS[symbol][1]
            numbered = np.arange(array.size, dtype=float).reshape(array.shape)
            there = layouts.outward(m, shape, numbered)
            assert there.shape == layouts.shape_there(m, shape)
            assert sorted(there.ravel()) == list(range(array.size))
            assert np.array_equal(layouts.inward(m, shape, there), numbered)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("arch", [*NETWORKS.values(), UNITS], ids=[*NETWORKS, "units"])
def test_pytorch_gives_the_same_outputs(arch, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    run = fitted(arch, dtype=dtype)
    model = ref.export(run, "module")
    x = images(dtype, 30)
    with torch.no_grad():
        found = model(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
    expected = run.activities(x)[run.net.L]
    if expected.ndim == 4:
        expected = expected.transpose(0, 3, 1, 2)
    assert found.dtype == expected.dtype == dtype
    assert abs(found - expected).max() < tolerance
    assert np.ptp(expected, axis=0).max() > 0.01  # they are not all the same


def test_the_inverses_are_turned_as_the_weights():
    """Vᵀ y + c, the transposed map: what PyTorch's derivative of the layer gives."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    from ref.torch_net import Net
    run = fitted(NETWORKS["images"], "sdtp", "float64")
    state = ref.export(run, "torch", every=True)
    layers = dict(Net(run.net).double().named_children())
    for l in sorted(run.params["V"]):
        m, rng = run.net.map[l], np.random.default_rng(l)
        c = run.params["c"][l]
        c[...] = rng.normal(size=c.shape)
        y = rng.normal(size=(2, *m.out_shape))
        expected = run.net.maps["V"][l].transpose(run.params["V"][l], y) + c
        x = torch.zeros(2, *_first(m.in_shape), dtype=torch.float64, requires_grad=True)
        layer = layers[f"layer{l}"]
        layer.weight.data = state[f"inverse{l}.weight"]
        if m.kind == "dense":
            padded = x.flatten(1)
        else:
            (top, bottom), (left, right) = m.patches.padding
            padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        layer(padded).backward(torch.from_numpy(_channels_first(y)))
        c_there = ref.export(run, "npz", every=True)[f"inverse{l}.bias"]
        if m.kind == "conv":
            c_there = c_there.reshape(-1, 1, 1)
        elif len(m.in_shape) == 3:
            c_there = c_there.reshape(_first(m.in_shape))
        assert abs(x.grad.numpy() + c_there - _channels_first(expected)).max() < 1e-12


def _first(shape):
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def _channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def test_files_hold_what_python_gives(command, here, tiny):
    """npz without PyTorch; its settings beside it; another run's file is replaced whole."""
    line = ["--rule", "fa", "--arch", "conv 3x3x2/4, softmax 10", "--data", tiny, "--epochs", 1]
    assert command("ref.train", *line, "--out", "run").status == 0
    result = command("ref.export", "run", "--to", "npz")
    assert "layer1.weight      (2, 1, 3, 3)" in result.out
    assert "wrote run/network.npz and network.json" in result.out and "feedback" not in result.out
    with np.load("run/network.npz") as file:
        found = {name: file[name] for name in file.files}
    expected = ref.export("run", "npz")
    assert list(found) == list(expected) == ["layer1.weight", "layer1.bias", "layer2.weight",
                                             "layer2.bias"]
    assert all(np.array_equal(found[name], expected[name]) for name in found)
    about = json.loads((here / "run/network.json").read_text())
    assert about["arch"] == "conv 3x3x2/4, softmax 10" and about["in_shape"] == [28, 28, 1]
    assert about["rule"] == "fa" and about["hyperparameters"]["lr"] > 0
    assert command("ref.export", "run", "--to", "npz", "--all", "--out", "new/x.npz").status == 0
    with np.load("new/x.npz") as file:
        assert file["feedback2.weight"].shape == (10, 98)


def test_a_state_dict_is_loaded(command, here, digits):
    """The file of --to torch, by torch.load and load_state_dict alone."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: compare)")
    run = ref.fit("bp", "dense 8, softmax 10", data=digits, epochs=1, out="run")
    assert "wrote run/network.pt" in command("ref.export", "run").out
    with zipfile.ZipFile("run/network.pt") as file:
        assert not any(".ref-" in name for name in file.namelist())
    state = torch.load("run/network.pt", weights_only=True)
    model = ref.export(run, "module")
    assert list(model.state_dict()) == ["layer1.weight", "layer1.bias", "layer2.weight",
                                        "layer2.bias"]
    model.load_state_dict(state)


def test_bad_input(command, here):
    make(here / "curves")
    for arguments, named in ((["nothere"], "nothere"), ([], "RUN"),
                             (["curves", "--to", "x"], "npz"),
                             (["curves", "--to", "npz"], "no parameters.h5"),
                             (["curves", "--out", "."], "a folder"),
                             (["curves", "--out", "x.json"], "must end in .pt or .pth"),
                             (["curves", "--out", "x.npz"], "must end in .pt or .pth"),
                             (["curves", "--to", "npz", "--out", "x.pt"], "must end in .npz")):
        command.refused("ref.export", *arguments, names=[named])
    with pytest.raises(ref.common.command.UserError, match="torch, npz, module"):
        ref.export("curves", "onnx")
    with pytest.raises(ref.common.command.UserError, match="must end in .npz"):
        ref.export("curves", "npz", out="x.pt")
