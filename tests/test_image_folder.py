"""Image folders: order, colours, place of the cut, and that what is no sound image is named and refused."""

from __future__ import annotations

import os
import struct
import sys
import zlib

import dnncore as dnn
import numpy as np
import pytest
from dnncore.data import DataLoader, ImageFolder, load_image_folder


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="Pillow (extra data) reads images")


@pytest.fixture
def pets(tmp_path, pillow):
    """Make three classes; files and folders are created in another order than that of their names."""
    root = tmp_path / "pets"
    for name, colour in (("dog/b.png", (255, 0, 0)), ("cat/10.png", (0, 255, 0)), ("cat/more/a.JPG", (0, 0, 255))):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pillow.new("RGB", (12, 8), colour).save(root / name, quality=100)
    pillow.new("RGB", (12, 8), (255, 255, 255)).save(root / "cat" / "02.png")
    for name in ("cat/notes.txt", "cat/.hidden.png", ".git/x.png", "readme.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no image")
    return root


def test_image_folder(pets):
    x, y, classes = load_image_folder(pets, size=(4, 6))
    assert (x.shape, x.dtype, x.is_contiguous()) == ((4, 3, 4, 6), dnn.float32, True)
    assert (y.tolist(), y.dtype, classes) == ([0, 0, 0, 1], dnn.int64, ["cat", "dog"])
    colours = x.numpy().mean((2, 3))
    np.testing.assert_allclose(colours, [[1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=0.02)  # JPEG rounds


def test_lazy_image_folder_gives_the_same(pets):
    x, y, classes = load_image_folder(pets, size=5)
    data = ImageFolder(pets, size=5)
    assert (data.classes, data.targets, len(data)) == (classes, y.tolist(), 4)
    assert [path.relative_to(pets).as_posix() for path in data.paths] == [
        "cat/02.png",
        "cat/10.png",
        "cat/more/a.JPG",
        "dog/b.png",
    ]
    for prefetch in (False, True):
        batches = list(DataLoader(data, batch_size=3, prefetch=prefetch))
        assert dnn.cat([xb for xb, _ in batches]).tolist() == x.tolist()
        assert dnn.cat([yb for _, yb in batches]).tolist() == y.tolist()
    image, label = data[-1]
    assert (image.is_contiguous(), label) == (True, 1)
    assert ImageFolder(pets, size=5, transform=lambda image: 1 - image)[0][0].sum().item() == 0


def test_grey(pets):
    x, _, _ = load_image_folder(pets, size=3, mode="L")
    assert x.shape == (4, 1, 3, 3)
    weights = np.float64([[1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]) @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    np.testing.assert_allclose(x.numpy()[:, 0, 1, 1], weights, atol=0.006)  # 8 bits, and JPEG


def test_images_cover_the_size_and_are_cut_in_the_middle(tmp_path, pillow):
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 255
    pixels[:5, 10:20] = 51
    (tmp_path / "a").mkdir()
    pillow.fromarray(pixels).save(tmp_path / "a" / "wide.png")
    pillow.fromarray(pixels.T.copy()).save(tmp_path / "a" / "tall.png")
    x, _, _ = load_image_folder(tmp_path, size=10, mode="L")
    np.testing.assert_array_equal(x.numpy()[1, 0], np.float32(pixels[:, 10:20] / 255))
    np.testing.assert_array_equal(x.numpy()[0, 0], np.float32(pixels[:, 10:20].T / 255))


def test_an_image_is_turned_as_its_camera_noted(tmp_path, pillow):
    pixels = np.uint8([[0, 255], [0, 0]])  # the bright corner is at the upper right
    for orientation, name in ((1, "as it is.png"), (6, "by 90 degrees.png")):
        note = pillow.Exif()
        note[0x0112] = orientation
        (tmp_path / "a").mkdir(exist_ok=True)
        pillow.fromarray(pixels).save(tmp_path / "a" / name, exif=note)
    x, _, _ = load_image_folder(tmp_path, size=2, mode="L")
    assert x[:, 0].tolist() == [[[0, 1], [0, 0]], [[0, 0], [0, 1]]]


def test_palettes_and_transparency(tmp_path, pillow):
    (tmp_path / "a").mkdir()
    pillow.new("RGB", (3, 3), (255, 0, 255)).convert("P").save(tmp_path / "a" / "1.gif")
    pillow.new("RGBA", (3, 3), (255, 0, 255, 9)).save(tmp_path / "a" / "2.png")
    pillow.new("1", (3, 3), 1).save(tmp_path / "a" / "3.png")
    x, _, _ = load_image_folder(tmp_path, size=3)
    assert x[:, :, 1, 1].tolist() == [[1, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_broken_images_are_named(pets, pillow):
    sound = (pets / "cat" / "10.png").read_bytes()
    for content in (b"", b"no image", sound[:40], sound[:-30], sound[:45] + b"\0\0\0" + sound[48:]):
        (pets / "dog" / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"^load_image_folder: .*/dog/a.png cannot be read: "):
            load_image_folder(pets, size=4)
    lazy = ImageFolder(pets, size=4)
    lazy[0]
    with pytest.raises(ValueError, match=r"^ImageFolder: .*/dog/a.png cannot be read: "):
        lazy[3]


def test_programs_are_no_images(pets):
    (pets / "dog" / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ValueError, match=r"dog/a.png cannot be read: cannot identify image file"):
        load_image_folder(pets, size=4)


def test_more_than_8_bits_are_refused(pets, pillow):
    pillow.fromarray(np.full((3, 3), 40_000, np.uint16)).save(pets / "dog" / "a.png")
    with pytest.raises(ValueError, match=r"dog/a.png cannot be read: its pixels have more than 8 bits \(mode I"):
        load_image_folder(pets, size=4)


@pytest.mark.parametrize("side", [8200, 10_000, 60_000])  # beyond our limit, that of Pillow's warning, that of its error
def test_decompression_bombs(pets, side):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (pets / "dog" / "a.png").write_bytes(start + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b""))
    with pytest.raises(ValueError, match=r"dog/a.png cannot be read: .*decompression bomb"):
        load_image_folder(pets, size=4)


def test_special_files_among_images(pets):
    os.mkfifo(pets / "dog" / "a.png")
    with pytest.raises(OSError, match=r"load_image_folder: expected a regular file, got .*/dog/a.png"):
        load_image_folder(pets, size=4)


@pytest.mark.parametrize("load", [ImageFolder, load_image_folder])
def test_image_folder_refuses(tmp_path, pillow, load):
    with pytest.raises(FileNotFoundError, match=f"^{load.__name__}: .*nothing is no folder"):
        load(tmp_path / "nothing", 4)
    with pytest.raises(FileNotFoundError, match="has no folders; expected one per class"):
        load(tmp_path, 4)
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"no image in {tmp_path / 'a'}; expected files ending in .bmp"):
        load(tmp_path, 4)
    for size in (0, -1, 2.5, (3,), (3, 0), "4", True, (1 << 20, 1 << 20)):
        with pytest.raises(ValueError, match=f"{load.__name__}: expected "):
            load(tmp_path, size)
    with pytest.raises(ValueError, match="expected mode 'L' or 'RGB', got 'HSV'"):
        load(tmp_path, 4, mode="HSV")


def test_missing_pillow_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for load in (ImageFolder, load_image_folder):
        with pytest.raises(ImportError, match=rf"{load.__name__}: needs PIL, .* pip install 'dnncore\[data\]'"):
            load(tmp_path, 8)
