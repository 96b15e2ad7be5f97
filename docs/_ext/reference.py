"""The reference: a directive that lists public names, and signatures of native ones, which Python cannot ask for, from the stub.

``.. names:: MODULE`` is followed by names of that module or of one of its classes, or by nothing for all of ``__all__``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dnncore
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

# Names of the stub as readers know them.
SHOWN = {
    "_bool": "bool",
    "_int": "int",
    "_float": "float",
    "_dtype": "dtype",
    "_device": "device",
    "_DType": "dtype | str",
    "_Device": "device | str | None",
    "_Number": "float",
    "_Operand": "Tensor | float | NDArray",
    "_Dims": "int | Sequence[int] | None",
    "_Size": "int | Sequence[int]",
    "_Nested": "Any",
    "_HookHandle": "HookHandle",
    "SupportsIndex": "int",
    "Self": "Tensor",
    "Extreme": "tuple[Tensor, Tensor]",
}


class _Shown(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(SHOWN.get(node.id, node.id), mode="eval").body


def _signature(node: ast.FunctionDef, method: bool) -> str:
    """Return ``(arguments) -> result`` as a reader wants it: without self, without ellipses."""
    arguments = node.args
    if method:
        first = arguments.posonlyargs or arguments.args
        del first[0]
    text = ast.unparse(arguments).removeprefix("/, ").replace("from_: ", "from: ")
    returns = ast.unparse(node.returns) if node.returns else "None"
    return f"({text})" if node.name == "__init__" else f"({text}) -> {returns}"


def _read_stub() -> dict[str, list[str]]:
    """Return the signatures (functions) or types (attributes) of all names of the native module, overloads in order."""
    text = (Path(dnncore.__file__).parent / "_core.pyi").read_text()
    found: dict[str, list[str]] = {}

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                walk(node.body, f"{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[prefix + node.target.id] = [ast.unparse(node.annotation)]
            elif isinstance(node, ast.FunctionDef):
                decorators = {decorator.id for decorator in node.decorator_list if isinstance(decorator, ast.Name)}
                is_property = "property" in decorators
                shown = ast.unparse(node.returns) if is_property and node.returns else _signature(node, bool(prefix))
                found.setdefault(prefix + node.name, []).append(shown)

    walk(_Shown().visit(ast.parse(text)).body, "")
    return found


STUB = _read_stub()


def _docstring(value: object) -> list[str]:
    lines = (inspect.getdoc(value) or "").splitlines()
    lines = [line for number, line in enumerate(lines) if not line or line not in lines[:number]]  # overloads repeat theirs
    return [re.sub(r"([|*])", r"\\\1", line) for line in lines]  # formulas, not markup


def _native(module: str, name: str, value: object) -> Iterator[str]:
    """Describe a function, method or attribute of the native module."""
    shown = STUB[name]
    if not shown[0].startswith("("):
        kind = "attribute" if "." in name else "data"
        yield from (f".. py:{kind}:: {name}", f"   :type: {shown[0]}")
    else:
        head = f".. py:{'method' if '.' in name else 'function'}:: "
        yield f"{head}{name}{shown[0]}"
        yield from (f"{' ' * len(head)}{name}{signature}" for signature in shown[1:])
    yield from (f"   :module: {module}", "")
    yield from (f"   {line}" for line in [*_docstring(value), ""])


def _native_class(module: str, name: str, value: type) -> Iterator[str]:
    (signature,) = STUB.get(f"{name}.__init__", [""])
    yield from (f".. py:class:: {name}{signature}", f"   :module: {module}", "")
    yield from (f"   {line}" for line in [*_docstring(value), ""])
    if name != "Tensor":  # which has a page of its own, in groups
        for member in [key for key in STUB if key.startswith(f"{name}.") and "._" not in key]:
            yield from (f"   {line}" for line in _native(module, member, getattr(value, member.partition(".")[2])))


def _described(module: str, name: str) -> list[str]:
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    if inspect.isfunction(value):
        return [f".. autofunction:: {module}.{name}", ""]
    if not inspect.isclass(value):
        return list(_native(module, name, value)) if name in STUB else [f".. autodata:: {module}.{name}", ""]
    if value in vars(dnncore._core).values():
        return list(_native_class(module, name, value))
    # Members of private bases are shown as the class's own, those of public ones are not repeated.
    bases = _public_bases(value)
    stop = ", ".join({ancestor.__name__: None for base in bases for ancestor in base.__mro__})
    shown = [] if bases == [object] else ["   :show-inheritance:"]
    return [f".. autoclass:: {module}.{name}", "   :members:", f"   :inherited-members: {stop}", *shown, ""]


class Names(SphinxDirective):
    """Full entries for the names of a module."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the entries, parsed."""
        module, *names = self.arguments[0].split()
        names = names or _public(importlib.import_module(module))
        lines = [line for name in names for line in _described(module, name)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=False)


def _public_bases(value: type) -> list[type]:
    """Return the nearest ancestors that users can name."""
    found: list[type] = []
    for base in value.__bases__:
        found += [base] if base in PATHS or base.__module__ == "builtins" else _public_bases(base)
    return list(dict.fromkeys(found))


def _public_classes(module: ModuleType) -> dict[type, str]:
    """Return the paths under which the classes of a module and of its public modules are imported, the longest of each."""
    paths: dict[type, str] = {}
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if inspect.ismodule(value):
            paths |= _public_classes(value)
        elif inspect.isclass(value):
            paths[value] = f"{module.__name__}.{name}"
    return paths


PATHS = _public_classes(dnncore)


def _show_public_bases(app: Sphinx, name: str, value: type, options: object, bases: list[Any]) -> None:
    shown = [base for base in _public_bases(value) if base is not object]
    bases[:] = [f":py:class:`~{PATHS[base]}`" if base in PATHS else f"``{base.__name__}``" for base in shown]


def _show_type_variables(
    app: Sphinx, what: str, name: str, value: object, options: object, arguments: str | None, result: str | None
):
    """Write Self for the type variable of a method's owner, Module for that of a function's module."""
    own = "Self" if what == "method" else "Module"
    shown = re.sub(r"~?\b([\w.]+\.)?M\b", "Module", arguments) if arguments else arguments
    return shown, re.sub(r"^~?([\w.]+\.)?[A-Z]$", own, result) if result else result


def _keep_initials(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Let a source that begins with an author's initial be a line, not item R of a list."""
    lines[:] = [re.sub(r"^([A-Z])\. ", r"\1\\. ", line) for line in lines]


def _forget_place(app: Sphinx, document: nodes.document) -> None:
    """Let annotations mean classes: `float` in Tensor is not its method, `bool` not dnncore.bool."""
    for node in [*document.findall(pending_xref)]:
        if node["refdomain"] == "py" and node["reftype"] == "class":
            node["py:module"] = node["py:class"] = None
            if node["reftarget"] == "bool":
                node.replace_self(nodes.Text("bool"))


def _public(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]


def _resolve_annotation(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Link a class of an annotation, named as its module sees it (Tensor, nn.module.Module), to the public class of that name.

    Classes of other projects, private ones and type variables are shown without a link.
    """
    if node["refdomain"] != "py" or node["reftype"] != "class":
        return None
    target = node["reftarget"]
    homes = [(name, entry) for name, entry in _classes(env) if name.rpartition(".")[2] == target.rpartition(".")[2]]
    if not homes or ("." in target and not target.startswith("dnncore.")):
        return content
    name, entry = max(homes, key=lambda home: target.startswith(home[0].rpartition(".")[0] + "."))  # the nearest of two
    uri = app.builder.get_relative_uri(node.get("refdoc", env.docname), entry.docname)
    return nodes.reference("", "", content, refuri=f"{uri}#{entry.node_id}", reftitle=name, internal=True)


def _classes(env: BuildEnvironment) -> list[tuple[str, Any]]:
    return [(name, entry) for name, entry in env.domains["py"].data["objects"].items() if entry.objtype in ("class", "exception")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the resolution of annotations."""
    app.add_directive("names", Names)
    app.connect("autodoc-process-bases", _show_public_bases)
    app.connect("autodoc-process-signature", _show_type_variables)
    app.connect("autodoc-process-docstring", _keep_initials, priority=400)  # before napoleon indents
    app.connect("doctree-read", _forget_place)
    app.connect("missing-reference", _resolve_annotation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
