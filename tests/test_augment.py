"""Augmentation: each transform against NumPy and SciPy, equal bits for any number of threads."""

from __future__ import annotations

import math

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import DataLoader
from dnncore.data.augment import (
    Compose,
    CutMix,
    Cutout,
    ElasticTransform,
    GaussianNoise,
    MixUp,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
    RandomVerticalFlip,
    Transform,
)

MOVES = [  # transforms that copy pixels, so that they take images of any dtype
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomShift(3, fill=2),
    RandomCrop((9, 7)),
    RandomCrop(20, padding=4),
    Cutout(5, fill=2),
    RandomErasing(p=0.7, value=2),
]
VALUES = [
    RandomRotation(30),
    RandomAffine(15, translate=(0.1, 0.2), scale=(0.8, 1.2), shear=10, fill=0.5),
    ElasticTransform(20.0, 3.0),
    GaussianNoise(),
]
MIXES = [MixUp(num_classes=10), CutMix(num_classes=10)]
RANDOM = [*MOVES, *VALUES, *MIXES]


def seeded(seed=7):
    return dnn.Generator(seed)


def images(n=64, channels=3, height=20, width=16, dtype=dnn.float32):
    return dnn.rand(n, channels, height, width, dtype=dtype, generator=seeded(1))


def classes(n=64):
    return dnn.arange(n) % 10


def name(transform):
    return type(transform).__name__


def called(transform, x, y, seed=7):
    return [part.numpy() for part in transform(x, y, generator=seeded(seed))]


# All of them


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_same_seed_same_bits_for_any_number_of_threads(transform):
    x, y = images(), classes()
    results = []
    for threads in (1, 2, 4):
        dnn.set_num_threads(threads)
        results.append(called(transform, x, y))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    assert not np.array_equal(called(transform, x, y, seed=8)[0], results[0][0])


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_the_default_generator_is_drawn_from(transform):
    x, y = images(), classes()
    dnn.manual_seed(7)
    np.testing.assert_array_equal(transform(x, y)[0].numpy(), called(transform, x, y)[0])
    assert not np.array_equal(transform(x, y)[0].numpy(), called(transform, x, y)[0])


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_input_stays_as_it_was(transform):
    x, y = images(), classes()
    before = x.numpy().copy(), y.numpy().copy()
    changed = transform(x, y)[0]
    np.testing.assert_array_equal(x.numpy(), before[0])
    np.testing.assert_array_equal(y.numpy(), before[1])
    changed.zero_()  # the result shares no memory with the input
    np.testing.assert_array_equal(x.numpy(), before[0])


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_each_image_has_its_own_numbers(transform):
    x = images(1).repeat(64, 1, 1, 1) if transform not in MIXES else images()
    changed = transform(x, classes(), generator=seeded())[0].numpy()
    assert len(np.unique(changed.reshape(64, -1), axis=0)) >= (2 if "Flip" in name(transform) else 16)


@pytest.mark.parametrize("transform", [*MOVES, *VALUES, Normalize(0.5, 0.25)], ids=name)
def test_one_image_is_a_batch_of_one(transform):
    x = images(1)
    np.testing.assert_array_equal(
        transform(x[0], generator=seeded()).numpy(), transform(x, generator=seeded())[0].numpy(), strict=True
    )


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_batch_without_images(transform):
    x, y = transform(images(0), classes(0))
    assert len(x) == len(y) == 0
    assert x.shape[1:] == transform(images(2), classes(2))[0].shape[1:]


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_layout_does_not_matter(transform):
    x = images()
    strided = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    np.testing.assert_array_equal(called(transform, strided, classes())[0], called(transform, x, classes())[0])


@pytest.mark.parametrize("transform", [*VALUES, *MIXES, Normalize(0.5, 0.25)], ids=name)
@pytest.mark.parametrize("dtype", [dnn.float32, dnn.float64], ids=str)
def test_dtype_is_kept(transform, dtype):
    assert transform(images(dtype=dtype), classes())[0].dtype == dtype


@pytest.mark.parametrize("transform", MOVES, ids=name)
def test_images_of_bytes_are_moved(transform):
    x = (images() * 255).byte()
    moved = transform(x, generator=seeded())
    assert moved.dtype == dnn.uint8
    np.testing.assert_array_equal(moved.numpy(), transform(x.float(), generator=seeded()).numpy())


@pytest.mark.parametrize("transform", RANDOM, ids=name)
def test_gradients_flow_through(transform):
    x = images(8, dtype=dnn.float64).requires_grad_(True)
    weights = dnn.rand(*transform(x.detach(), classes(8))[0].shape, dtype=dnn.float64)
    (gradient,) = dnn.autograd.grad((transform(x, classes(8), generator=seeded())[0] * weights).sum(), [x])
    step = images(8, dtype=dnn.float64) * 1e-3  # all of them are piecewise linear in x, the clipping of noise too
    ends = [(transform(x.detach() + s * step, classes(8), generator=seeded())[0] * weights).sum().item() for s in (1, -1)]
    expected = (ends[0] - ends[1]) / 2
    assert math.isclose((gradient * step).sum().item(), expected, rel_tol=1e-2 if transform in VALUES[3:] else 1e-9)


def test_repr_is_the_call():
    for transform in (*RANDOM, Normalize((0.5, 0.4), (0.2, 0.3))):
        assert repr(eval(repr(transform))) == repr(transform)
    assert repr(RandomShift(2)) == "RandomShift(pixels=2, fill=0.0)"
    both = Compose([RandomShift(2), Compose([MixUp(num_classes=3)])])
    assert repr(eval(repr(both))) == repr(both)


# Flips, shifts, crops: exact


@pytest.mark.parametrize(("transform", "axis"), [(RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)])
def test_flips(transform, axis):
    x = images(1000, 1, 3, 2)
    flipped = np.flip(x.numpy(), axis)
    np.testing.assert_array_equal(transform(1.0)(x).numpy(), flipped)
    np.testing.assert_array_equal(transform(0.0)(x).numpy(), x.numpy())
    changed = transform(0.3)(x).numpy()
    was = (changed == flipped).all((1, 2, 3))
    np.testing.assert_array_equal(changed, np.where(was[:, None, None, None], flipped, x.numpy()))
    assert abs(was.mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 1000)  # five standard deviations


def shifted(image, down, across, fill):
    """Move an image by whole pixels."""
    found = np.full_like(image, fill)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - across < width:
                found[:, row, column] = image[:, row - down, column - across]
    return found


def test_shifts():
    x = images(200, 2, 5, 6)
    moved = RandomShift(2, fill=0.5)(x, generator=seeded()).numpy()
    offsets = [(down, across) for down in range(-2, 3) for across in range(-2, 3)]
    found = []
    for before, after in zip(x.numpy(), moved, strict=True):
        fits = [offset for offset in offsets if np.array_equal(shifted(before, *offset, 0.5), after)]
        assert len(fits) == 1
        found += fits
    assert set(found) == set(
        offsets
    )  # one of 25 is missing from 200 draws with a chance below 25 exp(-8) = 0.8 %, once for this seed
    np.testing.assert_array_equal(RandomShift(0)(x).numpy(), x.numpy())
    assert (RandomShift(50, fill=1)(x).numpy() == 1).any()


@pytest.mark.parametrize(("size", "padding", "offsets"), [((4, 3), 0, (2, 4)), ((5, 6), 1, (3, 3)), (5, 0, (1, 2))])
def test_crops(size, padding, offsets):
    x = images(200, 2, 5, 6)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=0.5)
    height, width = size if isinstance(size, tuple) else (size, size)
    places = [(top, left) for top in range(offsets[0]) for left in range(offsets[1])]
    cropped = RandomCrop(size, padding, fill=0.5)(x, generator=seeded()).numpy()
    assert cropped.shape == (200, 2, height, width)
    found = []
    for before, after in zip(padded, cropped, strict=True):
        fits = [(t, s) for t, s in places if np.array_equal(before[:, t : t + height, s : s + width], after)]
        assert len(fits) == 1
        found += fits
    assert set(found) == set(places)


# Interpolation: against scipy


def interpolation_error(dtype, size):
    """Values are below 1: three interpolations of a few roundings each, and places known to 2^-40 of the size."""
    return 12 * np.finfo(dtype).eps + 4 * size * 2.0**-40


def affine(x, matrix, move, fill):
    """Map images about their centre, coordinates (y, x), with SciPy in float64."""
    ndimage = pytest.importorskip("scipy.ndimage")
    inverse = np.linalg.inv(matrix)
    centre = (np.array(x.shape[2:]) - 1) / 2
    offset = centre - inverse @ (centre + move)
    each = [
        [ndimage.affine_transform(plane, inverse, offset, order=1, mode="grid-constant", cval=fill) for plane in image]
        for image in x.numpy().astype(np.float64)
    ]
    return np.array(each)


def turn(degrees):
    """Rotate clockwise, as seen, (y, x) with y downwards."""
    a = math.radians(degrees)
    return np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (1, 1)])
@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2, 3, 4])
def test_quarter_turns_copy_pixels(size, quarters):
    x = images(3, 2, *size)
    x = dnn.where(x < 0.3, dnn.zeros_like(x), x)  # zeros would show a trace of their neighbours
    expected = np.rot90(x.numpy(), quarters, (2, 3))
    np.testing.assert_array_equal(RandomRotation((90 * quarters,) * 2)(x).numpy(), expected)
    np.testing.assert_array_equal(RandomAffine((-90 * quarters,) * 2)(x).numpy(), expected)


def test_half_turn_of_a_rectangle():
    x = images(2, 1, 5, 8)
    np.testing.assert_array_equal(RandomRotation((180, 180))(x).numpy(), np.rot90(x.numpy(), 2, (2, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("degrees", [-170, -33.3, 1, 45, 100])
def test_rotation(degrees, dtype):
    x = images(3, 2, 11, 14, getattr(dnn, dtype))
    got = RandomRotation((degrees, degrees), fill=0.25)(x).numpy()
    expected = affine(x, turn(-degrees), [0, 0], 0.25)
    np.testing.assert_allclose(got, expected, rtol=0, atol=interpolation_error(dtype, 14))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("degrees", "scale", "shear"), [(0, 1.7, 0), (0, 0.4, 0), (0, 1, 30), (20, 1, -45), (-70, 1.3, 20)])
def test_affine(degrees, scale, shear, dtype):
    x = images(3, 2, 11, 14, getattr(dnn, dtype))
    got = RandomAffine((degrees,) * 2, scale=(scale,) * 2, shear=(shear,) * 2, fill=0.25)(x).numpy()
    matrix = scale * turn(degrees) @ np.array([[1, 0], [-math.tan(math.radians(shear)), 1]])
    expected = affine(x, matrix, [0, 0], 0.25)
    np.testing.assert_allclose(got, expected, rtol=0, atol=interpolation_error(dtype, 14 / scale))


def test_affine_moves_by_fractions():
    """Ramps show the move: interpolation is exact for them."""
    columns, rows = dnn.arange(40.0).expand(20, 40), dnn.arange(20.0)[:, None].expand(20, 40)
    ramps = dnn.stack([columns, rows]).double().repeat(500, 1, 1, 1)
    moved = RandomAffine(0, translate=(0.25, 0.1))(ramps, generator=seeded()).numpy()
    across, down = (moved - ramps.numpy())[:, :, 10, 20].T
    for move, most in ((across, 10), (down, 2)):
        assert np.abs(move).max() <= most
        assert abs(move.mean()) < 5 * most / math.sqrt(3 * 500)
        assert abs(np.abs(move).mean() - most / 2) < 5 * most / math.sqrt(12 * 500)
    assert abs(np.corrcoef(across, down)[0, 1]) < 5 / math.sqrt(500)


def test_affine_draws_from_its_ranges():
    """An impulse response shows scale and angle: the image of two marks about the centre."""
    x = dnn.zeros(400, 1, 61, 61)
    x[:, 0, 29:32, 49:52] = 1.0
    turned = RandomAffine((10, 40), scale=(0.8, 1.2))(x, generator=seeded()).numpy()[:, 0].astype(np.float64)
    ys, xs = np.mgrid[-30:31, -30:31]
    mass = turned.sum((1, 2))
    y, x_ = (turned * ys).sum((1, 2)) / mass, (turned * xs).sum((1, 2)) / mass
    angle, distance = np.degrees(np.arctan2(y, x_)), np.hypot(y, x_) / 20
    # A blurred 3 x 3 mark is found to a tenth of a pixel: 0.3 degrees and 0.005 of the distance.
    assert 9.7 < angle.min() < 11.5
    assert 38.5 < angle.max() < 40.3
    assert 0.795 < distance.min() < 0.82
    assert 1.18 < distance.max() < 1.205
    assert abs(np.corrcoef(angle, distance)[0, 1]) < 5 / math.sqrt(400)


@pytest.mark.parametrize(("alpha", "sigma"), [(34.0, 4.0), (10.0, 1.0), (0.0, 4.0), (200.0, 2.5)])
def test_elastic(alpha, sigma):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = images(4, 2, 24, 19, dnn.float64)
    noise = dnn.rand(4, 2, 24, 19, dtype=dnn.float64, generator=seeded()).numpy() * 2 - 1
    got = ElasticTransform(alpha, sigma, fill=0.25)(x, generator=seeded()).numpy()
    for image, field, after in zip(x.numpy(), noise, got, strict=True):
        moves = [alpha * ndimage.gaussian_filter(part, sigma, mode="constant", truncate=4.0) for part in field]
        places = np.mgrid[:24, :19] + np.array(moves)
        expected = [ndimage.map_coordinates(plane, places, order=1, mode="grid-constant", cval=0.25) for plane in image]
        np.testing.assert_allclose(after, expected, rtol=0, atol=1e-11)  # places to 1e-13, slopes of at most 1 each


def test_elastic_displacement_has_the_stated_size():
    ramp = dnn.arange(60.0).reshape(1, 1, 1, 60).repeat(40, 1, 60, 1)
    moves = (ElasticTransform(34.0, 4.0)(ramp, generator=seeded()) - ramp).numpy()[:, 0, 20:40, 20:40]
    expected = 34 / (4 * math.sqrt(12 * math.pi))
    independent = 40 * 400 / (4 * math.pi * 4**2)  # places, one per correlation area
    assert abs(moves.std() / expected - 1) < 5 / math.sqrt(2 * independent)


# Values


def test_noise():
    x = images(64, 3, 32, 32)
    noise = (GaussianNoise(0.3, 0.2, clip=False)(x, generator=seeded()) - x).numpy().astype(np.float64).ravel()
    assert abs(noise.mean() - 0.3) < 5 * 0.2 / math.sqrt(noise.size)
    assert abs(noise.std() / 0.2 - 1) < 5 / math.sqrt(2 * noise.size)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 5 / math.sqrt(noise.size)
    clipped = GaussianNoise(0.3, 0.2)(x, generator=seeded()).numpy()
    np.testing.assert_array_equal(clipped, np.clip(GaussianNoise(0.3, 0.2, False)(x, generator=seeded()).numpy(), 0, 1))


def covered(mask):
    """Return (height, width) of the rectangle that a mask is, or raise."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return len(rows), len(columns)


@pytest.mark.parametrize("size", [1, 4, 5, 40])
def test_cutout(size):
    x = images(300, 3, 12, 10)
    cut = Cutout(size, fill=-1)(x, generator=seeded()).numpy()
    mask = (cut == -1).all(1)
    np.testing.assert_array_equal(cut, np.where(mask[:, None], -1, x.numpy()))
    sizes = np.array([covered(each) for each in mask])
    assert (sizes >= np.minimum(max(size // 2, 1), (12, 10))).all()
    assert (sizes <= np.minimum(size, (12, 10))).all()
    assert (sizes.max(0) == np.minimum(size, (12, 10))).all()
    # Each centre is equally likely, so the mean area is that of all centres.
    parts = [[min(c - size // 2 + size, n) - max(c - size // 2, 0) for c in range(n)] for n in (12, 10)]
    areas = np.outer(*parts)
    assert abs(mask.sum((1, 2)).mean() - areas.mean()) <= 5 * areas.std() / math.sqrt(300)


def test_random_erasing():
    x = images(2000, 1, 40, 30)
    erased = RandomErasing(p=0.6, scale=(0.05, 0.2), ratio=(0.5, 2.0), value=-1)(x, generator=seeded()).numpy()[:, 0]
    mask = erased == -1
    np.testing.assert_array_equal(erased, np.where(mask, -1, x.numpy()[:, 0]))
    sizes = np.array([covered(each) for each in mask])
    changed = sizes[:, 0] > 0
    assert abs(changed.mean() - 0.6) < 5 * math.sqrt(0.6 * 0.4 / 2000)
    height, width = sizes[changed].T
    assert ((height + 0.5) * (width + 0.5) >= 0.05 * 1200).all()  # both sides are rounded
    assert ((height - 0.5) * (width - 0.5) <= 0.2 * 1200).all()
    assert ((height + 0.5) / (width - 0.5) >= 0.5).all()
    assert ((height - 0.5) / (width + 0.5) <= 2.0).all()
    area = height * width / 1200
    assert abs(area.mean() - 0.125) < 5 * (0.15 / math.sqrt(12)) / math.sqrt(changed.sum())
    assert all(edge.any() for edge in (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]))


def test_random_erasing_that_does_not_fit():
    x = images(8, 1, 4, 40)
    np.testing.assert_array_equal(RandomErasing(p=1, scale=(0.5, 0.5), ratio=(3, 3))(x).numpy(), x.numpy())


def test_normalize():
    x = images()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = (x.numpy() - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    np.testing.assert_array_equal(Normalize(mean, std)(x).numpy(), expected)
    np.testing.assert_array_equal(Normalize(0.5, 0.25)(x).numpy(), (x.numpy() - np.float32(0.5)) / np.float32(0.25))


# Mixing


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup(alpha):
    n = 1000
    x = images(n, 2, 4, 3)
    mixed, y = MixUp(alpha, num_classes=n)(x, dnn.arange(n), generator=seeded())  # each image a class: y tells all
    y = y.numpy().astype(np.float64)
    np.testing.assert_allclose(y.sum(1), 1, rtol=0, atol=2e-7)
    own = np.diag(y)
    partner = np.where(np.arange(n) == (y - np.diag(own)).argmax(1), -1, (y - np.diag(own)).argmax(1))
    alone = own == 1
    partner = np.where(alone, np.arange(n), partner)
    assert len(np.unique(partner)) >= n - 1 - alone.sum()  # a permutation
    expected = own[:, None, None, None] * x.numpy() + (1 - own)[:, None, None, None] * x.numpy()[partner]
    np.testing.assert_allclose(
        mixed.numpy(), expected, rtol=0, atol=3e-7
    )  # values below 1, three roundings of 2^-24 each and y's
    variance = 1 / (4 * (2 * alpha + 1))
    share = own[~alone]
    assert abs(share.mean() - 0.5) < 5 * math.sqrt(variance / n)
    assert abs(share.var() - variance) < 5 * 0.25 / math.sqrt(n)  # squared deviations are at most 1/4


def test_cutmix():
    n = 1000
    x = images(n, 2, 12, 9)
    mixed, y = CutMix(1.0, num_classes=n)(x, dnn.arange(n), generator=seeded())
    y = y.numpy().astype(np.float64)
    np.testing.assert_allclose(y.sum(1), 1, rtol=0, atol=2e-7)
    own = np.diag(y)
    partner = np.where(own < 1, (y - np.diag(own)).argmax(1), np.arange(n))
    replaced = (mixed.numpy() != x.numpy()).all(1)
    np.testing.assert_array_equal(mixed.numpy(), np.where(replaced[:, None], x.numpy()[partner], x.numpy()))
    for each in replaced:
        covered(each)
    np.testing.assert_allclose(own, 1 - replaced.mean((1, 2)), rtol=0, atol=1e-7)
    shares = np.array(
        [
            1 - math.prod(min(c + int(side * n), n) - max(c - int(side * n), 0) for c, n in ((row, 12), (column, 9))) / 108
            for side in np.sqrt((np.arange(200) + 0.5) / 200) / 2
            for row in range(12)
            for column in range(9)
        ]
    )  # of all rectangles there are, each equally likely
    assert abs(own.mean() - shares.mean()) < 5 * shares.std() / math.sqrt(n)


@pytest.mark.parametrize("transform", [MixUp, CutMix])
def test_mixed_targets_train(transform):
    y = transform(num_classes=10)(images(), classes())[1]
    loss = dnn.nn.functional.cross_entropy(dnn.zeros(64, 10), y)
    assert math.isclose(loss.item(), math.log(10), rel_tol=1e-6)
    values = dnn.rand(64, 3)
    mixed = transform()(images(), values, generator=seeded())[1]
    share = transform(num_classes=64)(images(), dnn.arange(64), generator=seeded())[1]
    np.testing.assert_allclose(mixed.numpy(), share.numpy().astype(np.float64) @ values.numpy(), rtol=0, atol=1e-6)


# Compose, own transforms


def test_compose_is_one_after_the_other():
    x, y = images(), classes()
    parts = [RandomCrop(12), RandomHorizontalFlip(), lambda x, y: (x * 2, y), MixUp(num_classes=10)]
    generator = seeded()
    expected = (x, y)
    for part in parts:
        expected = part(*expected, generator=generator) if isinstance(part, Transform) else part(*expected)
    got = Compose(parts)(x, y, generator=seeded())
    for one, two in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    assert isinstance(Compose([RandomCrop(12)])(x), dnn.Tensor)
    assert Compose([])(x) is x


class Marked(Transform):
    def apply(self, x, generator):
        return x + dnn.rand(len(x), 1, 1, 1, generator=generator)


def test_own_transform():
    x = dnn.zeros(5, 1, 2, 2)
    expected = dnn.rand(5, generator=seeded()).numpy()
    np.testing.assert_array_equal(Marked()(x, generator=seeded()).numpy()[:, 0, 1, 1], expected)
    with pytest.raises(NotImplementedError, match=r"Transform: a transform defines apply"):
        Transform()(x)


def test_captured_steps_draw_anew():
    augment = Compose([RandomCrop(16, padding=2), RandomAffine(10), GaussianNoise(), RandomErasing(), ElasticTransform()])
    step = dnn.capture(augment)
    dnn.manual_seed(1)
    captured = [step(images()).numpy().copy() for _ in range(5)]
    dnn.manual_seed(1)
    for got in captured:
        np.testing.assert_array_equal(got, augment(images()).numpy())


# What is refused

BAD = [
    (
        lambda: RandomHorizontalFlip(1.5),
        ValueError,
        "RandomHorizontalFlip: expected p as a finite number of at least 0 and at most 1, got 1.5",
    ),
    (lambda: RandomVerticalFlip("a"), TypeError, "RandomVerticalFlip: expected p as a finite number"),
    (lambda: RandomHorizontalFlip(True), TypeError, "expected p as a finite number"),
    (lambda: RandomShift(0.1), TypeError, "RandomShift: expected pixels as a whole number of at least 0, got 0.1"),
    (lambda: RandomShift(-1), ValueError, "RandomShift: expected pixels as a whole number of at least 0"),
    (lambda: RandomShift(1, math.nan), ValueError, "RandomShift: expected fill as a finite number, got nan"),
    (lambda: RandomCrop(0), ValueError, "RandomCrop: expected size as a whole number of at least 1"),
    (lambda: RandomCrop((3, 4, 5)), TypeError, "RandomCrop: expected size"),
    (lambda: RandomCrop(3, padding=-1), ValueError, "RandomCrop: expected padding"),
    (
        lambda: RandomCrop(21)(images()),
        ValueError,
        r"RandomCrop: expected images of at least \(21, 21\) with padding, got \(20, 16\)",
    ),
    (lambda: RandomRotation(-3), ValueError, "RandomRotation: expected degrees as a finite number of at least 0"),
    (lambda: RandomRotation((3, 1)), ValueError, r"RandomRotation: expected degrees as \(low, high\), got \(3, 1\)"),
    (
        lambda: RandomAffine(0, translate=0.1),
        ValueError,
        r"RandomAffine: expected translate as \(horizontal, vertical\) fractions",
    ),
    (lambda: RandomAffine(0, translate=(0.1, 2)), ValueError, "RandomAffine: expected translate .* at most 1, got 2"),
    (lambda: RandomAffine(0, scale=0.5), ValueError, r"RandomAffine: expected scale as \(low, high\)"),
    (lambda: RandomAffine(0, scale=(0, 1)), ValueError, "RandomAffine: expected scale as a finite number of at least 0.001"),
    (lambda: RandomAffine(0, shear=90), ValueError, "RandomAffine: expected shear between -90 and 90 degrees"),
    (lambda: ElasticTransform(-1), ValueError, "ElasticTransform: expected alpha"),
    (lambda: ElasticTransform(1, 0), ValueError, "ElasticTransform: expected sigma"),
    (lambda: GaussianNoise(sigma=-1), ValueError, "GaussianNoise: expected sigma"),
    (lambda: Cutout(0), ValueError, "Cutout: expected size"),
    (lambda: RandomErasing(scale=(0.1, 1.5)), ValueError, "RandomErasing: expected scale within 0 and 1"),
    (lambda: RandomErasing(ratio=2.0), ValueError, r"RandomErasing: expected ratio as \(low, high\)"),
    (lambda: RandomErasing(ratio=(0, 2.0)), ValueError, "RandomErasing: expected ratio"),
    (lambda: Normalize(0, 0), ValueError, "Normalize: expected std above 0"),
    (lambda: Normalize((), 1), ValueError, "Normalize: expected mean"),
    (lambda: Normalize((0, 0), 1)(images()), ValueError, "Normalize: expected 3 numbers as mean, one per channel, got 2"),
    (lambda: MixUp(0), ValueError, "MixUp: expected alpha"),
    (lambda: MixUp(num_classes=1.5), TypeError, "MixUp: expected num_classes"),
    (lambda: MixUp()(images()), TypeError, r"MixUp: expected images and their targets \(x, y\), got 1 arguments"),
    (lambda: MixUp()(images(), classes(), classes()), TypeError, "MixUp: expected images and their targets"),
    (
        lambda: MixUp()(images(), classes()),
        ValueError,
        r"MixUp: expected num_classes, since y holds whole numbers; pass MixUp\(num_classes",
    ),
    (lambda: MixUp(num_classes=3)(images(), classes()), (ValueError, IndexError), "one_hot"),
    (
        lambda: CutMix(num_classes=10)(images(), classes(9)),
        ValueError,
        r"CutMix: expected a target for each of 64 images, got y of shape \(9,\)",
    ),
    (
        lambda: CutMix(num_classes=10)(images(), classes().reshape(64, 1)),
        ValueError,
        r"CutMix: expected class numbers of shape \(N,\)",
    ),
    (
        lambda: CutMix(num_classes=10)(images()[0], classes()),
        ValueError,
        r"CutMix: expected a batch \(N, C, H, W\), got one image",
    ),
    (
        lambda: RandomShift(1)(dnn.zeros(8, 8)),
        ValueError,
        r"RandomShift: expected images of shape \(N, C, H, W\) or \(C, H, W\), got \(8, 8\)",
    ),
    (lambda: RandomShift(1)(dnn.zeros(2, 1, 0, 3)), ValueError, "RandomShift: expected images with channels and pixels"),
    (lambda: RandomShift(1)(np.zeros((1, 8, 8))), TypeError, "RandomShift: expected a Tensor as x, got ndarray"),
    (
        lambda: RandomRotation(1)(images().byte()),
        TypeError,
        r"RandomRotation: expected floating images, got dnncore.uint8; take x.float\(\) / 255",
    ),
    (
        lambda: RandomShift(1, 0.5)(images().byte()),
        ValueError,
        "RandomShift: expected a fill that dnncore.uint8 can hold, got 0.5",
    ),
    (lambda: RandomErasing(value=300)(images().byte()), ValueError, "RandomErasing: expected a fill that dnncore.uint8 can hold"),
    (lambda: Compose([3]), TypeError, "Compose: expected transforms, got int"),
    (lambda: Compose([lambda x, y: x])(images(), classes()), ValueError, "expected 2 results of 2 arguments, got 1"),
    (lambda: DataLoader([1], transform=3), TypeError, "DataLoader: expected transform as a callable, got int"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
