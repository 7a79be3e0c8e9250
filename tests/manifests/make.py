"""Manifests for tests."""

from __future__ import annotations

from pathlib import Path

#: All keys that a manifest must have.
LEAST = """
title = "A tiny set"
application = "frames"
access = "by hand"
licence = "CC0 1.0"
contents = "Two frames."
citation = "Nobody."
sources = ["a test"]
steps = "Visit the page."
labels = { format = "None." }
"""


def manifest_file(folder: Path, text: str = "", least: str = LEAST, name: str = "tiny") -> Path:
    """A manifest ``NAME.toml`` in ``folder``, of ``least`` and then ``text``."""
    path = folder / f"{name}.toml"
    path.write_text(f'name = "tiny"{least}{text}', encoding="utf-8")
    return path
