"""The command line trains networks for images: data of every kind, sizes, augmentation, what is stored with the model."""

from __future__ import annotations

import csv
import gzip
import json
import struct

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers
from click.testing import CliRunner
from dnncore.cli import main, networks
from dnncore.cli.augmentation import NAMES, augmentation
from dnncore.cli.images import fitted
from dnncore.cli.networks import NetworkConfig, build

needs_digits = pytest.mark.usefixtures("sklearn")


@pytest.fixture
def sklearn():
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")


def run(*args):
    return CliRunner().invoke(main, [str(each) for each in args])


def trained(model, out, *options):
    result = run("train", model, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return json.loads((out / "run.json").read_text()), result


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    out = tmp_path_factory.mktemp("models") / "lenet"
    trained("lenet5", out, "--epochs", 4, "--optimizer", "adam", "--lr", "0.002")
    return out


def test_lenet_learns_the_digits(lenet):
    record = json.loads((lenet / "run.json").read_text())
    assert record["model"] == "lenet5"
    assert record["held_out"]["count"] == 360
    assert record["held_out"]["accuracy"] > 0.93
    assert (lenet / "curve.png").read_bytes().startswith(b"\x89PNG")
    model = dnn.Model.load(lenet)
    assert type(model.module) is dnn.models.LeNet5
    source = model.notes["cli"]["source"]
    assert (source["size"], source["channels"], len(source["mean"]), len(source["std"])) == (32, 1, 1, 1)


def test_evaluate_and_predict_normalise_as_the_training_did(lenet, tmp_path):
    record = json.loads((lenet / "run.json").read_text())
    found = json.loads(run("evaluate", lenet, "--json").stdout)
    assert found["accuracy"] == record["held_out"]["accuracy"]
    assert found["loss"] == record["held_out"]["loss"]
    assert json.loads(run("evaluate", lenet, "--json", "--data", "digits").stdout)["loss"] == found["loss"]

    x, _ = dnn.data.load_digits(32, "test")
    np.save(tmp_path / "x.npy", numbers(x[:20]))
    rows = list(csv.DictReader(run("predict", lenet, tmp_path / "x.npy").stdout.splitlines()))
    model = dnn.Model.load(lenet)
    source = model.notes["cli"]["source"]
    expected = model.predict((x[:20] - source["mean"][0]) / source["std"][0]).argmax(1).tolist()
    assert [int(row["prediction"]) for row in rows] == expected

    image = pytest.importorskip("PIL.Image")
    small, _ = dnn.data.load_digits(8, "test")
    pixels = np.round(255 * numbers(small[0, 0])).astype(np.uint8)
    image.fromarray(np.kron(pixels, np.ones((5, 5), np.uint8))).save(tmp_path / "digit.png")
    shown = run("predict", lenet, tmp_path / "digit.png")
    assert int(shown.stdout.splitlines()[1].split(",")[1]) == expected[0]
    assert shown.stderr == ""
    image.fromarray(255 - np.kron(pixels, np.ones((5, 5), np.uint8))).save(tmp_path / "dark.png")
    assert "dark on light" in run("predict", lenet, tmp_path / "dark.png").stderr
    assert run("predict", lenet, tmp_path / "dark.png", "--invert").stdout == shown.stdout


@needs_digits
def test_same_seed_same_files_for_any_number_of_threads(tmp_path):
    files = []
    for name, options in (("a", ["--threads", "1"]), ("b", ["--threads", "4"]), ("c", ["--seed", "1"])):
        trained("lenet5", tmp_path / name, "--epochs", 1, "--augment", "shift", *options)
        (weights,) = (tmp_path / name).glob("model-*.safetensors")
        files.append(weights.read_bytes())
    assert files[0] == files[1] != files[2]


def idx(path, array):
    path.write_bytes(gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()))


def mnist(folder):
    """Write pictures of 28 x 28 whose upper left corner tells their class."""
    random = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 40)):
        y = np.arange(count, dtype=np.uint8) % 10
        x = random.integers(0, 50, (count, 28, 28)).astype(np.uint8)
        for image, number in zip(x, y, strict=True):
            image[2 * number : 2 * number + 4] = 250
        idx(folder / f"{part}-images-idx3-ubyte.gz", x)
        idx(folder / f"{part}-labels-idx1-ubyte.gz", y)
    return folder


def cifar10(folder):
    random = np.random.default_rng(0)
    for name, count in [(f"data_batch_{i}.bin", 30) for i in range(1, 6)] + [("test_batch.bin", 20)]:
        records = random.integers(0, 256, (count, 1 + 3072)).astype(np.uint8)
        records[:, 0] = np.arange(count) % 10
        (folder / name).write_bytes(records.tobytes())
    return folder


def folder_of_images(root):
    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir()
        for place in range(15):
            pixels = random.integers(level - 30, level + 30, (20, 24, 3)).astype(np.uint8)
            (root / name / f"{place}.ppm").write_bytes(b"P6 24 20 255 " + pixels.tobytes())
    return root


def test_mnist_is_padded_for_lenet(tmp_path):
    (tmp_path / "data").mkdir()
    data = f"mnist:{mnist(tmp_path / 'data')}"
    record, _ = trained("lenet5", tmp_path / "m", "--data", data, "--epochs", 8, "--optimizer", "adam")
    assert record["held_out"]["count"] == 40
    assert record["held_out"]["accuracy"] > 0.5
    assert json.loads(run("evaluate", tmp_path / "m", "--data", data, "--json").stdout)["count"] == 40
    record, _ = trained("mlp", tmp_path / "p", "--data", data, "--epochs", 1)
    assert record["config"]["data"] == data
    result = run("evaluate", tmp_path / "m", "--data", f"fashion-mnist:{tmp_path / 'data'}")
    assert result.exit_code == 1
    assert "expected images of 1 channels of the classes 0, 1, 2" in result.stderr


def test_colours_of_cifar(tmp_path):
    (tmp_path / "data").mkdir()
    data = f"cifar10:{cifar10(tmp_path / 'data')}"
    record, _ = trained("resnet20", tmp_path / "m", "--data", data, "--epochs", 1, "--augment", "flip", "--augment", "shift:4")
    assert record["classes"][0] == "airplane"
    assert dnn.Model.load(tmp_path / "m").notes["cli"]["source"]["channels"] == 3
    assert json.loads(run("evaluate", tmp_path / "m", "--json").stdout)["accuracy"] == record["held_out"]["accuracy"]


def test_folders_of_images(tmp_path):
    pytest.importorskip("PIL", reason="Pillow (extra data) reads images")
    (tmp_path / "data").mkdir()
    root = folder_of_images(tmp_path / "data")
    record, _ = trained("lenet5", tmp_path / "m", "--data", f"folder:{root}", "--epochs", 10, "--optimizer", "adam")
    assert record["classes"] == ["dark", "light"]
    assert record["held_out"] == {**record["held_out"], "count": 6, "accuracy": 1.0}
    assert run("predict", tmp_path / "m", root / "light" / "0.ppm").stdout.splitlines()[1].startswith("0,light,")
    assert json.loads(run("evaluate", tmp_path / "m", "--json", "--data", f"folder:{root}").stdout)["count"] == 30
    (root / "dark" / "0.ppm").unlink()
    result = run("evaluate", tmp_path / "m")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has changed since the training" in result.stderr


def test_generated_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr("dnncore.cli.images._SHAPES", {"train": (300, 1), "test": (100, 2)})
    record, _ = trained("lenet5", tmp_path / "m", "--data", "shapes", "--epochs", 8, "--optimizer", "adam")
    assert record["classes"] == ["disc", "square", "triangle", "ring", "cross"]
    assert record["held_out"]["accuracy"] > 0.4


# --- What fits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg11", "vgg11_bn", "googlenet", "resnet18", "resnet20"])
def test_networks_take_images_of_their_size(name):
    size = networks._SIZES.get(name, 32)
    module = build(name, 7, 1, size).eval()
    with dnn.no_grad():
        assert module(dnn.rand(2, 1, size, size)).shape == (2, 7)


def test_every_network_has_a_verb():
    listed = run("train", "--help").stdout
    others = ("freeze", "unfreeze", "replace_head", "chrono_init", "delay_network")  # no networks, and one of windows of a series
    made = [name for name in dnn.models.__all__ if name.islower() and name not in others]
    assert len(made) == 20
    assert all(f"\n  {name} " in listed for name in made)


@needs_digits
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "28"], "LeNet5: expected images of 32 x 32 pixels, got"),
        (["--augment", "blur"], "--augment: expected one of shift, rotate"),
        (["--augment", "shift:-1"], "--augment shift:-1"),
        (["--augment", "noise:much"], "--augment noise:much"),
        (["--data", "mnist:nowhere"], "nowhere"),
        (["--data", "folder:nowhere"], "nowhere is no folder"),
        (["--size", "100000"], "GiB; give a smaller --size"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, options, message):
    result = run("train", "lenet5", "--out", tmp_path, "--epochs", 1, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


@pytest.mark.parametrize("options", [["--data", "csv:t.csv"], ["--data", "mnist"], ["--data", "digits:x"], ["--hidden", "3"], []])
def test_wrong_options_are_usage_errors(options, tmp_path):
    assert run("train", "lenet5", *(["--out", tmp_path] if options else []), *options).exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_augmentation_has_a_value_of_its_own(name):
    x = dnn.rand(8, 1, 32, 32)
    changed = augmentation(name)(x, generator=dnn.Generator().manual_seed(0))
    assert changed.shape == x.shape
    assert not changed.equal(x)


def test_images_are_fitted():
    x = dnn.rand(2, 1, 28, 28)
    padded = fitted(x, 32)
    assert padded[:, :, 2:30, 2:30].equal(x)
    assert padded.sum().item() == pytest.approx(x.sum().item(), rel=1e-5)
    assert fitted(x, 28) is x
    assert fitted(dnn.full((1, 3, 32, 32), 0.25), 63).sub(0.25).abs().max().item() < 1e-6


def test_settings_are_kept_in_the_record():
    config = NetworkConfig(model="resnet20", augment=("flip",))
    assert (config.epochs, config.optimizer, config.size) == (60, "sgd", None)
