"""Code compiled for one instruction set exports its table and nothing else.

An inline function compiled with wide flags is a weak symbol that the linker may hand to code running on an older processor.
Called with object files (``python test_symbols.py build/avx2.o ...``) it checks these; pytest checks the built module and the
objects in ``build/*``, where an installation from source leaves them, or in the folder named by ``DNNCORE_BUILD_DIR``.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ISAS = ("sse2", "avx2", "avx512", "avx512bf16", "neon")


def defined_symbols(path, *options):
    """Names of the global and weak symbols that `path` defines."""
    command = ["nm", "--defined-only", "--extern-only", "--format=posix", *options, str(path)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split()[0] for line in listing.splitlines() if line.strip()]


def surplus_of_object(path):
    """Symbols an ISA's merged object exports besides its table."""
    names = defined_symbols(path)
    table = f"dnncore_table_{Path(path).stem}"
    if table not in names:
        return [f"{table} (missing)"]
    return [name for name in names if name != table]


def surplus_of_module(path):
    """Dynamic symbols of a built module that come from code of one ISA."""
    inside = re.compile(rf"7dnncore({'|'.join(f'{len(isa)}{isa}' for isa in ISAS)})")
    return [name for name in defined_symbols(path, "--dynamic") if inside.search(name)]


def test_isa_objects_export_only_their_table():
    import pytest

    folder = os.environ.get("DNNCORE_BUILD_DIR")
    folders = [Path(folder)] if folder else list((Path(__file__).parent.parent / "build").glob("*"))
    objects = [path for isa in ISAS for folder in folders if (path := folder / f"{isa}.o").exists()]
    if not objects or shutil.which("nm") is None:
        pytest.skip("needs nm and a build folder: build/* or DNNCORE_BUILD_DIR")
    assert {path.name: surplus for path in objects if (surplus := surplus_of_object(path))} == {}


def test_module_exports_no_isa_code():
    import pytest

    core = pytest.importorskip("dnncore._core")
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    assert surplus_of_module(core.__file__) == []


def main(paths):
    """Exit status 1 and a line per object that exports more than its table."""
    found = {path: surplus for path in paths if (surplus := surplus_of_object(path))}
    for path, names in found.items():
        print(f"{path}: exports {', '.join(names[:20])}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
