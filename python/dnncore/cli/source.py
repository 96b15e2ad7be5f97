"""Where the command line's data comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from dnncore.cli.images import ImageSource
from dnncore.cli.tables import TableSource

Source: TypeAlias = ImageSource | TableSource


def from_notes(notes: Mapping[str, Any]) -> Source:
    """Return the source that `to_notes` described."""
    return TableSource.from_notes(notes) if notes["kind"] == "table" else ImageSource.from_notes(notes)
