"""Regions of interest: the rectangles in which the interfaces are searched and errors are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe_port import rng
from caffe_port.data.images import read_image
from caffe_port.errors import CaffeError, DataError
from caffe_port.study.cases import Case
from caffe_port.study.interfaces.callipers import find_crosses, without_crosses
from caffe_port.study.interfaces.traces import Traces, traces_of


@dataclass(frozen=True)
class Region:
    """One region of interest with everything that is known of it.

    :param image: the whole image (H, W) uint8.
    :param crosses: (N, 2) centres x, y of the calliper crosses that it has, or had.
    :param top: first row of the region, ``bottom`` the row after its last; its columns are those of ``traces``.
    :param mm: millimetres per pixel, in both directions.
    """

    id: str
    patient: str
    image: np.ndarray
    traces: Traces
    top: int
    bottom: int
    mm: float
    crosses: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Its rows as integers."""
        return np.arange(self.top, self.bottom)

    @property
    def columns(self) -> np.ndarray:
        """Its columns as integers."""
        return self.traces.columns


def region_of(case: Case, settings: Mapping[str, Any], seed: int) -> Region:
    """The region of a case that a loader of this application made.

    Where the data set gives a rectangle it is the region, cut to the columns where both traces exist. Elsewhere it has
    all these columns and reaches ``margin_mm`` above the highest and below the lowest row of the traces, moved up or
    down by a random part of the margin, a function of ``seed`` and the case alone: its centre tells nothing. With
    ``erase_callipers`` the crosses in the image are painted over.

    :raises DataError: the image cannot be read, the traces lie outside it, or traces and rectangle do not overlap.
    """
    info = case.info
    image = read_image(info["image"], colour=False)[0]
    try:
        traces = traces_of(np.asarray(info["li"]), np.asarray(info["ma"]))
        if info["rect"] is not None:
            x, y, width, height = info["rect"]
            traces = _cut(traces, int(np.ceil(x)), int(np.floor(x + width)))
            top, bottom = int(np.floor(y)), int(np.ceil(y + height)) + 1
        else:
            margin = max(1, round(settings["margin_mm"] / info["mm"]))
            shift = int(rng.numpy_generator(seed, "region", case.id).integers(-margin, margin + 1))
            top = int(np.floor(traces.both().min())) - margin + shift
            bottom = int(np.ceil(traces.both().max())) + margin + shift + 1
        _check_inside(traces, image)
    except CaffeError as error:
        raise error.at(file=info["image"]) from None
    crosses = find_crosses(image)
    if settings["erase_callipers"]:
        image = without_crosses(image, crosses)
    top, bottom = max(top, 0), min(bottom, len(image))
    return Region(case.id, case.patient, image, traces, top, bottom, float(info["mm"]), crosses)


def _cut(traces: Traces, first: int, last: int) -> Traces:
    inside = (traces.columns >= first) & (traces.columns <= last)
    if not inside.any():
        raise DataError(f"No column of the traces lies in the region's columns {first} to {last}.")
    return Traces(int(traces.columns[inside][0]), traces.li[inside], traces.ma[inside])


def _check_inside(traces: Traces, image: np.ndarray) -> None:
    height, width = image.shape
    rows, columns = traces.both(), traces.columns
    if columns[0] < 0 or columns[-1] >= width or rows.min() < 0 or rows.max() > height - 1:
        place = f"columns {columns[0]} to {columns[-1]}, rows {rows.min():.0f} to {rows.max():.0f}"
        raise DataError(f"The traces ({place}) lie outside the image of {width} x {height} pixels.")
