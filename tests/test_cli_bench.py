"""``dnncore bench``: every family runs, wrong results are refused, figures are reported as measured. Nothing depends on speed."""

from __future__ import annotations

import importlib
import inspect
import json
import signal
import subprocess
import sys
from importlib.util import find_spec

import dnncore as dnn
import numpy as np
import pytest
from click.testing import CliRunner
from dnncore.cli import _FAMILIES, _bench_numpy, _bench_numpy_recurrent, _bench_rows, _bench_timing, main

bench = importlib.import_module("dnncore.cli.bench")  # the name in the package is the module's or the command's
COMMAND = [sys.executable, "-c", "from dnncore.cli import main; main()", "bench"]
GB_COLUMNS = ["row", "threads", "dnncore us", "spread", "GB/s", "NumPy us", "torch us", "x NumPy", "x torch", "x copy"]


def run(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.fixture
def hasty(monkeypatch):
    """One round of one call."""
    monkeypatch.setattr(bench, "QUICK", _bench_timing.Budget(1, 0.0, 0.0))


@pytest.fixture
def nothing_timed(monkeypatch):
    def refuse(*_):
        raise AssertionError("timed")

    monkeypatch.setattr(bench, "compare", refuse)


def measured(name="a row", ours=2e-6, numpy=4e-6, rate=10.0, unit="GB/s", copy=20.0):
    contenders = {"dnncore": ours, "NumPy": numpy}
    return {
        "row": name,
        "threads": 1,
        "unit": unit,
        "rate": rate,
        "copy_rate": copy,
        "contenders": {who: {"median_s": time, "spread": 0.25, "rounds_s": [time]} for who, time in contenders.items()},
    }


@pytest.mark.parametrize("family", _FAMILIES)
def test_every_family_runs(family, hasty, tmp_path):
    file = tmp_path / "figures.json"
    result = run(family, "--quick", "--threads", 1, "--json", file)
    assert result.exit_code == 0, result.output
    content = json.loads(file.read_text())
    assert content["complete"]
    assert content["environment"]["libraries"]["dnncore"].startswith(dnn.__version__)
    printed = result.output.partition(f"\n{family}: {_FAMILIES[family]}\n")[2].splitlines()
    assert len(printed) == 1 + len(content["rows"]) > 4
    allowed = {"dnncore", "NumPy", "torch"} if find_spec("torch") else {"dnncore", "NumPy"}
    for line, row in zip(printed[1:], content["rows"], strict=True):
        assert line.startswith(row["row"] + " ")
        assert (row["family"], row["threads"]) == (family, 1)
        assert {"dnncore"} <= set(row["contenders"]) <= allowed
        for timing in row["contenders"].values():
            assert len(timing["rounds_s"]) == 1
            assert timing["median_s"] > 0
            assert timing["spread"] == 0
        assert (row["copy_rate"] is not None) == (row["unit"] == "GB/s")
    assert any("NumPy" in row["contenders"] for row in content["rows"])


def test_families_and_rows_are_one_list():
    written = [name for name, value in vars(_bench_rows).items() if inspect.isfunction(value) and name[0] != "_"]
    own = [name for name in written if getattr(_bench_rows, name).__module__ == _bench_rows.__name__]
    assert own == [*_FAMILIES]
    for family in _FAMILIES:
        names = [row.name for row in getattr(_bench_rows, family)()]
        assert len(set(names)) == len(names)
        assert max(map(len, names)) <= 35  # the width of the column


def test_all_is_every_family_in_order(monkeypatch):
    monkeypatch.setattr(bench, "measure", lambda row, *_: measured(row.name, unit=row.unit))
    output = run("all", "--quick", "--threads", 1).output
    titles = [line for line in output.splitlines() if line in {f"{name}: {title}" for name, title in _FAMILIES.items()}]
    assert titles == [f"{name}: {title}" for name, title in _FAMILIES.items()]


def test_quick_leaves_out_large_rows():
    def sizes(quick):
        return [row.work for row in bench._chosen("gemm", "", quick)]

    assert max(sizes(False)) == 2 * 2048**3
    assert max(sizes(True)) <= 1e9
    assert len(sizes(True)) >= 5


def test_figures_of_a_row(capsys):
    table = bench.Table("title", "GB/s")
    table.add(measured(ours=2e-6, numpy=5e-6, rate=10.0, copy=20.0))
    title, header, line = capsys.readouterr().out.splitlines()[1:]
    assert title == "title"
    assert [part.strip() for part in header.split("  ") if part.strip()] == GB_COLUMNS
    assert line.split()[2:] == ["1", "2.000", "0.25", "10.0", "5.000", "-", "2.50", "-", "0.50"]
    assert len(line) == len(header)


@pytest.mark.parametrize(("limit", "said"), [(0.3, False), (0.2, True)])
def test_a_busy_machine_is_said(limit, said, monkeypatch):
    monkeypatch.setattr(bench, "_UNREST", limit)
    monkeypatch.setattr(bench, "measure", lambda row, *_: measured(row.name, unit=row.unit, copy=None))
    output = run("gemm", "--quick", "--threads", 1, "--filter", "64x").output
    assert output.endswith("\n2 of 2 rows spread over more than 0.2: something else was using the machine\n") == said


@pytest.mark.parametrize(("unit", "absent"), [("GF/s", {"GB/s", "x copy"}), ("", {"GB/s", "GF/s", "x copy"})])
def test_columns_without_meaning_are_left_out(unit, absent, capsys):
    bench.Table("title", unit).add(measured(unit=unit, copy=None))
    header, line = capsys.readouterr().out.splitlines()[2:]
    assert not any(name in header for name in absent)
    assert len(line) == len(header)


def test_contenders_take_turns():
    calls = []
    timings = _bench_timing.compare({who: (lambda who=who: calls.append(who)) for who in "ab"}, _bench_timing.Budget(3, 0.0, 0.0))
    assert "".join(calls) == "ab" + 3 * "aabb"  # calibrated; then each round an untimed call and a timed one
    for timing in timings.values():
        assert timing.median_s == sorted(timing.rounds_s)[1]
        assert timing.spread == pytest.approx((max(timing.rounds_s) - min(timing.rounds_s)) / timing.median_s)


def test_rounds_last_as_long_as_wanted(monkeypatch):
    monkeypatch.setattr(_bench_timing, "_timed", lambda _, count: 1e-3 * count)
    assert _bench_timing._calls_for(lambda: None, 0.2) == 200
    assert _bench_timing._calls_for(lambda: None, 1e-6) == 1


class Still:
    """An optimizer that computes nothing."""

    def __init__(self, *_, **__):
        pass

    def step(self, gradients):
        pass


def spoiled(result):
    return lambda *arguments: result(np.array(arguments[0]))


@pytest.mark.parametrize(
    ("family", "text", "name", "bug"),
    [
        ("activation", "relu 64 K", "relu", spoiled(lambda x: np.maximum(x, 1e-4))),
        ("activation", "silu 64 K", "silu", spoiled(lambda x: np.full_like(x, np.nan))),
        ("softmax", "softmax 128x10", "softmax", spoiled(lambda x: x[:1])),
        ("loss", "mse 128", "mse_loss", lambda x, target: (0, (x - target) / x.size)),
        ("optim", "SGD 0.1", "SGD", Still),
        ("optim", "Adam 0.1", "Adam", Still),
        ("train", "64-32-10, 32, captured", "Adam", Still),
    ],
)
def test_wrong_results_are_refused(family, text, name, bug, monkeypatch, nothing_timed, tmp_path):
    monkeypatch.setattr(_bench_numpy, name, bug)
    file = tmp_path / "figures.json"
    result = run(family, "--filter", text, "--threads", 1, "--no-torch", "--quick", "--json", file)
    assert result.exit_code == 1, result.output
    assert f"Error: bench: {text}" in result.output
    assert "dnncore and NumPy differ by " in result.output
    content = json.loads(file.read_text())
    assert (content["complete"], content["rows"]) == (False, [])


@pytest.mark.parametrize(("direction", "name"), [("forward", "lstm"), ("fwd+bwd", "lstm_with_gradients")])
def test_a_wrong_recurrence_is_refused(direction, name, monkeypatch, nothing_timed):
    right = getattr(_bench_numpy_recurrent, name)
    monkeypatch.setattr(_bench_numpy_recurrent, name, lambda x, *rest: right(np.flip(x, 0), *rest))
    result = run("lstm", "--filter", f"LSTM 128 32x50 {direction}", "--threads", 1, "--no-torch", "--quick")
    assert result.exit_code == 1, result.output
    assert "dnncore and NumPy differ by " in result.output


def test_a_wrong_dnncore_is_refused(monkeypatch, nothing_timed):
    monkeypatch.setattr(dnn, "add", dnn.sub)
    assert "add 64 K: dnncore and NumPy differ by " in run("elementwise", "--quick", "--no-torch", "--filter", "add 64").output


def test_torch_is_left_out_when_unwanted_or_missing(hasty, tmp_path, monkeypatch):
    file = tmp_path / "figures.json"
    for options in (["--no-torch"], []):
        assert run("overhead", "--quick", "--threads", 1, "--json", file, *options).exit_code == 0
        content = json.loads(file.read_text())
        assert set(content["environment"]["libraries"]) == {"dnncore", "NumPy"}
        assert all(set(row["contenders"]) <= {"dnncore", "NumPy"} for row in content["rows"])
        monkeypatch.setitem(sys.modules, "torch", None)


def test_threads_are_given_to_all_and_given_back(monkeypatch):
    seen = []

    def look(row, count, torch, *_):
        pools = importlib.import_module("threadpoolctl").threadpool_info() if find_spec("threadpoolctl") else []
        blas = [pool["num_threads"] for pool in pools if pool["user_api"] == "blas" and "openblas" in pool["internal_api"]]
        seen.append((count, dnn.get_num_threads(), torch and torch.get_num_threads(), *set(blas)))
        return measured(row.name, unit=row.unit, copy=None)

    monkeypatch.setattr(bench, "measure", look)
    before = dnn.get_num_threads()
    assert run("gemm", "--filter", "64x64x64", "--threads", 3, "--threads", 1, "--threads", 3).exit_code == 0
    assert [entry[0] for entry in seen] == [3, 1]
    assert all(value in (None, entry[0]) for entry in seen for value in entry[:3])
    assert seen[1][3:] in ((), (1,))
    assert dnn.get_num_threads() == before
    seen.clear()
    assert run("gemm", "--filter", "64x64x64").exit_code == 0
    assert [entry[0] for entry in seen] == [*dict.fromkeys((1, dnn.cpu_info()["allowed_cores"]))]


def test_missing_threadpoolctl_is_said(hasty, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    result = run("gemm", "--quick", "--no-torch", "--threads", 1, "--filter", "64x64x64")
    assert result.exit_code == 0
    assert "pip install threadpoolctl" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cats"], [*_FAMILIES, "all"]),
        ([], ["FAMILY"]),
        (["gemm", "--threads", "0"], ["--threads"]),
        (["gemm", "--filter", "cats"], ["no row of gemm contains 'cats'"]),
    ],
)
def test_wrong_usage(arguments, said, nothing_timed):
    result = run(*arguments)
    assert result.exit_code == 2
    assert all(text in result.output for text in said)


def test_help_names_the_families_and_loads_nothing():
    code = "import sys; from dnncore.cli import main; main(['bench', '--help'], standalone_mode=False)"
    check = f"{code}; print([m for m in ('numpy', 'dnncore._core', 'torch', 'statistics') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    assert all(f"    {name:<12} {title}\n" in done.stdout for name, title in _FAMILIES.items())


def test_unwritable_file_is_refused_before_timing(tmp_path, nothing_timed):
    for file, reason in ((tmp_path, "it is a folder"), (tmp_path / "no" / "x.json", "No such file"), ("/proc/x.json", "")):
        result = run("gemm", "--quick", "--json", file)
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: cannot write the file {file}: ")
        assert reason in result.output
    assert not [*tmp_path.iterdir()]


def test_a_file_that_is_there_stays_until_the_end(tmp_path, monkeypatch):
    file = tmp_path / "figures.json"
    file.write_text("old")

    def look(row, *_):
        assert file.read_text() == "old"
        assert [*tmp_path.iterdir()] == [file]
        return measured(row.name, unit=row.unit, copy=None)

    monkeypatch.setattr(bench, "measure", look)
    assert run("gemm", "--quick", "--json", file).exit_code == 0
    assert json.loads(file.read_text())["complete"]


def test_full_disk_at_the_end_is_said(tmp_path, monkeypatch):
    def full(path, chunks):
        if [*chunks]:
            raise OSError(28, "No space left on device")
        path.touch()

    monkeypatch.setattr(bench, "measure", lambda row, *_: measured(row.name, unit=row.unit, copy=None))
    monkeypatch.setattr(bench, "write_atomically", full)
    result = run("gemm", "--quick", "--json", tmp_path / "figures.json")
    assert result.exit_code == 1
    assert "No space left on device" in result.output


def test_interrupt_keeps_what_was_measured(tmp_path, monkeypatch):
    def interrupted(row, *_):
        if row.name.startswith("256"):
            raise KeyboardInterrupt
        return measured(row.name, unit=row.unit, copy=None)

    monkeypatch.setattr(bench, "measure", interrupted)
    file = tmp_path / "figures.json"
    result = run("gemm", "--quick", "--json", file)
    assert result.exit_code == 130
    assert result.stdout.splitlines()[-1].startswith("64x64x64")
    content = json.loads(file.read_text())
    assert not content["complete"]
    assert [row["row"] for row in content["rows"]] == ["64x64x64 nn"]


def test_interrupt_by_signal():
    command = [*COMMAND, "overhead", "--quick", "--threads", "1", "--no-torch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("add "):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors == "Aborted!\n"
