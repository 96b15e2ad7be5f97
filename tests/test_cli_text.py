"""The command line trains a language model of characters, judges it, and lets it write again."""

from __future__ import annotations

import json
import math

import dnncore as dnn
import numpy as np
import pytest
from click.testing import CliRunner
from dnncore import data
from dnncore.cli import main

TEXT = "she sells sea shells by the sea shore.\nthe shells she sells are sea shells, i am sure.\n" * 40
SMALL = ("--hidden", 32, "--embedding", 8, "--length", 20, "--epochs", 6, "--lr", 0.02)


def run(*args):
    return CliRunner().invoke(main, [str(each) for each in args])


def trained(file, out, *options):
    result = run("train", "char-lstm", "--data", f"text:{file}", "--out", out, *SMALL, *options)
    assert result.exit_code == 0, result.output
    return json.loads((out / "run.json").read_text()), result


@pytest.fixture(scope="module")
def shells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    file = folder / "shells.txt"
    file.write_text(TEXT)
    record, result = trained(file, folder / "model", "--sample", 30)
    return folder / "model", file, record, result


def test_a_text_is_learnt(shells):
    out, _, record, result = shells
    assert record["model"] == "char-lstm"
    assert record["classes"] == sorted(set(TEXT))
    found = record["held_out"]
    assert found["bits_per_character"] == pytest.approx(found["loss"] / math.log(2))
    assert found["bits_per_character"] < 0.5 * found["bits_by_frequency"]
    # Of the held-out characters that are predicted, under the frequencies of the training part with one more of each.
    train, test = data.split_text(TEXT)
    train, _ = data.split_text(train)
    vocabulary = data.Characters(TEXT)
    counts = np.bincount(vocabulary.encode(train).numpy(), minlength=len(vocabulary)) + 1
    _, y = data.text_chunks(vocabulary.encode(test), 20)
    assert found["bits_by_frequency"] == pytest.approx(-np.log2(counts / counts.sum())[y.numpy()].mean())
    assert found["count"] == len(y)
    last = result.stdout.splitlines()
    assert last[0].startswith("held-out accuracy ")
    assert f"({len(y)} sequences of 20 characters)" in last[0]
    written = result.stdout.partition("curve.png\n")[2]
    assert (written[0], len(written)) == ("\n", 1 + 30 + 1)
    assert set(written) <= set(TEXT)
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert type(dnn.Model.load(out).module) is dnn.models.LanguageModel


def test_a_saved_model_writes_again(shells):
    out, *_, result = shells
    again = run("sample", out, "--length", 30)
    assert again.exit_code == 0, again.output
    assert result.stdout.endswith(again.stdout)  # the same seed and temperature
    likeliest = run("sample", out, "--prime", "she sells sea ", "--length", 20, "--temperature", 0).stdout
    assert likeliest == run("sample", out, "--prime", "she sells sea ", "--length", 20, "--top-k", 1, "--seed", 9).stdout
    assert likeliest.startswith("she sells sea sh")
    texts = {run("sample", out, "--temperature", 2, "--seed", seed).stdout for seed in range(3)}
    assert len(texts) == 3
    assert {len(text) for text in texts} == {502}
    assert run("sample", out, "--length", 0, "--prime", "sea").stdout == "sea\n"


def test_evaluate_reads_the_held_out_part_and_other_texts(shells, tmp_path):
    out, _, record, _ = shells
    found = json.loads(run("evaluate", out, "--json").stdout)
    assert {key: found[key] for key in record["held_out"]} == record["held_out"]
    other = tmp_path / "other.txt"
    other.write_text("by the sea she sells sea shells.\n" * 10)
    told = run("evaluate", out, "--data", f"text:{other}")
    assert told.stdout.startswith(f"text:{other}: accuracy ")
    other.write_text("ZZZ" * 20)
    assert (
        "Error: Characters.encode: 'Z' at position 0 is not in the vocabulary"
        in run("evaluate", out, "--data", f"text:{other}").output
    )
    result = run("evaluate", out, "--data", "digits")
    assert result.exit_code == 1
    assert "expected --data text:FILE, got digits" in result.output


def test_a_text_that_changed_has_no_held_out_part(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    trained(file, tmp_path / "model", "--epochs", 1, "--sample", 0)
    file.write_text(TEXT + "more")
    result = run("evaluate", tmp_path / "model")
    assert result.exit_code == 1
    assert "has changed since the training" in result.output


def test_same_seed_same_text_for_any_number_of_threads(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    options = ("--epochs", 1, "--layers", 2, "--dropout", 0.2)
    _, first = trained(file, tmp_path / "a", *options, "--threads", 1)
    _, second = trained(file, tmp_path / "b", *options, "--threads", 3)
    assert first.stdout.partition("curve.png\n")[2] == second.stdout.partition("curve.png\n")[2]
    (one,), (other,) = ((tmp_path / name).glob("model-*.safetensors") for name in "ab")
    assert one.name == other.name
    _, third = trained(file, tmp_path / "c", *options, "--seed", 1)
    assert third.stdout.partition("curve.png\n")[2] != first.stdout.partition("curve.png\n")[2]


def test_encodings_and_no_validation(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(TEXT.replace("e", "é").encode("latin-1"))
    refused = run("train", "char-lstm", "--data", f"text:{file}", "--out", tmp_path / "none")
    assert refused.exit_code == 1
    assert "is not in utf-8" in refused.output
    options = ("--encoding", "latin-1", "--validation", 0, "--optimizer", "sgd", "--epochs", 1)
    record, _ = trained(file, tmp_path / "model", *options)
    assert "é" in record["classes"]
    assert "val_loss" not in record["history"]
    assert "é" in run("sample", tmp_path / "model", "--length", 300, "--temperature", 1).stdout


def test_what_does_not_fit_is_refused(shells, tmp_path):
    out, file, *_ = shells
    short = tmp_path / "short.txt"
    short.write_text("abc" * 50)
    same = tmp_path / "same.txt"
    same.write_text("a" * 9000)
    base64 = ("--encoding", "base64", "--out", tmp_path / "x")
    cases = [
        (
            ("train", "char-lstm", "--data", f"text:{same}", "--out", tmp_path / "x"),
            1,
            "at least two different characters, got 'a'",
        ),
        (("train", "char-lstm", "--data", f"text:{file}", *base64), 1, "'base64' is no encoding of text"),
        (("train", "char-lstm", "--data", f"text:{short}", "--out", tmp_path / "x"), 1, "expected at least 6501 characters"),
        (("train", "char-lstm", "--data", f"text:{tmp_path}/none", "--out", tmp_path / "x"), 1, "No such file"),
        (("train", "char-lstm", "--data", "digits", "--out", tmp_path / "x"), 2, "expected text:FILE, got 'digits'"),
        (("train", "char-lstm", "--out", tmp_path / "x"), 2, "--data"),
        (("train", "mlp", "--data", f"text:{file}", "--out", tmp_path / "x"), 2, "expected digits, csv:FILE"),
        (("sample", out, "--prime", "Q"), 1, "'Q' at position 0 is not in the vocabulary"),
        (("sample", out, "--prime", ""), 1, "expected a prime of at least one character"),
        (("sample", out, "--temperature", -1), 2, "--temperature"),
        (("predict", out, file), 1, "this model writes text"),
    ]
    for arguments, status, said in cases:
        result = run(*arguments)
        assert result.exit_code == status, result.output
        assert said in result.output


def test_only_language_models_write(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    assert (
        run(
            "train", "mlp", "--data", f"csv:{table}", "--task", "classification", "--out", tmp_path / "m", "--epochs", 1
        ).exit_code
        == 0
    )
    result = run("sample", tmp_path / "m")
    assert result.exit_code == 1
    assert "expected a model of `dnncore train char-lstm`" in result.output
