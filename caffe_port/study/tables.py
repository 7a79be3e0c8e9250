"""Settings between dataclasses and the tables of a TOML file, checked key by key."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from caffe_port.errors import StudyError

#: What TOML calls the types that Python calls so.
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def build(kind: type, values: Mapping[str, Any], section: str = "", left_out: Container[str] = ()) -> Any:
    """The dataclass ``kind`` from a table.

    :param section: what its keys are called by in messages: ``training.``.
    :param left_out: fields that the table does not have.
    :raises StudyError: a key is unknown or missing, or its value of another type.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind) if f.name not in left_out]
    if unknown := [key for key in values if key not in names]:
        raise StudyError(f"Unknown setting '{section}{unknown[0]}'.", remedy=f"Known: {', '.join(names)}.")
    made = {key: _value(hints[key], value, f"{section}{key}") for key, value in values.items()}
    try:
        return kind(**made)
    except TypeError:
        required = [name for name in names if name not in made]
        raise StudyError(f"A setting is missing: '{section}{required[0]}'.", remedy="Give it a value.") from None


def _value(hint: Any, value: Any, name: str) -> Any:
    if hasattr(hint, "__dataclass_fields__"):
        return build(hint, table(value, name), f"{name}.")
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise StudyError(f"{name} is {value!r}.", remedy="It must be a list.")
        return tuple(_value(get_args(hint)[0], item, name) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise StudyError(f"{name} is {value!r}.", remedy=f"It must be {_WORDS[hint]}.")
    return value


def build_like(values: Mapping[str, Any], defaults: Mapping[str, Any], section: str) -> dict[str, Any]:
    """``values`` over ``defaults``, whose types they must have.

    :raises StudyError: a key is unknown, or its value of another type.
    """
    for key, value in values.items():
        if key not in defaults:
            raise StudyError(f"Unknown setting '{section}{key}'.", remedy=f"Known: {', '.join(defaults) or 'none'}.")
        _like(value, defaults[key], f"{section}{key}")
    whole = {key for key, value in defaults.items() if type(value) is float}
    return {key: float(value) if key in whole else plain(value) for key, value in {**defaults, **values}.items()}


def _like(value: Any, default: Any, name: str) -> None:
    """Refuse a ``value`` of another type than ``default``."""
    kinds: tuple[type, ...] = (type(default),)
    if type(default) is float:
        kinds = (float, int)
    elif isinstance(default, (list, tuple)):
        kinds = (list, tuple)
    wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if default is not None and (wrong or (isinstance(value, float) and not math.isfinite(value))):
        raise StudyError(f"{name} is {value!r}.", remedy=f"It must be of the kind of {default!r}.")


def table(value: Any, name: str) -> dict[str, Any]:
    """``value`` as a dictionary.

    :raises StudyError: it is no table.
    """
    if not isinstance(value, Mapping):
        raise StudyError(f"'{name}' is {value!r}.", remedy=f"It must be a table: [{name}].")
    return dict(value)


def plain(value: Any) -> Any:
    """``value`` with dictionaries for dataclasses and lists for tuples."""
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def to_toml(tables: Mapping[str, Any]) -> str:
    """Scalars, lists and one level of tables (see :func:`plain`) as TOML.

    :raises StudyError: a value is of another kind.
    """
    lines = []
    for name, value in tables.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *(f"{_key(key)} = {_toml(item, key)}" for key, item in value.items())]
        else:
            lines.append(f"{name} = {_toml(value, name)}")
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _toml(value: Any, name: str) -> str:
    """A scalar or list in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(_toml(item, name) for item in value)}]"
    raise StudyError(
        f"The setting '{name}' is {value!r}.", remedy="study.toml holds numbers, texts and lists of these."
    )
