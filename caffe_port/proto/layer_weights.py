"""What every form of weights file holds: layers by name, each with its blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from caffe_port.errors import WeightsError

#: Layer name -> its blobs; None leaves one out.
Blobs: TypeAlias = Mapping[str, Sequence[np.ndarray | None]]


@dataclass(slots=True)
class LayerWeights:
    """The blobs of one layer.

    :param name: the layer's name, by which weights are loaded.
    :param type: its type as the file gives it: "Convolution", of V1 files "CONVOLUTION", of V0 files "conv"; empty for
        HDF5, which does not store types.
    :param blobs: float32 arrays, writable without any effect on the file. None stands for a blob that an HDF5 file
        leaves out in front of another one, because a different layer owns it (shared parameters); left-out blobs at the
        end are simply missing.
    :param legacy: for each blob, whether its shape is num, channels, height, width of an old file.
    """

    name: str
    type: str
    blobs: list[np.ndarray | None] = field(default_factory=list)
    legacy: list[bool] = field(default_factory=list)

    def fits(self, index: int, shape: Sequence[int]) -> bool:
        """Whether blob ``index`` may be copied into a blob of ``shape`` (Caffe: Blob::ShapeEquals).

        A legacy shape equals a shape of up to four axes that is padded with ones from the front; any other shape must
        be the same. A blob that is left out fits nothing.
        """
        blob, shape = self.blobs[index], tuple(shape)
        if blob is None:
            return False
        if self.legacy[index]:
            return len(shape) <= 4 and blob.shape == (1,) * (4 - len(shape)) + shape
        return blob.shape == shape


class Weights(list[LayerWeights]):
    """The layers of a weights file in its order (of HDF5: sorted by name, as Caffe reads them).

    :param path: the file.
    :param format: "binaryproto" or "hdf5".
    """

    def __init__(self, layers: Sequence[LayerWeights], path: str | Path, format: str) -> None:
        super().__init__(layers)
        self.path = path
        self.format = format


def check_blobs(net_param: Any, blobs: Blobs, diffs: Blobs, *, gaps: bool) -> None:
    """Refuse to write what would be lost or made up.

    :param gaps: whether None may stand for a blob that is left out.
    :raises WeightsError: blobs of a layer that the net has not, a gap, diffs that do not match blobs, a net in V1 form.
    """
    if net_param.layers:
        raise WeightsError("A net in V1 form cannot be written.", remedy="Upgrade it first.")
    if unknown := {*blobs, *diffs} - {layer.name for layer in net_param.layer}:
        raise WeightsError(f"The net has no layer for these blobs: {', '.join(sorted(unknown))}.")
    for name, arrays in [*blobs.items(), *diffs.items()]:
        if not gaps and any(array is None for array in arrays):
            raise WeightsError("A blob is left out, which only HDF5 files allow.", layer=name)
    for name, layer_diffs in diffs.items():
        arrays = blobs.get(name, ())
        pairs = [(a, d) for a, d in zip(arrays, layer_diffs) if a is not None and d is not None]
        if len(arrays) != len(layer_diffs) or any(np.shape(array) != np.shape(diff) for array, diff in pairs):
            raise WeightsError("The shapes of diffs and blobs differ.", layer=name)
