"""Nets and solvers on disk: read in whatever form they are, text or binary, old or new; written whole or not at all."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, EncodeError

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.files import atomic_write
from caffe_port.proto.dialect import to_bvlc
from caffe_port.proto.mapped import open_map, refuse_foreign
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_text, parse_text, top_level_names
from caffe_port.proto.unknown import clean_strings, unknown_fields
from caffe_port.proto.upgrade import complete_snapshot_prefix, upgrade_net, upgrade_solver

_NET = "a net (.prototxt, .caffemodel)"
_SOLVER = "a solver (.prototxt)"
_HEAD = 4096
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: comments, then a field name and what may follow it: no binary message begins like this
_TEXT_START = re.compile(rb"(?:\s|#[^\n]*\n)*[A-Za-z_][A-Za-z0-9_]*\s*[:{<]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def is_text(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is prototxt text, in any encoding, rather than a binary message.

    A binary net holds lengths and field keys below 32 within its first bytes; text holds them only by accident.
    """
    return head.startswith(_BOMS) or _TEXT_START.match(head) is not None or _CONTROL.search(head) is None


def is_text_file(path: str | Path) -> bool:
    """:func:`is_text` of the file at ``path``.

    :raises FormatError: the file is absent, unreadable or empty.
    """
    return is_text(bytes(open_map(path)[:_HEAD]))


def read_net(path: str | Path, unknown: str = "error", dialect: str | None = None, blobs: bool = True) -> Any:
    """The NetParameter in the file at ``path``, text or binary (told by content), upgraded to the current form.

    :param unknown: ``"error"``, or ``"warn"``: skip fields that BVLC Caffe does not have, with a CaffeWarning for the
        first of each kind.
    :param dialect: whose Caffe wrote a binary file: ``"bvlc"``, ``"nvidia"``, ``"intel"``, ``"ssd"``; None: told by its
        fields. Text has names and needs none.
    :param blobs: False leaves out the ``blobs`` of layers in a binary file, unread.
    :raises FormatError: the file is absent, unreadable, empty, cut off, something else, or refused by
        parse_text, to_bvlc (:mod:`caffe_port.proto.dialect`) or :func:`~caffe_port.proto.upgrade.upgrade_net`.
    """
    return upgrade_net(_read(path, pb.NetParameter, unknown, dialect, blobs), path)


def read_solver(path: str | Path, unknown: str = "error") -> Any:
    """The SolverParameter in the file at ``path``, upgraded, its ``snapshot_prefix`` completed. As :func:`read_net`."""
    solver = upgrade_solver(_read(path, pb.SolverParameter, unknown), path)
    complete_snapshot_prefix(solver, path)
    return solver


def read_message(path: str | Path, unknown: str = "error", dialect: str | None = None) -> tuple[str, Any]:
    """The net or solver at ``path`` as it stands, not upgraded: ``("net" or "solver", message)``.

    A binary file is a net, for Caffe has no binary solvers; text is what most of its outermost fields belong to.

    :raises FormatError: as :func:`read_net`.
    """
    data, text = _open(path, "a net or a solver")
    if not text:
        return "net", _read(path, pb.NetParameter, unknown, dialect)
    names = top_level_names(bytes(data), str(path))
    votes = {
        kind: sum(name in message_class.DESCRIPTOR.fields_by_name for name in names)
        for kind, message_class in (("net", pb.NetParameter), ("solver", pb.SolverParameter))
    }
    kind = "solver" if votes["solver"] > votes["net"] else "net"
    return kind, _read(path, pb.SolverParameter if kind == "solver" else pb.NetParameter, unknown)


def write_text(message: Any, path: str | Path) -> None:
    """Write ``message`` as prototxt text, as Caffe's tools do.

    :raises FormatError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(format_text(message).encode("ascii"))


def write_binary(message: Any, path: str | Path) -> None:
    """Write ``message`` in protobuf's binary form.

    :raises FormatError: the file cannot be written, or the message is beyond protobuf's 2 GiB.
    """
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise FormatError(f"cannot be written as binary: {error}.", file=path) from error
    with atomic_write(path) as file:
        file.write(data)


def _open(path: str | Path, wanted: str) -> tuple[memoryview, bool]:
    """The file's bytes and whether they are text.

    :raises FormatError: it cannot be read, or is evidently something else than ``wanted``.
    """
    data = open_map(path)
    head = bytes(data[:_HEAD])
    text = is_text(head)
    if not text or head.startswith(b"version https://git-lfs") or head.lstrip().startswith(b"<"):
        refuse_foreign(data, path, wanted)
    return data, text


def _read(path: str | Path, message_class: Any, unknown: str, dialect: str | None = None, blobs: bool = True) -> Any:
    wanted = _NET if message_class is pb.NetParameter else _SOLVER
    data, text = _open(path, wanted)
    if text:
        return parse_text(bytes(data), message_class, file=str(path), unknown=unknown)
    plain = to_bvlc(data, message_class.DESCRIPTOR, path, unknown, dialect, blobs)
    try:
        message = message_class.FromString(plain)
    except DecodeError as error:
        raise FormatError(
            f"is binary, but not {wanted}: {error}.",
            file=path,
            remedy="It is cut off, damaged, another kind of file, or from a fork of Caffe with other fields.",
        ) from error
    clean_strings(message, str(path))
    _judge_unknown(message, path, unknown)
    return message


def _judge_unknown(message: Any, path: str | Path, unknown: str) -> None:
    """Refuse the numbers in a binary message that no Caffe has, or drop them with a warning.

    :raises UnknownFieldError: unless ``unknown`` is ``"warn"``.
    """
    found = unknown_fields(message)
    for field in found:
        remedy = 'Skip it with unknown="warn" (--allow-unknown) if the rest is what you want.'
        if field.message in ("NetParameter", "SolverParameter"):
            remedy = f"Is it a .solverstate, a mean file or another program's file? {remedy}"
        cause = f"unknown field number {field.number} in {field.message}."
        error = UnknownFieldError(cause, remedy=remedy, file=path, layer=field.layer)
        if unknown != "warn":
            raise error
        error.remedy = "It is skipped throughout."
        warnings.warn(str(error), CaffeWarning, stacklevel=4)
    if found:
        message.DiscardUnknownFields()
