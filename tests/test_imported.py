"""ref.train --init: parameters from a state dict, an .npz or a run; what does not fit."""

import json
import re
import zipfile

import h5py
import numpy as np
import pytest
from conftest import content

import ref
from ref.common.command import UserError

ARCH = "conv 3x3x2/4, dense 6, softmax 10"
STILL = ["--optimizer", "sgd", "--lr", "1e-30", "--epochs", 1]  # what it begins with stays
NO_TORCH = "PyTorch is not installed (extra: compare)"


@pytest.fixture
def train(command, tiny, here):
    return lambda *arguments: command("ref.train", "--data", tiny, *arguments)


@pytest.fixture
def trained(train):
    assert train("--rule", "fa", "--arch", ARCH, "--epochs", 1, "--out", "run").status == 0


def parameters(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


@pytest.mark.parametrize("source", ["run", "x.npz"])
def test_the_forward_parameters_are_those_of_the_file(train, command, trained, source):
    """By another rule, whose own arrays begin as without --init."""
    assert command("ref.export", "run", "--to", "npz", "--out", "x.npz").status == 0
    for out, more in (("with", ["--init", source]), ("without", [])):
        line = ["--rule", "sdtp", "--inverse-lr", "1e-30", "--arch", ARCH, *STILL, *more]
        assert train(*line, "--out", out).status == 0
    begun, old, new = (parameters(f"{p}/parameters.h5") for p in ("with", "run", "without"))
    for name, array in begun.items():
        if name[0] in "Wb":
            assert np.array_equal(array, old[name]) and not np.array_equal(array, new[name])
        else:
            assert abs(array - new[name]).max() < 1e-20  # c was 0, and moved by that
    assert json.loads(open("with/config.json").read())["arguments"]["init"] == source


def test_the_rules_own_arrays_come_too_where_the_file_has_them(train, command, trained):
    assert command("ref.export", "run", "--to", "npz", "--all", "--out", "x.npz").status == 0
    assert train("--rule", "fa", "--seed", 5, "--arch", ARCH, *STILL, "--init", "x.npz",
                 "--out", "b").status == 0
    old, begun = parameters("run/parameters.h5"), parameters("b/parameters.h5")
    assert all(np.array_equal(old[name], begun[name]) for name in old)


def test_a_run_killed_before_its_first_checkpoint(train, command, trained, here):
    line = ["--rule", "bp", "--arch", ARCH, "--epochs", 2, "--init", "run"]
    assert train(*line, "--out", "whole").status == 0
    assert train(*line, "--out", "killed").status == 0
    for path in (here / "killed").iterdir():
        if path.name not in ("config.json", ".lock"):
            path.unlink()
    assert command("ref.train", "--resume", "killed").status == 0
    whole, killed = parameters("whole/parameters.h5"), parameters("killed/parameters.h5")
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)


def torch_checkpoint(torch, x, y, kind, steps=3):
    """A model of somebody's, and its optimizer, after some steps: names of their own."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Tanh(),
                                torch.nn.Flatten(), torch.nn.Linear(2 * 16, 3)).double()
    optimizer = (torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.8, 0.95), eps=1e-3)
                 if kind == "adam" else torch.optim.SGD(
                     model.parameters(), lr=0.1, **(
                         {} if kind == "sgd" else {"momentum": 0.9, "weight_decay": 0.01})))
    x, y = torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.from_numpy(y)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    for _ in range(steps):
        step()
    return model, optimizer, step


@pytest.mark.parametrize("kind", ["adam", "sgd", "momentum"])
def test_it_goes_on_as_pytorch_does(here, kind):
    """Rates, moments and steps of the optimizer are taken over: three steps more agree."""
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 4, 4, 1)), np.arange(8) % 3
    model, optimizer, step = torch_checkpoint(torch, x, y, kind)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "theirs.pt")
    trainer = ref.Trainer("bp", "conv 3x3x2, softmax 3", (4, 4, 1), dtype="float64",
                          init="theirs.pt")
    assert trainer.setting["lr"] == (0.02 if kind == "adam" else 0.1)
    before = trainer.params["W"][1].copy()
    for _ in range(3):
        step()
        trainer.step(x, np.eye(3)[y])
    theirs = [p.detach().numpy() for p in model.parameters()]
    W = trainer.params["W"]
    assert abs(W[1].transpose(0, 3, 1, 2) - theirs[0]).max() < 1e-12 < abs(W[1] - before).max()
    turned = W[2].reshape(3, 4, 4, 2).transpose(0, 3, 1, 2).reshape(3, -1)
    assert abs(turned - theirs[2]).max() < 1e-12
    assert abs(trainer.params["b"][2] - theirs[3]).max() < 1e-12
    given = ref.Trainer("bp", "conv 3x3x2, softmax 3", (4, 4, 1), init="theirs.pt", lr=0.5)
    assert given.setting["lr"] == 0.5  # what is given comes first
    other = {"optimizer": "sgd" if kind == "adam" else "adam"}  # has no use for these moments
    given = ref.Trainer("bp", "conv 3x3x2, softmax 3", (4, 4, 1), init="theirs.pt", **other)
    assert given.state["forward"]["t"] == 0
    assert not any(v.any() for v in given.state["forward"]["v"].values())


def test_a_run_goes_on_from_a_state_dict(here, tiny):
    """In memory or in a file, into a run with checkpoints."""
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    first = ref.fit("bp", ARCH, data=tiny, epochs=1)
    state = ref.export(first, "torch", out="a.pt")
    runs = [ref.fit("dtp", ARCH, data=tiny, epochs=1, init=init, out=out)
            for init, out in (("a.pt", "a"), (state, "b"))]
    assert isinstance(state["layer1.weight"], torch.Tensor)
    assert all(np.array_equal(a, runs[1].params["W"][l]) for l, a in runs[0].params["W"].items())
    assert ref.load("b").config["arguments"]["init"] == "the state dict"


def test_batch_norm_comes_too(here, tiny):
    """γ, β and the running statistics, with PyTorch's names for them, whatever theirs are."""
    pytest.importorskip("torch", reason=NO_TORCH)
    arch = "conv 3x3x4/4 pad 1 bn relu, block 4, mean, softmax 10"
    first = ref.fit("bp", arch, data=tiny, epochs=2)
    state = ref.export(first, "module").state_dict()
    order = ["layer1", "norm1", "layer2", "norm2", "layer3", "norm3", "layer4"]
    for theirs in (state, {f"model.{order.index(name.split('.')[0])}.{name.split('.')[1]}": tensor
                           for name, tensor in state.items()}):
        again = ref.fit("bp", arch, data=tiny, epochs=1, init=theirs, optimizer="sgd", lr=1e-30)
        for symbol in ("W", "gamma", "beta"):
            for l, array in first.params[symbol].items():
                assert abs(again.params[symbol][l] - array).max() < 1e-20


@pytest.mark.parametrize("source", ["run", "plain.npz", "all.npz"])
def test_the_first_lines_say_what_it_begins_with(train, command, trained, source):
    """What comes, what is drawn, what is left out; a resumed run goes on and says nothing of it."""
    for out, more in (("plain.npz", []), ("all.npz", ["--all"])):
        assert command("ref.export", "run", "--to", "npz", "--out", out, *more).status == 0

    def said(*more):
        result = train("--arch", ARCH, *STILL, "--init", source, *more)
        assert (result.status, result.err) == (0, "")
        lines = result.out.splitlines()
        return lines[2:next(k for k, line in enumerate(lines) if line.startswith("epoch"))]

    begins = f"begins with the parameters of {source}; the optimiser begins anew"
    drawn = ["B is not in it: drawn from seed 7"] if source == "plain.npz" else []
    left = [] if source == "plain.npz" else ["B is left out: bp has no place for it"]
    assert said("--rule", "fa", "--seed", 7, "--out", "a") == [begins, *drawn]
    assert said("--rule", "bp") == [begins, *left]
    assert json.loads(open("a/config.json").read())["begins_with"] == [begins, *drawn]
    assert "begins with" not in command("ref.train", "--resume", "a", "--epochs", 2).out


def test_another_nonlinearity_than_recorded_is_said(train, command, trained):
    """The file has the weights alone; a run, or what ref.export wrote beside, has the network."""
    assert command("ref.export", "run", "--to", "npz").status == 0
    for source in ("run", "run/network.npz"):
        for arch, layer in ((ARCH.replace("6", "6 relu"), 2),
                            (ARCH.replace("/4", "/4 identity"), 1)):
            out = train("--rule", "bp", "--arch", arch, *STILL, "--init", source).out
            words = "relu" if layer == 2 else "identity"
            line = f"^warning: layer {layer} is .*{words} here, and was .*tanh where"
            assert re.search(line, out, re.M), out
        out = train("--rule", "bp", "--arch", ARCH.replace("6", "6 tanh"), *STILL, "--init", source)
        assert "warning" not in out.out


def test_the_network_that_fits_is_named(command, trained, tiny):
    """Its first layer that does not fit, and what to give; for what ref.export wrote too."""
    assert command("ref.export", "run", "--to", "npz").status == 0
    for source, name in (("run", "W_1"), ("run/network.npz", "layer1.weight")):
        command.refused("ref.train", "--rule", "bp", "--data", tiny, "--init", source, names=[
            f"{name} is float32 (2, ", "layer 1 of mnist-fc takes floats (256, 784)",
            f'it was trained with --arch "{ARCH}"'])
        command.refused("ref.train", "--rule", "bp", "--data", tiny, "--init", source, "--arch",
                        "conv 3x3x2/4, softmax 10", names=[f'with --arch "{ARCH}"'])
    shorter = "conv 3x3x2/4, dense 6, dense 6, softmax 10"
    command.refused("ref.train", "--rule", "bp", "--data", tiny, "--init", "run", "--arch", shorter,
                    names=["layer 3 of"])


W = {"layer1.weight": np.zeros((6, 784), "f"), "layer1.bias": np.zeros(6, "f"),
     "layer2.weight": np.zeros((10, 6), "f"), "layer2.bias": np.zeros(10, "f")}


@pytest.mark.parametrize(("changes", "named"), [
    ({"layer2.weight": None}, "layer 2 of dense 6, softmax 10 finds no weight"),
    ({"layer2.bias": None}, "write nobias"),
    ({"layer2.weight": np.zeros((10, 7), "f")}, "(10, 7); layer 2 of dense 6, softmax 10 takes"),
    ({"layer2.weight": np.zeros((10, 6), int)}, "int64"),
    ({"layer3.weight": np.zeros((10, 6), "f")},
     "no place in dense 6, softmax 10 for layer3.weight"),
    ({"bn.running_mean": np.zeros(6, "f")}, "bn.running_mean"),
])
def test_what_does_not_fit_is_refused(command, tiny, here, changes, named):
    arrays = {name: array for name, array in (W | changes).items() if array is not None}
    np.savez("x.npz", **arrays)
    command.refused("ref.train", "--rule", "bp", "--arch", "dense 6, softmax 10", "--data", tiny,
                    "--init", "x.npz", names=[named])
    with pytest.raises(UserError, match="the state dict"):
        ref.fit("bp", "dense 6, softmax 10", data=tiny, epochs=1, init=arrays)


@pytest.mark.parametrize(("name", "named"), [
    ("nothere.npz", "no such file"), ("x.txt", ".npz is expected"), ("empty", "no parameters.h5"),
    ("text.npz", "not a whole file of numpy.savez"), ("text.pt", "not a whole file of torch.save"),
    ("zip.npz", "not a file of numpy.savez")])
def test_bad_files(command, tiny, here, name, named):
    for text in ("text.npz", "text.pt"):
        (here / text).write_text("hello, no archive")
    with zipfile.ZipFile("zip.npz", "w") as file:
        file.writestr("data.pkl", "as a .pt that was renamed")
    (here / "x.txt").write_text("")
    (here / "empty").mkdir()
    command.refused("ref.train", "--rule", "bp", "--data", tiny, "--init", name,
                    names=[name, named])


def test_bad_files_of_pytorch(command, tiny, here):
    """A file that would run code, one that is cut, and optimisers that have no counterpart."""
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    model = torch.nn.Linear(784, 10)
    torch.save(model, "module.pt")
    torch.save(model.state_dict(), "whole.pt")
    (here / "cut.pt").write_bytes((here / "whole.pt").read_bytes()[:500])
    torch.save([1, 2], "list.pt")
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    torch.save({"model": model.state_dict(), "optimizer": sgd.state_dict()}, "nesterov.pt")
    two = torch.optim.Adam([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}])
    torch.save({"model": model.state_dict(), "optimizer": two.state_dict()}, "two.pt")
    before = content(here)
    for name, named in (("module", "more than tensors"), ("cut", "not a whole file of torch.save"),
                        ("list", "not a state dict"), ("nesterov", "nesterov True"),
                        ("two", "different settings")):
        command.refused("ref.train", "--rule", "bp", "--arch", "softmax 10", "--data", tiny,
                        "--init", f"{name}.pt", names=[f"{name}.pt", named])
    assert content(here) == before
