"""Every array-module call that ref makes, checked against the real CuPy package. No GPU needed.

CuPy installs and imports without a GPU; only calling it needs one. So each call that the runs of
strict_runs.py make on the stand-in is looked up: the name exists, its signature takes the
keywords, and CuPy's own choice of a loop takes the dtypes and gives the result's.

    pip install cupy-cuda12x nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12
    python -m pytest -s tests/test_cupy_signatures.py

With NVIDIA's compiler and headers (the two other packages) the kernels are compiled, too.
"""

import importlib.util
import inspect
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import strict_xp
from checks import NETS, VARIANTS, can_follow, make_case
from strict_runs import KERNELS, everything

if importlib.util.find_spec("cupy") is None:
    pytest.skip("CuPy is not installed (extra: gpu)", allow_module_level=True)

import cupy  # noqa: E402

from ref.backend import Kernel  # noqa: E402

METHODS_WITHOUT_SIGNATURE = {  # of Cython, whose docstring does not say it: read in core.pyx 14.2.0
    "__getitem__": ("slices", "indices"), "__setitem__": ("slices", "mask"), "transpose": (),
}
WEAK = {"weak bool": bool, "weak int": int, "weak float": float, "weak complex": complex}


@pytest.fixture(scope="module")
def calls(tmp_path_factory, tiny):
    """Every distinct Call of the runs, listed with -s."""
    strict_xp.calls.clear()
    everything(tiny, tmp_path_factory.mktemp("runs"), [
        make_case(name, rule, **options) for name, net in NETS.items()
        for rule, options in VARIANTS if can_follow(net, rule, options)])
    found = sorted(strict_xp.calls)
    for call in found:
        print(call.kind, call.name, *call.keywords, *call.dtypes, "->", call.result or "nothing")
    return found


def parameters(function, name):
    """Names of what a CuPy function takes, from its signature or the docstring that Cython makes.

    ("_ndarray_base.sum(self, axis=None, dtype=None, out=None, keepdims=False) -> _ndarray_base")
    """
    try:
        return tuple(inspect.signature(function).parameters)
    except ValueError:
        found = re.match(r"[\w.]*\((.*?)\)(?: ->.*)?$", (function.__doc__ or "").splitlines()[0])
        assert found, f"no signature of {name}: {function.__doc__!r}"
        return tuple(part.split("=")[0].split()[-1].lstrip("*")
                     for part in found[1].split(",") if part.strip())


def loop(ufunc, dtypes, keywords):
    """The dtype that CuPy's own choice of a loop gives; AssertionError if it finds none."""
    chosen = [k.removeprefix("dtype=") for k in keywords if k.startswith("dtype=")]
    if chosen:
        op = ufunc._ops._guess_routine_from_dtype(np.dtype(chosen[0]))
    else:
        weak = tuple(WEAK.get(dtype, False) for dtype in dtypes)
        types = tuple(np.dtype(WEAK.get(dtype, dtype.removeprefix("scalar "))) for dtype in dtypes)
        # CuPy counts a Python scalar as weak where no array is of a lower kind
        kinds = ["biufc".index(t.kind) for t in types if t.kind in "biufc"]
        assert len(kinds) == len(types), f"{ufunc.name} of {dtypes}"
        scores = [{0: 0, 1: 1, 2: 1}.get(kind, 2) for kind in kinds]
        scalars = [score for score, w in zip(scores, weak, strict=True) if w]
        arrays = [score for score, w in zip(scores, weak, strict=True) if not w]
        if not scalars or max(scalars) > max(arrays):
            weak = (False,) * len(weak)
        op = ufunc._ops._guess_routine_from_in_types(types, weak)
    assert op is not None, f"{ufunc.name} has no loop for {dtypes}"
    return np.dtype(op.out_types[0])


def check(call, module=None):
    """Raise AssertionError or AttributeError where CuPy lacks the call."""
    module = module or cupy
    if call.kind == "ufunc":
        ufunc = getattr(module, call.name)
        assert isinstance(ufunc, cupy.ufunc)
        assert {k.split("=")[0] for k in call.keywords} <= {"out", "dtype", "casting"}
        assert loop(ufunc, call.dtypes, call.keywords) == np.dtype(call.result)
    elif call.kind == "function":
        function = reduce(getattr, call.name.split("."), module)
        assert callable(function)
        if call.keywords:
            assert set(call.keywords) <= set(parameters(function, call.name))
    elif call.kind == "method":
        method = getattr(module.ndarray, call.name)
        known = METHODS_WITHOUT_SIGNATURE.get(call.name)
        if call.keywords:
            assert set(call.keywords) <= set(known or parameters(method, call.name))
    elif call.kind == "attribute":
        assert hasattr(module.ndarray, call.name)
    else:
        assert call.kind == "kernel"
        assert len({dtype for dtype in call.dtypes if not dtype.startswith("weak")}) == 1


def test_every_call(calls):
    missing = []
    for call in calls:
        try:
            check(call)
        except (AssertionError, AttributeError) as error:
            missing.append(f"{call}: {error}")
    print(f"{len(calls)} distinct calls ({len({(c.kind, c.name) for c in calls})} names) checked "
          f"against CuPy {cupy.__version__}: {len(calls) - len(missing)} found")
    assert not missing, "\n".join(missing)
    assert len(calls) > 50


@pytest.mark.parametrize("call", [
    strict_xp.Call("function", "no_such_function"),
    strict_xp.Call("function", "eye", ("device",)),
    strict_xp.Call("ufunc", "multiply", ("where",), ("float32", "float32"), "float32"),
    strict_xp.Call("ufunc", "tanh", (), ("object",), "object"),
    strict_xp.Call("ufunc", "add", (), ("float32", "weak float"), "float64"),
    strict_xp.Call("method", "sum", ("where",), ("float32",), "float32"),
    strict_xp.Call("method", "no_such_method"),
    strict_xp.Call("attribute", "no_such_attribute"),
], ids=lambda call: f"{call.name} {' '.join(call.keywords + call.dtypes)}")
def test_a_call_that_cupy_lacks_is_found(call):
    with pytest.raises((AssertionError, AttributeError)):
        check(call)


FUNCTIONS = {  # of the stand-in that are called with arguments by position, by CuPy's name
    "asarray": strict_xp.asarray, "empty": strict_xp.empty, "zeros": strict_xp.zeros,
    "zeros_like": strict_xp.zeros_like, "eye": strict_xp.eye, "asnumpy": strict_xp.asnumpy,
    "ascontiguousarray": strict_xp.ascontiguousarray, "concatenate": strict_xp.concatenate,
    "lib.stride_tricks.as_strided": strict_xp.lib.stride_tricks.as_strided,
    "ElementwiseKernel": strict_xp.ElementwiseKernel,
    "random.Generator.standard_normal": strict_xp.random.Generator.standard_normal,
    **{f"ndarray.{name}": getattr(strict_xp.ndarray, name) for name in (
        "reshape", "astype", "sum", "mean", "max", "argmax", "all", "any", "ravel", "copy")},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_has_cupys_parameters(name):
    """... at the same places: what is given by position here means the same there."""
    ours = tuple(inspect.signature(FUNCTIONS[name]).parameters)
    theirs = parameters(reduce(getattr, name.split("."), cupy), name)
    assert theirs[:len(ours)] == ours or name == "asnumpy" and theirs[0] == ours[0]


def test_matmul_and_philox():
    """Two whose signature says less than their documentation; and methods of what is returned."""
    assert callable(cupy.cuda.Event.record) and callable(cupy.cuda.MemoryPool.total_bytes)
    assert "x1, x2, /, out=None" in cupy.matmul.__doc__
    assert tuple(inspect.signature(cupy.random.Philox4x3210).parameters) == ("seed", "size")


# ---- the kernels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_are_parsed(kernel):
    """CuPy reads a kernel's parameters when it is made, and compiles it at the first call."""
    made = cupy.ElementwiseKernel(kernel.inputs, kernel.outputs, kernel.body, kernel.name)
    assert (made.nin, made.nout) == (len(kernel.inputs.split(",")), len(kernel.outputs.split(",")))


PACKAGES = Path(cupy.__file__).parents[1]
HEADERS = [path for path in (PACKAGES / "nvidia/cuda_runtime/include",  # CUDA 12
                             PACKAGES / "nvidia/cu13/include") if path.is_dir()]


@pytest.fixture
def nvrtc():
    """NVIDIA's run-time compiler, which needs no GPU either."""
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # of several classes
        pytest.skip(f"NVRTC is not installed ({error})")
    if not HEADERS:
        pytest.skip("CUDA's headers are not installed (nvidia-cuda-runtime-cu12)")
    return nvrtc


def ptx(nvrtc, kernel, dtype):
    """The kernel as CuPy writes it out for arrays of one dtype and Python numbers, compiled.

    Through names of CuPy's own inside (14.2.0): the only way without a GPU.
    """
    from cupy._core import _carray, _kernel, _scalar

    array = _kernel._ArgInfo(1, cupy.ndarray, dtype, 1, True, True)
    number = _kernel._ArgInfo(3, _scalar.CScalar, dtype, 0, True, True)
    size = _kernel._ArgInfo(2, _carray.Indexer, None, 1, True, True)
    made = cupy.ElementwiseKernel(kernel.inputs, kernel.outputs, kernel.body, kernel.name)
    numbers = made.nin - 1  # g is the only array among the inputs
    types = made._decide_params_type((dtype, *[None] * numbers), (dtype,) * made.nout)
    assert set(types[0] + types[1]) == {dtype}
    code = _kernel._get_elementwise_kernel_code(
        (array, *[number] * numbers, *[array] * made.nout, size), types[2], made.params,
        made.operation, made.name, "")
    include = Path(cupy.__file__).parent / "_core" / "include"
    folders = [include, *HEADERS, *(include / "cupy" / "_cccl").iterdir()]
    source = '#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n' + code
    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    nvrtc.compileProgram(program, ("--std=c++17", "--gpu-architecture=compute_80",
                                   *(f"-I{folder}" for folder in folders)))
    return nvrtc.getPTX(program).decode()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_compile(nvrtc, kernel, dtype):
    """... and compute in the arrays' own precision throughout."""
    text = ptx(nvrtc, kernel, np.dtype(dtype))
    assert f".visible .entry {kernel.name}(" in text
    other = {"float32": "f64", "float64": "f32"}[dtype]
    arithmetic = re.findall(r"\b(?:add|sub|mul|fma|div|sqrt|cvt)\.[\w.]*", text)
    assert arithmetic and not [line for line in arithmetic if other in line], arithmetic


def test_a_kernel_that_does_not_compile_is_found(nvrtc):
    wrong = Kernel("wrong", "T g, T lr", "T theta", "theta = theta - lr * gradient;")
    with pytest.raises(nvrtc.NVRTCError):
        ptx(nvrtc, wrong, np.dtype("float32"))


# ---- errors --------------------------------------------------------------------------------------


def test_exceptions():
    """Those that ref.backend tells by their class or module."""
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    for error in (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError,
                  cupy.cuda.driver.CUDADriverError, cupy.cuda.compiler.CompileException):
        assert error.__module__.split(".")[0] in ("cupy", "cupy_backends")
