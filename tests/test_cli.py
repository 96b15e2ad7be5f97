"""The command line: answers at once, trains, says what is wrong."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import resource
import struct
import subprocess
import sys
import termios
from importlib.util import find_spec

import dnncore as dnn
import pytest
from click.testing import CliRunner
from dnncore.cli import main

COMMAND = [sys.executable, "-c", "from dnncore.cli import main; main()"]
needs_digits = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn (extra course) holds the digits")


def run(*args):
    return CliRunner().invoke(main, args)


def test_help_answers_at_once_and_loads_nothing():
    code = "import sys; from dnncore.cli import main; main(['train', 'mlp', '--help'], standalone_mode=False)"
    check = f"{code}; print([m for m in ('numpy', 'dnncore._core', 'tqdm', 'safetensors') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    assert "--batch-size" in done.stdout
    # processor time: what the wall clock shows on an idle machine, and no more than that on a busy one
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.2


def test_version():
    assert run("--version").output == f"dnncore, version {dnn.__version__}\n"


def test_info_names_what_matters():
    output = run("info").output
    for text in ("version", dnn.__version__, "instruction set", dnn.cpu_info()["isa"], "threads", "not built", "sklearn"):
        assert text in output


@needs_digits
def test_train_writes_a_model_that_loads(tmp_path):
    out = tmp_path / "runs" / "digits"
    result = run("train", "mlp", "--data", "digits", "--out", str(out), "--epochs", "3", "--hidden", "32", "--hidden", "16")
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(out)) == ["model.safetensors", "run.json"]
    lines = result.output.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["hidden"] == [32, 16]
    assert len(record["history"]) == 3
    assert f"held-out accuracy {100 * record['history'][-1]['accuracy']:.2f} %" in lines[3]

    from dnncore.cli.train import MlpConfig, accuracy, mlp

    model = mlp(MlpConfig(hidden=(32, 16)))
    model.load_state_dict(dnn.load(out / "model.safetensors"))
    assert accuracy(model, *dnn.data.load_digits(split="test")) == record["history"][-1]["accuracy"]


@needs_digits
def test_same_seed_same_files_for_any_number_of_threads(tmp_path):
    files = []
    for name, options in (("a", ["--threads", "1"]), ("b", ["--threads", "4"]), ("c", ["--seed", "1"])):
        result = run("train", "mlp", "--out", str(tmp_path / name), "--epochs", "2", *options)
        assert result.exit_code == 0, result.output
        files.append([(tmp_path / name / file).read_bytes() for file in ("model.safetensors", "run.json")])
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]


@needs_digits
def test_large_digits_train(tmp_path):
    result = run("train", "mlp", "--size", "32", "--out", str(tmp_path), "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert dnn.load(tmp_path / "model.safetensors")["1.weight"].shape == (256, 1024)


@needs_digits
def test_default_settings_reach_their_accuracy(tmp_path):
    scores = []
    for seed in range(5):
        assert run("train", "mlp", "--data", "digits", "--out", str(tmp_path), "--seed", str(seed)).exit_code == 0
        scores.append(json.loads((tmp_path / "run.json").read_text())["history"][-1]["accuracy"])
    assert sum(scores) / 5 >= 0.96, scores


@needs_digits
def test_terminal_gets_a_bar(tmp_path):
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    arguments = ["train", "mlp", "--out", str(tmp_path), "--epochs", "2"]
    done = subprocess.run([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=follower, text=True, check=True)
    bar = os.read(leader, 1 << 16).decode()
    os.close(follower)
    os.close(leader)
    assert "2/2" in bar
    assert "accuracy=" in bar
    assert done.stdout.splitlines()[0].startswith("held-out accuracy")


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
    "options", [["--epochs", "0"], ["--lr", "0"], ["--momentum", "1"], ["--size", "28"], ["--data", "cats"], []]
)
def test_wrong_options_are_usage_errors(options, tmp_path):
    out = ["--out", str(tmp_path)] if options else []
    assert run("train", "mlp", *out, *options).exit_code == 2
