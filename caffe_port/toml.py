"""TOML files as dictionaries, their faults as one error that names file, line and column."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from caffe_port.errors import FormatError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables and values of the TOML file at ``path``.

    :raises FormatError: it cannot be read, is not UTF-8 or not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_bytes().decode())
    except OSError as cause:
        raise FormatError(f"cannot be read: {cause.strerror or cause}.", file=path) from cause
    except UnicodeDecodeError as cause:
        raise FormatError("is not UTF-8 text.", file=path, offset=cause.start) from cause
    except tomllib.TOMLDecodeError as cause:
        what, line, column = _place(str(cause))
        raise FormatError(f"is not TOML: {what}.", file=path, line=line, column=column) from cause
    except RecursionError as cause:
        raise FormatError("is nested too deeply.", file=path) from cause


def read_value(text: str) -> Any:
    """A single value, as it stands behind a key; what is none, such as a text without its quotation marks, is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError, RecursionError):
        return text


def _place(message: str) -> tuple[str, int | None, int | None]:
    """What tomllib says is wrong, and the line and column that it adds in words."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return (match[1], int(match[2]), int(match[3])) if match else (message, None, None)
