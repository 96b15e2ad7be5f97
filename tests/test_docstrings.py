"""Every public class and function of the Python layer has a docstring whose example runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import dnncore
import pytest
from dnncore import _core

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(dnncore.__path__, "dnncore.")
    if not info.name.startswith(("dnncore.cli", "dnncore._core"))
)
PUBLIC = ["dnncore.autograd", "dnncore.nn", "dnncore.optim", "dnncore.data", "dnncore.data.augment", "dnncore.metrics"]
PUBLIC += ["dnncore.models"]
PUBLIC += ["dnncore.nn.functional", "dnncore.nn.init", "dnncore.nn.utils"]
PUBLIC += ["dnncore.nn._functional_activation", "dnncore.nn._functional_dropout"]
PUBLIC += ["dnncore.nn.utils.parametrize", "dnncore.nn.utils.parametrizations"]
PUBLIC += ["dnncore.optim.lr_scheduler", "dnncore.model", "dnncore.callbacks"]
PUBLIC += ["dnncore.model.archive", "dnncore.model.diagnostics", "dnncore.model.summary"]
WITHOUT_EXAMPLE = {"Optimizer"}  # abstract: its subclasses show it


def doctests_in(name: str) -> list[doctest.DocTest]:
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module, name) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    if name == "dnncore.data.digits":
        pytest.importorskip("sklearn", reason="scikit-learn (extra course) holds the digits")
    if name == "dnncore.data.image_folder":
        pytest.importorskip("PIL", reason="Pillow (extra data) reads images")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for test in doctests_in(name):
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_number_of_examples():
    assert sum(len(doctests_in(name)) for name in MODULES) >= 37


def public_objects() -> list[tuple[str, object]]:
    own = [
        (f"dnncore.{name}", getattr(dnncore, name))
        for name in ("no_grad", "enable_grad", "inference_mode", "set_grad_enabled", "allow_winograd", "save", "load")
    ]
    for path in PUBLIC:
        module = importlib.import_module(path)
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == path and name[0] != "_"
        ]
        own += [(f"{path}.{name}", getattr(module, name)) for name in names]
    return [(name, value) for name, value in own if not inspect.ismodule(value)]


def test_native_names_have_a_docstring():
    owners = [dnncore, dnncore.Tensor, dnncore.Generator, dnncore.dtype, dnncore.device, dnncore.Node]
    values = [(owner, name, getattr(owner, name)) for owner in owners for name in dir(owner) if name[0] != "_"]
    without = [f"{owner.__name__}.{name}" for owner, name, value in values if not inspect.getdoc(value)]
    assert len(values) > 500
    assert not without


@pytest.mark.parametrize("name", [*_core.unary_names(), "mul", "maximum", "eq"])
def test_elementwise_functions_have_a_signature(name):
    operands = "input" if name in _core.unary_names() else "input, other"
    others = "" if name in _core.unary_names() else ", other"
    assert str(inspect.signature(getattr(dnncore, name))) == f"({operands}, /)"
    assert str(inspect.signature(getattr(dnncore.Tensor, name))) == f"(self{others}, /)"
    assert "--" not in inspect.getdoc(getattr(dnncore, name))


@pytest.mark.parametrize(("name", "value"), public_objects(), ids=lambda v: v if isinstance(v, str) else "")
def test_public_docstring(name, value):
    text = inspect.getdoc(value) or ""
    assert text.splitlines()[0].endswith((".", ":")) or "``" in text.splitlines()[0]
    if name.rpartition(".")[2] not in WITHOUT_EXAMPLE:
        assert ">>>" in text, f"{name}: no example"
    if inspect.isclass(value):
        for method, body in vars(value).items():
            if inspect.isfunction(body) and not method.startswith("_"):
                assert inspect.getdoc(getattr(value, method)), f"{name}.{method}: no docstring"
