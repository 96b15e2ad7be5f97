"""The loader: order, equality with slicing, work ahead in a thread, continuing, and good manners."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import dnncore as dnn
import numpy as np
import pytest
from dnncore import _core
from dnncore.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

COUNTS = [(10, 3), (9, 3), (2, 5), (0, 4), (1, 1), (1000, 64), (257, 1)]


def arrays(count, features=5):
    random = np.random.default_rng(count)
    return random.standard_normal((count, features)).astype(np.float32), np.arange(count)


def generator(seed=7):
    return dnn.Generator().manual_seed(seed)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("dnncore-data")]


def wait_for_no_thread():
    deadline = time.monotonic() + 30
    while threads() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not threads()


def listed(loader):
    return [tuple(part.tolist() for part in batch) for batch in loader]


class Squares:
    """Samples made one by one."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full(2, index, np.float32), index**2


# --- Order and content ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("prefetch", [None, True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("count", "size"), COUNTS)
def test_batches_are_rows_in_the_order_drawn(count, size, drop_last, prefetch):
    x, y = arrays(count)
    order = dnn.randperm(count, generator=generator()).numpy()
    stop = count - count % size if drop_last else count
    expected = [(x[order[i : i + size]].tolist(), order[i : i + size].tolist()) for i in range(0, stop, size)]
    data = TensorDataset(x, y)
    loader = DataLoader(data, size, shuffle=True, drop_last=drop_last, generator=generator(), prefetch=prefetch)
    assert len(loader) == len(expected)
    assert listed(loader) == expected
    in_order = [(x[i : i + size].tolist(), y[i : i + size].tolist()) for i in range(0, stop, size)]
    assert listed(DataLoader(data, size, drop_last=drop_last, prefetch=prefetch)) == in_order
    wait_for_no_thread()


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_sizes_and_order_are_those_of_torch(count, drop_last):
    data = pytest.importorskip("torch").utils.data
    theirs = data.DataLoader(range(count), batch_size=4, drop_last=drop_last)
    ours = DataLoader(range(count), batch_size=4, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert [batch.tolist() for batch in ours] == [batch.tolist() for batch in theirs]
    sampler = [i for i in (2, 0, 1) if i < count]
    assert [b.tolist() for b in DataLoader(range(count), 2, sampler=sampler)] == [
        b.tolist() for b in data.DataLoader(range(count), 2, sampler=sampler)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.float16])
@pytest.mark.parametrize("layout", ["C", "F", "reversed", "strided"])
def test_gathered_bits_are_numpys(dtype, layout):
    values = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(dtype)
    laid_out = {"C": values, "F": np.asfortranarray(values), "reversed": values[::-1], "strided": values[::2, ::3]}[layout]
    order = list(np.random.default_rng(1).permutation(len(laid_out)))
    got = [batch.numpy() for (batch,) in DataLoader(TensorDataset(laid_out), 7, sampler=SubsetRandomSampler(order))]
    assert all(batch.dtype == dtype for batch in got)
    assert all(batch.flags.c_contiguous for batch in got)
    rows = sorted(row.tobytes() for batch in got for row in batch)
    assert rows == sorted(row.tobytes() for row in np.ascontiguousarray(laid_out))


def test_in_order_batches_are_views_and_shuffled_ones_are_fresh():
    x = dnn.zeros(10, 3)
    (first,) = next(iter(DataLoader(TensorDataset(x), 4)))
    first.fill_(1.0)
    assert x.sum().item() == 12.0
    batches = [batch for (batch,) in DataLoader(TensorDataset(x), 4, shuffle=True, prefetch=False)]
    kept = batches[1].tolist()
    batches[0].mul_(100.0)
    assert (x.sum().item(), batches[1].tolist()) == (12.0, kept)


def test_batches_kept_apart_do_not_disturb_each_others_gradients():
    (first,), (second,) = DataLoader(TensorDataset(dnn.ones(4, 3)), 2, shuffle=True)
    weight = dnn.ones(3, requires_grad=True)
    loss = (first * weight).sum()
    second.add_(1.0)
    loss.backward()
    assert weight.grad.tolist() == [2.0, 2.0, 2.0]


def test_batches_are_data():
    x = dnn.ones(6, 2, requires_grad=True)
    for options in ({}, {"shuffle": True}):
        assert not any(batch.requires_grad for (batch,) in DataLoader(TensorDataset(x), 2, **options))


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["subset", "subset of subset", "concat", "concat of subsets", "subset of concat"])
def test_parts_are_gathered_as_item_by_item(kind, shuffle, prefetch, monkeypatch):
    one, two = TensorDataset(*arrays(30)), TensorDataset(*arrays(21))
    empty = TensorDataset(*arrays(0))
    data = {
        "subset": Subset(one, [3, 3, 1, 29, 0, 7, 8]),
        "subset of subset": Subset(Subset(one, range(29, 0, -2)), [0, 14, 3, 2]),
        "concat": ConcatDataset([one, empty, two, one]),
        "concat of subsets": ConcatDataset([Subset(one, [5, 2]), two, Subset(two, [20, 0])]),
        "subset of concat": Subset(ConcatDataset([one, two]), [50, 0, 29, 30, 4]),
    }[kind]
    options = {"batch_size": 4, "shuffle": shuffle}

    class OneByOne(Squares):
        def __getitem__(self, index):
            return data[index]

    expected = listed(DataLoader(OneByOne(len(data)), generator=generator(), **options))
    monkeypatch.delattr(TensorDataset, "__getitem__")  # nothing is fetched one by one
    assert listed(DataLoader(data, generator=generator(), prefetch=prefetch, **options)) == expected
    wait_for_no_thread()


def test_concat_of_unlike_parts_says_where():
    data = ConcatDataset([TensorDataset(dnn.zeros(2, 3)), TensorDataset(dnn.zeros(2, 4))])
    with pytest.raises(ValueError, match=r"equal shapes at sample\[0\], got \(3,\) in sample 0 and \(4,\) in sample 2"):
        list(DataLoader(data, 4))


def test_an_overridden_item_is_not_passed_over():
    class Negated(TensorDataset):
        def __getitem__(self, index):
            return tuple(-part for part in super().__getitem__(index))

    assert listed(DataLoader(Negated(dnn.tensor([1, 2])), 2)) == [([-1, -2],)]


@pytest.mark.parametrize("prefetch", [None, True, False])
def test_other_datasets(prefetch):
    loader = DataLoader(Squares(5), 2, prefetch=prefetch)
    assert listed(loader) == [([[0, 0], [1, 1]], [0, 1]), ([[2, 2], [3, 3]], [4, 9]), ([[4, 4]], [16])]
    asked = []

    class Many(Squares):
        def __getitems__(self, indices):
            asked.append(indices)
            return [self[i] for i in indices]

    assert listed(DataLoader(Many(5), 2, prefetch=prefetch)) == listed(loader)
    assert asked == [[0, 1], [2, 3], [4]]
    sums = DataLoader(
        TensorDataset(dnn.arange(6)), 3, collate_fn=lambda samples: sum(a.item() for (a,) in samples), prefetch=prefetch
    )
    assert list(sums) == [3, 12]


# --- Samplers -------------------------------------------------------------------------------------------------------------
def test_samplers_of_the_library():
    data = TensorDataset(dnn.arange(6))
    assert listed(DataLoader(data, 4, sampler=SequentialSampler(data))) == [([0, 1, 2, 3],), ([4, 5],)]
    seen = [i for (a,) in listed(DataLoader(data, 4, sampler=SubsetRandomSampler([5, 1, 3]))) for i in a]
    assert sorted(seen) == [1, 3, 5]
    assert listed(DataLoader(data, 3, sampler=WeightedRandomSampler([0, 0, 1, 0, 0, 0], 3))) == [([2, 2, 2],)]
    batched = DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data, generator=generator()), 4, drop_last=True))
    assert (batched.batch_size, batched.drop_last, len(batched)) == (4, True, 1)
    assert listed(batched) == listed(DataLoader(data, 4, shuffle=True, drop_last=True, generator=generator()))


@pytest.mark.parametrize("prefetch", [True, False])
def test_samplers_of_the_user(prefetch):
    data = TensorDataset(dnn.arange(6))
    loader = DataLoader(data, 2, sampler=iter([4, 0, 4]), prefetch=prefetch)
    assert listed(loader) == [([4, 0],), ([4],)]
    loader = DataLoader(data, batch_sampler=[[0, 5], [3], [1, 2, 3]], prefetch=prefetch)
    assert (len(loader), loader.batch_size, loader.sampler) == (3, None, None)
    assert listed(loader) == [([0, 5],), ([3],), ([1, 2, 3],)]


def test_an_overridden_order_is_not_passed_over():
    class Backwards(SequentialSampler):
        def __iter__(self):
            return iter(range(len(self) - 1, -1, -1))

    data = TensorDataset(dnn.arange(5))
    assert listed(DataLoader(data, 2, sampler=Backwards(data))) == [([4, 3],), ([2, 1],), ([0],)]


def test_a_sampler_without_end():
    def forever():
        while True:
            yield 1

    batches = iter(DataLoader(TensorDataset(dnn.arange(6)), 2, sampler=forever(), prefetch=True))
    assert [next(batches)[0].tolist() for _ in range(20)] == [[1, 1]] * 20
    del batches
    wait_for_no_thread()


def test_two_epochs_differ_and_the_seed_repeats_them():
    data = TensorDataset(dnn.arange(50))
    loader = DataLoader(data, 8, shuffle=True, generator=generator())
    first, second = listed(loader), listed(loader)
    assert first != second
    loader = DataLoader(data, 8, shuffle=True, generator=generator())
    one, two = iter(loader), iter(loader)  # several at once; the order is drawn now
    mixed = [(next(one)[0].tolist(), next(two)[0].tolist()) for _ in range(7)]
    assert [(a,) for a, _ in mixed] == first
    assert [(b,) for _, b in mixed] == second
    dnn.manual_seed(4)
    third = listed(DataLoader(data, 8, shuffle=True))
    dnn.manual_seed(4)
    assert listed(DataLoader(data, 8, shuffle=True)) == third


# --- Refusals -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (
            (dnn.tensor([1]),),
            {"num_workers": 2},
            TypeError,
            "DataLoader: num_workers has no meaning here, there are no worker processes",
        ),
        (([1],), {"shufle": True}, TypeError, "unexpected argument 'shufle'"),
        ((3,), {}, TypeError, "expected a dataset with __len__ and __getitem__, got int"),
        (([1],), {"prefetch": 4}, TypeError, "expected prefetch as True, False or None, got 4"),
        (([1], 0), {}, ValueError, "DataLoader: expected batch_size of at least 1, got 0"),
        (([1], None), {}, ValueError, "batch_size of at least 1, got None"),
        (([1], True), {}, ValueError, "got True"),
        (([1],), {"sampler": [0], "shuffle": True}, ValueError, "sampler excludes shuffle and generator"),
        (([1],), {"sampler": [0], "generator": dnn.Generator()}, ValueError, "give the generator to the sampler"),
        (([1], 2), {"batch_sampler": [[0]]}, ValueError, "batch_sampler excludes batch_size, shuffle, sampler and drop_last"),
    ],
)
def test_loader_refuses(arguments, options, error, match):
    with pytest.raises(error, match=match):
        DataLoader(*arguments, **options)


def test_gather_batches_refuses():
    x, order = dnn.zeros(4, 2), dnn.tensor([0, 9])
    with pytest.raises(IndexError, match="index 9 is out of bounds for dimension 0 with size 4"):
        _core._gather_batches((x,), order, 0, 2, 1)
    for begin, end, size in ((-1, 1, 1), (0, 3, 1), (1, 0, 1), (0, 1, 0)):
        with pytest.raises(ValueError, match="gather_batches: expected 0 <= begin"):
            _core._gather_batches((x,), order, begin, end, size)
    with pytest.raises(ValueError, match="slice_batches: expected 0 <= begin"):
        _core._slice_batches((x,), 1, 0, 1)


# --- The thread -----------------------------------------------------------------------------------------------------------
def test_a_thread_runs_only_where_it_is_of_use(monkeypatch):
    seen = []
    real = _core._gather_batches

    def gather(*arguments):
        seen.append(threading.current_thread() is threading.main_thread())
        return real(*arguments)

    monkeypatch.setattr(_core, "_gather_batches", gather)
    cores = _core.cpu_info()["allowed_cores"]
    large, small = TensorDataset(dnn.zeros(512, 8192)), TensorDataset(dnn.zeros(512, 8191))
    for data, count, inline in (
        (large, cores, True),
        (large, cores + 1, True),
        (large, max(cores - 1, 1), cores == 1),
        (small, max(cores - 1, 1), True),
    ):
        dnn.set_num_threads(count)
        seen.clear()
        assert len(list(DataLoader(data, 64, shuffle=True))) == 8
        assert set(seen) == {inline}
    wait_for_no_thread()


def test_work_ahead_is_bounded():
    made = []

    class Counted(Squares):
        def __getitem__(self, index):
            made.append(index)
            return super().__getitem__(index)

    batches = iter(DataLoader(Counted(1000), 1, prefetch=True))
    next(batches)
    time.sleep(0.05)
    assert len(made) <= 4
    del batches
    wait_for_no_thread()


@pytest.mark.parametrize("prefetch", [True, False])
def test_exceptions_arrive_where_the_batch_was_due(prefetch):
    class Broken(Squares):
        def __getitem__(self, index):
            if index == 5:
                raise LookupError(f"no sample {index}")
            return super().__getitem__(index)

    batches = iter(DataLoader(Broken(20), 2, prefetch=prefetch))
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [4, 9]]
    with pytest.raises(LookupError, match="no sample 5") as caught:
        next(batches)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "__getitem__"
    with pytest.raises(StopIteration):
        next(batches)
    wait_for_no_thread()


def test_a_row_out_of_range_arrives_too():
    data = TensorDataset(dnn.arange(100))
    loader = DataLoader(data, 10, sampler=SubsetRandomSampler([*range(99), 100]), prefetch=True)
    with pytest.raises(IndexError, match="index 100 is out of bounds"):
        list(loader)
    wait_for_no_thread()


def test_an_abandoned_iterator_ends_its_thread_and_frees_its_batches():
    data = TensorDataset(dnn.rand(4000, 100))
    gc.collect()
    held = dnn.memory_stats()["allocated_bytes"]
    for _ in range(5):
        for _batch in DataLoader(data, 8, shuffle=True, prefetch=True):
            break
        batches = iter(DataLoader(data, 8, shuffle=True, prefetch=True))
        next(batches)
        batches.close()
    del batches, _batch
    wait_for_no_thread()
    assert dnn.memory_stats()["allocated_bytes"] == held


def test_many_epochs_leave_nothing_behind():
    loader = DataLoader(TensorDataset(dnn.rand(300, 100)), 8, shuffle=True, prefetch=True)
    list(loader)
    wait_for_no_thread()
    gc.collect()
    held = dnn.memory_stats()["allocated_bytes"]
    for _ in range(100):
        for _batch in loader:
            pass
    del _batch
    wait_for_no_thread()
    assert dnn.memory_stats()["allocated_bytes"] == held


def test_several_threads_iterate_at_once():
    x, y = arrays(2000)
    data = TensorDataset(x, y)
    expected = listed(DataLoader(data, 32, shuffle=True, generator=generator(), prefetch=False))
    results = {}

    def epoch(name):
        results[name] = listed(DataLoader(data, 32, shuffle=True, generator=generator(), prefetch=True))

    workers = [threading.Thread(target=epoch, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(results[i] == expected for i in range(4))
    wait_for_no_thread()


def trained(prefetch):
    x, y = arrays(640, 20)
    dnn.manual_seed(3)
    model = dnn.nn.Sequential(dnn.nn.Linear(20, 16), dnn.nn.ReLU(), dnn.nn.Dropout(0.2), dnn.nn.Linear(16, 5))
    optimizer = dnn.optim.Adam(model.parameters())
    for _ in range(2):
        for xb, yb in DataLoader(TensorDataset(x, y % 5), 32, shuffle=True, prefetch=prefetch):
            optimizer.zero_grad()
            dnn.nn.functional.cross_entropy(model(xb), yb).backward()
            optimizer.step()
    return [parameter.detach().numpy().tobytes() for parameter in model.parameters()]


def test_training_has_the_same_bits_with_and_without_the_thread():
    assert trained(prefetch=True) == trained(prefetch=False)


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )


HALF_WAY = """
import os, sys, time
import dnncore as dnn
from dnncore.data import DataLoader, TensorDataset
data = TensorDataset(dnn.arange(40000).reshape(4000, 10))
def loader():
    return DataLoader(data, 8, shuffle=True, generator=dnn.Generator().manual_seed(1), prefetch=True)
expected = [a.tolist() for (a,) in loader()]
batches = iter(loader())
got = [next(batches)[0].tolist() for _ in range(100)]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_goes_on():
    code = """
    child = os.fork()
    got += [a.tolist() for (a,) in batches]
    assert got == expected, "iterator"
    assert [a.tolist() for (a,) in loader()] == expected, "new loader"
    if child == 0:
        print("child", flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    print("parent")
    """
    done = run(HALF_WAY + textwrap.dedent(code))
    assert (done.stdout, done.stderr, done.returncode) == ("child\nparent\n", "", 0)


@pytest.mark.parametrize(
    "ending", ["pass", "sys.exit()", "import atexit; atexit.register(lambda: print(len(list(batches)), 'more'))"]
)
def test_python_ends_with_an_iterator_half_way(ending):
    done = run(HALF_WAY + ending + "\nprint('end')")
    expected = {"pass": "end\n", "sys.exit()": ""}.get(ending, "end\n400 more\n")
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_while_waiting_for_the_thread():
    code = """
    import os, signal, threading, time
    from dnncore.data import DataLoader
    class Slow:
        def __len__(self): return 50
        def __getitem__(self, index):
            time.sleep(0.2)
            return index
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        for batch in DataLoader(Slow(), prefetch=True):
            pass
    except KeyboardInterrupt:
        print("stopped")
    deadline = time.monotonic() + 20
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    print(threading.active_count())
    """
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = run(code)
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n1\n", "", 0)


# --- Continuing -----------------------------------------------------------------------------------------------------------
MAKERS = {
    "shuffled": lambda data: {"shuffle": True, "generator": generator(), "batch_size": 8},
    "in order": lambda data: {"batch_size": 8},
    "weighted": lambda data: {"sampler": WeightedRandomSampler(np.arange(1.0, 61), 60, generator=generator()), "batch_size": 7},
    "repeated": lambda data: {"sampler": RandomSampler(data, True, 45, generator()), "batch_size": 7},
}


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("dataset", ["tensors", "items"])
@pytest.mark.parametrize("stop", [0, 1, 3, 7])
def test_another_loader_continues_to_the_bit(dataset, kind, stop, prefetch):
    data = TensorDataset(dnn.arange(60)) if dataset == "tensors" else [(i,) for i in range(60)]

    def make():
        return DataLoader(data, prefetch=prefetch, **MAKERS[kind](data))

    loader = make()
    list(loader)
    batches = iter(loader)
    for _ in range(min(stop, len(loader))):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    expected = [tuple(a.tolist() for a in batch) for batch in batches], listed(loader), listed(loader)
    other = make()
    other.load_state_dict(state)
    assert other.state_dict() == state
    assert (listed(other), listed(other), listed(other)) == expected


def test_continuing_leaves_the_default_generator_alone():
    loader = DataLoader(TensorDataset(dnn.arange(60)), 8, shuffle=True)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    assert state["generator"] is None
    rest = listed(batches)
    dnn.manual_seed(99)
    draws = dnn.rand(5).tolist()
    dnn.manual_seed(99)
    loader.load_state_dict(state)
    assert listed(loader) == rest
    assert dnn.rand(5).tolist() == draws


def test_state_between_epochs():
    loader = DataLoader(TensorDataset(dnn.arange(20)), 8, shuffle=True, generator=generator())
    list(loader)
    state = loader.state_dict()
    assert (state["position"], state["order"]) == (0, None)
    expected = listed(loader)
    other = DataLoader(TensorDataset(dnn.arange(20)), 8, shuffle=True, generator=generator(1))
    other.load_state_dict(state)
    assert listed(other) == expected


def test_states_that_do_not_fit():
    data = TensorDataset(dnn.arange(20))
    loader = DataLoader(data, 8, shuffle=True, generator=generator())
    state = loader.state_dict()
    with pytest.raises(ValueError, match=r"position in 4 batches, got 0 of 3; data, batch_size and drop_last"):
        DataLoader(data, 5).load_state_dict(state)
    for broken in ({}, None, {**state, "more": 1}):
        with pytest.raises(ValueError, match="expected a state of DataLoader"):
            loader.load_state_dict(broken)
    for position in (-1, 4, "1", True):
        with pytest.raises(ValueError, match="expected a position in 3 batches"):
            loader.load_state_dict({**state, "position": position})
    for text in ("xyz", "00", 7):
        with pytest.raises(ValueError, match=r"load_state_dict: expected a generator's state in hexadecimal"):
            loader.load_state_dict({**state, "generator": text})
        with pytest.raises(ValueError, match=r"load_state_dict: expected a generator's state in hexadecimal"):
            loader.load_state_dict({**state, "order": text})
    assert loader.state_dict() == state
    for other in (DataLoader(data, 8), DataLoader(data, 8, shuffle=True)):
        with pytest.raises(ValueError, match="shuffling, transform and generator must be as in the loader of the state"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="shuffling, transform and generator must be"):
        loader.load_state_dict({**state, "position": 1})
    own = DataLoader(data, 8, sampler=[1, 2])
    with pytest.raises(RuntimeError, match="state_dict: the order of a sampler of your own is not known"):
        own.state_dict()
