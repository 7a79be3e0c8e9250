"""Pictures of one region as Fig. 8: the region, the confidence, thin boundaries, snakes, and the expert's traces."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from caffe_port.study.interfaces.contours import Contours
from caffe_port.study.interfaces.regions import Region

#: Colours of LI and MA, as in the paper.
_COLOURS = ("#00ff00", "#ff3030")


def picture(region: Region, maps: np.ndarray, contours: Contours) -> bytes:
    """A PNG with the five panels of Fig. 8, one under the other.

    :param maps: (2, rows, columns) confidence of LI and MA.
    :param contours: what was found in the maps.
    """
    expert = region.traces.both() - region.top
    panels = [
        ("(a) region", None),
        ("(b) confidence: LI green, MA red", None),
        ("(c) thin boundaries", contours.thin),
        ("(d) snakes", contours.smooth),
        ("(e) expert", expert),
    ]
    pixels = region.image[region.top : region.bottom, region.columns[0] : region.columns[-1] + 1]
    rows, columns = pixels.shape
    figure = Figure(figsize=(6, len(panels) * (6 * rows / columns + 0.3)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, curves) in zip(figure.subplots(len(panels)), panels):
        axes.imshow(_coloured(maps) if title.startswith("(b)") else pixels, cmap="gray", vmin=0, vmax=255)
        _finish(axes, title, curves, (rows, columns))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130, metadata={"Software": None})
    return file.getvalue()


def _coloured(maps: np.ndarray) -> np.ndarray:
    """The confidence maps as an RGB image."""
    image = np.zeros((*maps.shape[1:], 3))
    image[..., 1], image[..., 0] = maps
    return image.clip(0, 1)


def _finish(axes: Axes, title: str, curves: np.ndarray | None, shape: tuple[int, int]) -> None:
    if curves is not None:
        for rows, colour in zip(curves, _COLOURS):
            axes.plot(np.arange(shape[1]), rows, color=colour, linewidth=1)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, loc="left", pad=2)
