"""Drawing a picture of a net with matplotlib, without its global state: SVG, PNG or PDF."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextToPath

from caffe_port.draw.layout import Box, Layout, Point, lay_out
from caffe_port.draw.picture import Node, Picture

_POINT = 1 / 72  # inch
# Lengths in inches.
_LINE = 12 * _POINT
_MARGIN = 0.2
_PADDING = 0.07
_TITLE = 0.35
_HEAD = 0.08
_DPI = 110
_MOST_PIXELS = 60_000  # along a side; Agg ends at 65,535
_TEXT = FontProperties(family="DejaVu Sans", size=8.5)
_NAME = FontProperties(family="DejaVu Sans", size=8.5, weight="bold")
_SMALL = FontProperties(family="DejaVu Sans", size=7)
_HEADING = FontProperties(family="DejaVu Sans", size=12, weight="bold")
_INK, _ARROW, _SMALL_INK = "#111111", "#707070", "#404040"


def render(picture: Picture, rankdir: str, form: str) -> bytes:
    """``picture`` as a file of this form (of :data:`FORMATS`), the same bytes for the same picture.

    The page is as large as the net needs. Text in SVG and PDF is text. PNG has 110 pixels an inch, fewer where a side
    would exceed 60,000 pixels.
    """
    with warnings.catch_warnings():
        # Letters that the font lacks become boxes, which is said once of each; an SVG's viewer has fonts of its own.
        warnings.filterwarnings("ignore" if form == "svg" else "once", "Glyph .* missing")
        return _draw(picture, rankdir, form)


def _draw(picture: Picture, rankdir: str, form: str) -> bytes:
    boxes = [_box(node) for node in picture.nodes]
    layout = lay_out(boxes, picture.edges, rankdir)
    page = _Page(layout, picture.title)
    for route in layout.routes:
        page.arrow(route)
    for node, box, centre, label in zip(picture.nodes, boxes, layout.centres, layout.labels):
        (page.oval if node.is_blob else page.box)(node, centre, box)
        if node.label:
            page.text(label, node.label, _SMALL, color=_SMALL_INK, background="white")
    return page.save(form)


class _Page:
    """A figure on which lengths are inches from the top left corner of the layout."""

    def __init__(self, layout: Layout, title: str) -> None:
        self._top = _MARGIN + (_TITLE if title else 0)
        self._width = max(layout.width, _width(title, _HEADING)) + 2 * _MARGIN
        self._height = layout.height + self._top + _MARGIN
        self._left = (self._width - layout.width) / 2
        self._figure = Figure(figsize=(self._width, self._height), facecolor="white")
        if title:
            self.text((layout.width / 2, -_TITLE / 2 - _MARGIN / 2), title, _HEADING)

    def box(self, node: Node, centre: Point, size: Box) -> None:
        """A layer: its own plate, and below it those of in-place layers."""
        (x, y), width = centre, size.width
        top = y - size.height / 2
        for plate in node.plates:
            tall = _plate_height(len(plate.lines))
            corner = self._place((x - width / 2, top + tall))
            self._add(Rectangle(corner, width, tall, facecolor=plate.color, edgecolor=_INK, linewidth=0.8))
            first = plate is node.plates[0]
            self._lines((x, top + tall / 2), plate.lines, _NAME if first else _TEXT)
            top += tall

    def oval(self, node: Node, centre: Point, size: Box) -> None:
        """A blob."""
        (plate,) = node.plates
        (x, y), (width, height) = centre, (size.width, size.height)
        style = f"round,pad=0,rounding_size={_plate_height(1) / 2}"
        corner = self._place((x - width / 2, y + height / 2))
        self._add(FancyBboxPatch(corner, width, height, style, facecolor=plate.color, edgecolor=_INK, linewidth=0.8))
        self._lines(centre, plate.lines, _TEXT)

    def arrow(self, route: Sequence[Point]) -> None:
        """A route of straight and curved pieces (see Layout) with a head at its end."""
        points = [self._place(point) for point in route]
        codes = [Path.MOVETO, *[Path.LINETO, *[Path.CURVE4] * 3] * (len(route) // 4), Path.LINETO]
        self._add(PathPatch(Path(points, codes), facecolor="none", edgecolor=_ARROW, linewidth=1))
        (x0, y0), (x1, y1), (x, y) = points[-3:]
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length * _HEAD, (y1 - y0) / length * _HEAD
        base = x - dx, y - dy
        corners = [(x, y), (base[0] - dy * 0.4, base[1] + dx * 0.4), (base[0] + dy * 0.4, base[1] - dx * 0.4)]
        self._add(Polygon(corners, facecolor=_ARROW, edgecolor="none"))

    def text(
        self, centre: Point, text: str, font: FontProperties, color: str = _INK, background: str | None = None
    ) -> None:
        """One line of text."""
        patch = {"facecolor": background, "edgecolor": "none", "pad": 1} if background else None
        self._figure.text(
            *self._place(centre), text, fontproperties=font, color=color, bbox=patch, ha="center",
            va="center_baseline", parse_math=False, transform=self._figure.dpi_scale_trans,
        )  # fmt: skip

    def save(self, form: str) -> bytes:
        """The finished page as a file."""
        settings: Any = {
            "savefig.bbox": "standard",
            "svg.fonttype": "none",
            "svg.hashsalt": "caffe_port",
            "pdf.fonttype": 42,
            "text.usetex": False,
        }
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
        dpi = min(_DPI, _MOST_PIXELS / max(self._width, self._height))
        FigureCanvasAgg(self._figure)
        file = io.BytesIO()
        with matplotlib.rc_context(settings):
            self._figure.savefig(file, format=form, dpi=dpi, metadata=metadata)
        return file.getvalue()

    def _lines(self, centre: Point, lines: Sequence[str], first: FontProperties) -> None:
        x, y = centre
        for index, line in enumerate(lines):
            self.text((x, y + (index - (len(lines) - 1) / 2) * _LINE), line, _TEXT if index else first)

    def _place(self, point: Point) -> Point:
        return point[0] + self._left, self._height - self._top - point[1]

    def _add(self, patch: Any) -> None:
        patch.set_transform(self._figure.dpi_scale_trans)
        self._figure.add_artist(patch)


def _box(node: Node) -> Box:
    """The size of a node, so that its text fits in."""
    width = max(
        _width(line, _NAME if plate is node.plates[0] and not index else _TEXT)
        for plate in node.plates
        for index, line in enumerate(plate.lines)
    )
    height = sum(_plate_height(len(plate.lines)) for plate in node.plates)
    label = (_width(node.label, _SMALL) + _PADDING, _LINE) if node.label else (0.0, 0.0)
    return Box(width + (3 if node.is_blob else 2) * _PADDING, height, label)


def _plate_height(lines: int) -> float:
    return lines * _LINE + _PADDING


@lru_cache(maxsize=10_000)
def _width(text: str, font: FontProperties) -> float:
    """The width of a line of text in inches."""
    return TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] * _POINT
