"""A stand-in for the module `cupy` that computes with NumPy and refuses what CuPy refuses.

    monkeypatch.setattr("ref.backend.cupy", strict_xp)

It has only what ref uses of CuPy; a name that is missing here must first be looked up in CuPy's
sources (14.2.0 was read) and then be added with CuPy's signature. Arrays are `ndarray`, which
NumPy can't read. What is refused, and stricter than CuPy where CuPy would be slow or surprising:

- NumPy arrays beside device arrays, in operators, functions, indices and assignments (TypeError)
- NumPy functions of device arrays: CuPy would dispatch some, fail in others (TypeError)
- conversion to NumPy other than by asnumpy (TypeError); dtypes and keywords that CuPy lacks
- assignment through arrays of indices, where CuPy wraps what is out of bounds and leaves the
  order of duplicates open, and through several masks, which it does not have (IndexError)
- within a `step()`: whatever waits for the device, float(), bool(), masks, asnumpy; and iteration

Results lie in C order, as CuPy's do, and memory that was not written is NaN. `calls` collects
every call with its keywords and dtypes (tests/test_cupy_signatures.py), `syncs` counts what waited.
"""

import re
from collections import Counter
from contextlib import contextmanager
from time import perf_counter
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

__version__ = "stand-in"

calls = set()  # of Call
syncs = Counter()  # {what waited for the device: how often}
uploads = []  # (dtype, shape) of every array that came from the host
_steps = 0  # that are going on


class SyncError(AssertionError):
    """Something waited for the device within a step."""


class Call(NamedTuple):
    """One use of the module: as far as it matters to whether CuPy has it."""

    kind: str  # function, ufunc, method, attribute, kernel
    name: str
    keywords: tuple = ()
    dtypes: tuple = ()  # of the arrays; a Python scalar's is "weak float", NumPy's "scalar float32"
    result: str = ""  # dtype


@contextmanager
def step():
    """Nothing in here may wait for the device."""
    global _steps
    _steps += 1
    try:
        yield
    finally:
        _steps -= 1


def _wait(what):
    if _steps:
        raise SyncError(f"{what} waits for the device, within a step")
    syncs[what] += 1


# ---- arrays --------------------------------------------------------------------------------------


def _dtype(dtype):
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc" or dtype.char in "gG":
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def _host(x):
    """The NumPy array or scalar of an operand. Raises TypeError as CuPy does."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, (bool, int, float, complex, np.generic)):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _kind_of(x):
    """An operand's dtype as Call has it."""
    if isinstance(x, ndarray):
        return x.dtype.name
    return f"scalar {x.dtype}" if isinstance(x, np.generic) else f"weak {type(x).__name__}"


def _new(host):
    """A device array that holds this NumPy array or scalar, in C order."""
    host = np.asarray(host, order="C")
    _dtype(host.dtype)
    _allocate(host.nbytes)
    return ndarray(host)


def _allocate(n_bytes):
    """Tests put their own here, to be short of memory."""


def _record(kind, name, keywords=(), operands=(), result=None):
    dtypes = tuple(_kind_of(x) for x in operands)
    result = result.dtype.name if isinstance(result, ndarray) else ""
    calls.add(Call(kind, name, tuple(sorted(keywords)), dtypes, result))
    return None


class ndarray:  # noqa: N801 - CuPy's name
    """An array on the device."""

    __hash__ = None
    __slots__ = ("_host",)

    def __init__(self, host):
        self._host = host

    # what NumPy asks
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. "
                        "Please use `.get()` to construct a NumPy array explicitly.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        raise TypeError(f"numpy.{ufunc.__name__} of a device array")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} of a device array")

    # what waits
    def __float__(self):
        _wait("float()")
        return float(self._host)

    def __int__(self):
        _wait("int()")
        return int(self._host)

    def __bool__(self):
        _wait("bool()")
        return bool(self._host)

    def __complex__(self):
        _wait("complex()")
        return complex(self._host)

    def item(self):
        _wait("item()")
        return self._host.item()

    def __iter__(self):
        if _steps:
            raise SyncError("iteration over a device array, within a step")
        return (self[k] for k in range(len(self)))

    # what does not
    def __len__(self):
        return len(self._host)

    @property
    def dtype(self):
        return self._host.dtype

    @property
    def shape(self):
        return self._host.shape

    @property
    def ndim(self):
        return self._host.ndim

    @property
    def size(self):
        return self._host.size

    @property
    def nbytes(self):
        return self._host.nbytes

    @property
    def strides(self):
        return self._host.strides

    @property
    def flags(self):
        _record("attribute", "flags")
        flags = self._host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous,
                               owndata=flags.owndata)

    @property
    def T(self):  # noqa: N802
        _record("attribute", "T")
        return ndarray(self._host.T)

    @property
    def real(self):
        _record("attribute", "real", operands=[self])
        return ndarray(self._host.real)

    def _method(self, name, *args, **kwargs):
        result = getattr(self._host, name)(*args, **kwargs)
        given = [key for key, value in kwargs.items() if value not in (None, False, "C", "K")]
        view = isinstance(result, np.ndarray) and np.shares_memory(result, self._host)
        result = ndarray(result) if view else _new(result)
        _record("method", name, given, [self], result)
        return result

    def reshape(self, *shape, order="C"):
        return self._method("reshape", *shape, order=order)

    def transpose(self, *axes):
        return self._method("transpose", *axes)

    def swapaxes(self, axis1, axis2):
        return self._method("swapaxes", axis1, axis2)

    def ravel(self, order="C"):
        return self._method("ravel", order=order)

    def copy(self, order="C"):
        return self._method("copy", order=order)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        assert casting is None and subok is None
        return self._method("astype", _dtype(dtype), order=order, copy=copy)

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        assert out is None
        return self._method("sum", axis=axis, dtype=dtype, keepdims=keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        assert out is None
        return self._method("mean", axis=axis, dtype=dtype, keepdims=keepdims)

    def max(self, axis=None, out=None, keepdims=False):
        assert out is None
        return self._method("max", axis=axis, keepdims=keepdims)

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):
        assert out is None and dtype is None
        return self._method("argmax", axis=axis, keepdims=keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        assert out is None
        return self._method("all", axis=axis, keepdims=keepdims)

    def any(self, axis=None, out=None, keepdims=False):
        assert out is None
        return self._method("any", axis=axis, keepdims=keepdims)

    # indices
    def __getitem__(self, key):
        arrays = [k for k in _keys(key) if isinstance(k, ndarray)]
        if any(k.dtype.kind == "b" for k in arrays):
            _wait("a mask as an index")  # its result's size is known on the device alone
        if len(arrays) > 1:
            raise IndexError("more than one array of indices: look up how CuPy does it first")
        result = self._host[_host_key(key)]
        kinds = [self, *arrays]
        result = _new(result) if arrays else ndarray(np.asarray(result))
        _record("method", "__getitem__", ["indices"] if arrays else ["slices"], kinds, result)
        return result

    def __setitem__(self, key, value):
        arrays = [k for k in _keys(key) if isinstance(k, ndarray)]
        if any(k.dtype.kind != "b" for k in arrays):
            raise IndexError("assignment through an array of indices: out of bounds wraps around, "
                             "and of duplicates any may win")
        if len(arrays) > 1:
            raise IndexError("assignment through more than one mask")
        if isinstance(value, ndarray) and arrays:
            raise IndexError("assignment of an array through a mask")
        key, host = _host_key(key), _host(value)
        target = self._host[key]
        if target.shape != np.broadcast_shapes(target.shape, np.shape(host)):
            raise ValueError("could not broadcast")
        _record("method", "__setitem__", ["mask"] if arrays else ["slices"],
                [self, *([value] if isinstance(value, ndarray) else [])])
        self._host[key] = host


def _keys(key):
    return key if isinstance(key, tuple) else (key,)


def _host_key(key):
    """NumPy's form of an index: slices, integers, None, ..., device arrays."""
    for k in _keys(key):
        basic = k is None or k is Ellipsis or isinstance(k, slice)
        if not basic and (isinstance(k, bool) or not isinstance(k, (int, np.integer, ndarray))):
            raise TypeError(f"Unsupported type {type(k)} as an index of a device array")
    converted = tuple(k._host if isinstance(k, ndarray) else k for k in _keys(key))
    return converted if isinstance(key, tuple) else converted[0]


# ---- elementwise functions -----------------------------------------------------------------------


class _Ufunc:
    """An elementwise function, with the keywords that CuPy's have: out, dtype, casting."""

    def __init__(self, name):
        self.name, self.function = name, getattr(np, name)

    def __call__(self, *args, **kwargs):
        wrong = kwargs.keys() - {"out", "dtype", "casting"}
        if wrong or len(args) != self.function.nin:
            raise TypeError(f"Wrong arguments {sorted(wrong) or len(args)} for {self.name}")
        if not any(isinstance(x, ndarray) for x in args):
            raise TypeError(f"{self.name}: no device array among {[type(x) for x in args]}")
        out = kwargs.pop("out", None)
        if out is not None and not isinstance(out, ndarray):
            raise TypeError("Output arguments type must be cupy.ndarray")
        if "dtype" in kwargs:
            _dtype(kwargs["dtype"])
        result = np.asarray(self.function(*map(_host, args), **kwargs))
        given = [*kwargs, *(["out"] if out is not None else [])]
        if out is None:
            out = _new(result)
        elif out.shape != result.shape:
            raise ValueError("Out shape is mismatched")
        elif not np.can_cast(result.dtype, out.dtype, "same_kind"):
            raise TypeError(f"output operand requires a cast from {result.dtype} to {out.dtype}")
        else:
            np.copyto(out._host, result, casting="same_kind")
        dtype = [f"dtype={np.dtype(kwargs['dtype']).name}"] if "dtype" in kwargs else []
        _record("ufunc", self.name, [k for k in given if k != "dtype"] + dtype, args,
                ndarray(result))
        return out


UFUNCS = ("add", "subtract", "multiply", "divide", "negative", "absolute", "sign", "tanh", "exp",
          "log", "sqrt", "isfinite", "equal", "not_equal", "less", "less_equal", "greater",
          "greater_equal", "power", "maximum")
for _name in UFUNCS:
    globals()[_name] = _Ufunc(_name)


def _operators(name, ufunc, reflected=True, in_place=True):
    """x + y, y + x and x += y by one elementwise function."""
    function = globals()[ufunc]

    def forward(self, other):
        return function(self, other)

    def backward(self, other):
        return function(other, self)

    def change(self, other):
        _record("method", f"__i{name}__")
        return function(self, other, out=self)

    setattr(ndarray, f"__{name}__", forward)
    if reflected:
        setattr(ndarray, f"__r{name}__", backward)
    if in_place:
        setattr(ndarray, f"__i{name}__", change)


for _name, _ufunc in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide",
                      "pow": "power"}.items():
    _operators(_name, _ufunc)
for _name, _ufunc in {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
                      "gt": "greater", "ge": "greater_equal"}.items():
    _operators(_name, _ufunc, reflected=False, in_place=False)
ndarray.__neg__ = lambda self: globals()["negative"](self)
ndarray.__abs__ = lambda self: globals()["absolute"](self)


def matmul(x1, x2, /, out=None):
    """As a ufunc: out may be any view; CuPy copies into it where it is not contiguous."""
    for x in (x1, x2, *(() if out is None else (out,))):
        if not isinstance(x, ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
    result = np.matmul(x1._host, x2._host)
    if out is not None:
        if out.shape != result.shape or out.dtype != result.dtype:
            raise ValueError(f"Output operand 0 has {out.dtype} {out.shape}, "
                             f"expected {result.dtype} {result.shape}")
        out._host[...] = result
    _record("function", "matmul", () if out is None else ["out"], [x1, x2], ndarray(result))
    return _new(result) if out is None else out


ndarray.__matmul__ = lambda self, other: matmul(self, other)


# ---- other functions -----------------------------------------------------------------------------


def asarray(a, dtype=None, order=None):
    """A NumPy array or a number to the device, without waiting; a device array as it is."""
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype, copy=False)
    if not isinstance(a, (np.ndarray, np.generic, bool, int, float, complex)):
        raise TypeError(f"Unsupported type {type(a)}")  # CuPy takes lists too: one by one, slowly
    host = np.array(a, _dtype(dtype if dtype is not None else np.asarray(a).dtype))
    uploads.append((host.dtype, host.shape))
    result = _new(host)
    _record("function", "asarray", [] if dtype is None else ["dtype"], result=result)
    return result


def asnumpy(a):
    _wait("asnumpy()")
    if not isinstance(a, ndarray):
        raise TypeError(f"Unsupported type {type(a)}")
    _record("function", "asnumpy", operands=[a])
    return a._host.copy()


def empty(shape, dtype=float, order="C"):
    dtype = _dtype(dtype)
    result = _new(np.full(shape, np.nan if dtype.kind in "fc" else 111, dtype))
    _record("function", "empty", result=result)
    return result


def zeros(shape, dtype=float, order="C"):
    result = _new(np.zeros(shape, _dtype(dtype)))
    _record("function", "zeros", result=result)
    return result


def zeros_like(a, dtype=None):
    result = _new(np.zeros(a.shape, _dtype(dtype or a.dtype)))
    _record("function", "zeros_like", [] if dtype is None else ["dtype"], [a], result)
    return result


def eye(N, M=None, k=0, dtype=float, order="C"):  # noqa: N803
    result = _new(np.eye(N, M, k, _dtype(dtype)))
    _record("function", "eye", ["dtype"], result=result)
    return result


def ones(shape, dtype=float, order="C"):
    result = _new(np.ones(shape, _dtype(dtype)))
    _record("function", "ones", ["dtype"], result=result)
    return result


def full(shape, fill_value, dtype=None, order="C"):
    result = _new(np.full(shape, _host(fill_value), _dtype(dtype)))
    _record("function", "full", ["dtype"], result=result)
    return result


def broadcast_to(array, shape):
    """A view, as NumPy's; it may be written to in CuPy, and must not be."""
    if not isinstance(array, ndarray):
        raise TypeError(f"Unsupported type {type(array)}")
    _record("function", "broadcast_to", operands=[array])
    return ndarray(np.broadcast_to(array._host, shape))


def copyto(dst, src, casting="same_kind", where=None):
    """src an array or a Python number; where a mask on the device, which nothing waits for."""
    if not isinstance(dst, ndarray) or not (where is None or isinstance(where, ndarray)):
        raise TypeError(f"Unsupported type {type(dst)}, {type(where)}")
    np.copyto(dst._host, _host(src), casting=casting,
              where=True if where is None else where._host)
    _record("function", "copyto", [] if where is None else ["where"], [dst, src])


def result_type(*arrays_and_dtypes):
    _record("function", "result_type", operands=arrays_and_dtypes)
    return np.result_type(*(_dtype(getattr(a, "dtype", a)) for a in arrays_and_dtypes))


def ascontiguousarray(a, dtype=None):
    if not isinstance(a, ndarray):
        raise TypeError(f"Unsupported type {type(a)}")
    _record("function", "ascontiguousarray", operands=[a])
    return a if a.flags.c_contiguous else _new(a._host)


def concatenate(tup, axis=0):
    result = _new(np.concatenate([asarray(x)._host if isinstance(x, ndarray) else _host(x)
                                  for x in tup], axis))
    _record("function", "concatenate", ["axis"], tup[:1], result)
    return result


def _as_strided(x, shape=None, strides=None):
    if not isinstance(x, ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    _record("function", "lib.stride_tricks.as_strided", operands=[x])
    return ndarray(np.lib.stride_tricks.as_strided(x._host, shape, strides))


lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))


class ElementwiseKernel:
    """A kernel whose body is assignments that are both C and Python; run statement by statement."""

    def __init__(self, in_params, out_params, operation, name="kernel"):
        self.inputs, self.outputs = _parameters(in_params), _parameters(out_params)
        self.name = name
        self.source = (in_params, out_params, operation)
        self.statements = []
        for statement in filter(None, (s.strip() for s in operation.split(";"))):
            target, expression = re.fullmatch(r"(\w+) = ([\w\s+*/().-]+)", statement).groups()
            assert target in self.outputs, f"{target} is not among the outputs {self.outputs}"
            self.statements.append((target, compile(expression, name, "eval")))

    def __call__(self, *args):
        names = [*self.inputs, *self.outputs]
        if len(args) != len(names):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        given = dict(zip(names, args, strict=True))
        arrays = {n: x for n, x in given.items() if isinstance(x, ndarray)}
        if not all(isinstance(given[n], ndarray) for n in self.outputs):
            raise TypeError("Output arguments must be cupy.ndarray")
        if len({x.dtype for x in arrays.values()}) > 1:
            raise TypeError(f"Type is mismatched. {({n: x.dtype for n, x in arrays.items()})}")
        if len({x.shape for x in arrays.values()}) > 1:
            raise ValueError("Out shape is mismatched")
        dtype = given[self.outputs[0]].dtype
        values = {n: x._host if n in arrays else dtype.type(_host(x)) for n, x in given.items()}
        for target, expression in self.statements:
            values[target][...] = eval(expression, {"sqrt": np.sqrt}, values)
        _record("kernel", " | ".join(" ".join(part.split()) for part in (self.name, *self.source)),
                operands=args)


def _parameters(text):
    """"T a, T b" -> ["a", "b"]; T is the only type there is here."""
    pairs = [parameter.split() for parameter in text.split(",")]
    assert all(len(pair) == 2 and pair[0] == "T" for pair in pairs), text
    return [name for _, name in pairs]


# ---- random numbers, device and memory -----------------------------------------------------------


class _Philox4x3210:
    def __init__(self, seed=None, *, size=-1):
        _record("function", "random.Philox4x3210", ["size"])
        self.generator = np.random.Generator(np.random.Philox(seed))


class _Generator:
    def __init__(self, bit_generator):
        _record("function", "random.Generator")
        self.generator = bit_generator.generator

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        assert out is None and np.dtype(dtype).char in "fd"
        result = _new(self.generator.standard_normal(size, dtype))
        _record("function", "random.Generator.standard_normal", ["dtype"], result=result)
        return result


random = SimpleNamespace(Philox4x3210=_Philox4x3210, Generator=_Generator)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where the driver or the device fails."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises where the device's memory is full."""


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"
OutOfMemoryError.__module__ = "cupy.cuda.memory"


def _runtime(name, value):
    def function(*_):
        _record("function", f"cuda.runtime.{name}")
        return value

    return function


class _Event:
    def __init__(self):
        _record("function", "cuda.Event")
        self.time = None

    def record(self):
        _record("function", "cuda.Event.record")
        self.time = perf_counter()

    def synchronize(self):
        _record("function", "cuda.Event.synchronize")
        _wait("synchronize()")


def _get_elapsed_time(start_event, end_event):
    """Milliseconds."""
    _record("function", "cuda.get_elapsed_time")
    return 1e3 * (end_event.time - start_event.time)


def get_default_memory_pool():
    _record("function", "get_default_memory_pool")
    return SimpleNamespace(total_bytes=lambda: 123 << 20)



class _Device:
    """devices: the numbers that were chosen, the last one last."""

    devices = []

    def __init__(self, number):
        self.number = number

    def use(self):
        self.devices.append(self.number)


cuda = SimpleNamespace(
    Device=_Device, Event=_Event, get_elapsed_time=_get_elapsed_time,
    runtime=SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=_runtime("getDeviceCount", 1), getDevice=_runtime("getDevice", 0),
        getDeviceProperties=_runtime("getDeviceProperties", {"name": b"stand-in"}),
        runtimeGetVersion=_runtime("runtimeGetVersion", 0),
        driverGetVersion=_runtime("driverGetVersion", 0)),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
)
