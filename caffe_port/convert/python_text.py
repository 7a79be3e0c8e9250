"""Python source text: identifiers, literals, and calls broken into lines as ruff (or black) would break them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LINE_LENGTH = 120
#: What the statements of a method start with.
INDENT = " " * 8
#: The longest identifier made from a Caffe name; the rest of a longer name is dropped.
NAME_LENGTH = 28


@dataclass(frozen=True)
class Brackets:
    """``opening`` items ``closing``, such as ``f(`` x, y ``)`` or ``[`` a, b ``]``."""

    opening: str
    items: Sequence[Code]
    closing: str = ")"


#: A piece of code: a text that is never broken, or something in brackets that may be.
Code = str | Brackets


def call(function: str, *args: Code, **keywords: str) -> Brackets:
    """The call of ``function`` with these arguments."""
    return Brackets(f"{function}(", [*args, *(f"{key}={value}" for key, value in keywords.items())])


def flat(code: Code) -> str:
    """``code`` on one line."""
    return code if isinstance(code, str) else code.opening + ", ".join(map(flat, code.items)) + code.closing


def layout(prefix: str, code: Code, suffix: str = "") -> list[str]:
    """``prefix`` (indentation included), ``code`` and ``suffix`` as lines.

    What does not fit on one line is put between its brackets on a line of its own, and if that does not suffice each
    item on its own line.
    """
    line = prefix + flat(code) + suffix
    if isinstance(code, str) or len(line) <= LINE_LENGTH:
        return [line]
    indent = " " * (len(prefix) - len(prefix.lstrip()) + 4)
    inside = indent + ", ".join(map(flat, code.items))
    lines = [inside] if len(inside) <= LINE_LENGTH else [n for item in code.items for n in layout(indent, item, ",")]
    return [prefix + code.opening, *lines, indent[4:] + code.closing + suffix]


def number(value: float) -> str:
    """A float field of Caffe as the shortest literal that means the same float32."""
    shortest = repr(float(str(np.float32(value))))
    return shortest if np.isfinite(value) else f'float("{shortest}")'


def numbers(values: Iterable[int]) -> str:
    """Integers as a tuple, or as one number where all are equal."""
    values = tuple(values)
    return str(values[0]) if len(set(values)) == 1 else str(values)


def quoted(text: str) -> str:
    """``text`` as a string literal, in double quotes where possible."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


def printable(text: str) -> str:
    """``text`` for a comment or a docstring, where it must not end either."""
    return repr(text)[1:-1].replace('"""', "'''")


def class_name(text: str) -> str:
    """``text`` in camel case, letters and digits only; ``Net`` where nothing remains."""
    name = "".join(word[0].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", text) if word)[:NAME_LENGTH]
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"Net{name}"


class Names:
    """Makes identifiers that differ from each other and from ``reserved`` ones.

    :param prefix: put before names that start with a digit, and instead of empty ones.
    """

    def __init__(self, reserved: Iterable[str], prefix: str) -> None:
        self._taken = set(reserved)
        self._prefix = prefix

    def fresh(self, text: str) -> str:
        """An identifier for ``text`` that was not given out before."""
        base = re.sub(r"[^0-9A-Za-z_]", "_", text)[:NAME_LENGTH]
        if not base.strip("_") or base[0].isdigit() or keyword.iskeyword(base):
            base = f"{self._prefix}_{base}".rstrip("_")
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name
