"""Caffe on PyTorch: load, run, train, resume and convert Caffe models with Caffe's exact numbers.

``caffe_port.Net`` and ``caffe_port.Solver`` are imported when first used, so that ``caffe-port --help`` need not wait
for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caffe_port.alias import install_as_caffe
from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.version import __version__

if TYPE_CHECKING:
    from caffe_port.net import Net
    from caffe_port.solver import Solver

_ROOMS = {"Net": "caffe_port.net", "Solver": "caffe_port.solver"}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'caffe_port' has no attribute '{name}'")
    return getattr(importlib.import_module(_ROOMS[name]), name)


__all__ = ["CaffeError", "CaffeWarning", "Net", "Solver", "__version__", "install_as_caffe"]
