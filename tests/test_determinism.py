"""The same bits from run to run and for 1, 2 and 4 threads, kernel by kernel and for whole training steps."""

import time
from itertools import pairwise

import dnncore as dnn
import numpy as np
import pytest
from cases import FAST_ISAS, ISAS, numbers, tensor, use_isa, use_threads
from dnncore import _core, nn
from dnncore.nn import functional
from kernel_cases import KERNELS


def same_bits(first, second):
    return len(first) == len(second) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_do_not_change_bits(isa, kernel):
    run = KERNELS[kernel].run
    with use_isa(isa):
        with use_threads(1):
            expected = run()
        for threads in (1, 2, 3, 4):
            with use_threads(threads):
                assert same_bits(run(), expected), f"{kernel} on {isa} with {threads} threads"


def test_the_comparison_sees_one_bit():
    run = KERNELS["gemm"].run
    results = run()
    changed = [result.copy() for result in results]
    changed[2].view(np.uint32).flat[7] ^= 1
    assert not same_bits(results, changed)


def test_more_threads_than_cores_really_run():
    """Else the comparisons above would compare one thread with itself."""
    before = _core._pool_stats()["parallel_launches"]
    with use_threads(4):
        for _ in range(50):
            KERNELS["gemm"].run()
            if _core._pool_stats()["parallel_launches"] > before:
                return
            time.sleep(0.06)  # a pool whose helpers came too late, the processors being busy, works alone for 50 ms
    pytest.fail("every launch ran on one thread")


def train(steps, sizes=(50, 300, 200, 10), batch=67):
    """Losses, gradients of the last step and parameters of a small network after SGD with momentum."""
    random = np.random.default_rng(1)
    dnn.manual_seed(3)
    layers = []
    for i, o in pairwise(sizes):
        layers += [nn.Linear(i, o), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = dnn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x = tensor(random.standard_normal((batch, sizes[0]), dtype=np.float32))
    target = tensor(random.integers(0, sizes[-1], batch))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        losses.append(numbers(loss).copy())
        gradients = [numbers(p.grad).copy() for p in model.parameters()]
        optimizer.step()
    return [*losses, *gradients, *(numbers(p).copy() for p in model.parameters())]


@pytest.mark.parametrize("isa", FAST_ISAS)
def test_training_is_reproducible(isa):
    with use_isa(isa):
        with use_threads(1):
            expected = train(5)
        assert expected[0] > expected[4] > 0  # it learns
        for threads in (1, 2, 4):
            with use_threads(threads):
                assert same_bits(train(5), expected), f"{threads} threads"


def test_each_row_of_a_product_is_independent_of_the_others():
    """The order of the sum over k follows neither from m nor from the number of threads."""
    random = np.random.default_rng(0)
    a, b = (tensor(random.standard_normal(shape, dtype=np.float32)) for shape in ((130, 700), (700, 90)))
    whole = numbers(a @ b)
    for rows in (1, 2, 3, 5, 8, 17, 64, 129):
        assert numbers(a[:rows].contiguous() @ b).tobytes() == whole[:rows].tobytes(), f"{rows} rows"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_row_of_a_layer_is_independent_of_the_others(isa, dtype):
    """Few rows through a large weight are computed as the transpose of the product: with the same bits."""
    random = np.random.default_rng(1)
    x, weight, bias = (tensor(random.standard_normal(shape), dtype) for shape in ((200, 600), (1100, 600), (1100,)))
    with use_isa(isa):
        whole = numbers(functional.linear(x, weight, bias))
        for rows in (2, 8, 12, 15, 16, 29, 64, 127, 128, 129):  # one row is a product of a matrix and a vector
            for outputs in (256, 261, 1100):
                part = functional.linear(x[:rows].contiguous(), weight[:outputs].contiguous(), bias[:outputs].contiguous())
                assert numbers(part).tobytes() == np.ascontiguousarray(whole[:rows, :outputs]).tobytes(), (
                    f"{rows} rows, {outputs}"
                )


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_thousand_repeats(kernel):
    run = KERNELS[kernel].run
    expected = run()
    for i in range(1000):
        with use_threads(1 + i % 4):
            assert same_bits(run(), expected), f"repeat {i}"
