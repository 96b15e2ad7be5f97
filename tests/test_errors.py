"""Wrong arguments: a typed error that begins with the op and says what was expected, never a crash, never a changed tensor."""

import contextlib
import itertools

import dnncore as dnn
import dnncore.nn.functional as F
import numpy as np
import pytest
from dnncore.nn import init

X = dnn.arange(6.0).reshape(2, 3)
WHOLE = dnn.arange(6).reshape(2, 3)
FLAG = dnn.tensor([True, False])

CASES = {
    "add shapes": (lambda: X + dnn.zeros(4), ValueError, r"add: shapes \(2, 3\) and \(4,\)"),
    "in-place never broadcasts": (lambda: dnn.zeros(3).add_(dnn.zeros(2, 3)), ValueError, "add_"),
    "in-place never casts": (lambda: dnn.zeros(2, dtype="int64").mul_(1.5), TypeError, "int64"),
    "unknown operand": (lambda: X + "a", TypeError, "unsupported operand"),
    "list operand": (lambda: X + [1, 2, 3], TypeError, "unsupported operand"),  # noqa: RUF005
    "method operand": (lambda: X.mul("a"), TypeError, "mul"),
    "function operand": (lambda: dnn.mul(X, None), TypeError, "mul"),
    "function arity": (lambda: dnn.mul(X), TypeError, "2 arguments"),
    "unary of a list": (lambda: dnn.exp([1.0]), TypeError, "exp"),
    "large int": (lambda: X + 10**30, ValueError, "int64"),
    "complex operand": (lambda: X + 1j, TypeError, "unsupported"),
    "sub of bools": (lambda: FLAG - FLAG, TypeError, "sub"),
    "integer division by zero": (lambda: WHOLE // 0, ZeroDivisionError, "floor_divide"),
    "integer remainder by zero": (lambda: WHOLE % dnn.tensor(0), ZeroDivisionError, "remainder"),
    "negative integer power": (lambda: WHOLE**-1, ValueError, "pow"),
    "bitwise of floats": (lambda: X & X, TypeError, "bitwise_and"),
    "invert floats": (lambda: ~X, TypeError, "bitwise_not"),
    "three-argument pow": (lambda: pow(X, 2, 3), TypeError, "unsupported"),
    "bool of many": (lambda: bool(X), ValueError, "ambiguous"),
    "bool of none": (lambda: bool(dnn.zeros(0)), ValueError, "no values"),
    "item of many": (lambda: X.item(), ValueError, "6 elements"),
    "float of many": (lambda: float(X), ValueError, "6 elements"),
    "index by float": (lambda: [1, 2][dnn.tensor(1.0)], TypeError, "integer"),
    "matmul shapes": (lambda: X @ X, ValueError, r"matmul.*\(2, 3\)"),
    "matmul numbers": (lambda: X @ 2, TypeError, "matmul"),
    "mm rank": (lambda: X.mm(dnn.zeros(3)), ValueError, "mm"),
    "bmm batch": (lambda: dnn.zeros(2, 3, 4).bmm(dnn.zeros(1, 4, 3)), ValueError, "bmm"),
    "linear": (lambda: dnn.linear(X, dnn.zeros(4, 5)), ValueError, "linear"),
    "linear activation": (lambda: dnn.linear(X, dnn.zeros(4, 3), None, "swish"), ValueError, "relu"),
    "cross_entropy target": (lambda: dnn.cross_entropy(X, dnn.tensor([0, 3])), ValueError, "target 3"),
    "cross_entropy dtype": (lambda: dnn.cross_entropy(X, dnn.tensor([0.0, 1.0])), TypeError, "int64"),
    "cross_entropy reduction": (lambda: dnn.cross_entropy(X, dnn.tensor([0, 1]), reduction="max"), ValueError, "mean"),
    "view": (lambda: X.T.view(6), ValueError, "reshape"),
    "view size": (lambda: X.view(4), ValueError, "6 elements"),
    "view two unknown": (lambda: X.view(-1, -1), ValueError, "-1"),
    "view of floats": (lambda: X.view(2.0, 3), TypeError, "integers"),
    "view of a string": (lambda: X.view("ab"), TypeError, "integers"),
    "permute twice": (lambda: X.permute(0, 0), ValueError, "twice"),
    "transpose dim": (lambda: X.transpose(0, 2), IndexError, "transpose"),
    "expand": (lambda: X.expand(2, 4), ValueError, "expand"),
    "narrow": (lambda: X.narrow(0, 1, 5), ValueError, "narrow"),
    "narrow overflow": (lambda: X.narrow(0, 2**62, 2**62), ValueError, "narrow"),
    "split": (lambda: X.split([1, 2]), ValueError, "split"),
    "split zero": (lambda: X.split(0), ValueError, "split"),
    "chunk zero": (lambda: X.chunk(0), ValueError, "chunk"),
    "flip twice": (lambda: X.flip(0, 0), ValueError, "twice"),
    "t of rank 3": (lambda: dnn.zeros(1, 2, 3).t(), ValueError, "t:"),
    "mT of rank 1": (lambda: dnn.zeros(2).mT, ValueError, "mT"),
    "mean of integers": (lambda: WHOLE.mean(), TypeError, "mean"),
    "max of nothing": (lambda: dnn.zeros(0).max(), ValueError, "max"),
    "sum dim": (lambda: X.sum(5), IndexError, "sum"),
    "sum dim twice": (lambda: X.sum((0, 0)), ValueError, "twice"),
    "cat of nothing": (lambda: dnn.cat([]), ValueError, "cat"),
    "cat shapes": (lambda: dnn.cat([X, dnn.zeros(3, 4)]), ValueError, "cat"),
    "stack shapes": (lambda: dnn.stack([X, X.T]), ValueError, "stack"),
    "gather index": (lambda: X.gather(0, dnn.tensor([0])), ValueError, "gather"),
    "gather range": (lambda: X.gather(0, dnn.tensor([[9]])), IndexError, "9"),
    "where condition": (lambda: dnn.where(X, X, X), TypeError, "bool"),
    "clamp": (lambda: X.clamp(), ValueError, "clamp"),
    "ragged": (lambda: dnn.tensor([[1, 2], [3]]), ValueError, "equal lengths"),
    "ragged depth": (lambda: dnn.tensor([[1], 2]), ValueError, "equal lengths"),
    "ragged depth the other way": (lambda: dnn.tensor([1, [2]]), ValueError, "equal lengths"),
    "ragged empties": (lambda: dnn.tensor([[], [[]]]), ValueError, "equal"),
    "string": (lambda: dnn.tensor("abc"), TypeError, "str"),
    "list of strings": (lambda: dnn.tensor(["a"]), TypeError, "str"),
    "none": (lambda: dnn.tensor(None), TypeError, "NoneType"),
    "dict": (lambda: dnn.tensor({1: 2}), TypeError, "dict"),
    "complex": (lambda: dnn.tensor([1j]), TypeError, "complex"),
    "uint8 overflow": (lambda: dnn.tensor([300], dtype="uint8"), ValueError, "300"),
    "nan to int": (lambda: dnn.tensor([float("nan")], dtype="int64"), ValueError, "nan"),
    "int64 overflow": (lambda: dnn.tensor([2**63]), ValueError, "int64"),
    "endless nesting": (lambda: dnn.tensor(NESTED), ValueError, "nested"),
    "dtype name": (lambda: dnn.zeros(2, dtype="float128"), TypeError, "float128.*float32"),
    "numpy dtype": (lambda: dnn.zeros(2, dtype=np.complex64), TypeError, "complex64"),
    "dtype kind": (lambda: dnn.zeros(2, dtype=3), TypeError, ""),
    "device": (lambda: dnn.zeros(2, device="cuda:99"), RuntimeError, "cuda:99 cannot be used"),
    "to device": (lambda: X.to("cuda:99"), RuntimeError, "to: cuda:99 cannot be used"),
    "to nonsense": (lambda: X.to(3.5), TypeError, "to:"),
    "to keyword": (lambda: X.to(nonsense=1), TypeError, "nonsense"),
    "negative size": (lambda: dnn.zeros(-1), ValueError, "zeros"),
    "huge size": (lambda: dnn.zeros(2**62), ValueError, ""),
    "huge product": (lambda: dnn.zeros(2**40, 2**40), ValueError, ""),
    "no memory": (lambda: dnn.empty(2**50), MemoryError, "requested"),
    "size beyond int64": (lambda: dnn.zeros(2**70), ValueError, "int64"),
    "rank 17": (lambda: dnn.zeros((1,) * 17), ValueError, "16"),
    "float size": (lambda: dnn.zeros(2.5), TypeError, "zeros"),
    "arange step": (lambda: dnn.arange(0, 5, 0), ValueError, "step"),
    "arange nan": (lambda: dnn.arange(float("nan")), ValueError, "arange"),
    "linspace": (lambda: dnn.linspace(0, 1, -1), ValueError, "linspace"),
    "randint bounds": (lambda: dnn.randint(5, 5, (2,)), ValueError, "randint"),
    "randperm": (lambda: dnn.randperm(-1), ValueError, "randperm"),
    "bernoulli": (lambda: dnn.bernoulli(dnn.tensor([2.0])), ValueError, "bernoulli"),
    "normal std": (lambda: dnn.zeros(2).normal_(0, -1), ValueError, "normal_"),
    "uniform of ints": (lambda: dnn.zeros(2, dtype="int64").uniform_(), TypeError, "uniform_"),
    "seed": (lambda: dnn.manual_seed(2**64), ValueError, "64 bits"),
    "seed type": (lambda: dnn.manual_seed(1.5), TypeError, ""),
    "generator state": (lambda: dnn.Generator().set_state(dnn.zeros(3)), ValueError, "uint8"),
    "threads": (lambda: dnn.set_num_threads(0), ValueError, "thread"),
    "isa": (lambda: dnn._core._use_isa("mmx"), ValueError, "mmx"),
    "requires_grad of integers": (lambda: WHOLE.requires_grad_(), RuntimeError, "floating"),
    "requires_grad argument": (lambda: dnn.zeros(2, dtype="int64", requires_grad=True), RuntimeError, "floating"),
    "requires_grad of a result": (lambda: setattr(leaf() * 2, "requires_grad", False), RuntimeError, "detach"),
    "requires_grad kind": (lambda: setattr(leaf(), "requires_grad", 1), TypeError, "bool"),
    "grad shape": (lambda: setattr(leaf(), "grad", dnn.zeros(5)), ValueError, "shape"),
    "grad dtype": (lambda: setattr(leaf(), "grad", dnn.zeros(2, dtype="float64")), TypeError, "dtype"),
    "grad kind": (lambda: setattr(leaf(), "grad", 3), TypeError, "Tensor"),
    "backward without gradient": (lambda: X.sum().backward(), RuntimeError, ""),
    "backward of many": (lambda: (leaf() * 2).backward(), RuntimeError, ""),
    "backward twice": (lambda: twice(), RuntimeError, "retain_graph"),
    "in-place on a leaf": (lambda: leaf().add_(1), RuntimeError, "requires grad"),
    "stale value": (lambda: stale(), RuntimeError, ""),
    "attributes are fixed": (lambda: setattr(dnn.zeros(1), "shape", (2,)), AttributeError, ""),
    "no data": (lambda: dnn.Tensor(), TypeError, ""),
    "unbound method": (lambda: dnn.Tensor.relu(3), TypeError, ""),
    "unbound pybind method": (lambda: dnn.Tensor.sum(3), TypeError, ""),
    "unbound protocol": (lambda: dnn.Tensor.__deepcopy__(3, {}), TypeError, ""),
    "einsum letters": (lambda: dnn.einsum("äb->b", X), ValueError, "'ä'"),
    "grad of None": (
        lambda: dnn.autograd.grad(None, X),
        TypeError,
        "grad: expected a tensor or a sequence .* as outputs",
    ),
    "trunc_normal_ far away": (lambda: init.trunc_normal_(dnn.zeros(2), mean=float("inf")), ValueError, "finite mean"),
    "trunc_normal_ of no range": (lambda: init.trunc_normal_(dnn.zeros(2), a=float("inf"), b=float("inf")), ValueError, "trunc_"),
}

NESTED = []
NESTED.append(NESTED)


def leaf():
    return dnn.ones(2, requires_grad=True)


def twice():
    y = (leaf() * leaf()).sum()
    y.backward()
    y.backward()


def stale():
    x = leaf()
    y = x * 1
    z = (y * y).sum()
    with dnn.no_grad():
        y.add_(1)
    z.backward()


@pytest.mark.parametrize("name", CASES)
def test_error(name):
    call, error, message = CASES[name]
    before = X.tolist()
    with pytest.raises(error, match=message or None) as caught:
        call()
    assert X.tolist() == before
    assert caught.type is error or not issubclass(error, Exception), f"{caught.type} is not exactly {error}"


FUNCTIONS = sorted(name for name, value in vars(F).items() if not name.startswith("_") and name != "Tensor" and callable(value))
INITIALIZERS = sorted(name for name in vars(init) if name.endswith("_") and not name.startswith("_"))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("function", [*(getattr(F, name) for name in FUNCTIONS), *(getattr(init, name) for name in INITIALIZERS)])
def test_anything_else_than_tensors_is_a_type_or_value_error(function, count):
    for arguments in itertools.product((None, "a", {}, 2.5, [1.0], X.clone(), WHOLE.clone(), np.ones(3)), repeat=count):
        with contextlib.suppress(TypeError, ValueError, IndexError):
            function(*arguments)


def test_comparison_with_anything():
    assert (X is None) is False
    assert (X != "a") is True
    with pytest.raises(TypeError):
        X < "a"  # noqa: B015


def test_interrupted_state_is_clean():
    """After an error the next call works, and no error is left behind."""
    for _ in range(3):
        with pytest.raises(ValueError, match="add"):
            X + dnn.zeros(4)
        assert (X + 1).tolist() == [[1, 2, 3], [4, 5, 6]]
