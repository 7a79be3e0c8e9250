"""``import caffe`` answered by :mod:`caffe_port.pycaffe`, for old scripts and layers written in Python."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from caffe_port.errors import CaffeError

_NAME, _TARGET = "caffe", "caffe_port.pycaffe"


class _Alias(MetaPathFinder, Loader):
    """Finds ``caffe`` and ``caffe.x``, and puts ``caffe_port.pycaffe`` and ``caffe_port.pycaffe.x`` in their place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        spec = importlib.util.find_spec(_target(fullname))
        if spec is None:
            return None
        return ModuleSpec(fullname, self, is_package=spec.submodule_search_locations is not None)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes from here what it hands out, so both names lead to one module.
        sys.modules[module.__name__] = importlib.import_module(_target(module.__name__))


def _target(name: str) -> str:
    """The module behind ``name``; Caffe's own two inner modules have their contents in the package."""
    return _TARGET if name in ("caffe.pycaffe", "caffe._caffe") else _TARGET + name[len(_NAME) :]


_ALIAS = _Alias()


def install_as_caffe() -> None:
    """Let ``import caffe`` in this process give :mod:`caffe_port.pycaffe`, whatever else is installed under that name.

    :raises CaffeError: another ``caffe`` has been imported already.
    """
    present = sys.modules.get(_NAME)
    if present is not None and present is not sys.modules.get(_TARGET):
        raise CaffeError(
            f"Another caffe is imported already: {getattr(present, '__file__', None) or present}.",
            remedy="Call caffe_port.install_as_caffe() before anything imports it.",
        )
    if _ALIAS not in sys.meta_path:
        sys.meta_path.insert(0, _ALIAS)
