"""How arms are named in tables and drawn in figures: one name and one style everywhere on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HANDCRAFTED = "handcrafted"
SCRATCH = "scratch"


@dataclass(frozen=True)
class Variant:
    """A trained net of the study: an arm of Table II, for scratch with its initialisation, on all or a part of the
    training set. ``name`` is what metrics.json and the folder of the arm are called."""

    name: str
    arm: str
    init: str = ""
    fraction: str = ""
    draw: str = ""

    @classmethod
    def parse(cls, name: str) -> Variant:
        """``conv1-ip1``, ``scratch+xavier``, ``conv1-ip1@0.1``, ``conv1-ip1@0.1~2``."""
        head, _, subset = name.partition("@")
        arm, _, init = head.partition("+")
        fraction, _, draw = subset.partition("~")
        return cls(name, arm, init, fraction, draw)

    @property
    def kind(self) -> str:
        """The name without the part of the training set: ``scratch+xavier``."""
        return self.name.partition("@")[0]

    @property
    def whole(self) -> bool:
        """Trained on the whole training set with the arm's own initialisation."""
        return not self.init and not self.fraction

    @property
    def title(self) -> str:
        """As the paper's figures name it."""
        if self.arm in (SCRATCH, HANDCRAFTED):
            title = self.arm
        else:
            title = f"FT: {self.arm}" if "-" in self.arm else f"FT: only {self.arm}"
        if self.init:
            title += f" ({self.init})"
        if self.fraction:
            title += f", {float(self.fraction):.3g} of the training set"
        return title + (f", draw {self.draw}" if self.draw else "")


@dataclass(frozen=True)
class Style:
    """Colour and dashes of a variant; dashes tell the lines apart where colours do not."""

    color: Any
    dashes: Any = "-"


_SCRATCH_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))
_TUNED_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))


def styles(variants: Sequence[Variant]) -> dict[str, Style]:
    """A style for each variant by its name: fine-tuning from dark blue (deepest) to green, scratch red, handcrafted
    grey. Variants of one arm differ in their dashes only."""
    from matplotlib import colormaps

    tuned = list(dict.fromkeys(v.arm for v in variants if v.arm not in (SCRATCH, HANDCRAFTED)))
    colors: dict[str, Any] = {
        arm: colormaps["viridis"](0.72 * n / max(len(tuned) - 1, 1)) for n, arm in enumerate(tuned)
    }
    colors |= {SCRATCH: "#c0392b", HANDCRAFTED: "#6b6b6b"}
    result: dict[str, Style] = {}
    for arm in dict.fromkeys(v.arm for v in variants):
        same = [v for v in variants if v.arm == arm]
        for number, variant in enumerate(same):
            if arm == HANDCRAFTED:
                dashes: Any = (0, (1, 1.5))
            elif arm == SCRATCH:
                dashes = _SCRATCH_DASHES[number % len(_SCRATCH_DASHES)]
            else:
                dashes = _TUNED_DASHES[(tuned.index(arm) + number) % len(_TUNED_DASHES)]
            result[variant.name] = Style(colors[arm], dashes)
    return result
