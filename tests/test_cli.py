"""The command line: answers at once, trains, says what is wrong."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import pty
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from importlib.util import find_spec

import dnncore as dnn
import numpy as np
import pytest
from click.testing import CliRunner
from dnncore.cli import main, use

COMMAND = [sys.executable, "-c", "from dnncore.cli import main; main()"]
BMP = struct.pack(
    "<2sIHHIIiiHHIIiiII", b"BM", 1078, 0, 0, 54, 40, 32, 32, 1, 24, 0, 3072, 0, 0, 0, 0
)  # of which no pixel follows
needs_digits = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn (extra course) holds the digits")


def run(*args):
    return CliRunner().invoke(main, args)


HELP = [*COMMAND, "--help"]


def processor_time(command):
    """Seconds of processor time: a slow or busy machine slows what they are compared with too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once_and_loads_nothing():
    code = "import sys; from dnncore.cli import main; main(['train', 'mlp', '--help'], standalone_mode=False)"
    check = f"{code}; print([m for m in ('numpy', 'dnncore._core', 'tqdm', 'safetensors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    assert "--batch-size" in done.stdout
    theirs, ours = (min(processor_time(command) for _ in range(5)) for command in ([sys.executable, "-c", "import click"], HELP))
    assert ours < 2 * theirs


def test_version():
    assert run("--version").output == f"dnncore, version {dnn.__version__}\n"


def test_info_names_what_matters():
    output = run("info").output
    for text in ("version", dnn.__version__, "instruction set", dnn.cpu_info()["isa"], "threads", "GPU", "sklearn"):
        assert text in output


def trained(out, *options):
    result = run("train", "mlp", "--out", str(out), *options)
    assert result.exit_code == 0, result.output
    return json.loads((out / "run.json").read_text())


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    out = tmp_path_factory.mktemp("models") / "runs" / "digits"
    trained(out, "--data", "digits", "--epochs", "3", "--hidden", "32", "--hidden", "16")
    return out


def test_train_writes_a_model_that_loads(digits):
    (weights,) = digits.glob("model-*.safetensors")
    assert sorted(os.listdir(digits)) == sorted(["curve.png", weights.name, "model.json", "run.json"])
    record = json.loads((digits / "run.json").read_text())
    assert record["config"]["hidden"] == [32, 16]
    assert record["epoch"] == [0, 1, 2]
    assert set(record["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    x, y = dnn.data.load_digits(split="test")
    model = dnn.Model.load(digits)
    right = (model.predict(x).argmax(1) == y).double().mean().item()
    assert right == record["held_out"]["accuracy"]
    assert model.notes["cli"]["source"]["spec"] == "digits"
    assert (digits / "curve.png").read_bytes().startswith(b"\x89PNG")


@needs_digits
def test_train_tells_what_it_does(tmp_path):
    result = run("train", "mlp", "--out", str(tmp_path), "--epochs", "2", "--hidden", "16")
    lines = result.stderr.splitlines()
    assert lines[0] == "fit: 144 of 1437 samples are held out for validation: shuffled, the same share of each class"
    assert [line.split()[:2] for line in lines[1:3]] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert all(name in lines[1] for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    record = json.loads((tmp_path / "run.json").read_text())
    told = result.stdout.splitlines()
    assert told[0].startswith(f"held-out accuracy {100 * record['held_out']['accuracy']:.2f} %")
    assert "(360 images) after 2 epochs" in told[0]
    assert told[1] == f"saved {tmp_path}: model.json with its weights, run.json, curve.png"


@needs_digits
def test_same_seed_same_files_for_any_number_of_threads(tmp_path):
    files = []
    for name, options in (("a", ["--threads", "1"]), ("b", ["--threads", "4"]), ("c", ["--seed", "1"])):
        trained(tmp_path / name, "--epochs", "2", *options)
        (weights,) = (tmp_path / name).glob("model-*.safetensors")
        files.append([weights.read_bytes(), (tmp_path / name / "run.json").read_bytes()])
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]


@needs_digits
def test_large_digits_train(tmp_path):
    trained(tmp_path, "--size", "32", "--epochs", "1")
    assert dnn.Model.load(tmp_path).module[1].weight.shape == (256, 1024)


@needs_digits
def test_default_settings_reach_their_accuracy(tmp_path):
    scores = [trained(tmp_path, "--data", "digits", "--seed", str(seed))["held_out"]["accuracy"] for seed in range(5)]
    assert sum(scores) / 5 >= 0.97, scores


@needs_digits
def test_no_validation_keeps_the_last_epoch(tmp_path):
    record = trained(tmp_path, "--epochs", "2", "--validation", "0", "--optimizer", "adam", "--dropout", "0")
    assert record["best_epoch"] is None
    assert set(record["history"]) == {"loss", "accuracy"}


# --- Evaluate and predict ---------------------------------------------------------------------------------------------


def test_evaluate_digits(digits):
    held_out = json.loads((digits / "run.json").read_text())["held_out"]
    found = json.loads(run("evaluate", str(digits), "--json").stdout)
    assert found == {"data": "the held-out part of digits", **{name: held_out[name] for name in held_out}}
    line = run("evaluate", str(digits), "--data", "digits").stdout
    assert line.startswith(f"the held-out part of digits: accuracy {100 * held_out['accuracy']:.2f} %")
    assert line.endswith("(360 images)\n")


def test_predict_arrays_and_images(digits, tmp_path):
    x, _ = dnn.data.load_digits(split="test")
    probabilities = dnn.Model.load(digits).predict(x[:20]).double().softmax(1).numpy()
    np.save(tmp_path / "x.npy", x[:20].numpy())
    rows = list(csv.DictReader(run("predict", str(digits), str(tmp_path / "x.npy"), "--top", "2").stdout.splitlines()))
    for row, values in zip(rows, probabilities, strict=True):
        first, second = np.argsort(-values)[:2]
        assert [int(row["prediction_1"]), int(row["prediction_2"])] == [first, second]
        assert float(row["probability_1"]) == pytest.approx(values[first], abs=5.1e-5)

    image = pytest.importorskip("PIL.Image")
    pixels = np.kron(np.round(x[0, 0].numpy() * 255).astype(np.uint8), np.ones((4, 4), np.uint8))
    image.fromarray(pixels).save(tmp_path / "digit.png")
    image.fromarray(255 - pixels).save(tmp_path / "inverse.png")
    expected = rows[0]["prediction_1"]
    shown = run("predict", str(digits), str(tmp_path / "digit.png"))
    assert (shown.stdout.splitlines()[1].split(",")[1], shown.stderr) == (expected, "")
    turned = run("predict", str(digits), str(tmp_path / "inverse.png"), "--invert")
    assert (turned.stdout, turned.stderr) == (shown.stdout, "")
    assert "dark on light" in run("predict", str(digits), str(tmp_path / "inverse.png")).stderr


def test_a_reader_that_leaves_is_no_error(digits, tmp_path, monkeypatch):
    def leaves(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(use, "predict", leaves)
    np.save(tmp_path / "x.npy", np.zeros((1, 64)))
    result = run("predict", str(digits), str(tmp_path / "x.npy"))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", np.zeros((3, 7)), "expected an array of shape"),
        ("x.npy", np.zeros(0), "expected an array of shape"),
        ("x.npy", np.zeros(128), "expected an array of shape"),
        ("x.npy", np.full((2, 64), np.nan), "expected finite numbers"),
        ("x.npy", np.full((2, 64), 16), "expected pixels from 0 (dark) to 1 (light), got 16 to 16"),
        ("x.npy", np.array(["a"]), "expected one array of numbers"),
        ("x.npy", b"no array", "not a .npy file"),
        ("x.csv", b"a,b\n1,2\n", "this model takes images"),
        ("x.png", b"no image", "neither an image nor"),
        ("x.bmp", BMP, "x.bmp: the image cannot be read"),
    ],
)
def test_files_that_do_not_fit_are_refused(digits, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    result = run("predict", str(digits), str(path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr


def test_damaged_models_are_refused(digits, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 64)))
    for name, damage in (
        ("model.json", lambda data: data[:-20]),
        ("model-*", lambda data: data[:-1] + b"?"),
        ("model.json", None),
    ):
        folder = tmp_path / "copy"
        subprocess.run(["rm", "-rf", folder], check=True)
        subprocess.run(["cp", "-r", digits, folder], check=True)
        (path,) = folder.glob(name)
        path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
        for verb in (["evaluate", str(folder)], ["predict", str(folder), str(tmp_path / "x.npy")]):
            result = run(*verb)
            assert result.exit_code == 1, verb
            assert str(folder) in result.stderr


def test_models_of_others_are_refused(tmp_path):
    dnn.Model(dnn.nn.Sequential(dnn.nn.Linear(2, 2))).save(tmp_path / "model")
    result = run("evaluate", str(tmp_path / "model"))
    assert result.exit_code == 1
    assert "not one of `dnncore train`" in result.stderr


# --- Tables -----------------------------------------------------------------------------------------------------------


def table(path, rows, target):
    random = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["width", "colour", "height", "target"])
        for _ in range(rows):
            width, colour, height = random.normal(50, 10), str(random.choice(["red", "green", "blue"])), random.normal()
            writer.writerow([f"{width:.4f}", colour, f"{height:.4f}", target(width, colour, height)])
    return path


def classes(width, colour, height):
    return "large" if (width - 50) / 10 + height + (colour == "red") > 0.3 else "small"


def values(width, colour, height):
    return f"{1000 + 3 * (width - 50) + 20 * height - 15 * (colour == 'blue'):.4f}"


def test_a_table_of_classes(tmp_path):
    path = table(tmp_path / "t.csv", 400, classes)
    record = trained(tmp_path / "m", "--data", f"csv:{path}", "--target", "target", "--epochs", "40")
    assert record["classes"] == ["large", "small"]
    assert record["held_out"]["count"] == 80
    assert record["held_out"]["accuracy"] > 0.9
    found = json.loads(run("evaluate", str(tmp_path / "m"), "--json").stdout)
    assert found["accuracy"] == record["held_out"]["accuracy"]
    whole = json.loads(run("evaluate", str(tmp_path / "m"), "--json", "--data", f"csv:{path}").stdout)
    assert whole["count"] == 400
    with open(tmp_path / "new.csv", "w") as file:  # other order, no target
        file.write("height,colour,width\n3,red,90\n-3,green,10\n")
    shown = list(csv.DictReader(run("predict", str(tmp_path / "m"), str(tmp_path / "new.csv")).stdout.splitlines()))
    assert [row["prediction"] for row in shown] == ["large", "small"]


def test_a_table_that_changed_has_no_held_out_part(tmp_path):
    path = table(tmp_path / "t.csv", 100, classes)
    trained(tmp_path / "m", "--data", f"csv:{path}", "--epochs", "1")
    with open(path, "a") as file:
        file.write("50,red,0,large\n")
    result = run("evaluate", str(tmp_path / "m"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "t.csv has changed since the training" in result.stderr
    assert run("evaluate", str(tmp_path / "m"), "--data", f"csv:{path}").exit_code == 0


def test_predict_does_not_look_at_the_target(tmp_path):
    path = table(tmp_path / "t.csv", 100, classes)
    trained(tmp_path / "m", "--data", f"csv:{path}", "--epochs", "1")
    row = "50,red,0"
    expected = None
    for head, end in (("", ""), (",target", ","), (",target", ",?"), (",target", ",huge")):
        (tmp_path / "new.csv").write_text(f"width,colour,height{head}\n{row}{end}\n")
        result = run("predict", str(tmp_path / "m"), str(tmp_path / "new.csv"))
        assert result.exit_code == 0, result.stderr
        expected = expected or result.stdout
        assert result.stdout == expected


def test_a_run_that_diverged_is_recorded(tmp_path):
    path = table(tmp_path / "t.csv", 100, values)
    arguments = ["train", "mlp", "--data", f"csv:{path}", "--lr", "1e30", "--epochs", "2", "--out", str(tmp_path / "m")]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning: fit: the loss of epoch 1 is" in done.stderr
    assert ".py:" not in done.stderr
    assert json.loads((tmp_path / "m" / "run.json").read_text())["held_out"]["mae"] == "nan"
    assert json.loads(run("evaluate", str(tmp_path / "m"), "--json").stdout, parse_constant=pytest.fail)["mae"] == "nan"


def test_a_table_of_values_is_told_in_its_units(tmp_path):
    path = table(tmp_path / "t.csv", 400, values)
    record = trained(tmp_path / "m", "--data", f"csv:{path}", "--epochs", "80", "--dropout", "0")
    assert record["classes"] is None
    assert record["held_out"]["r2"] > 0.95
    assert record["held_out"]["mae"] < 8
    with open(tmp_path / "new.csv", "w") as file:
        file.write("width,colour,height\n50,red,0\n60,blue,1\n")
    shown = list(csv.DictReader(run("predict", str(tmp_path / "m"), str(tmp_path / "new.csv")).stdout.splitlines()))
    assert [float(row["prediction"]) for row in shown] == pytest.approx([1000, 1035], abs=10)
    found = json.loads(run("evaluate", str(tmp_path / "m"), "--json").stdout)
    assert found["rmse"] == record["held_out"]["rmse"]


def test_a_table_with_gaps_and_names(tmp_path):
    """Ages that nobody knows and a column of names: the two things that every real table has."""
    random = np.random.default_rng(0)
    with open(tmp_path / "t.csv", "w") as file:
        file.write("name,age,fare,survived\n")
        for i in range(200):
            fare = random.normal(30, 10)
            file.write(f"passenger {i},{'' if i % 7 == 0 else i % 60},{fare:.2f},{int(fare > 30)}\n")
    data = ["--data", f"csv:{tmp_path / 't.csv'}", "--epochs", "20"]
    result = run("train", "mlp", "--out", str(tmp_path / "m"), *data)
    assert result.exit_code == 1
    assert "'name'" in result.stderr
    result = run("train", "mlp", "--out", str(tmp_path / "m"), *data, "--drop", "name")
    assert result.exit_code == 1
    assert "'age'" in result.stderr
    assert trained(tmp_path / "m", *data, "--drop", "name", "--missing", "mean")["held_out"]["accuracy"] > 0.9
    assert trained(tmp_path / "m", *data, "--drop", "name", "--missing", "drop")["held_out"]["count"] == 34
    with open(tmp_path / "new.csv", "w") as file:
        file.write("name,age,fare\nsomebody,30,60\n")
    assert run("predict", str(tmp_path / "m"), str(tmp_path / "new.csv")).stdout.splitlines()[1].startswith("0,1,")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "empty"),
        ("a,b\n1,2\n", [], "at least 10 rows"),
        ("a,b\n1,2\n3\n", [], "line 3"),
        ("a,b\n1,2\n3,4\n", ["--target", "c"], "no column 'c'"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text)
    result = run("train", "mlp", "--data", f"csv:{tmp_path / 't.csv'}", "--out", str(tmp_path / "m"), *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""


def test_a_missing_table_is_named(tmp_path):
    result = run("train", "mlp", "--data", "csv:nowhere.csv", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "nowhere.csv" in result.stderr


# --- Interrupts, terminals, wrong use ---------------------------------------------------------------------------------


@needs_digits
def test_ctrl_c_saves_what_was_learnt(tmp_path):
    arguments = ["train", "mlp", "--out", str(tmp_path), "--epochs", "1000000", "--hidden", "16"]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch"):
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out.startswith("held-out accuracy")
    assert json.loads((tmp_path / "run.json").read_text())["stopped_by"] == "user"
    assert json.loads(run("evaluate", str(tmp_path), "--json").stdout)["count"] == 360


def test_a_second_ctrl_c_ends_at_once(monkeypatch, tmp_path):
    def pressed(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnncore.cli.train.train_mlp", pressed)
    result = run("train", "mlp", "--out", str(tmp_path))
    assert (result.exit_code, result.stderr) == (130, "Aborted!\n")


def test_options_of_tables_are_refused_for_digits(tmp_path):
    for option in (["--target", "y"], ["--task", "regression"]):
        result = run("train", "mlp", "--out", str(tmp_path), *option)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "are for tables" in result.stderr


@needs_digits
def test_terminal_gets_a_bar(tmp_path):
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    arguments = ["train", "mlp", "--out", str(tmp_path), "--epochs", "20", "--size", "32"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=follower, text=True) as process:
        os.close(follower)
        bar = b""
        while chunk := _read(leader):
            bar += chunk
        told = process.stdout.read()
    os.close(leader)
    assert b"epoch 20/20" in bar
    assert b"batch/s" in bar
    assert b"val_accuracy" in bar
    assert told.splitlines()[0].startswith("held-out accuracy")


def _read(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other side is closed
        return b""


def test_unwritable_folder_is_refused_before_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = run("train", "mlp", "--out", str(blocked / "run"))
    assert result.exit_code == 1
    assert result.output == f"Error: cannot write to the folder {blocked / 'run'}: Not a directory\n"
    result = run("train", "mlp", "--out", "/proc/nothing")
    assert result.exit_code == 1
    assert "cannot write to the folder /proc/nothing" in result.output


def test_missing_scikit_learn_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = run("train", "mlp", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "pip install 'dnncore[course]'" in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "0"],
        ["--lr", "0"],
        ["--momentum", "1"],
        ["--size", "0"],
        ["--data", "cats"],
        ["--data", "csv:"],
        ["--dropout", "1"],
        [],
    ],
)
def test_wrong_options_are_usage_errors(options, tmp_path):
    out = ["--out", str(tmp_path)] if options else []
    assert run("train", "mlp", *out, *options).exit_code == 2
