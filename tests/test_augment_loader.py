"""Augmentation through the loader and in training: order, bits and state do not depend on threads or prefetching."""

from __future__ import annotations

import json

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import ConcatDataset, DataLoader, Subset, TensorDataset, load_digits
from dnncore.data.augment import Compose, GaussianNoise, MixUp, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomShift


def seeded(seed=7):
    return dnn.Generator(seed)


def images(n=64, channels=3, height=20, width=16):
    return dnn.rand(n, channels, height, width, generator=seeded(1))


def classes(n=64):
    return dnn.arange(n) % 10


AUGMENT = Compose([RandomShift(2), RandomRotation(10), GaussianNoise(), MixUp(num_classes=10)])


class OneByOne:
    """The same samples, fetched one at a time."""

    def __len__(self):
        return 50

    def __getitem__(self, index):
        return images(50)[index], classes(50)[index]


DATA = {
    "tensors": lambda: TensorDataset(images(50), classes(50)),
    "part": lambda: Subset(TensorDataset(images(80), classes(80)), range(50)),
    "joined": lambda: ConcatDataset(
        [TensorDataset(images(50)[:20], classes(50)[:20]), TensorDataset(images(50)[20:], classes(50)[20:])]
    ),
    "own": OneByOne,
}


def listed(loader):
    return [[part.numpy().tolist() for part in batch] for batch in loader]


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_transforms_batches(kind, shuffle):
    data = DATA[kind]()
    plain = DataLoader(data, 16, shuffle, generator=seeded())
    numbers = [batch[1].tolist() for batch in plain]
    inverted = DataLoader(data, 16, shuffle, generator=seeded(), transform=lambda x, y: (1 - x, y))
    assert [batch[1].tolist() for batch in inverted] == numbers  # the order is what it was
    for before, after in zip(DataLoader(data, 16, shuffle, generator=seeded()), inverted, strict=True):
        assert before[0].shape == after[0].shape
    augmented = listed(DataLoader(data, 16, shuffle, generator=seeded(), transform=AUGMENT))
    for prefetch in (False, True):
        for threads in (1, 2, 4):
            dnn.set_num_threads(threads)
            loader = DataLoader(data, 16, shuffle, generator=seeded(), transform=AUGMENT, prefetch=prefetch)
            assert listed(loader) == augmented


def test_loader_draws_anew_in_each_epoch_and_batch():
    data = TensorDataset(images(1).repeat(32, 1, 1, 1))
    loader = DataLoader(data, 8, transform=GaussianNoise(), generator=seeded())
    batches = [x.numpy().tolist() for epoch in range(2) for (x,) in loader]
    assert len({str(batch) for batch in batches}) == 8


@pytest.mark.parametrize("prefetch", [False, True])
def test_other_random_numbers_change_nothing(prefetch):
    def epoch(disturbed):
        dnn.manual_seed(3)
        found = []
        for batch in DataLoader(DATA["tensors"](), 16, True, transform=AUGMENT, prefetch=prefetch):
            found.append(batch[0].numpy())
            if disturbed:
                dnn.rand(5)
        return found

    for one, two in zip(epoch(False), epoch(True), strict=True):
        np.testing.assert_array_equal(one, two)


def test_data_stay_as_they_were():
    x = images(50)
    before = x.numpy().copy()
    for changed, _ in DataLoader(TensorDataset(x, classes(50)), 16, transform=RandomHorizontalFlip()):
        changed.zero_()
    np.testing.assert_array_equal(x.numpy(), before)


def test_batches_keep_their_form():
    x = images(10)
    assert isinstance(next(iter(DataLoader(TensorDataset(x), 5, transform=RandomCrop(8)))), tuple)
    single = next(iter(DataLoader(list(x), 5, transform=RandomCrop(8))))
    assert single.shape == (5, 3, 8, 8)
    three = next(iter(DataLoader(TensorDataset(x, dnn.arange(10), dnn.ones(10)), 5, transform=RandomCrop(8))))
    assert [part.shape for part in three] == [(5, 3, 8, 8), (5,), (5,)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_continuing_draws_the_same(shuffle, own, done):
    def loader(seed):
        options = {"generator": seeded(seed)} if own else {}
        return DataLoader(DATA["tensors"](), 16, shuffle, transform=AUGMENT, **options)

    dnn.manual_seed(5)
    first = loader(5)
    batches = iter(first)
    for _ in range(done):
        next(batches)
    state = json.loads(json.dumps(first.state_dict()))
    defaults = dnn.default_generator.get_state()
    rest, following = listed(batches), listed(first)
    other = loader(6)
    other.load_state_dict(state)
    dnn.default_generator.set_state(defaults)
    assert listed(other) == rest
    assert listed(other) == following


def small_model():
    network = dnn.nn.Sequential(dnn.nn.Flatten(), dnn.nn.Linear(64, 16), dnn.nn.ReLU(), dnn.nn.Linear(16, 10))
    model = dnn.Model(network)
    model.compile("sgd", "cross_entropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    "transform", [Compose([RandomShift(1), RandomRotation(10)]), Compose([RandomShift(1), MixUp(num_classes=10)])]
)
def test_fit_trains_on_augmented_batches_and_validates_on_plain_ones(transform):
    x, y = images(60, 1, 8, 8), classes(60)
    weights = {}
    for prefetch in (False, True):
        dnn.manual_seed(0)
        model = small_model()
        loader = DataLoader(TensorDataset(x, y), 20, shuffle=True, transform=transform, prefetch=prefetch)
        history = model.fit(loader, epochs=3, validation_data=(x, y), restore_best_weights=False, verbose=0)
        weights[prefetch] = [parameter.detach().numpy().copy() for parameter in model.module.parameters()]
        assert len(history.history["loss"]) == 3
        assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(x, y, verbose=0)["loss"], rel=1e-6)
    for one, two in zip(weights[False], weights[True], strict=True):
        np.testing.assert_array_equal(one, two)


def test_shifts_teach_a_dense_network_to_read_shifted_digits():
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    x, y = load_digits(split="test")
    x = RandomShift(1)(x, generator=seeded())
    found = {}
    for transform in (None, RandomShift(1)):
        dnn.manual_seed(0)
        model = small_model()
        model.compile(dnn.optim.Adam(model.module.parameters(), lr=0.005), "cross_entropy", metrics=["accuracy"])
        model.fit(DataLoader(TensorDataset(*load_digits()), 32, shuffle=True, transform=transform), epochs=15, verbose=0)
        found[transform] = model.evaluate(x, y, verbose=0)["accuracy"]
    plain, augmented = found.values()
    assert augmented > plain + 0.2  # 360 images: a standard deviation of at most 0.026 each


def test_state_of_a_loader_without_the_transform_is_refused():
    data = DATA["tensors"]()
    plain = DataLoader(data, 16)
    next(iter(plain))
    state = {**plain.state_dict(), "position": 1}
    with pytest.raises(ValueError, match="shuffling, transform and generator must be as in the loader of the state"):
        DataLoader(data, 16, transform=AUGMENT).load_state_dict(state)


@pytest.mark.parametrize("prefetch", [False, True])
def test_error_of_a_transform_arrives(prefetch):
    loader = DataLoader(DATA["tensors"](), 16, transform=RandomCrop(50), prefetch=prefetch)
    with pytest.raises(ValueError, match="RandomCrop: expected images"):
        list(loader)
