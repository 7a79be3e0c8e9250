"""The packages of the extra ``ct``, imported where they are needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from caffe_port.errors import DataError


def extra(module: str, what: str, file: Path | None = None) -> ModuleType:
    """A module of the extra ``ct``.

    :param what: what needs it; ``file`` the one at hand, if any. Both for the message.
    :raises DataError: its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{what} need the package {module.partition('.')[0]}, which is not installed.",
            file=file,
            remedy="Install the extra 'ct': pip install 'caffe_port[ct]'.",
        ) from None
