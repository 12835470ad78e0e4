"""--backend cupy where it can't be used, or the device fails: one clear line, and nothing is lost.

CuPy is the stand-in of strict_xp.py, told to fail as CuPy does (texts: CuPy 14.2.0).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import strict_xp
from checks import assert_same_bits
from strict_runs import strict, training_arguments
from test_strict import metrics, parameters, train  # noqa: F401 - a fixture

from ref import backend, checkpoint, evaluation, training

ROOT = Path(__file__).resolve().parents[1]
NO_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime"
NO_DEVICE = "cudaErrorNoDevice: no CUDA-capable device is detected"
NO_CUBLAS = 'Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file\nin /usr/lib'
FULL = "Out of memory allocating 1,073,741,824 bytes (allocated so far: 0 bytes)."


def failing(error):
    def function(*_, **__):
        raise error

    return function


@pytest.fixture
def device():
    with strict() as xp:
        yield xp


@pytest.fixture
def refused(command, here, tiny):
    """--backend cupy is refused by all three commands, with these words, and nothing is left."""
    def check(*names):
        command.refused("ref.train", *training_arguments("bp", tiny, "--backend", "cupy"),
                        names=["--backend cupy", *names])
        command.refused("ref.reference.cli", "write", "out.h5", "--rule", "bp", "--in-shape",
                        "4x4x1", "--arch", "softmax 4", "--backend", "cupy", names=names)

    return check


# ---- it can't be used at all ---------------------------------------------------------------------


def test_not_installed(refused, monkeypatch):
    monkeypatch.setattr(backend, "cupy", None)
    monkeypatch.setattr(backend, "why_no_cupy", "CuPy is not installed")
    refused("not installed", 'pip install "cupy-cuda12x[ctk]"', "cupy-cuda13x", "--backend numpy")


@pytest.mark.parametrize("content, said", [
    ("raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')", "not installed"),
    ("raise ImportError('\\nlibcuda.so.1: cannot open\\nmore')", "can't be imported (libcuda.so.1"),
    ("raise AttributeError('of another NumPy')", "can't be imported (of another NumPy"),
])
def test_an_import_that_fails(tmp_path, content, said):
    """Of a whole new process: CuPy is missing, or broken."""
    (tmp_path / "cupy.py").write_text(content)
    process = subprocess.run(
        [sys.executable, "-m", "ref.train", "--rule", "bp", "--backend", "cupy"], text=True,
        capture_output=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1
    assert said in process.stderr and "pip install" in process.stderr


def test_no_driver(device, refused, monkeypatch):
    monkeypatch.setattr(device.cuda.runtime, "getDeviceCount",
                        failing(strict_xp.CUDARuntimeError(NO_DRIVER)))
    refused("driver", NO_DRIVER, "nvidia-smi", "--backend numpy")


@pytest.mark.parametrize("count", [
    failing(strict_xp.CUDARuntimeError(NO_DEVICE)), lambda: 0], ids=["raised", "zero"])
def test_no_device(device, refused, monkeypatch, count):
    monkeypatch.setattr(device.cuda.runtime, "getDeviceCount", count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    refused("no CUDA device", "CUDA_VISIBLE_DEVICES is '7'", "nvidia-smi -L", "--backend numpy")


def test_no_library(device, refused, monkeypatch):
    """CuPy's wheels don't bring cuBLAS; it is looked for at the first product."""
    monkeypatch.setattr(device, "matmul", failing(ImportError(NO_CUBLAS)))
    refused("CUDA's libraries", "libcublasLt", "cupy-cuda12x[ctk]")


def test_a_device_that_is_full_before_we_begin(device, refused, monkeypatch):
    monkeypatch.setattr(device, "_allocate", failing(strict_xp.OutOfMemoryError(FULL)))
    refused("no free memory", FULL, "CUDA_VISIBLE_DEVICES")


def test_device_noise_where_there_is_none(command, here, tiny):
    command.refused("ref.train", *training_arguments("sdtp", tiny, "--device-noise"),
                    names=["--device-noise", "--backend cupy"])
    command.refused("ref.train", *training_arguments("bp", tiny, "--device-noise", "--backend",
                                                     "cupy"), names=["--device-noise", "bp"])


# ---- it fails later ------------------------------------------------------------------------------


def test_a_network_that_does_not_fit(device, command, here, tiny, monkeypatch):
    """The device has less than the first layer's weights; nothing is left behind."""
    def allocate(n_bytes):
        if n_bytes > 10_000:
            raise strict_xp.OutOfMemoryError(FULL)

    monkeypatch.setattr(device, "_allocate", allocate)
    command.refused("ref.train", *training_arguments("bp", tiny, "--backend", "cupy"),
                    names=["not enough memory", FULL, "--batch-size"])


def test_a_device_that_fails_at_the_start(device, command, here, tiny, monkeypatch):
    def allocate(n_bytes):
        if n_bytes > 10_000:
            raise strict_xp.CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error")

    monkeypatch.setattr(device, "_allocate", allocate)
    command.refused("ref.train", *training_arguments("bp", tiny, "--backend", "cupy"),
                    names=["the device failed", "cudaErrorECCUncorrectable"])


def test_an_error_of_ours_is_not_the_devices(device, command, here, tiny, monkeypatch):
    """... and so comes with its traceback."""
    monkeypatch.setattr(evaluation, "evaluate", failing(AttributeError("a mistake")))
    with pytest.raises(AttributeError, match="a mistake"):
        command("ref.train", *training_arguments("bp", tiny, "--backend", "cupy"))


def breaks(monkeypatch, device, where, call, error):
    """From the call-th call of `where` on, every allocation on the device raises the error."""
    owner, name = where
    function, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            monkeypatch.setattr(device, "_allocate", failing(error))
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("error, said", [
    (strict_xp.OutOfMemoryError(FULL), ["not enough memory", FULL, "smaller --batch-size"]),
    (strict_xp.CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access"),
     ["the device failed", "cudaErrorIllegalAddress"]),
], ids=["memory", "device"])
@pytest.mark.parametrize("where, call", [
    ((training.Trainer, "step"), 6), ((evaluation, "evaluate"), 2)], ids=["step", "evaluation"])
def test_a_device_that_fails_in_the_second_epoch(
        train, command, tiny, monkeypatch, where, call, error, said):  # noqa: F811
    """Status 1 and one line; the checkpoint of epoch 1 is whole, and the run can go on from it."""
    with strict():
        whole = train("sdtp", "--backend", "cupy", out="whole")
    arguments = training_arguments("sdtp", tiny, "--backend", "cupy", "--out", "run")
    with strict() as device, pytest.MonkeyPatch.context() as patch:
        breaks(patch, device, where, call, error)
        result = command("ref.train", *arguments)
    assert result.status == 1 and result.err.count("\n") == 1, result
    assert result.err.startswith("error: ")
    for words in (*said, "the last checkpoint in run is whole", "--resume run"):
        assert words in result.err
    _, state = checkpoint.load("run")
    assert state["epoch"] == 2
    with strict():
        assert command("ref.train", "--resume", "run").status == 0
    assert_same_bits(parameters(whole.parent / "run"), parameters(whole))
    assert metrics(whole.parent / "run") == metrics(whole)


def test_versions_are_recorded(train, device):  # noqa: F811
    config = (train("bp", "--backend", "cupy") / "config.json").read_text()
    assert '"cupy": "stand-in"' in config and '"device": "stand-in"' in config
    assert '"device_noise": false' in config
