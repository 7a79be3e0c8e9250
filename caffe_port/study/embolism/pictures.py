"""Pictures of candidates as in Fig. 3: one in a column, its planes below each other."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: The planes that a sheet shows, from above.
PLANES = ("axial", "coronal", "sagittal", "across the vessel", "along the vessel")
#: Frames of candidates that hit no embolus, and of those that do.
_COLOURS = ("#d62728", "#2ca02c")
_INCHES = 1.1


@dataclass(frozen=True)
class Column:
    """One candidate of a sheet.

    :param planes: uint8 (5, size, size), in the order of :data:`PLANES`.
    :param title: what stands above.
    :param hit: whether it hits an embolus.
    """

    planes: np.ndarray
    title: str
    hit: bool


def sheet(columns: Sequence[Column], width_mm: float, above: str) -> bytes:
    """A PNG of candidates side by side, in green frames where they hit an embolus and in red ones where not.

    :param width_mm: of every plane.
    :param above: what the titles are.
    """
    figure = Figure(figsize=(_INCHES * len(columns) + 0.4, _INCHES * len(PLANES) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(PLANES), len(columns), squeeze=False)
    for number, column in enumerate(columns):
        for axes, plane in zip(grid[:, number], column.planes, strict=True):
            axes.imshow(plane, cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(edgecolor=_COLOURS[column.hit], linewidth=2)
        grid[0, number].set_title(column.title, fontsize=8)
    for axes, name in zip(grid[:, 0], PLANES, strict=True):
        axes.set_ylabel(name, fontsize=8)
    caption = f"Each plane is {width_mm:g} mm wide.\nGreen: hits an embolus; red: hits none.\nAbove: {above}."
    figure.supxlabel(caption, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130, metadata={"Software": None})
    return file.getvalue()
