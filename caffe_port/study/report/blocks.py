"""What a page is made of: sections with text, tables and figures. The template turns them into HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: Parts and pattern of a number with its interval.
INTERVAL: Any = {"parts": ("", "low", "high"), "pattern": "{} ({}–{})"}
#: Pattern of a number that should have an interval and has none.
NO_INTERVAL = "{} (no interval)"
#: What a cell shows where there is no number.
ABSENT = "–"


@dataclass(frozen=True)
class Number:
    """A number as it is shown, its value in full, and where it stands: a JSON pointer (RFC 6901) into a metrics.json.

    ``path`` is empty where the number was derived from others, as the table's note then says.

    :param file: that metrics.json, as the page calls it: ``polyps/metrics.json`` where it reports several runs.
    """

    text: str
    value: float | int | str
    path: str = ""
    file: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table. Each of its cells holds one number per name in ``parts``, laid out by ``pattern``.

    A copy as CSV has one column for each part.

    :param words: its cells are text, to be read rather than compared down the column.
    """

    title: str
    parts: tuple[str, ...] = ("",)
    pattern: str = "{}"
    words: bool = False


@dataclass(frozen=True)
class Cell:
    """Text, or numbers in the column's pattern.

    :param mark: ``yes`` and ``no`` colour the cell (statistically different or not), as tables S1 to S4 do.
    :param pattern: in place of the column's, for a cell that has fewer numbers.
    """

    text: str = ""
    numbers: tuple[Number, ...] = ()
    mark: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class Table:
    """A table; ``columns[0]`` heads the rows."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One or several pictures of the same kind under one caption.

    :param panels: markup of each picture, SVG or an ``img``, with its text alternative inside.
    :param titles: one for each panel, or none.
    :param size: ``large``: one picture per row; ``medium``, ``small``: as many side by side as there is room for.
    """

    name: str
    caption: str
    panels: Sequence[str]
    titles: Sequence[str] = ()
    size: Literal["large", "medium", "small"] = "large"


@dataclass(frozen=True)
class Text:
    """Sentences: one paragraph each, or the entries of a list."""

    sentences: Sequence[str]
    listed: bool = False


@dataclass(frozen=True)
class Code:
    """Lines to be typed or files to be read."""

    text: str


@dataclass(frozen=True)
class Section:
    """A heading with what belongs under it."""

    name: str
    title: str
    blocks: Sequence[Text | Table | Figure | Code] = field(default_factory=tuple)


def within(section: Section, prefix: str) -> Section:
    """The section under names that are its own on a page of several runs: ``prefix`` and a hyphen before each.

    The same goes for the ids inside pictures, to which only the picture itself refers.
    """
    blocks: list[Text | Table | Figure | Code] = []
    for block in section.blocks:
        if isinstance(block, Figure):
            panels = [re.sub(r'( id="|href="#|url\(#)', rf"\1{prefix}-", panel) for panel in block.panels]
            block = replace(block, panels=panels)
        blocks.append(replace(block, name=f"{prefix}-{block.name}") if isinstance(block, Figure | Table) else block)
    return replace(section, name=f"{prefix}-{section.name}", blocks=blocks)


class Metrics:
    """metrics.json, read so that every number keeps its place.

    :param file: what the page calls it.
    """

    def __init__(self, content: Mapping[str, Any], file: str = "metrics.json") -> None:
        self.content = content
        self.file = file

    def get(self, *keys: str | int) -> Any:
        """What stands under these keys, or None."""
        value: Any = self.content
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def number(self, *keys: str | int, form: str = ".3f") -> Number | None:
        """The number under these keys with its place, or None where there is none."""
        value = self.get(*keys)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return self.shown(format(value, form), *keys)

    def shown(self, text: str, *keys: str | int) -> Number:
        """What stands under these keys as ``text``, with its place."""
        value = self.get(*keys)
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return Number(text, value if plain else text, pointer(*keys), self.file)

    def cell(self, *places: Sequence[str | int], form: str = ".3f") -> Cell:
        """A cell with the number of every place, or an empty one where any is missing."""
        numbers = [self.number(*keys, form=form) for keys in places]
        found = tuple(number for number in numbers if number is not None)
        return Cell(numbers=found) if len(found) == len(numbers) else Cell(ABSENT)


def pointer(*keys: str | int) -> str:
    """Keys as a JSON pointer."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
