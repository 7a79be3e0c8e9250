"""Matplotlib figures as SVG markup that may stand in a page: reproducible, without names that could clash."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "text.parse_math": False,
    "text.usetex": False,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def svg(draw: Callable[[Any], None], name: str, description: str, size: tuple[float, float] = (5.6, 4.2)) -> str:
    """The SVG element of what ``draw`` does to the axes of a new figure.

    :param name: unique in the page; ids inside the picture are made from it.
    :param description: the text alternative.
    :param size: width and height in inches; the page scales the picture.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    return _inline(file.getvalue().decode(), name, description)


def _inline(text: str, name: str, description: str) -> str:
    """The element alone: no XML head, no metadata, no fixed size, only ids that something refers to."""
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    head = f'<svg {view[0]} role="img" aria-label="{escape(description)}">'
    text = head + text[text.index(">") + 1 :]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", text)
    return re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text).replace("xlink:href", "href")
