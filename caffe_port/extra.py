"""The packages of this package's extras, imported where they are needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from caffe_port.errors import CaffeError, FormatError


def extra(
    module: str, name: str, what: str, file: str | Path | None = None, error: type[CaffeError] = FormatError
) -> ModuleType:
    """The ``module`` of an optional package.

    :param name: the extra that has it.
    :param what: what needs it, in the plural: "ONNX files".
    :param file: the file that is to be read or written.
    :raises CaffeError: an ``error``; the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise error(
            f"{what} need the package {module.partition('.')[0]}, which is not installed.",
            file=file,
            remedy=f"Install the extra '{name}': pip install 'caffe_port[{name}]'.",
        ) from None
