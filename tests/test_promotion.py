"""Result dtypes as PyTorch's: all pairs of dtypes as tensors, 0-D tensors and Python numbers."""

import json

import dnncore as dnn
import pytest
from cases import GOLDEN, dtype_name

EXPECTED = json.loads((GOLDEN / "promotion.json").read_text())
NUMBERS = {"bool": True, "int": 1, "float": 1.0}
# Where we differ, each on purpose: any and all answer with bool for uint8 too, as for every other dtype; arithmetic on
# bool is refused where its result would surprise; and a power of bools is a number.
DIFFERENT = {"any uint8": "bool", "all uint8": "bool", "sign bool": None, "square bool": None}
DIFFERENT |= {"bool 2d, bool": "int64", "bool 0d, bool": "int64"}


def operand(text):
    if text in NUMBERS:
        return NUMBERS[text]
    dtype, kind = text.split()
    return dnn.ones((2, 2) if kind == "2d" else (), dtype=getattr(dnn, dtype))


@pytest.mark.parametrize("op", ["add", "mul", "div", "maximum", "pow", "lt"])
def test_pairs(op):
    wrong = []
    for pair, expected in EXPECTED[op].items():
        x, z = map(operand, pair.split(", "))
        expected = DIFFERENT.get(pair, expected) if op == "pow" else expected
        actual = dtype_name(getattr(dnn, op)(x, z))
        if actual != expected:
            wrong.append(f"{op}({pair}) gave {actual}, PyTorch {expected}")
    assert not wrong, "\n".join(wrong[:20])
    assert len(EXPECTED[op]) >= 240


@pytest.mark.parametrize("family", ["unary", "reduce"])
def test_single_operands(family):
    wrong = []
    for call, expected in EXPECTED[family].items():
        op, dtype = call.split()
        expected = DIFFERENT.get(call, expected)
        function = getattr(dnn.ones(2, dtype=getattr(dnn, dtype)), op)
        if expected is None:
            with pytest.raises(TypeError, match=op):
                function()
        elif dtype_name(function()) != expected:
            wrong.append(f"{op}({dtype}) gave {dtype_name(function())}, PyTorch {expected}")
    assert not wrong, "\n".join(wrong)


def test_a_number_keeps_the_tensors_dtype():
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = dnn.ones(2, dtype=getattr(dnn, dtype))
        for y in (x + 1, x * 2.5, 1 - x, x / 3, x**2, 2**x, x > 0.5):
            assert dtype_name(y) in (dtype, "bool")
    assert dtype_name(dnn.ones(2, dtype=dnn.int32) * 2) == "int32"
    assert dtype_name(dnn.ones(2, dtype=dnn.int32) * 2.5) == "float32"
    assert dtype_name(dnn.ones(2, dtype=dnn.int64) / 2) == "float32"


def test_in_place_never_changes_the_dtype():
    x = dnn.ones(2, dtype=dnn.int64)
    with pytest.raises(TypeError, match="mul"):
        x *= 2.5
    x *= 3
    assert x.tolist() == [3, 3]
    y = dnn.ones(2)
    y += dnn.ones(2, dtype=dnn.float64)
    assert dtype_name(y) == "float32"
