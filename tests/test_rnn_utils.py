"""dnncore.nn.utils.rnn: packing and padding against a plain loop and against PyTorch, gradients, bad input."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import dnncore as dnn
import numpy as np
import pytest
from cases import tensor
from dnncore.autograd import gradcheck, gradgradcheck
from dnncore.nn.utils import rnn

LENGTHS = [[3], [4, 4, 4], [5, 3, 3, 1], [2, 5, 1, 5], [1, 1, 7]]
SHAPES = [(), (3,), (2, 3), (0,)]


def sequences(lengths, rest=(), dtype=np.float64):
    """Numbers that are all different."""
    total = np.arange(sum(lengths) * int(np.prod(rest)), dtype=dtype).reshape(sum(lengths), *rest)
    return np.split(total, np.cumsum(lengths)[:-1])


def stacked(found, value=0.0, left=False):
    steps = max(len(x) for x in found)
    y = np.full((len(found), steps, *found[0].shape[1:]), value, found[0].dtype)
    for row, x in zip(y, found, strict=True):
        row[steps - len(x) if left else 0 :][: len(x)] = x
    return y


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("rest", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_there_and_back(lengths, rest, dtype, batch_first):
    own = sequences(lengths, rest, dtype)
    batch = stacked(own)
    given = tensor(batch if batch_first else batch.swapaxes(0, 1).copy())
    assert rnn.pad_sequence(map(tensor, own), batch_first).tolist() == given.tolist()
    assert [x.tolist() for x in rnn.unpad_sequence(given, lengths, batch_first)] == [x.tolist() for x in own]
    packed = rnn.pack_padded_sequence(given, lengths, batch_first, enforce_sorted=False)
    order = sorted(range(len(lengths)), key=lambda b: -lengths[b])
    expected = [own[b][t] for t in range(max(lengths)) for b in order if t < lengths[b]]
    assert packed.data.tolist() == np.array(expected).tolist()
    assert packed.data.dtype == given.dtype
    assert packed.batch_sizes.tolist() == [sum(length > t for length in lengths) for t in range(max(lengths))]
    assert packed.sorted_indices.tolist() == order
    padded, found = rnn.pad_packed_sequence(packed, batch_first)
    assert padded.tolist() == given.tolist()
    assert found.tolist() == lengths
    assert [x.tolist() for x in rnn.unpack_sequence(packed)] == [x.tolist() for x in own]
    again = rnn.pack_sequence(list(map(tensor, own)), enforce_sorted=False)
    assert again.data.tolist() == packed.data.tolist()


@pytest.mark.parametrize("batch_first", [False, True])
def test_padding(batch_first):
    own = sequences([2, 4, 1], (2,))
    expected = {side: stacked(own, -1.5, side == "left") for side in ("left", "right")}
    for side, batch in expected.items():
        found = rnn.pad_sequence(list(map(tensor, own)), batch_first, -1.5, side)
        assert found.tolist() == (batch if batch_first else batch.swapaxes(0, 1)).tolist()
    packed = rnn.pack_sequence(list(map(tensor, own)), enforce_sorted=False)
    longer, lengths = rnn.pad_packed_sequence(packed, batch_first, -1.5, total_length=6)
    longer = longer if batch_first else longer.transpose(0, 1)
    assert longer[:, :4].tolist() == expected["right"].tolist()
    assert (longer[:, 4:].numpy() == -1.5).all()
    assert lengths.tolist() == [2, 4, 1]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_as_torch(lengths):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.rnn
    own = sequences(lengths, (2,))
    in_order = lengths == sorted(lengths, reverse=True)
    for enforce in (False, True) if in_order else (False,):
        mine = rnn.pack_sequence(list(map(tensor, own)), enforce)
        yours = theirs.pack_sequence(list(map(torch.tensor, own)), enforce)
        for a, b in zip(mine, yours, strict=True):
            assert (a is None) == (b is None)
            assert a is None or (a.tolist() == b.tolist() and str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1])
        for a, b in zip(rnn.pad_packed_sequence(mine), theirs.pad_packed_sequence(yours), strict=True):
            assert a.tolist() == b.tolist()
            assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
        assert [x.tolist() for x in rnn.unpack_sequence(mine)] == [x.tolist() for x in theirs.unpack_sequence(yours)]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_gradients(lengths):
    own = [tensor(x).requires_grad_() for x in sequences(lengths, (2,))]
    batch = rnn.pad_sequence([x.detach() for x in own]).requires_grad_()
    calls = [
        (lambda *x: rnn.pad_sequence(x, padding_value=2.0), own),
        (lambda *x: rnn.pack_sequence(x, enforce_sorted=False).data, own),
        (lambda *x: tuple(rnn.unpack_sequence(rnn.pack_sequence(x, enforce_sorted=False))), own),
        (lambda x: tuple(rnn.unpad_sequence(x, lengths)), [batch]),
    ]
    for call, given in calls:
        assert gradcheck(call, given)
        assert gradgradcheck(call, given)


def test_packed_sequence():
    packed = rnn.pack_sequence([dnn.tensor([1.0, 2.0]), dnn.tensor([3.0])])
    assert packed.float() is packed.cpu() is packed
    for other in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert type(other) is rnn.PackedSequence
        assert [None if x is None else x.tolist() for x in other] == [None if x is None else x.tolist() for x in packed]
    for name, dtype in (("double", dnn.float64), ("half", dnn.float16)):
        other = getattr(packed, name)()
        assert other.data.dtype == dtype
        assert other.batch_sizes is packed.batch_sizes
    unsorted = rnn.PackedSequence(packed.data, packed.batch_sizes, dnn.tensor([1, 0]))
    assert unsorted.unsorted_indices.tolist() == [1, 0]
    assert rnn.invert_permutation(None) is None


ORDER, BACK = [2, 0, 1], [1, 2, 0]


@pytest.mark.parametrize("dtype", [dnn.int64, dnn.int32])
@pytest.mark.parametrize(("order", "back"), [(ORDER, None), (None, BACK), (ORDER, BACK)])
def test_orders_are_completed(order, back, dtype):
    given = [None if x is None else dnn.tensor(x, dtype=dtype) for x in (order, back)]
    packed = rnn.PackedSequence(dnn.arange(6), dnn.tensor([3, 2, 1]), *given)
    assert packed.sorted_indices.tolist() == ORDER
    assert packed.unsorted_indices.tolist() == BACK
    assert packed.sorted_indices.dtype == packed.unsorted_indices.dtype == dnn.int64
    assert [x.tolist() for x in rnn.unpack_sequence(packed)] == [[1, 4], [2], [0, 3, 5]]


def test_packing_reads_each_element_once(monkeypatch):
    """One long sequence among short ones: no tensor is of the size of the padded batch."""
    found, select = [], dnn.Tensor.index_select
    monkeypatch.setattr(dnn.Tensor, "index_select", lambda x, *rest: (found.append(x), select(x, *rest))[1])
    own = list(map(tensor, sequences([1, 50, 1, 1], (2,))))
    packed = rnn.pack_sequence(own, enforce_sorted=False)
    assert [x.tolist() for x in rnn.unpack_sequence(packed)] == [x.tolist() for x in own]
    assert [tuple(x.shape) for x in found] == [(53, 2), (53, 2)]


ONE = dnn.zeros(4, 2, 3)
PACKED = rnn.pack_sequence([dnn.zeros(3), dnn.zeros(1)])
ERRORS = [
    (
        rnn.pack_padded_sequence,
        (ONE, [4]),
        ValueError,
        r"pack_padded_sequence: expected 2 lengths for an input of shape \(4, 2, 3\), got 1",
    ),
    (
        rnn.pack_padded_sequence,
        (ONE, [4, 0]),
        ValueError,
        "from 1 to 4, got 0 to 4; a layer's lengths= takes 0",
    ),
    (rnn.pack_padded_sequence, (ONE, [5, 1]), ValueError, "expected lengths from 1 to 4, got 1 to 5"),
    (rnn.pack_padded_sequence, (ONE, [4, -1]), ValueError, "expected lengths from 1 to 4, got -1 to 4"),
    (
        rnn.pack_padded_sequence,
        (ONE, [1, 4]),
        ValueError,
        r"to the shortest, got \[1, 4\]; pass enforce_sorted=False",
    ),
    (rnn.pack_padded_sequence, (ONE, [4.0, 1.0]), TypeError, "expected lengths as whole numbers, got float64"),
    (rnn.pack_padded_sequence, (ONE, [True, True]), TypeError, "expected lengths as whole numbers, got bool"),
    (rnn.pack_padded_sequence, (ONE, [[4, 1]]), ValueError, r"expected lengths of one dimension, got shape \(1, 2\)"),
    (rnn.pack_padded_sequence, (dnn.zeros(4, 0), []), ValueError, "expected at least one sequence"),
    (rnn.pack_padded_sequence, (dnn.zeros(4), [1]), ValueError, r"at least 2 dimensions, got shape \(4,\)"),
    (rnn.pack_padded_sequence, ([1], [1]), TypeError, "pack_padded_sequence: expected a Tensor as input, got list"),
    (rnn.pad_packed_sequence, (ONE,), TypeError, "pad_packed_sequence: expected a PackedSequence, got Tensor"),
    (rnn.pad_sequence, ([],), ValueError, "pad_sequence: expected at least one sequence, got none"),
    (rnn.pad_sequence, (3,), TypeError, "pad_sequence: expected a list of tensors, got int"),
    (rnn.pad_sequence, ([3],), TypeError, "pad_sequence: expected a Tensor as sequence, got int"),
    (rnn.pad_sequence, ([dnn.zeros(2, 3), dnn.zeros(2)],), ValueError, r"that differ in length alone, got \[\(2, 3\), \(2,\)\]"),
    (rnn.pad_sequence, ([dnn.zeros(())],), ValueError, r"of shape \(length, ...\)"),
    (
        partial(rnn.pad_sequence, padding_value="a"),
        ([ONE],),
        TypeError,
        "^pad_sequence: expected padding_value as a number, got str",
    ),
    (
        partial(rnn.pad_packed_sequence, padding_value=None),
        (PACKED,),
        TypeError,
        "^pad_packed_sequence: expected padding_value as a number, got NoneType",
    ),
    (partial(rnn.pad_sequence, padding_side="top"), ([ONE],), ValueError, "padding_side 'right' or 'left', got 'top'"),
    (rnn.unpad_sequence, (ONE, [1]), ValueError, "unpad_sequence: expected 2 lengths, got 1"),
    (rnn.unpad_sequence, (ONE, [1, 5]), ValueError, "expected lengths from 0 to 4, got 1 to 5"),
    (rnn.unpad_sequence, (dnn.zeros(3), [1]), ValueError, r"at least 2 dimensions, got shape \(3,\)"),
    (rnn.pack_sequence, ([dnn.zeros(1), dnn.zeros(2)],), ValueError, "pass enforce_sorted=False"),
    (
        rnn.invert_permutation,
        (dnn.tensor([0, 0]),),
        ValueError,
        r"expected permutation with each of 0 to 1 once, got \[0, 0\]",
    ),
    (
        rnn.invert_permutation,
        (dnn.zeros(2),),
        TypeError,
        "invert_permutation: expected permutation as whole numbers, got float32",
    ),
    (rnn.pack_sequence, ([dnn.zeros(1), dnn.zeros(2)],), ValueError, "^pack_sequence: expected lengths from the longest"),
    (rnn.pack_sequence, ([dnn.zeros(1), dnn.zeros(0)],), ValueError, "^pack_sequence: expected lengths of at least 1, got 0"),
    (rnn.unpack_sequence, (3,), TypeError, "^unpack_sequence: expected a PackedSequence, got int"),
    (
        partial(rnn.pad_packed_sequence, total_length=5.5),
        (PACKED,),
        TypeError,
        "^pad_packed_sequence: expected total_length of type",
    ),
    (rnn.PackedSequence, ([1], [1]), TypeError, "PackedSequence: expected a Tensor as data, got list"),
    (rnn.PackedSequence, (*PACKED[:2], [1, 0]), TypeError, "PackedSequence: expected a Tensor as sorted_indices, got list"),
    (
        rnn.PackedSequence,
        (*PACKED[:2], None, [1, 0]),
        TypeError,
        "PackedSequence: expected a Tensor as unsorted_indices, got list",
    ),
    (
        rnn.PackedSequence,
        (*PACKED[:2], dnn.zeros(2)),
        TypeError,
        "PackedSequence: expected sorted_indices as whole numbers, got float32",
    ),
    (
        rnn.PackedSequence,
        (*PACKED[:2], None, dnn.tensor([0, 2])),
        ValueError,
        r"PackedSequence: expected unsorted_indices with each of 0 to 1 once, got \[0, 2\]",
    ),
    (
        rnn.PackedSequence,
        (*PACKED[:2], dnn.tensor([1, 2, 0]), dnn.tensor([1, 2, 0])),
        ValueError,
        r"PackedSequence: expected unsorted_indices that undo sorted_indices, \[2, 0, 1\], got \[1, 2, 0\]",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "error", "text"), ERRORS)
def test_errors(function, arguments, error, text):
    with pytest.raises(error, match=text):
        function(*arguments)


def test_a_total_length_that_is_too_short():
    packed = rnn.pack_sequence([dnn.zeros(3)])
    with pytest.raises(ValueError, match="pad_packed_sequence: expected total_length of at least 3, the longest length, got 2"):
        rnn.pad_packed_sequence(packed, total_length=2)


SIZES = [
    ([3, 2], r"expected packed data of 5 rows, the sum of its batch_sizes, got shape \(6,\)"),
    ([1, 2, 3], r"expected batch_sizes that are positive and never grow, got \[1, 2, 3\]"),
    ([6, 0], r"expected batch_sizes that are positive and never grow, got \[6, 0\]"),
    ([2**62] * 4, r"expected packed data of 18446744073709551616 rows"),
    ([3.0, 2.0, 1.0], "expected batch_sizes as whole numbers, got float32"),
    ([2, 2, 2], r"expected sorted_indices of 2 sequences, got 3"),
]


@pytest.mark.parametrize(("sizes", "text"), SIZES)
@pytest.mark.parametrize("name", ["pad_packed_sequence", "unpack_sequence"])
def test_batch_sizes(name, sizes, text):
    packed = rnn.PackedSequence(dnn.zeros(6), dnn.tensor(sizes), dnn.tensor(ORDER))
    with pytest.raises((ValueError, TypeError), match=f"^{name}: {text}"):
        getattr(rnn, name)(packed)
