"""NumPy arrays, DLPack, buffers and pickles: the right values or a typed refusal, never a silent change, never a crash."""

import copy
import gc
import pickle
import threading
import weakref

import dnncore as dnn
import numpy as np
import pytest

DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]
BASE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


class Sub(np.ndarray):
    pass


def misaligned(dtype="<f4"):
    raw = np.zeros(4 * np.dtype(dtype).itemsize + 1, np.uint8)
    array = raw[1:].view(dtype)
    array[:] = [1, 2, 3, 4]
    return array


def record(offset):
    array = np.zeros(
        3, np.dtype({"names": ["a", "b"], "formats": ["<f4", "<f4"], "offsets": [0, offset], "itemsize": offset + 5})
    )
    array["b"] = [1, 2, 3]
    return array["b"]


def read_only():
    array = np.arange(4.0)
    array.setflags(write=False)
    return array


def windows():
    return np.lib.stride_tricks.as_strided(np.arange(6, dtype=np.int64), (4, 3), (8, 8))


# name -> (array, the memory is shared)
RIGHT = {
    "contiguous": (BASE.copy(), True),
    "fortran order": (np.asfortranarray(BASE), True),
    "transposed": (BASE.transpose(2, 0, 1), True),
    "sliced with step": (BASE[:, ::2, 1::2], True),
    "column": (BASE[0, :, 1], True),
    "negative stride": (BASE[::-1], False),
    "negative inner stride": (BASE[..., ::-1], False),
    "all strides negative": (BASE[::-1, ::-1, ::-1], False),
    "negative stride of one element": (BASE[:1][::-1], True),
    "broadcast row": (np.broadcast_to(np.float32([1, 2, 3]), (4, 3)), True),
    "broadcast scalar": (np.broadcast_to(np.float64(3), (2, 2)), True),
    "huge broadcast, one element used": (np.broadcast_to(np.float32(1), (1, 1, 5)), True),
    "overlapping windows": (windows(), True),
    "misaligned float32": (misaligned(), False),
    "misaligned int64": (misaligned("<i8"), False),
    "misaligned and big endian": (misaligned(">f4"), False),
    "big endian float32": (np.arange(5, dtype=">f4"), False),
    "big endian int64": (np.arange(5, dtype=">i8"), False),
    "big endian float16": (np.arange(5, dtype=">f2"), False),
    "record field, aligned": (record(7), False),
    "record field, odd offset": (record(5), False),
    "record field, stride a multiple": (np.zeros(3, [("a", "<f4"), ("b", "<f4")])["b"], True),
    "real part of complex": (np.array([1 + 2j, 3 + 4j]).real, True),
    "imaginary part of complex": (np.array([1 + 2j, 3 + 4j]).imag, True),
    "read-only": (read_only(), True),
    "from bytes": (np.frombuffer(bytes(range(8)), np.uint8), True),
    "0-D": (np.array(3.5), True),
    "0-D int": (np.array(3), True),
    "zero size": (np.zeros((0,), np.float32), False),
    "zero size, rank 3": (np.zeros((2, 0, 3)), False),
    "zero size, negative stride": (np.zeros((0, 4))[::-1, ::-1], False),
    "rank 16": (np.ones((1,) * 15 + (2,), np.float32), True),
    "size-1 dimension with odd stride": (np.lib.stride_tricks.as_strided(np.arange(3.0), (1, 3), (13, 8)), True),
    "subclass": (np.arange(3.0).view(Sub), True),
    "matrix": (np.arange(4.0).reshape(2, 2).view(np.matrix), True),
    "recarray field": (np.rec.array([(1.0, 2)], dtype=[("x", "f8"), ("y", "i8")]).x, True),
    "bool from comparison": (np.arange(4) > 1, True),
    "bool view of uint8": (np.array([0, 1, 1], np.uint8).view(bool), True),
    "float16": (np.array([1, 65504, 6e-8, np.inf, np.nan], np.float16), True),
    "int32": (np.array([-(2**31), 2**31 - 1], np.int32), True),
    "uint8": (np.array([0, 255], np.uint8), True),
    "special values": (np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]), True),
    "diagonal": (np.arange(9.0).reshape(3, 3).diagonal(), True),
    "intc": (np.arange(3, dtype=np.intc), True),
}
REFUSED = {
    "object": (np.array([1, "a"], dtype=object), TypeError, "object.*astype"),
    "complex64": (np.ones(2, np.complex64), TypeError, "complex64.*real"),
    "complex128": (np.ones(2, complex), TypeError, "imaginary"),
    "long double": (np.ones(2, np.longdouble), TypeError, "float64"),
    "int8": (np.ones(2, np.int8), TypeError, "int8.*int32"),
    "int16": (np.ones(2, np.int16), TypeError, "int16"),
    "uint16": (np.ones(2, np.uint16), TypeError, "uint16.*int32"),
    "uint32": (np.ones(2, np.uint32), TypeError, "uint32"),
    "uint64": (np.ones(2, np.uint64), TypeError, "uint64"),
    "str": (np.array(["a", "b"]), TypeError, "not supported"),
    "bytes": (np.array([b"a"]), TypeError, "not supported"),
    "datetime64": (np.array(["2020-01-01"], "datetime64[D]"), TypeError, "int64"),
    "timedelta64": (np.array([1], "timedelta64[s]"), TypeError, "int64"),
    "structured": (np.zeros(2, [("a", "f4"), ("b", "i4")]), TypeError, "field"),
    "raw void": (np.zeros(2, "V6"), TypeError, "not supported"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "filled"),
    "masked without a mask": (np.ma.array([1.0, 2.0]), TypeError, "filled"),
    "rank 17": (np.ones((1,) * 17), ValueError, "16 dimensions"),
    "rank 64": (np.ones((1,) * 64), ValueError, "16 dimensions"),
}


def test_hostile_arrays_are_enough():
    assert len(RIGHT) + len(REFUSED) >= 60


@pytest.mark.parametrize("make", [dnn.from_numpy, dnn.tensor, dnn.as_tensor], ids=["from_numpy", "tensor", "as_tensor"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_array(name, make):
    array, shared = RIGHT[name]
    x = make(array)
    assert x.shape == array.shape
    assert x.dtype.name == array.dtype.name
    np.testing.assert_array_equal(x.numpy(), np.asarray(array))
    np.testing.assert_array_equal(x.clone().numpy(), np.asarray(array))
    np.testing.assert_array_equal((x == x).numpy(), np.asarray(array) == np.asarray(array))
    assert x.tolist() == np.asarray(array).tolist() or np.isnan(array.astype(float)).any()
    if make is dnn.from_numpy:
        assert np.shares_memory(x.numpy(), array) == shared
    elif make is dnn.tensor:
        assert not np.shares_memory(x.numpy(), array)
        assert x.is_contiguous()


@pytest.mark.parametrize("make", [dnn.from_numpy, dnn.tensor, dnn.as_tensor], ids=["from_numpy", "tensor", "as_tensor"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_array(name, make):
    array, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make(array)


def test_from_numpy_wants_an_array():
    for wrong in ([1.0], 3, None, "x", np.float32(1)):
        with pytest.raises(TypeError):
            dnn.from_numpy(wrong)


def test_memory_is_shared_both_ways():
    array = np.zeros(3, np.float32)
    x = dnn.from_numpy(array)
    array[0] = 1
    x[1] = 2
    view = x.numpy()
    view[2] = 3
    assert x.tolist() == [1, 2, 3]
    assert array.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["read-only", "from bytes", "broadcast row", "overlapping windows"])
def test_write_to_borrowed_memory_is_refused(name):
    array = RIGHT[name][0]
    before = array.copy()
    x = dnn.from_numpy(array)
    for change in (
        lambda: x.fill_(1),
        lambda: x.add_(1),
        lambda: x.zero_(),
        lambda: x.__setitem__(0, 1),
        lambda: x.copy_(x.clone()),
    ):
        with pytest.raises(ValueError, match="clone"):
            change()
    if x.dtype.is_floating_point:
        with pytest.raises(ValueError, match="clone"):
            x.uniform_()
    np.testing.assert_array_equal(array, before)
    assert not x.numpy().flags.writeable
    y = x.clone()
    y += 1
    np.testing.assert_array_equal(y.numpy(), before + 1)


def test_lifetimes():
    array = np.arange(5.0)
    alive = weakref.ref(array.view(Sub))
    base = array.view(Sub)
    alive = weakref.ref(base)
    x = dnn.from_numpy(base)
    y = x[2:]
    del base, x
    gc.collect()
    assert alive() is not None
    assert y.tolist() == [2, 3, 4]
    del y
    gc.collect()
    assert alive() is None

    view = dnn.arange(1000.0).numpy()
    gc.collect()
    junk = [dnn.zeros(1000) for _ in range(10)]
    np.testing.assert_array_equal(view, np.arange(1000.0))
    del junk


def test_array_released_by_another_thread():
    base = np.arange(5.0).view(Sub)
    alive = weakref.ref(base)
    box = [dnn.from_numpy(base)]
    del base
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trips(dtype):
    array = (np.arange(6).reshape(2, 3) % 2).astype(dtype)
    x = dnn.tensor(array)
    assert x.numpy().dtype == array.dtype
    for back in (
        np.asarray(x),
        np.array(x),
        np.from_dlpack(x),
        dnn.from_dlpack(array).numpy(),
        pickle.loads(pickle.dumps(x)).numpy(),
    ):
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype


def test_array_protocol():
    x = dnn.tensor([1.5, 2.5])
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.asarray(x, dtype=np.int64).tolist() == [1, 2]
    assert not np.shares_memory(np.array(x, copy=True), x.numpy())
    np.testing.assert_allclose(np.exp(x), np.exp(x.numpy()))
    with pytest.raises(ValueError, match="copy"):
        x.__array__(np.int32, copy=False)


def test_numpy_refuses_gradient():
    x = dnn.ones(2, requires_grad=True)
    for convert in (x.numpy, x.__array__, x.__dlpack__):
        with pytest.raises(RuntimeError, match="detach"):
            convert()
    assert x.detach().numpy().tolist() == [1, 1]


OPERATORS = ["__add__", "__sub__", "__mul__", "__truediv__", "__eq__", "__lt__", "__matmul__"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_arrays_mix_with_tensors(operator):
    a, b = np.array([1.0, 2.0], np.float32), np.array([3.0, 5.0], np.float32)
    expected = getattr(a, operator)(b)
    for result in (getattr(dnn.tensor(a), operator)(b), getattr(dnn.tensor(a), operator)(dnn.tensor(b))):
        assert isinstance(result, dnn.Tensor)
        np.testing.assert_allclose(result.numpy(), expected)


def test_array_on_the_left():
    a, x = np.array([1.0, 2.0], np.float32), dnn.tensor([3.0, 5.0])
    for result, expected in [(a + x, [4, 7]), (a - x, [-2, -3]), (a * x, [3, 10]), (a / x, [1 / 3, 0.4]), (a < x, [True, True])]:
        assert isinstance(result, dnn.Tensor)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)
    assert isinstance(np.float64(2) * x, dnn.Tensor)
    assert isinstance(np.int64(2) + x, dnn.Tensor)
    assert (np.float64(2) * x).dtype is dnn.float32  # a NumPy scalar is a number


def test_bfloat16():
    x = dnn.tensor([1.0, 2.5, 3.140625], dtype="bfloat16")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert x.numpy().dtype == ml_dtypes.bfloat16
    y = dnn.from_numpy(np.array([1.0, -2.0], ml_dtypes.bfloat16))
    assert y.dtype is dnn.bfloat16
    assert y.tolist() == [1.0, -2.0]


# --- DLPack -----------------------------------------------------------------------------------------------------------
class Producer:
    """Hands on the capsule of an array, in the form of before DLPack 1.0 unless told otherwise."""

    def __init__(self, array, versioned=False):
        self.array, self.versioned = array, versioned

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **kwargs):
        if kwargs and not self.versioned:
            raise TypeError("unexpected keyword argument")
        return self.array.__dlpack__(**kwargs)


@pytest.mark.parametrize("versioned", [False, True])
def test_dlpack_in(versioned):
    array = np.arange(6.0).reshape(2, 3)
    x = dnn.from_dlpack(Producer(array, versioned))
    array[0, 0] = 7
    assert x[0, 0].item() == 7
    assert np.shares_memory(x.numpy(), array)
    reversed_ = dnn.from_dlpack(Producer(array[::-1], versioned))
    np.testing.assert_array_equal(reversed_.numpy(), array[::-1])
    np.testing.assert_array_equal(dnn.from_dlpack(Producer(array.T, versioned)).numpy(), array.T)
    assert not np.shares_memory(dnn.from_dlpack(array, copy=True).numpy(), array)


def test_dlpack_out():
    x = dnn.arange(6.0).reshape(2, 3).T
    assert x.__dlpack_device__() == (1, 0)
    array = np.from_dlpack(x)
    x[0, 0] = 5
    assert array[0, 0] == 5
    assert array.strides == x.numpy().strides
    copied = dnn.from_dlpack(x.__dlpack__(max_version=(1, 0), copy=True)).numpy()
    assert not np.shares_memory(copied, array)
    frozen = dnn.from_numpy(read_only())
    assert not np.from_dlpack(frozen).flags.writeable
    with pytest.raises(BufferError):
        frozen.__dlpack__()
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(ValueError, match="stream"):
        x.__dlpack__(stream=3)


def test_dlpack_capsule_is_used_once():
    capsule = dnn.arange(3).__dlpack__(max_version=(1, 0))
    assert dnn.from_dlpack(capsule).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="used before"):
        dnn.from_dlpack(capsule)
    dnn.arange(3).__dlpack__()  # never taken over: freed with the capsule
    for wrong in (3, "x", None, [1.0]):
        with pytest.raises(TypeError):
            dnn.from_dlpack(wrong)
    with pytest.raises(TypeError, match="not supported"):
        dnn.from_dlpack(np.ones(2, np.complex64))


def test_buffers():
    assert dnn.tensor(memoryview(b"abc")).tolist() == [97, 98, 99]
    import array

    x = dnn.tensor(array.array("d", [1, 2]))
    assert x.dtype is dnn.float64
    assert x.tolist() == [1, 2]


# --- Pickle and copies ------------------------------------------------------------------------------------------------
class Weighted(dnn.Tensor):
    """A subclass with state of its own, as a parameter is."""


def test_pickle():
    x = dnn.randn(2, 3, requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert y.requires_grad
    assert y.dtype is x.dtype
    assert dnn.equal(x, y)
    half = dnn.tensor([1.0, 2.0], dtype=dnn.bfloat16).reshape(2, 1)
    assert dnn.equal(pickle.loads(pickle.dumps(half)), half)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(x.detach().T, protocol)).tolist() == x.T.tolist()
    w = Weighted(dnn.ones(2))
    w.name = "scale"
    v = pickle.loads(pickle.dumps(w))
    assert type(v) is Weighted
    assert v.name == "scale"
    assert v.tolist() == [1, 1]


def test_pickle_refuses_nonsense():
    rebuild = dnn.tensor([1.0]).__reduce_ex__(2)[0]
    for args in [
        (int, b"1234", (1,), "float32", False),
        (dnn.Tensor, b"123", (1,), "float32", False),
        (dnn.Tensor, b"", (-1,), "float32", False),
    ]:
        with pytest.raises((TypeError, ValueError)):
            rebuild(*args)


def test_copies():
    x = dnn.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad
    assert y.grad.tolist() == [2, 2, 2]
    assert y.data_ptr() != x.data_ptr()
    a, b = copy.deepcopy([x, x])
    assert a is b
    z = copy.copy(x)
    assert z is not x
    assert z.data_ptr() == x.data_ptr()
    assert z.requires_grad
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2)
    for dtype in (dnn.float32, dnn.bool, dnn.bfloat16):
        assert pickle.loads(pickle.dumps(dtype)) is dtype
        assert copy.deepcopy(dtype) is dtype
        assert repr(dtype) == f"dnncore.{dtype.name}"
