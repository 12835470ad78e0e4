"""An implementation that shares nothing with ref, tests/peer_torch.py, agrees with it."""

import contextlib

import numpy as np
import pytest
from checks import assert_close
from test_reference import verified
from write_reference import FOLDER, library

torch = pytest.importorskip("torch", reason="the second implementation is written in PyTorch")

import peer_torch  # noqa: E402  (needs torch)
import torch.nn.functional as F  # noqa: E402

from ref import rules  # noqa: E402
from ref.linear import Convolution, Dense, LocallyConnected  # noqa: E402

CASES = [(rule, kind, schedule) for rule in rules.NAMES for kind in peer_torch.NETS
         for schedule in ("parallel", "alternating")[:len(rules.get(rule).trains)]]


@pytest.fixture(autouse=True)
def one_thread():
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        yield


def test_it_knows_every_rule():
    assert set(peer_torch.RULES) == set(rules.NAMES)


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("rule, kind, schedule", CASES)
def test_replayed_from_its_own_start(rule, kind, schedule, dtype, rtol, tmp_path, capsys):
    """Its own random parameters, inputs and noise; three steps."""
    path = tmp_path / "theirs.h5"
    peer_torch.main([str(path), "--rule", rule, "--kind", kind, "--schedule", schedule,
                     "--dtype", dtype])
    status, result = verified(capsys, path)
    assert status == 0, result["first"]
    assert result["rtol"] == rtol and result["dtype"] == dtype
    held = {name["name"].split("/", 1)[1] for name in result["quantities"]}
    assert {"h_3", "loss", "delta_1", "dW_1", "after/W_1"} <= held
    if ("V" in rules.get(rule).symbols):
        assert {"h_hat_1", "inverse_loss_2", "dV_2", "dc_2", "after/V_2"} <= held


@pytest.mark.parametrize("name", library())
def test_agrees_with_the_committed_files(name, tmp_path, capsys):
    """From a committed file's start, with its options, on to what that file holds."""
    path = tmp_path / "theirs.h5"
    committed = FOLDER / f"{name}.h5"
    peer_torch.main([str(path), "--like", str(committed)])
    status, result = verified(capsys, path, "--against", committed)
    assert status == 0, result["first"]
    assert not result["notes"]


def test_a_mistake_of_its_own_is_found(tmp_path, capsys, monkeypatch):
    """Its layers padded as PyTorch pads: the first layer's activity is named."""
    monkeypatch.setattr(peer_torch.Layer, "pads", property(lambda layer: [1, 0, 1, 1]))
    path = tmp_path / "theirs.h5"
    peer_torch.main([str(path), "--rule", "bp", "--kind", "local", "--steps", "1"])
    status, result = verified(capsys, path)
    assert status == 1 and result["first"]["name"] == "step_1/h_1"
    assert "PyTorch's padding" in result["first"]["slips"][0]


# ---- the transposes that FORMAT.md and net/layer_l give ------------------------------------------


@pytest.mark.parametrize("in_shape, kernel, stride",
                         [((5, 4, 2), (3, 3), 2), ((4, 6, 3), (3, 2), 1)])
def test_layouts(in_shape, kernel, stride):
    """W x of each kind of map in PyTorch's own layout, by the line that the file gives."""
    rng = np.random.default_rng(0)
    (kh, kw), C_in, C_out = kernel, in_shape[2], 5
    x = rng.normal(size=(3, *in_shape))
    conv = Convolution(in_shape, C_out, kernel, stride)
    (above, below), (left, right) = conv.patches.padding
    padded = F.pad(torch.tensor(x.transpose(0, 3, 1, 2)), (left, right, above, below))

    W = rng.normal(size=conv.weight_shape)
    got = F.conv2d(padded, torch.tensor(W.transpose(0, 3, 1, 2)), stride=stride)
    assert_close(got.numpy().transpose(0, 2, 3, 1), conv.forward(W, x))

    local = LocallyConnected(in_shape, C_out, kernel, stride)
    W, (H, W_) = rng.normal(size=local.weight_shape), local.out_shape[:2]
    theirs = W.transpose(0, 1, 2, 5, 3, 4).reshape(H * W_, C_out, C_in * kh * kw)
    got = torch.einsum("nkp,pok->nop", F.unfold(padded, kernel, stride=stride),
                       torch.tensor(theirs))
    assert_close(got.unflatten(2, (H, W_)).numpy().transpose(0, 2, 3, 1), local.forward(W, x))

    dense = Dense(in_shape, (C_out,))
    W = rng.normal(size=dense.weight_shape)
    nchw = torch.tensor(x.transpose(0, 3, 1, 2))
    theirs = W.reshape(-1, *in_shape).transpose(0, 3, 1, 2).reshape(W.shape)
    assert_close(F.linear(nchw.flatten(1), torch.tensor(theirs)).numpy(), dense.forward(W, x))
