"""Datasets, their parts, and samples put together."""

from __future__ import annotations

from collections import namedtuple

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import (
    ConcatDataset,
    Dataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
    stratified_split,
)
from hypothesis import given
from hypothesis import strategies as st


def test_tensor_dataset_takes_arrays_of_all_kinds_without_a_copy():
    array, tensor = np.arange(6.0).reshape(3, 2), dnn.arange(3)
    read_only = np.ones(3, np.float32)
    read_only.flags.writeable = False

    class Exporter:
        def __dlpack__(self, **options):
            return array.__dlpack__(**options)

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    data = TensorDataset(array, tensor, Exporter(), read_only)
    array[1, 0] = 70
    tensor[1] = 8
    first, second, third, fourth = data[1]
    assert (first.tolist(), second.item(), third.tolist(), fourth.item()) == ([70.0, 3.0], 8, [70.0, 3.0], 1.0)
    assert len(data) == 3
    assert [tuple(part.shape) for part in data[:2]] == [(2, 2), (2,), (2, 2), (2,)]
    with pytest.raises(IndexError):
        data[3]


def test_tensor_dataset_takes_tensors_of_torch_and_columns_of_pandas():
    torch = pytest.importorskip("torch")
    assert TensorDataset(torch.arange(4))[2][0].item() == 2
    pandas = pytest.importorskip("pandas")
    assert TensorDataset(pandas.Series([1.5, 2.5]))[1][0].item() == 2.5


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((), ValueError, "TensorDataset: expected tensors of one first size, got shapes none"),
        ((np.ones(3), np.ones((4, 3))), ValueError, r"got shapes \(3,\), \(4, 3\)"),
        ((np.float64(1) * np.ones(()),), (ValueError, TypeError), "TensorDataset"),
        ((np.ones(3), [1, 2, 3]), TypeError, "expected a tensor or an array as argument 1, got list"),
    ],
)
def test_tensor_dataset_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        TensorDataset(*arguments)


@pytest.mark.parametrize("indices", [[2, 0, 2], np.array([2, 0, 2], np.int16), dnn.tensor([2, 0, 2]), range(2, -1, -2)])
def test_subset(indices):
    part = Subset("abc", indices)
    assert [part[i] for i in range(len(part))] == ["abc"[int(i)] for i in indices]
    with pytest.raises(IndexError):
        part[len(part)]


@pytest.mark.parametrize(
    ("indices", "error", "match"),
    [
        ([0, 3], ValueError, "Subset: expected indices from 0 to 2, got 3 at position 1"),
        ([-1], ValueError, "got -1 at position 0"),
        ([0.5], TypeError, "expected whole numbers as indices, got float64"),
        (np.array([True, False, True]), TypeError, "got bool; take numpy.flatnonzero"),
        ([[0]], ValueError, r"got shape \(1, 1\)"),
    ],
)
def test_subset_refuses(indices, error, match):
    with pytest.raises(error, match=match):
        Subset("abc", indices)


def test_empty_subset():
    assert len(Subset("abc", [])) == 0


def test_concat():
    both = ConcatDataset(["ab", "", "cde"])
    assert [both[i] for i in range(-5, 5)] == list("abcdeabcde")
    assert both.cumulative_sizes == [2, 2, 5]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 5"):
            both[index]
    with pytest.raises(ValueError, match="at least one dataset, got none"):
        ConcatDataset([])


def test_dataset_is_a_protocol_with_a_base():
    class Incomplete(Dataset):
        def __len__(self):
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()
    assert isinstance([1, 2], Dataset)
    assert not isinstance(3, Dataset)


# --- Samplers -------------------------------------------------------------------------------------------------------------
def test_random_sampler_draws():
    assert sorted(RandomSampler(range(9))) == list(range(9))
    several = list(RandomSampler(range(4), num_samples=10))
    assert sorted(several[:4]) == sorted(several[4:8]) == [0, 1, 2, 3]
    assert len(several) == 10
    few = list(RandomSampler(range(9), num_samples=3))
    assert len(set(few)) == 3
    counts = np.bincount(list(RandomSampler(range(5), replacement=True, num_samples=5000)), minlength=5)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.8)  # five standard deviations of a binomial count
    assert list(RandomSampler([])) == []
    with pytest.raises(ValueError, match=r"num_samples of at least 1.*got 0"):
        RandomSampler([1], num_samples=0)


def test_samplers_follow_their_generator():
    for make in (
        lambda g: RandomSampler(range(50), generator=g),
        lambda g: SubsetRandomSampler(range(50), generator=g),
        lambda g: WeightedRandomSampler(np.arange(50.0), 50, generator=g),
    ):
        one = list(make(dnn.Generator().manual_seed(3)))
        generator = dnn.Generator().manual_seed(3)
        sampler = make(generator)
        assert list(sampler) == one
        assert list(sampler) != one


def test_the_order_is_drawn_by_iter():
    sampler = RandomSampler(range(50), generator=dnn.Generator().manual_seed(3))
    first, second = iter(sampler), iter(sampler)
    late, early = list(second), list(first)
    expected = RandomSampler(range(50), generator=dnn.Generator().manual_seed(3))
    assert (early, late) == (list(expected), list(expected))


def test_weighted_sampler_draws_in_proportion():
    weights = np.array([0.0, 1.0, 3.0])
    counts = np.bincount(list(WeightedRandomSampler(weights, 8000)), minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] - 2000) < 5 * np.sqrt(8000 * 0.25 * 0.75)
    assert sorted(WeightedRandomSampler(weights, 2, replacement=False)) == [1, 2]
    with pytest.raises(ValueError, match="multinomial: cannot draw 3 times"):
        WeightedRandomSampler(weights, 3, replacement=False)
    with pytest.raises(ValueError, match="expected finite weights"):
        WeightedRandomSampler([1.0, -1.0], 3)


# --- Splits ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("count", "lengths", "sizes"),
    [
        (10, [7, 3], [7, 3]),
        (10, [0.75, 0.25], [8, 2]),
        (11, [0.3, 0.3, 0.4], [4, 3, 4]),
        (3, [0.5, 0.5], [2, 1]),
        (4, [4, 0], [4, 0]),
    ],
)
def test_random_split_lengths(count, lengths, sizes):
    parts = random_split(range(count), lengths, dnn.Generator().manual_seed(1))
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices.tolist()) == list(range(count))
    again = random_split(range(count), lengths, dnn.Generator().manual_seed(1))
    assert [part.indices.tolist() for part in parts] == [part.indices.tolist() for part in again]


@pytest.mark.parametrize("count", [1, 7, 10, 101])
@pytest.mark.parametrize("lengths", [[0.1, 0.9], [0.33, 0.33, 0.34], [0.25] * 4])
@pytest.mark.filterwarnings("ignore:Length of split")
def test_random_split_rounds_like_torch(count, lengths):
    torch = pytest.importorskip("torch")
    theirs = [len(part) for part in torch.utils.data.random_split(range(count), lengths)]
    assert [len(part) for part in random_split(range(count), lengths)] == theirs


@pytest.mark.parametrize(
    ("lengths", "options", "match"),
    [
        ([3, 3], {}, "expected lengths that sum to 10, the samples there are, got"),
        ([11, -1], {}, "expected lengths that sum to 10"),
        ([0.5, 0.6], {}, "expected fractions from 0 to 1 that sum to 1"),
        ([float("nan"), 0.5], {}, "expected fractions"),
        ([5, 5], {"stratify": [0] * 9}, r"expected one label for each sample, shape \(10,\), got shape \(9,\)"),
        ([5, 5], {"stratify": [0] * 9 + [1]}, r"class 1 has 1 sample\(s\), fewer than the 2 parts"),
        ([9, 1], {"stratify": ["a", "b"] * 5}, r"a part of 1 sample\(s\) cannot hold each of 2 classes"),
        ([5, 5], {"stratify": np.arange(10) / 3}, "expected class labels, got numbers with fractions such as 0.33"),
    ],
)
def test_random_split_refuses(lengths, options, match):
    with pytest.raises(ValueError, match=match):
        random_split(range(10), lengths, **options)


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=8),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
    names=st.booleans(),
)
def test_stratified_split_keeps_proportions(counts, fraction, seed, names):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    given_labels = np.array([f"class {c}" for c in labels]) if names else labels
    train, validation = stratified_split(given_labels, fraction, dnn.Generator().manual_seed(seed))
    again = stratified_split(given_labels, fraction, dnn.Generator().manual_seed(seed))
    assert (train.tolist(), validation.tolist()) == (again[0].tolist(), again[1].tolist())
    assert (train.dtype, validation.dtype) == (dnn.int64, dnn.int64)
    assert sorted(train.tolist() + validation.tolist()) == list(range(len(labels)))
    size = min(max(1, round(fraction * len(labels))), len(labels) - len(counts))
    assert len(validation) == size
    shares = np.bincount(labels[validation.numpy()], minlength=len(counts))
    assert (shares < counts).all()
    if size >= len(counts):
        assert (shares > 0).all()
        wanted = size * np.array(counts) / len(labels)
        if (wanted >= 1).all() and (wanted <= np.array(counts) - 1).all():  # no bound is in the way
            assert np.abs(shares - wanted).max() < 1


def test_stratified_shares_are_those_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    labels = np.repeat(np.arange(5), [200, 120, 80, 64, 36])
    ours = stratified_split(labels, 0.25, dnn.Generator().manual_seed(0))[1].numpy()
    theirs = selection.train_test_split(np.arange(500), test_size=0.25, stratify=labels, random_state=0)[1]
    np.testing.assert_array_equal(np.bincount(labels[ours]), np.bincount(labels[theirs]))


def test_stratified_split_leaves_single_samples_to_training():
    train, validation = stratified_split([0, 0, 1, 2, 2, 3], 0.5, dnn.Generator().manual_seed(0))
    assert {2, 5} <= set(train.tolist())
    assert len(validation) == 2
    with pytest.raises(ValueError, match="expected a class of at least 2 samples, got 3"):
        stratified_split([0, 1, 2], 0.5)
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="fraction between 0 and 1"):
            stratified_split([0, 0], fraction)
    with pytest.raises(ValueError, match="one label for each sample"):
        stratified_split([], 0.5)


@given(
    counts=st.lists(st.integers(3, 30), min_size=1, max_size=6),
    seed=st.integers(0, 9),
    cut=st.lists(st.floats(0.2, 1), min_size=2, max_size=3),
)
def test_random_split_stratified(counts, seed, cut):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    lengths = [c / sum(cut) for c in cut]
    sizes = [len(part) for part in random_split(labels, lengths)]
    if min(sizes) < len(counts):
        return
    parts = random_split(labels, lengths, dnn.Generator().manual_seed(seed), stratify=dnn.tensor(labels))
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices.tolist()) == list(range(len(labels)))
    for part in parts:
        assert set(labels[part.indices.numpy()]) == set(labels)


def test_stratified_parts_are_in_random_order():
    labels = np.repeat([0, 1], 200)
    (part, _) = random_split(range(400), [200, 200], stratify=labels)
    first = labels[part.indices.numpy()[:100]].mean()
    assert abs(first - 0.5) < 5 * 0.5 / np.sqrt(100)


# --- Collate --------------------------------------------------------------------------------------------------------------
def test_collate_keeps_the_form_of_samples():
    pair = namedtuple("pair", ["a", "b"])
    samples = [
        {
            "t": dnn.full((2,), float(i)),
            "n": np.full((1, 2), i, np.uint8),
            "s": f"s{i}",
            "p": pair(i, [i / 2, i > 0]),
            "f": np.float64(i),
        }
        for i in range(3)
    ]
    batch = default_collate(samples)
    assert batch["t"].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    assert (batch["n"].dtype, tuple(batch["n"].shape)) == (dnn.uint8, (3, 1, 2))
    assert batch["s"] == ["s0", "s1", "s2"]
    assert isinstance(batch["p"], pair)
    assert batch["p"].a.tolist() == [0, 1, 2]
    assert (batch["p"].a.dtype, batch["p"].b[0].dtype, batch["p"].b[1].dtype) == (dnn.int64, dnn.float32, dnn.bool)
    assert batch["f"].dtype == dnn.float64
    mixed = default_collate([1, 2.5])
    assert mixed.tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("samples", "error", "match"),
    [
        ([], ValueError, "at least one sample"),
        (
            [dnn.zeros(2), dnn.zeros(3)],
            ValueError,
            r"expected equal shapes, got \(2,\) in sample 0 and \(3,\) in sample 1 of the batch",
        ),
        ([{"x": (1, np.zeros(2))}, {"x": (1, np.zeros(3))}], ValueError, r"equal shapes at sample\['x'\]\[1\], got \(2,\)"),
        ([{"x": 1}, {"z": 1}], ValueError, r"expected equal keys, got \['x'\] in sample 0 and \['z'\]"),
        ([(1, 2), (1,)], ValueError, "expected equal lengths, got 2 in sample 0 and 1 in sample 1"),
        ([1, "a"], TypeError, "expected one kind, got int in sample 0 and str in sample 1"),
        ([object()], TypeError, "got object; give the loader a collate_fn"),
        ([{"a": None}], TypeError, r"at sample\['a'\], got NoneType"),
    ],
)
def test_collate_refuses(samples, error, match):
    with pytest.raises(error, match=match):
        default_collate(samples)
