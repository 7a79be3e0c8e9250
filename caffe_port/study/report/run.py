"""What a report needs of a run: metrics.json, and the tables that stand beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from caffe_port.errors import StudyError
from caffe_port.study.folder import RunFolder, read_record, read_table
from caffe_port.study.report.blocks import Metrics
from caffe_port.study.report.names import HANDCRAFTED, Style, Variant, styles

#: Generated cases are called so by what generates them; the page then says that they are.
PROCEDURAL = "procedural"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Run:
    """One run, read.

    :param variants: those in metrics.json, the handcrafted competitor last.
    :param missing: arms of the settings that metrics.json lacks.
    :param patients: case -> patient; ``cases``: split -> numbers of cases and patients.
    :param patches: (split, label) -> number.
    """

    folder: RunFolder
    metrics: Metrics
    variants: tuple[Variant, ...]
    missing: tuple[str, ...]
    styles: dict[str, Style]
    patients: dict[str, str]
    cases: dict[str, tuple[int, int]]
    patches: dict[tuple[str, str], int]
    procedural: bool

    @property
    def whole(self) -> list[Variant]:
        """Variants on the whole training set with their own initialisation, and the handcrafted competitor."""
        return [variant for variant in self.variants if variant.whole]

    def place(self, variant: Variant) -> tuple[str, ...]:
        """The keys under which metrics.json has the entry of ``variant``."""
        return (HANDCRAFTED,) if variant.name == HANDCRAFTED else ("arms", variant.name)

    def scores(self) -> dict[str, list[dict[str, str]]]:
        """Rows of scores.csv by arm.

        :raises StudyError: it is missing or damaged.
        """
        rows: dict[str, list[dict[str, str]]] = {}
        for row in read_table(self.folder.scores, ("arm",)):
            rows.setdefault(row["arm"], []).append(row)
        return rows

    def pictures(self, variant: Variant) -> list[Path]:
        """Pictures that the application made with the net of ``variant``, by name."""
        return sorted((self.folder.arm(variant.name) / "pictures").glob("*.png"))


def read_run(root: str | Path) -> Run:
    """Read the run in the folder ``root``.

    :raises StudyError: metrics.json or a table is missing or damaged, or holds no arm.
    """
    folder = RunFolder(root)
    remedy = "Run 'caffe-port study evaluate' on this folder first."
    content = read_record(folder.metrics, ("application", "arms"))
    if content is None:
        raise StudyError("is not there.", file=folder.metrics, remedy=remedy)
    names = [*content["arms"], *([HANDCRAFTED] if content.get(HANDCRAFTED) else [])]
    if not names:
        raise StudyError("holds no arm yet.", file=folder.metrics, remedy=remedy)
    variants = tuple(Variant.parse(name) for name in names)
    rows = read_table(folder.cases, ("case", "patient", "split"))
    patients = {split: [row["patient"] for row in rows if row["split"] == split] for split in _SPLITS}
    asked = content.get("settings", {}).get("arms", {}).get("list", [])
    return Run(
        folder=folder,
        metrics=Metrics(content),
        variants=variants,
        missing=tuple(name for name in asked if name not in names),
        styles=styles(variants),
        patients={row["case"]: row["patient"] for row in rows},
        cases={split: (len(named), len(set(named))) for split, named in patients.items() if named},
        patches=dict(Counter((row["split"], row["label"]) for row in read_table(folder.patches(), ("split", "label")))),
        procedural=any(PROCEDURAL in row["case"] for row in rows),
    )
