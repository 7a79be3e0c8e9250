"""The packages of the extra ``convert``."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from caffe_port.errors import FormatError


def extra(module: str, what: str, file: str | Path | None = None) -> ModuleType:
    """The ``module`` of an optional package.

    :param what: what needs it, in the plural: "ONNX files".
    :param file: the file that is to be read or written.
    :raises FormatError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise FormatError(
            f"{what} need the package {module.partition('.')[0]}, which is not installed.",
            file=file,
            remedy="Install the extra 'convert': pip install 'caffe-port[convert]'.",
        ) from None
