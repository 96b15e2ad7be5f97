"""The package as a guest: small, quick to import, silent, typed; README's example runs."""

from __future__ import annotations

import ast
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import dnncore as dnn
import numpy as np
import pytest

NUMBER = re.compile(r"\d+\.\d+")  # with a fraction; whole ones are compared as they stand
PACKAGE = Path(dnn.__file__).parent
README = Path(__file__).parents[1] / "README.md"
OWN = {
    "History",
    "Model",
    "__version__",
    "allow_winograd",
    "autograd",
    "callbacks",
    "capture",
    "check_gradients",
    "cuda",
    "data",
    "metrics",
    "models",
    "nn",
    "optim",
    "enable_grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
    "load",
    "save",
}

INTERNAL = {
    "OptimizerUpdate",
    "kernel_names",
    "unary_names",
    "binary_names",
    "activation_names",
    "reduce_names",
}  # optim, tests and benches use them


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)


def test_import_loads_nothing():
    loaded = fresh(
        "import dnncore, sys; print([m for m in sys.modules if m in ('numpy', 'dnncore._core', 'safetensors')])"
    ).stdout
    assert loaded == "[]\n"


def test_import_costs_a_fraction_of_numpys():
    """The budget of 50 ms, in processor time beside NumPy's own import, 85 ms on that machine: a slow or busy one slows both."""
    code = (
        "import time; start = time.process_time(); import numpy; middle = time.process_time(); import dnncore; "
        "dnncore.zeros(1), dnncore.nn, dnncore.optim; print(middle - start, time.process_time() - middle)"
    )
    theirs, ours = zip(*(map(float, fresh(code).stdout.split()) for _ in range(5)), strict=True)
    assert min(ours) < 0.6 * min(theirs)


def test_import_and_use_are_silent_and_change_nothing():
    code = """
import locale, os, random, signal, sys, threading
import numpy as np
def state():
    return (dict(os.environ), [signal.getsignal(s) for s in signal.valid_signals()], locale.setlocale(locale.LC_ALL),
            random.getstate(), str(np.random.get_state()), np.geterr(), np.float64(5e-324) / 1, sys.getswitchinterval(),
            threading.active_count(), sys.excepthook, os.getcwd())
before = state()
import dnncore as dnn
x = dnn.rand(300, 300, requires_grad=True)
model = dnn.nn.Sequential(dnn.nn.Linear(300, 300), dnn.nn.ReLU())
optimizer = dnn.optim.SGD(model.parameters(), lr=0.1)
model(x).sum().backward()
optimizer.step()
assert state() == before
"""
    done = fresh(code)
    assert (done.stdout, done.stderr) == ("", "")


def test_public_names_are_complete_and_resolve():
    native = {name for name in dir(dnn._core) if not name.startswith("_")}
    assert set(dnn.__all__) - OWN == native - INTERNAL
    assert dir(dnn) == sorted(dnn.__all__)
    for name in dnn.__all__:
        assert getattr(dnn, name) is not None
    for module in (dnn.autograd, dnn.nn, dnn.optim, dnn.data, dnn.metrics, dnn.callbacks, dnn.nn.functional, dnn.nn.init):
        assert all(hasattr(module, name) for name in getattr(module, "__all__", []))
    with pytest.raises(AttributeError, match="module 'dnncore' has no attribute 'nonsense'"):
        dnn.nonsense  # noqa: B018
    namespace: dict[str, object] = {}
    exec("from dnncore import *", namespace)
    assert set(dnn.__all__) <= set(namespace)


def test_stubs_are_shipped_and_complete():
    assert (PACKAGE / "py.typed").exists()
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    native = {name for name in dir(dnn._core) if not name.startswith("_")}
    assert native <= names, sorted(native - names)


def test_installed_package_is_small():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in PACKAGE.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(PACKAGE))
    assert len(buffer.getvalue()) <= 5 * 1024 * 1024


def test_installed_metadata():
    try:
        distribution = importlib.metadata.distribution("dnncore")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("dnncore runs from its source folder, not installed")
    assert distribution.version == dnn.__version__
    requirements = {re.split(r"[<>=\[; ]", line)[0] for line in distribution.requires or [] if "extra ==" not in line}
    assert requirements == {"numpy", "safetensors", "tqdm", "click"}
    files = {str(file) for file in distribution.files or []}
    assert {"dnncore/py.typed", "dnncore/_core.pyi", "dnncore/nn/module.py"} <= files
    assert not any(name.startswith(("csrc/", "tests/")) for name in files)


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_readme_examples_run(capsys, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks()
    assert len(blocks) == 2
    for block in blocks:
        dnn.manual_seed(0)
        exec(compile(block, "README.md", "exec"), {})
        assert float(re.search(r"0\.\d+", capsys.readouterr().out)[0]) >= 0.95


@pytest.mark.parametrize("page", sorted(page.name for page in (README.parent / "docs").glob("*.md")))
def test_pages_run(page, tmp_path, monkeypatch, capsys):
    text = (README.parent / "docs" / page).read_text()
    if "load_digits" in text or "sklearn" in text:
        pytest.importorskip("sklearn", reason="the page uses scikit-learn (extra course)")
    monkeypatch.chdir(tmp_path)
    threads = dnn.get_num_threads()
    namespace: dict[str, object] = {"__name__": page}
    try:
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, page, "exec"), namespace)
    finally:
        dnn.set_num_threads(threads)
    shown = " ".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).split()
    printed = capsys.readouterr().out.split()
    assert [NUMBER.sub("0", word) for word in printed] == [NUMBER.sub("0", word) for word in shown]
    # Rates of right answers, in parts or percent: another instruction set rounds otherwise and may err on another image.
    values = [[float(number) for word in words for number in NUMBER.findall(word)] for words in (printed, shown)]
    np.testing.assert_allclose(*values, atol=0.03, rtol=0.02)


def test_extras_that_messages_name_exist():
    named = set()
    for path in (README.parent / "python").rglob("*.py"):
        named |= set(re.findall(r'require\("[\w.]+", "(\w+)"', path.read_text()))
    text = (README.parent / "pyproject.toml").read_text()
    extras = re.findall(r"^(\w+) = \[", text.partition("[project.optional-dependencies]")[2].partition("\n[")[0], re.MULTILINE)
    assert named
    assert named <= set(extras)


def test_readme_has_the_two_commands():
    commands = [line for line in README.read_text().splitlines() if line.startswith("pip install ")]
    assert len(commands) == 2
    assert "dnncore train mlp --data digits --out" in commands[0]
    assert commands[1].endswith("&& pytest -n 2")
