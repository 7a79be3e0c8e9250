"""What another implementation computed: the ``.npz`` files that ``tools/record_reference.py`` writes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe_port.errors import FormatError

Arrays = dict[str, np.ndarray]

#: The first part of a key -> the attribute of :class:`Record`.
KINDS = {
    "input": "inputs",
    "param": "params",
    "blob": "blobs",
    "top_diff": "top_diffs",
    "diff": "diffs",
    "param_diff": "param_diffs",
    "param_after": "params_after",
}
#: Those whose names are ``<layer>/<i>``: learnable blob i of a layer.
PARAM_KINDS = ("param", "param_diff", "param_after")


@dataclass
class Record:
    """Arrays by blob name, those of learnable blobs by ``<layer>/<i>``; names may themselves hold slashes.

    ``inputs`` went in, ``blobs`` are what each blob held after forward (its last value, where layers worked in-place).
    ``top_diffs`` were put in before backward, ``diffs`` are what each blob's diff held after it. ``params`` are the
    learnable blobs before, ``params_after`` after forward (running statistics), ``param_diffs`` their gradients.
    """

    inputs: Arrays = field(default_factory=dict)
    params: Arrays = field(default_factory=dict)
    blobs: Arrays = field(default_factory=dict)
    top_diffs: Arrays = field(default_factory=dict)
    diffs: Arrays = field(default_factory=dict)
    param_diffs: Arrays = field(default_factory=dict)
    params_after: Arrays = field(default_factory=dict)
    source: str | None = None

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """The record in the file ``path``.

        :raises FormatError: it cannot be read, is no ``.npz`` of numbers, or has keys of another kind.
        """
        return cls.from_arrays(read_npz(path), path)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], source: str | Path | None = None) -> Record:
        """The record that ``arrays``, by key (``blob/conv1``), make up.

        :raises FormatError: as :meth:`read`.
        """
        record = cls(source=None if source is None else str(source))
        for key, value in arrays.items():
            kind, _, name = key.partition("/")
            indexed = kind not in PARAM_KINDS or name.rpartition("/")[2].isdigit()
            if kind not in KINDS or not name or not indexed:
                raise FormatError(
                    f"has the key '{key}'.",
                    file=source,
                    remedy="Known are <kind>/<blob> and param/<layer>/<i>, <kind> being " + ", ".join(KINDS) + ".",
                )
            getattr(record, KINDS[kind])[name] = value
        if not record.blobs:
            raise FormatError(
                "holds no blob/<name>.", file=source, remedy="Record one with tools/record_reference.py NET WEIGHTS."
            )
        return record


def read_npz(path: str | Path) -> Arrays:
    """Every array of an ``.npz`` file by key, as float32.

    :raises FormatError: the file cannot be read, is damaged, or holds something that is no number.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise FormatError("is a single array, no .npz.", file=path)
        with archive:
            arrays = {key: archive[key] for key in archive.files}
    except OSError as error:
        raise FormatError(f"Cannot be read: {error.strerror or error}.", file=path) from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"is no .npz file of numbers: {error}.", file=path) from None
    for key, value in arrays.items():
        if value.dtype.kind not in "fiub":
            raise FormatError(f"'{key}' holds {value.dtype}, no numbers.", file=path)
    return {key: value.astype(np.float32, copy=False) for key, value in arrays.items()}


def param_key(key: str) -> tuple[str, int]:
    """``conv1/0`` as layer and index."""
    layer, _, index = key.rpartition("/")
    return layer, int(index)
