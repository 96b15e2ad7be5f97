"""Orders of memory: what lies channels-last, or in any other dense order, gives the same numbers, and results keep the order."""

import copy
import pickle

import dnncore as dnn
import numpy as np
import pytest
from activation_cases import CASES as ACTIVATIONS
from cases import BINARY, REDUCTIONS, UNARY, draw, numbers, use_threads
from dnncore import nn
from dnncore.nn import functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

# Around vector lengths; one channel and one position, where two orders are one; three to five dimensions.
SHAPES = ((2, 3, 4, 5), (3, 16, 17, 1), (2, 1, 5, 7), (2, 7, 1, 1), (1, 33, 9, 8), (2, 5, 9), (2, 3, 2, 3, 4), (64, 16, 5, 5))


def last(values: np.ndarray) -> dnn.Tensor:
    """A tensor of these values whose channels are adjacent."""
    return dnn.from_numpy(np.ascontiguousarray(np.moveaxis(values, 1, -1))).movedim(-1, 1)


def first(values: np.ndarray) -> dnn.Tensor:
    return dnn.from_numpy(np.ascontiguousarray(values))


def strides(x) -> tuple:
    """Of the dimensions where they matter."""
    return tuple(step for size, step in zip(x.shape, x.stride(), strict=True) if size != 1)


def is_last(x: dnn.Tensor) -> bool:
    return x.movedim(1, -1).is_contiguous()


def same_bits(a: dnn.Tensor, b: dnn.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and numbers(a).tobytes() == numbers(b).tobytes()


def floats(shape: tuple[int, ...], seed: int = 0, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return draw(shape, "float32", seed, low, high).astype(np.float32)


# --- Formats ----------------------------------------------------------------------------------------------------------


def test_formats_are_objects_with_names():
    for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format"):
        order = getattr(dnn, name)
        assert isinstance(order, dnn.memory_format)
        assert repr(order) == str(order) == f"dnncore.{name}"
        assert pickle.loads(pickle.dumps(order)) is order
        assert copy.deepcopy(order) is order


def test_contiguous_in_a_format():
    x = dnn.arange(120).reshape(2, 3, 4, 5)
    y = x.contiguous(memory_format=dnn.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert dnn.equal(x, y)
    assert y.is_contiguous(memory_format=dnn.channels_last)
    assert not y.is_contiguous()
    assert not x.is_contiguous(dnn.channels_last)
    assert y.contiguous(memory_format=dnn.channels_last) is y
    assert x.contiguous() is x
    assert y.contiguous().stride() == (60, 20, 5, 1)
    assert dnn.equal(y.contiguous(), x)
    cube = dnn.zeros(2, 3, 4, 5, 6).contiguous(memory_format=dnn.channels_last_3d)
    assert cube.stride() == (360, 1, 90, 18, 3)
    assert cube.is_contiguous(memory_format=dnn.channels_last_3d)


def test_to_and_clone_in_a_format():
    x = dnn.arange(120).reshape(2, 3, 4, 5)
    y = x.to(dnn.float64, memory_format=dnn.channels_last)
    assert y.dtype == dnn.float64
    assert y.stride() == (60, 1, 15, 3)
    assert dnn.equal(y, x.double())
    assert y.to(memory_format=dnn.channels_last) is y
    assert y.to(memory_format=dnn.preserve_format) is y
    assert y.to(dnn.float32).stride() == y.stride()
    assert y.to(memory_format=dnn.contiguous_format).stride() == (60, 20, 5, 1)
    assert y.clone().stride() == y.stride()
    assert y.clone(memory_format=dnn.contiguous_format).is_contiguous()
    assert dnn.clone(x, memory_format=dnn.channels_last).stride() == (60, 1, 15, 3)
    for one_order in (dnn.zeros(2, 1, 4, 5), dnn.zeros(2, 5, 1, 1), dnn.zeros(0, 3, 4, 5)):
        assert one_order.to(memory_format=dnn.channels_last) is one_order
        assert one_order.is_contiguous(dnn.channels_last)


def test_factories_in_a_format():
    x = dnn.zeros(2, 3, 4, 5).contiguous(memory_format=dnn.channels_last)
    assert dnn.empty(2, 3, 4, 5, memory_format=dnn.channels_last).stride() == (60, 1, 15, 3)
    assert dnn.empty((2, 3, 4, 5), memory_format=dnn.contiguous_format, dtype=dnn.int32).stride() == (60, 20, 5, 1)
    for make in (
        dnn.zeros_like,
        dnn.ones_like,
        dnn.empty_like,
        dnn.rand_like,
        dnn.randn_like,
        lambda *a, **k: dnn.full_like(*a, 2, **k),
    ):
        assert make(x).stride() == (60, 1, 15, 3)
        assert make(x, memory_format=dnn.contiguous_format).stride() == (60, 20, 5, 1)
        assert make(x.contiguous(), memory_format=dnn.channels_last).stride() == (60, 1, 15, 3)
    assert dnn.full_like(x, 2, memory_format=dnn.channels_last).sum().item() == 240
    dnn.manual_seed(1)
    a = dnn.rand_like(x)
    dnn.manual_seed(1)
    assert dnn.equal(a, dnn.rand_like(x.contiguous())), "numbers belong to positions, not to memory"


def test_formats_are_checked():
    with pytest.raises(ValueError, match=r"contiguous: expected a tensor of 4 dimensions for channels_last, got shape \(2, 3\)"):
        dnn.zeros(2, 3).contiguous(memory_format=dnn.channels_last)
    with pytest.raises(ValueError, match=r"to: expected a tensor of 5 dimensions for channels_last_3d, got shape \(2, 3, 4, 5\)"):
        dnn.zeros(2, 3, 4, 5).to(memory_format=dnn.channels_last_3d)
    with pytest.raises(ValueError, match="contiguous: expected an order of memory, got preserve_format"):
        dnn.zeros(2).contiguous(memory_format=dnn.preserve_format)
    with pytest.raises(ValueError, match="is_contiguous: expected an order of memory"):
        dnn.zeros(2).is_contiguous(dnn.preserve_format)
    with pytest.raises(TypeError, match=r"to: expected a memory_format such as dnncore\.channels_last, got 'channels_last'"):
        dnn.zeros(2).to(memory_format="channels_last")
    with pytest.raises(TypeError, match="to: expected a memory_format"):
        nn.Linear(2, 2).to(memory_format=4)
    with pytest.raises(ValueError, match=r"empty: shape .* is too large"):
        dnn.empty(2**20, 2**20, 2**20, 2**20, memory_format=dnn.channels_last)


def test_modules_keep_the_order_of_their_parameters():
    layer = nn.Linear(3, 2)
    assert layer.to(memory_format=dnn.channels_last) is layer
    assert layer.weight.is_contiguous()
    assert layer.to(dnn.float64, memory_format=dnn.channels_last).weight.dtype == dnn.float64


def test_gradients_come_back_through_changes_of_order():
    x = first(floats((2, 3, 4, 5))).requires_grad_()
    weights = first(floats((2, 3, 4, 5), 1))
    for change in (
        lambda x: x.contiguous(memory_format=dnn.channels_last),
        lambda x: x.to(memory_format=dnn.channels_last),
        lambda x: x.clone(memory_format=dnn.channels_last),
        lambda x: x.to(dnn.float64, memory_format=dnn.channels_last).float(),
    ):
        x.grad = None
        (change(x) * weights).sum().backward()
        assert same_bits(x.grad, weights)


def test_gradients_of_row_major_leaves_are_row_major():
    x = first(floats((2, 3, 4, 5))).requires_grad_()
    weights = last(floats((2, 3, 4, 5), 1))
    for count in (1, 2):
        (x * weights).sum().backward()
        assert x.grad.is_contiguous()
        assert np.array_equal(x.grad.numpy(), count * numbers(weights))


# --- Copies between the orders ----------------------------------------------------------------------------------------

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 129, 260)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_transposing_copies(dtype):
    """Every pair of sizes around registers, lines and tiles."""
    for rows in SIZES:
        for cols in SIZES:
            values = np.random.default_rng(rows * 1000 + cols).integers(0, 255, (2, rows, cols)).astype(dtype)
            room = np.zeros((2, rows + 1, cols + 3), dtype)  # with gaps
            room[:, 1:, 2 : cols + 2] = values
            for source in (first(values), dnn.from_numpy(room)[:, 1:, 2 : cols + 2]):
                y = source.transpose(1, 2).contiguous()
                assert np.array_equal(y.numpy(), values.transpose(0, 2, 1))
                back = y.transpose(1, 2).contiguous()
                assert np.array_equal(back.numpy(), values)
                wide = dnn.full((2, cols, rows + 2), 7, dtype=source.dtype)
                wide[:, :, 1:-1] = source.transpose(1, 2)
                assert np.array_equal(wide[:, :, 1:-1].contiguous().numpy(), values.transpose(0, 2, 1))
                assert bool((wide[:, :, :: rows + 1] == 7).all()), "beside the rows"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_copies_to_channels_last_and_back(shape, threads):
    values = floats(shape)
    with use_threads(threads):
        y = dnn.empty_like(last(values)).copy_(first(values))
        assert is_last(y)
        assert numbers(y).tobytes() == values.tobytes()
        assert np.array_equal(y.contiguous().numpy(), values)
        assert np.array_equal(y.flatten(1).numpy(), values.reshape(shape[0], -1))


# --- Elementwise ------------------------------------------------------------------------------------------------------


def both_ways(function, *operands: np.ndarray, smooth: bool = True, exact: bool = True) -> None:
    """Channels-last operands give the bits of contiguous ones, gradients included, in their order."""
    results = []
    for make in (first, last):
        xs = [make(values) if values.ndim > 2 else first(values) for values in operands]
        grads = smooth and all(x.is_floating_point() for x in xs)
        for x in xs:
            x.requires_grad_(grads)
        y = function(*xs)
        if grads:
            weights = make(floats(tuple(y.shape), 9))
            (y * weights).sum().backward()
        results.append((y.detach(), [x.grad for x in xs] if grads else []))
    (expected, expected_grads), (found, found_grads) = results
    assert is_last(found) if found.ndim > 2 else found.is_contiguous()
    for a, b in zip([found, *found_grads], [expected, *expected_grads], strict=True):
        if exact:
            assert same_bits(a, b)
        else:  # sums in another order
            np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, shape):
    op = UNARY[name]
    values = draw(shape, op.dtypes[0], 0, op.low, op.high)
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    both_ways(getattr(dnn, name), values, smooth=op.smooth)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [name for name, op in BINARY.items() if not op.through])
def test_binary(name, shape):
    op = BINARY[name]
    values = [draw(shape, op.dtypes[0], seed, op.low, op.high) for seed in (0, 1)]
    both_ways(getattr(dnn, name), *(v.astype(np.float32) if v.dtype == np.float64 else v for v in values), smooth=op.smooth)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    case = ACTIVATIONS[name]
    values = floats((3, 16, 7, 5), low=-8, high=8)
    for kink in case.kinks:
        values[np.abs(values - kink) < 1e-3] += 0.1
    both_ways(case.call, values)


CASES = {
    "where": lambda x, z: dnn.where(x > z, x, z * 2),
    "where with a mask of rows": lambda x, z: dnn.where(x[:, :1, :1] > 0, x, z),
    "row of channels": lambda x, z: x * z[:1, :, :1, :1] + x,
    "channels without the batch": lambda x, z: (x + z[0, :, :1, :1]) * 2,
    "channels first": lambda x, z: z[:1, :, :1, :1] - x,
    "positions": lambda x, z: x * z[:1, :1],
    "samples": lambda x, z: x / (2 + z[:, :1, :1, :1].abs()),
    "numbers": lambda x, z: (x * 2 + 1 - x / 4).clamp(-1, z.max()),
    "cast": lambda x, z: (x.double() * z).float(),
    "halves": lambda x, z: (x.bfloat16() * z.bfloat16()).float(),
    "clone": lambda x, z: x.clone() * z,
    "lerp": lambda x, z: dnn.lerp(x, z, 0.3),
    "addcmul": lambda x, z: dnn.addcmul(x, x, z, value=0.5),
    "clamp": lambda x, z: x.clamp(-1, 1) + z,
    "skip": lambda x, z: F.relu(x + z) + x,
    "in place": lambda x, z: (x * 1).add_(z).mul_(2).sub_(1).tanh_(),
    "softmax": lambda x, z: F.softmax(x, 1) * z,
    "log_softmax of positions": lambda x, z: F.log_softmax(x, 3) * z,
    "smooth_l1": lambda x, z: F.smooth_l1_loss(x, z, reduction="none"),
    "mse": lambda x, z: F.mse_loss(x, z, reduction="none"),
    "bce": lambda x, z: F.binary_cross_entropy_with_logits(x, dnn.sigmoid(z), reduction="none"),
    "cat": lambda x, z: dnn.cat([x, z * 2, x], 1),
    "cat of the batch": lambda x, z: dnn.cat([x, z]),
    "chunks": lambda x, z: dnn.cat([part.relu() for part in x.chunk(2, 1)] + [z], 1),
    "slice of channels": lambda x, z: x[:, 1:3].relu() * z[:, :2],
    "crop": lambda x, z: x[:, :, 1:, :-1].exp() * z[:, :, 1:, :-1],
}


SUMS = (
    "numbers",
    "row of channels",
    "channels without the batch",
    "channels first",
    "positions",
    "samples",
    "softmax",
    "log_softmax of positions",
)


@pytest.mark.parametrize("name", CASES)
def test_composed(name):
    both_ways(CASES[name], floats((4, 6, 5, 7)), floats((4, 6, 5, 7), 1), exact=name not in SUMS)


ARRANGED = {
    "flatten": lambda x: x.flatten(1),
    "reshape": lambda x: x.reshape(4, -1, 7),
    "flip": lambda x: x.flip(1, 3),
    "roll": lambda x: x.roll((1, 2), (1, 2)),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "reflect": lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
    "index": lambda x: x[:, [3, 0, 3]],
    "index of all": lambda x: x[dnn.tensor([0, 1]), :, dnn.tensor([2, 0])],
    "stack": lambda x: dnn.stack([x, x * 2], 2),
    "sort": lambda x: x.sort(dim=1)[0],
    "cumsum": lambda x: x.cumsum(1),
    "einsum": lambda x: dnn.einsum("nchw,mchw->nm", x.round(), x.round()),
    "unfold": lambda x: x.unfold(2, 3, 2) * 2,
    "select": lambda x: x.select(1, 2) * 3,
    "gather": lambda x: x.gather(1, dnn.zeros(4, 2, 5, 7, dtype=dnn.int64)),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_arrangements_do_not_depend_on_the_order(name):
    values = floats((4, 6, 5, 7))
    results = []
    for make in (first, last):
        x = make(values).requires_grad_()
        y = ARRANGED[name](x)
        (y * first(floats(tuple(y.shape), 3)).round()).sum().backward()
        results.append((y.detach(), x.grad))
    assert same_bits(results[0][0], results[1][0])
    assert same_bits(results[0][1], results[1][1])


@pytest.mark.parametrize("dim", [None, 1, 3, (2, 3), (0, 2, 3), (1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, dim):
    op = REDUCTIONS[name]
    if isinstance(dim, tuple) and not op.several:
        pytest.skip("one dimension or all")
    for shape in ((2, 3, 4, 5), (3, 17, 9, 8), (64, 16, 5, 5), (2, 5, 300, 301)):
        values = floats(shape).round() if op.exact or name != "prod" else floats(shape, 0, 0.9, 1.1)
        found, expected = (getattr(dnn, name)(make(values), **({} if dim is None else {"dim": dim})) for make in (last, first))
        if op.exact or name == "sum":  # whole numbers: there is one right answer
            values_of = lambda r: r[0] if isinstance(r, tuple) else r  # noqa: E731
            if name in ("max", "min"):  # of 0 and -0 either
                values_of = lambda r: (r[0] if isinstance(r, tuple) else r) + 0  # noqa: E731
            assert same_bits(values_of(found), values_of(expected))
        else:  # sums of n terms in blocks; the products of at most 2^17 factors near 1
            np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-3 if name == "prod" else 1e-5, atol=1e-6)


@pytest.mark.parametrize("dim", [None, (2, 3), (0, 2, 3), 1])
def test_gradients_of_means(dim):
    both = []
    for make in (first, last):
        x = make(floats((3, 4, 5, 6))).requires_grad_()
        y = x.mean() if dim is None else x.mean(dim)
        (y * y.detach().round()).sum().backward()
        both.append(x.grad)
    np.testing.assert_allclose(numbers(both[0]), numbers(both[1]), rtol=1e-6)


# --- Dropout ----------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_order():
    x = last(np.ones((8, 16, 9, 9), np.float32)).requires_grad_()
    dnn.manual_seed(3)
    y = F.dropout(x, 0.25)
    assert is_last(y)
    assert set(np.unique(numbers(y))) == {np.float32(0), np.float32(1 / 0.75)}
    y.backward(first(np.ones((8, 16, 9, 9), np.float32)))
    assert same_bits(x.grad, y.detach()), "the same mask, whatever the order of the gradient"
    dnn.manual_seed(3)
    flat = F.dropout(dnn.ones(8 * 9 * 9 * 16), 0.25)
    assert np.array_equal(numbers(y.detach().movedim(1, -1)).ravel(), numbers(flat)), "drawn as the elements lie in memory"
    dnn.manual_seed(3)
    z = last(np.ones((8, 16, 9, 9), np.float32))
    assert F.dropout(z, 0.25, inplace=True) is z
    assert same_bits(z, y.detach())
    part = last(np.ones((8, 16, 9, 9), np.float32))[:, 2:9]
    assert is_last(F.dropout(part, 0.5))
    assert bool((F.dropout(part, 0.5, inplace=True) != 1).all())


# --- Captured steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_captured_steps_are_eager_ones_and_join(threads):
    def step(x, z):
        y = F.relu(x * 2 + z)
        return (dnn.cat([y, y.tanh() + 1], 1) * 3).mean((2, 3)), F.silu(y + x) * y

    with use_threads(threads):
        captured = dnn.capture(step)
        for i in range(4):
            x, z = last(floats((16, 8, 30, 31), i)), last(floats((16, 8, 30, 31), i + 9))
            for a, b in zip(captured(x, z), step(x, z), strict=True):
                assert same_bits(a, b)
                assert a.stride() == b.stride()
        assert "joined with the one before" in captured.plans[0].describe()


# --- What others see --------------------------------------------------------------------------------------------------


def test_exports_have_the_strides():
    values = floats((2, 3, 4, 5))
    x = last(values)
    assert x.numpy().strides == (240, 4, 60, 12)
    assert np.array_equal(x.numpy(), values)
    array = np.from_dlpack(x)
    assert array.strides == (240, 4, 60, 12)
    assert np.array_equal(array, values)
    again = dnn.from_dlpack(x)
    assert again.stride() == x.stride()
    assert dnn.equal(again, x)
    assert dnn.from_numpy(x.numpy()).is_contiguous(memory_format=dnn.channels_last)
    assert x.tolist() == values.tolist()


def test_files_hold_row_major_order(tmp_path):
    values = floats((2, 3, 4, 5))
    dnn.save({"x": last(values), "slice": last(values)[:, 1:]}, tmp_path / "x.safetensors")
    found = dnn.load(tmp_path / "x.safetensors")
    assert np.array_equal(found["x"].numpy(), values)
    assert np.array_equal(found["slice"].numpy(), values[:, 1:])
    safetensors = pytest.importorskip("safetensors.numpy")
    assert np.array_equal(safetensors.load_file(tmp_path / "x.safetensors")["x"], values)


def test_state_dicts_and_pickles_of_channels_last_parameters():
    layer = nn.Module()
    layer.weight = nn.Parameter(last(floats((2, 3, 4, 5))))
    other = nn.Module()
    other.weight = nn.Parameter(dnn.zeros(2, 3, 4, 5))
    other.load_state_dict(layer.state_dict())
    assert dnn.equal(other.weight, layer.weight)
    for again in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert dnn.equal(again.weight, layer.weight)


# --- Any order --------------------------------------------------------------------------------------------------------


@st.composite
def views(draw, shape, repeats):
    """(values, tensor): dimensions in any order in memory, some cut, some repeated."""
    order = draw(st.permutations(range(len(shape))))
    slack = draw(st.lists(st.sampled_from([0, 0, 0, 2]), min_size=len(shape), max_size=len(shape)))
    repeated = draw(st.lists(st.sampled_from([False, False, False, repeats]), min_size=len(shape), max_size=len(shape)))
    slack = [0 if again else more for more, again in zip(slack, repeated, strict=True)]
    sizes = [1 if again else size + more for size, more, again in zip(shape, slack, repeated, strict=True)]
    room = np.random.default_rng(draw(st.integers(0, 99))).uniform(-2, 2, [sizes[i] for i in order]).astype(np.float32)
    whole = dnn.from_numpy(room).permute([order.index(i) for i in range(len(shape))])
    x = whole[tuple(slice(more // 2, more // 2 + size) for size, more in zip(shape, slack, strict=True))].expand(shape)
    return np.array(x.numpy()), x


@st.composite
def pairs(draw, least=1, repeats=True):
    shape = tuple(draw(st.lists(st.integers(least, 6), min_size=1, max_size=5)))
    return draw(views(shape, repeats)), draw(views(shape, repeats))


def assert_dense(y) -> None:
    sizes = sorted((step, size) for size, step in zip(y.shape, y.stride(), strict=True) if size != 1)
    expected = 1
    for step, size in sizes:
        assert step == expected
        expected *= size


@settings(deadline=None, max_examples=150)
@given(pairs())
def test_any_order(pair):
    (a, x), (b, z) = pair
    for y, expected in (
        (x + z, a + b),
        (-x, -a),
        (dnn.where(x > z, x, z), np.where(a > b, a, b)),
        (dnn.maximum(x, z[:1]), np.maximum(a, b[:1])),
    ):
        assert np.array_equal(y.numpy(), expected)
        assert_dense(y)
    assert np.array_equal(x.contiguous().numpy(), a)
    assert np.array_equal(x.clone().numpy(), a)
    target = dnn.zeros_like(z)
    target.copy_(x)
    assert np.array_equal(target.numpy(), a)
    target += z
    assert np.array_equal(target.numpy(), a + b)
    np.testing.assert_allclose(x.sum(0).numpy(), a.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(x.sum().numpy(), a.sum(dtype=np.float64), rtol=1e-5, atol=1e-5)
    assert x.max().item() == a.max()
    assert x.argmax().item() == a.argmax()
    assert np.array_equal(dnn.cat([x, z], a.ndim - 1).numpy(), np.concatenate([a, b], -1))
    leaf = x.detach().clone().requires_grad_()
    (F.relu(leaf) * z).sum().backward()
    assert np.array_equal(leaf.grad.numpy(), np.where(a > 0, b, 0))


@settings(deadline=None, max_examples=200)
@given(pairs(least=2, repeats=False))  # PyTorch looks at the strides of dimensions of size 1 too
def test_results_lie_as_pytorchs(pair):
    torch = pytest.importorskip("torch")
    (_, x), (_, z) = pair
    a, b = torch.from_dlpack(x), torch.from_dlpack(z)
    ours = [-x, x * z, dnn.where(x > z, x, z), dnn.empty_like(x), x.double(), z + x]
    theirs = [-a, a * b, torch.where(a > b, a, b), torch.empty_like(a), a.double(), b + a]
    assert [y.stride() for y in ours] == [y.stride() for y in theirs]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 1, 3, 3), (3, 5, 1, 1), (1, 6, 5, 4)])
def test_channels_last_results_lie_as_pytorchs(shape):
    torch = pytest.importorskip("torch")
    values = floats(shape)
    row = floats((shape[1], 1, 1), 1)
    found, expected = [], []
    for library, x, bias, out in (
        (dnn, last(values), first(row), found),
        (torch, torch.from_numpy(values), torch.from_numpy(row), expected),
    ):
        order = library.channels_last
        x = x.contiguous(memory_format=order)
        mixed = x.contiguous()
        half = (shape[1] + 1) // 2
        out += [
            x * 2,
            x + bias,
            bias + x,
            x + mixed,
            mixed + x,
            x > 0,
            x.to(library.float64),
            x.clone(),
            library.cat([x, x], 1),
            x.relu(),
        ]
        out += [
            x[:, :half].clone() * 1,
            x[:, :half] * 2,
            library.where(x > 0, x, 0 * x),
            library.zeros_like(x),
            x.contiguous(),
            x.exp().double(),
        ]
        out += [library.empty(shape, memory_format=order), mixed.to(memory_format=order), mixed.clone(memory_format=order)]
        out += [library.rand_like(x), library.empty_like(mixed, memory_format=order), library.cat([x, x])]
    assert [strides(y) for y in found] == [strides(y) for y in expected]
