"""Prototxt text."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format


def parse_text(text: str | bytes, message_class: Any, *, file: str | None = None, unknown: str = "error") -> Any:
    """Parse prototxt ``text`` into a new ``message_class``."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return text_format.Parse(text, message_class())
