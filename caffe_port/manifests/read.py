"""Manifests from their TOML files. One schema, that of the records: nothing else is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from caffe_port.errors import DataError, FormatError
from caffe_port.manifests.records import Manifest, Record
from caffe_port.resources import manifests
from caffe_port.toml import read_toml

R = TypeVar("R", bound=Record)

#: What TOML calls the types that Python calls so.
_TOML = {str: "text", int: "a whole number", bool: "true or false", dict: "a table", list: "an array"}


def load_all() -> list[Manifest]:
    """Every shipped manifest, by name.

    :raises FormatError: as :func:`read_manifest`.
    """
    return [read_manifest(path) for path in manifests()]


def load(name: str) -> Manifest:
    """The shipped manifest called ``name``.

    :raises DataError: there is none.
    """
    paths = {path.stem: path for path in manifests()}
    if name not in paths:
        raise DataError(f"No data set is called '{name}'.", remedy=_did_you_mean(name, paths))
    return read_manifest(paths[name])


def read_manifest(path: Path) -> Manifest:
    """The manifest in the file at ``path``.

    :raises FormatError: it is not TOML; a key is unknown, missing or of another type; a value breaks a rule of its
        record; the manifest's name is not that of the file.
    """
    try:
        manifest = _record(Manifest, read_toml(path), "")
        if manifest.name != path.stem:
            raise FormatError(f"name: '{manifest.name}' is not the name of the file.")
    except FormatError as error:
        raise error.at(file=path) from error.__cause__
    return manifest


def _record(kind: type[R], table: dict[str, Any], place: str) -> R:
    """``table``, whose place in the file is ``place``, as a record."""
    known = {each.name: each for each in fields(kind)}
    for key in table:
        if key not in known:
            raise FormatError(f"{place}{key}: unknown key.", remedy=_did_you_mean(key, known))
    for key, each in known.items():
        if key not in table and each.default is MISSING and each.default_factory is MISSING:
            raise FormatError(f"{place}{key}: is missing.")
    types = get_type_hints(kind)
    made = kind(**{key: _value(types[key], value, f"{place}{key}") for key, value in table.items()})
    for key, cause in made.faults():
        raise FormatError(f"{place}{key}: {cause}")
    return made


def _value(kind: Any, value: Any, place: str) -> Any:
    """``value`` as ``kind``: text, a number, a record, a tuple of one kind or of fixed length, a mapping."""
    if isinstance(kind, UnionType):  # with None, which TOML does not have
        kind = get_args(kind)[0]
    items = get_args(kind)
    if get_origin(kind) is tuple:
        values = _typed(list, value, place)
        if items[-1] is not Ellipsis and len(items) != len(values):
            raise FormatError(f"{place}: is not an array of {len(items)}.")
        return tuple(_value(items[0], each, f"{place} #{number}") for number, each in enumerate(values, 1))
    if get_origin(kind) is Mapping:
        return {key: _value(items[1], each, f"{place}.{key}") for key, each in _typed(dict, value, place).items()}
    if isinstance(kind, type) and issubclass(kind, Record):
        return _record(kind, _typed(dict, value, place), f"{place}: ")
    return _typed(kind, value, place)


def _typed(kind: type, value: Any, place: str) -> Any:
    if type(value) is not kind:
        raise FormatError(f"{place}: is not {_TOML[kind]}.")
    return value


def _did_you_mean(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, 1)
    return f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(known)}."
