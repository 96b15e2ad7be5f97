"""The documentation builds without a warning, describes every public name, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import os
import posixpath
import re
import subprocess
import sys
import zlib
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import dnncore as dnn
import pytest

for name in ("sphinx", "myst_parser", "furo"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} (extra docs) builds the documentation", allow_module_level=True)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # About twenty seconds. A process of its own: Sphinx changes what it imports, and has warnings about its own future.
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "html", str(ROOT / "docs"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def described(site):
    """Return the Python names of the site's inventory: four lines of text, then compressed lines ``name domain:role ...``."""
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    entries = [line.split() for line in zlib.decompress(packed).decode().splitlines()]
    return {name for name, role, *_ in entries if role.startswith("py:")}


def resolve(path: str) -> object:
    """Return what a dotted path leads to; AttributeError where it ends."""
    value: object = dnn
    for part in path.split(".")[1:]:
        value = getattr(value, part)
    return value


def public_names(module: ModuleType) -> set[str]:
    """Return the dotted public names of a module and of the modules it names as public."""
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if is_own_function(module, name, value)
    ]
    found = set()
    for name in names:
        value = getattr(module, name)
        found.add(f"{module.__name__}.{name}")
        if inspect.ismodule(value):
            found |= public_names(value)
    return found


def is_own_function(module: ModuleType, name: str, value: object) -> bool:
    package = module.__name__.rpartition(".")[0]
    return inspect.isfunction(value) and name[0] != "_" and value.__module__.startswith(f"{package}.")


def test_every_public_name_is_described(described):
    expected = public_names(dnn)
    assert {"dnncore.add", "dnncore.nn.Linear", "dnncore.nn.functional.relu", "dnncore.optim.lr_scheduler.StepLR"} <= expected
    there = {id(resolve(name)) for name in described}  # one entry serves both names of a thing
    missing = sorted(name for name in expected - described if id(resolve(name)) not in there)
    assert not missing, f"add to the lists in docs/reference/: {missing}"


@pytest.mark.parametrize("owner", ["Tensor", "Generator", "dtype", "device", "Node", "nn.Module", "optim.Optimizer"])
def test_every_public_method_is_described(described, owner):
    value = dnn
    for part in owner.split("."):
        value = getattr(value, part)
    methods = {f"dnncore.{owner}.{name}" for name in dir(value) if name[0] != "_"}
    assert methods
    assert not methods - described, f"add to the lists in docs/reference/: {sorted(methods - described)}"


def test_nothing_is_described_that_is_not_there(described):
    assert len(described) > 900
    for name in described:
        resolve(name)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(str(values["id"]))
        link = values.get("href") if tag in ("a", "link") else values.get("src")
        if link:
            self.links.add(link)


def test_internal_links_resolve(site):
    pages = {file.relative_to(site).as_posix(): Page(file.read_text()) for file in site.rglob("*.html")}
    assert {"index.html", "install.html", "first-network.html", "benchmarks.html", "reference/nn.html"} <= set(pages)
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            lost = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids
            if not (site / target).is_file() or lost:
                broken.append(f"{name}: {link}")
    assert not broken


def test_pages_load_nothing_from_elsewhere(site):
    """A page is read without a network: no script, style or font comes from another host."""
    for file in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)\b[^>]*?(?:src|href)=\"(https?:)?//[^\"]*\"", file.read_text())
        assert not loaded, file.name


def test_native_signatures_are_those_of_the_stub(site):
    text = unescape(re.sub(r"<[^>]*>", "", (site / "reference" / "functions.html").read_text()))
    text = re.sub(r"\s+", " ", text)
    assert "dnncore.mm(input: Tensor, mat2: Tensor) → Tensor" in text
    assert "dnncore.where(condition: Tensor) → tuple[Tensor, ...]" in text  # the second overload
    assert not re.search(r"\b_(int|float|bool|DType|Operand|Size|Dims)\b", text)  # the stub's private names


def test_figures_come_from_the_readme(site):
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| float32 products"))
    assert row.split("|")[1].strip() in (site / "benchmarks.html").read_text()
