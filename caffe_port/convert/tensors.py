"""Files of named tensors: ``.safetensors``, ``.pt`` and ``.pth`` (a plain state_dict), ``.npz``."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from caffe_port.errors import CaffeError, FormatError, WeightsError
from caffe_port.extra import extra
from caffe_port.files import atomic_write
from caffe_port.proto.blob_proto import check_shape, to_float32
from caffe_port.proto.mapped import open_map, refuse_foreign

_KIND = ".safetensors files"
_ZIP = b"PK\x03\x04"
_DAMAGED = "The file is damaged or was cut off: fetch it again."


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors in the file at ``path`` by key, as float32; what is stored so is mapped, not read, where it can be.

    :raises FormatError: the file is absent, damaged, of another kind, empty, or holds something else than named tensors
        of floating-point values; the package safetensors is needed and missing.
    :raises WeightsError: a finite value exceeds float32's range.
    """
    read, _ = FORMATS[Path(path).suffix]
    head = open_map(path)
    if head[:4] != _ZIP:
        refuse_foreign(head, path, f"a file of tensors ({Path(path).suffix})")
    try:
        found = read(path)
    except CaffeError as error:
        raise error.at(file=path) from None
    except Exception as error:  # every reader raises what it likes on damaged files, MemoryError for absurd shapes too
        line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FormatError(f"cannot be read as {Path(path).suffix}: {line}.", file=path, remedy=_DAMAGED) from error
    if not found:
        raise FormatError("holds no tensors.", file=path)
    try:
        return {key: _float32(key, tensor) for key, tensor in found.items()}
    except CaffeError as error:
        raise error.at(file=path) from None


def write_tensors(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays``, as float32 by key, to ``path`` in the form that its suffix names, whole or not at all.

    :raises FormatError: it cannot be written; the package safetensors is needed and missing.
    """
    _, write = FORMATS[Path(path).suffix]
    with atomic_write(path) as file:
        write(file, {key: to_float32(array) for key, array in arrays.items()})


def _read_safetensors(path: str | Path) -> dict[Any, Any]:
    with extra("safetensors", "convert", _KIND).safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dict


def _write_safetensors(file: BinaryIO, arrays: dict[str, np.ndarray]) -> None:
    # not save_file(file.name): it puts another file in the place of ours, which only the owner may read
    file.write(extra("safetensors.numpy", "convert", _KIND).save(arrays, metadata={"format": "pt"}))


def _read_pt(path: str | Path) -> dict[Any, Any]:
    """The state_dict in a file of ``torch.save``. Nothing but tensors and plain containers is unpickled."""
    is_zip = open_map(path)[:4] == _ZIP
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # torch's own text advises weights_only=False, which runs whatever the file says
        raise FormatError(
            "is no plain state_dict: it holds other objects than tensors, or is damaged.",
            remedy="Save only the weights: torch.save(model.state_dict(), path).",
        ) from error
    if not isinstance(found, Mapping):
        raise FormatError(f"holds a {type(found).__name__}, not a state_dict.", remedy="Save model.state_dict() alone.")
    if {"state", "param_groups"} <= set(found):
        raise FormatError("holds the state of an optimizer, not weights.", remedy="Give the model's state_dict.")
    nested = [key for key, value in found.items() if isinstance(value, Mapping)]
    if nested:
        raise FormatError(
            f"is a training checkpoint: a dict of {', '.join(map(repr, found))}.",
            remedy="Save what holds the weights, "
            + " or ".join(repr(key) for key in nested)
            + ", alone with torch.save.",
        )
    return dict(found)


def _write_pt(file: BinaryIO, arrays: dict[str, np.ndarray]) -> None:
    try:
        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, file)
    except RuntimeError as error:  # raised as torch closes the archive after a full disk or Ctrl-C stopped the writing
        raise error.__context__ or error from None


def _read_npz(path: str | Path) -> dict[Any, Any]:
    """The arrays in a file of ``numpy.savez``. Nothing is unpickled."""
    if not zipfile.is_zipfile(path):  # NumPy's own text advises allow_pickle=True, which runs whatever the file says
        raise FormatError(
            "cannot be read as .npz: it is no such archive, or was cut off.",
            remedy="Fetch it again, or write it with numpy.savez(path, **arrays).",
        )
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file}


def _write_npz(file: BinaryIO, arrays: dict[str, np.ndarray]) -> None:
    np.savez(file, **arrays)  # type: ignore[arg-type]  # no key is called "file" or "allow_pickle": all have a dot


#: Suffix -> how to read such a file and how to write one.
FORMATS: dict[str, tuple[Callable[[str | Path], dict[Any, Any]], Callable[[BinaryIO, dict[str, np.ndarray]], None]]] = {
    ".safetensors": (_read_safetensors, _write_safetensors),
    ".pt": (_read_pt, _write_pt),
    ".pth": (_read_pt, _write_pt),
    ".npz": (_read_npz, _write_npz),
}


def _float32(key: Any, value: Any) -> np.ndarray:
    """One tensor or array as C-contiguous float32, itself if it is so."""
    if not isinstance(key, str):
        raise FormatError(f"Key {key!r} is no name.", remedy="Give the model's state_dict.")
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise FormatError(f"'{key}' is a sparse, quantized or meta tensor.", remedy="Save it dense.")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise FormatError(f"'{key}' has more values than are stored.", remedy="Save it with .contiguous().")
        floating = value.dtype.is_floating_point
        if floating and value.dtype not in (torch.float32, torch.float64):
            value = value.float()  # NumPy knows no bfloat16
        kind, value = str(value.dtype).removeprefix("torch."), value.detach().numpy() if floating else value
    elif isinstance(value, np.ndarray):
        kind, floating = str(value.dtype), value.dtype.kind == "f"
    else:
        raise FormatError(f"'{key}' is no tensor but of type {type(value).__name__}.", remedy="Leave it out.")
    if not floating:
        raise FormatError(
            f"'{key}' holds values of type {kind}; Caffe's blobs are float32.", remedy="Leave it out or convert it."
        )
    check_shape(value.shape, value.size)
    values = to_float32(value)
    if value.dtype.itemsize > 4 and (np.isinf(values) & np.isfinite(value)).any():
        raise WeightsError(f"'{key}' has values beyond the range of float32.", remedy="Scale or clip them first.")
    return values
