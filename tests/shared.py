"""Where the reference vectors, real models and real images lie.

What real Caffe computed is copied into ``tests/reference``; models and images are large and lie beside the checkout in
``../shared`` (or where ``CAFFE_PORT_SHARED`` says). Tests that need them skip, saying so, where they are absent.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CAFFE_PORT_SHARED", ROOT.parent / "shared"))
ORACLE = ROOT / "tests" / "reference" / "oracle"
MODELS = SHARED / "models"
IMAGES = SHARED / "images"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip the test where ``path`` is absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path} is not here")


def tool(name: str) -> ModuleType:
    """The script ``tools/<name>.py`` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
