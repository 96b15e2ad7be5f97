"""Layers, data, augmentations and metrics with tensors of their own: they are where operands are, not on the default device."""

import dnncore as dnn
import numpy as np
import pytest
from cases import default_device, normals, numbers
from dnncore import metrics, models, nn
from dnncore.data import ConcatDataset, DataLoader, Subset, TensorDataset, WeightedRandomSampler, make_first_symbol
from dnncore.data.augment import Normalize
from marks import PLACES, needs_device
from test_augment import RANDOM, called, classes, images, name, seeded


@pytest.fixture(params=["cpu", "cuda"])
def default(request):
    with default_device(request.param):
        yield request.param


def _here(*shape):
    return dnn.tensor(normals(*shape), device="cpu")


@needs_device
def test_the_connections_of_lenet_5(default):
    with default_device("cpu"):
        model = models.lenet5(connections="historic")
    x = _here(2, 1, 32, 32)
    expected = numbers(model(x).detach())
    assert np.abs(numbers(model.cuda()(x.cuda()).detach().cpu()) - expected).max() < 1e-4


@needs_device
@pytest.mark.parametrize("name", ["lenet5", "googlenet"])
def test_new_heads(default, name):
    size = {"lenet5": (1, 32, 32), "googlenet": (3, 224, 224)}[name]
    model = getattr(models, name)()
    for place in ("cuda", "cpu"):
        model.to(place).train()
        models.replace_head(model, 3) if name == "lenet5" else model.replace_head(3)
        assert {parameter.device for parameter in model.parameters()} == {dnn.device(place)}
        if name == "lenet5":
            assert model(_here(1, *size).to(place)).shape == (1, 3)


@needs_device
@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_weights(default, orthogonal_map):
    for place in ("cuda", "cpu"):
        layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 6).to(place), orthogonal_map=orthogonal_map)
        for weight in (layer.weight, layer.to("cpu").weight):
            w = numbers(weight.detach().cpu())
            assert np.abs(w.T @ w - np.eye(4)).max() < 1e-5
        layer.cuda().weight = nn.init.orthogonal_(dnn.empty(6, 4, device="cuda"))
        assert layer.weight.is_cuda


@needs_device
@pytest.mark.parametrize("lengths", [[4, 2], dnn.tensor([4, 2])], ids=["list", "tensor"])
def test_attention_to_sequences_of_several_lengths(default, lengths):
    with default_device("cpu"):
        model = models.EncoderDecoder(6, 6).eval()
    source, target = (dnn.tensor([[1, 2, 3, 4], [5, 1, 0, 0]], device="cpu") for _ in range(2))
    expected = numbers(model(source, target, lengths=lengths).detach())
    found = model.cuda()(source.cuda(), target.cuda(), lengths=lengths)
    assert np.abs(numbers(found.detach().cpu()) - expected).max() < 1e-5


@needs_device
def test_packed_sequences_move_whole(default):
    pack, pad = nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
    with default_device("cpu"):
        layer = nn.LSTM(3, 4)
    packed = pack(_here(5, 3, 3), dnn.tensor([2, 5, 3], device="cpu"), enforce_sorted=False)
    (y, (h, _)), there = layer(packed), packed.to("cuda")
    assert there.sorted_indices.is_cuda
    assert there.unsorted_indices.is_cuda
    assert not there.cpu().unsorted_indices.is_cuda
    found, (h_there, _) = layer.cuda()(there)
    assert np.abs(numbers(pad(found)[0].detach().cpu()) - numbers(pad(y)[0].detach())).max() < 1e-5
    assert np.abs(numbers(h_there.detach().cpu()) - numbers(h.detach())).max() < 1e-5
    assert nn.utils.rnn.invert_permutation(there.sorted_indices).is_cuda


@needs_device
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_weights_of_samples(default, place):
    data = TensorDataset(_here(10, 2), dnn.arange(10, device="cpu"))
    weights = dnn.tensor([1.0, 0.0, 1.0, 1.0], device=place)
    loader = DataLoader(Subset(data, [6, 7, 8, 9]), batch_size=4, sampler=WeightedRandomSampler(weights, 40))
    assert {int(each) for _, y in loader for each in y.tolist()} == {6, 8, 9}


@needs_device
def test_data_sets_of_several_devices(default):
    x, y = _here(6, 2), dnn.arange(6, device="cpu")
    mixed = TensorDataset(x.cuda(), y)
    both = ConcatDataset([mixed, TensorDataset(x.cuda(), y)])
    for data, rows in ((mixed, 6), (Subset(mixed, [5, 0, 3]), 3), (both, 12)):
        for shuffle in (False, True):
            batches = list(DataLoader(data, batch_size=4, shuffle=shuffle))
            assert sum(len(part) for part, _ in batches) == rows
            for part, number in batches:
                assert (part.is_cuda, number.is_cuda) == (True, False)
                assert np.array_equal(numbers(part.cpu()), numbers(x)[number.numpy()])


@needs_device
@pytest.mark.parametrize("transform", [*RANDOM, Normalize((0.1, 0.2, 0.3), 0.25)], ids=name)
def test_images_are_changed_where_they_are(transform):
    """With the same random numbers, whatever the default device is."""
    x, y = images().cpu(), classes().cpu()
    expected = called(transform, x, y)
    with default_device("cuda"):
        here = transform(x, y, generator=seeded())
    there = transform(x.cuda(), y.cuda(), generator=seeded())
    for one, two, three in zip(expected, here, there, strict=True):
        assert (two.is_cuda, three.is_cuda) == (False, True)
        np.testing.assert_array_equal(one, two.numpy())
        np.testing.assert_allclose(one, three.cpu().numpy(), rtol=0, atol=1e-5)


def test_data_that_is_made_stays_on_the_cpu(default_data_device):
    assert not any(part.is_cuda for part in make_first_symbol(8, 2))


@pytest.fixture(params=PLACES)
def default_data_device(request):
    with default_device(request.param):
        yield


@needs_device
def test_a_running_mean_of_numbers_with_weights_elsewhere(default):
    mean = metrics.Mean()
    mean.update(0.5, weight=dnn.tensor(3.0, device="cuda"))
    mean.update(dnn.tensor(1.5, device="cpu"), weight=1)
    mean.update(dnn.tensor(0.5, device="cuda"), weight=dnn.tensor(4.0, device="cuda"))
    assert mean.compute() == 0.625


@needs_device
def test_carried_states_go_where_the_network_goes(default):
    x = _here(2, 6, 3)
    with default_device("cpu"):
        model = models.SequenceTagger(3, 2, hidden_size=8)
    whole = numbers(model(x).detach())
    model.carry_state(2)
    pieces = [model(x[:, :4]), model.cuda()(x[:, 4:].cuda()).cpu()]
    assert np.abs(np.concatenate([numbers(piece.detach()) for piece in pieces], 2) - whole).max() < 1e-5


@needs_device
def test_norms_and_blocks_of_images(default):
    x = _here(2, 3, 8, 8)
    for layer in (nn.LocalContrastNorm(5), nn.LocalResponseNorm(3), nn.Unfold(3)):
        assert np.abs(numbers(layer(x.cuda()).cpu()) - numbers(layer(x))).max() < 1e-5
    columns, fold = nn.functional.unfold(x, 3), nn.Fold((8, 8), 3)
    assert np.abs(numbers(fold(columns.cuda()).cpu()) - numbers(fold(columns))).max() < 1e-5
