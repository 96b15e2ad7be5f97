"""Where the command line's data comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from dnncore.cli.images import ImageSource
from dnncore.cli.tables import TableSource
from dnncore.cli.text import TextSource

Source: TypeAlias = ImageSource | TableSource | TextSource


def from_notes(notes: Mapping[str, Any]) -> Source:
    """Return the source that `to_notes` described."""
    kinds: dict[str, type[Source]] = {"table": TableSource, "text": TextSource}
    return kinds.get(notes["kind"], ImageSource).from_notes(notes)
