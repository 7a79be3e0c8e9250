"""What a report needs of a run: metrics.json, and the tables that stand beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe_port.errors import StudyError
from caffe_port.net.summary import summarize
from caffe_port.study.folder import RunFolder, read_record, read_table
from caffe_port.study.procedural import PREFIX
from caffe_port.study.report.blocks import Metrics
from caffe_port.study.report.names import HANDCRAFTED, SCRATCH, Style, Variant, styles

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Run:
    """One run, read.

    :param variants: those in metrics.json: fine-tuning, deepest first as far as the folders of the arms tell, then
        scratch, and the handcrafted competitor last.
    :param missing: arms of the settings that metrics.json lacks.
    :param patients: case -> patient; ``splits``: case -> split; ``cases``: split -> numbers of cases and patients.
    :param patches: of the whole training set: (split, label) -> number.
    :param trained: arm -> how many weights and biases its training changes, where its folder tells.
    """

    folder: RunFolder
    metrics: Metrics
    variants: tuple[Variant, ...]
    missing: tuple[str, ...]
    styles: dict[str, Style]
    patients: dict[str, str]
    splits: dict[str, str]
    cases: dict[str, tuple[int, int]]
    patches: dict[tuple[str, str], int]
    trained: dict[str, int]
    procedural: bool

    @property
    def application(self) -> str:
        """Its name."""
        return str(self.metrics.get("application"))

    @property
    def whole(self) -> list[Variant]:
        """Variants on the whole training set with their own initialisation, and the handcrafted competitor."""
        return [variant for variant in self.variants if variant.whole]

    def place(self, variant: Variant) -> tuple[str, ...]:
        """The keys under which metrics.json has the entry of ``variant``."""
        return (HANDCRAFTED,) if variant.name == HANDCRAFTED else ("arms", variant.name)

    def candidates(self) -> dict[str, list[dict[str, str]]]:
        """Rows of candidates.csv by the part of the data that their case is in, in the order of ``cases``.

        :raises StudyError: it is missing or damaged.
        """
        rows: dict[str, list[dict[str, str]]] = {split: [] for split in self.cases}
        for row in read_table(self.folder.candidates, ("case", "lesion")):
            if row["case"] not in self.splits:
                raise StudyError(
                    f"has the case '{row['case']}', which is not in cases.csv.", file=self.folder.candidates
                )
            rows[self.splits[row["case"]]].append(row)
        return rows

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


def read_run(root: str | Path, name: str = "") -> Run:
    """Read the run in the folder ``root``.

    :param name: what a page of several runs calls this folder.
    :raises StudyError: metrics.json or a table is missing or damaged, or holds no arm.
    :raises CaffeError: the net of an arm is damaged.
    """
    folder = RunFolder(root)
    remedy = "Run 'caffe-port study evaluate' on this folder first."
    content = read_record(folder.metrics, ("application", "arms"))
    if content is None:
        raise StudyError("is not there.", file=folder.metrics, remedy=remedy)
    names = [*content["arms"], *([HANDCRAFTED] if content.get(HANDCRAFTED) else [])]
    if not names:
        raise StudyError("holds no arm yet.", file=folder.metrics, remedy=remedy)
    settings = content.get("settings", {})
    trained = _trained(folder, names, settings.get("base", {}))
    variants = tuple(sorted(map(Variant.parse, names), key=lambda variant: _order(variant, trained)))
    rows = read_table(folder.cases, ("case", "patient", "split"))
    patients = {split: [row["patient"] for row in rows if row["split"] == split] for split in _SPLITS}
    asked = settings.get("arms", {}).get("list", [])
    return Run(
        folder=folder,
        metrics=Metrics(content, f"{name}/metrics.json" if name else "metrics.json"),
        variants=variants,
        missing=tuple(name for name in asked if name not in names),
        styles=styles(variants),
        patients={row["case"]: row["patient"] for row in rows},
        splits={row["case"]: row["split"] for row in rows},
        cases={split: (len(named), len(set(named))) for split, named in patients.items() if named},
        patches=_patches(folder),
        trained=trained,
        procedural=any(PREFIX in row["case"] for row in rows),
    )


def _patches(folder: RunFolder) -> dict[tuple[str, str], int]:
    """Those of the whole training set; a run of reduced ones alone has none."""
    table = folder.patches()
    rows = read_table(table, ("split", "label")) if table.exists() else []
    return dict(Counter((row["split"], row["label"]) for row in rows))


def _trained(folder: RunFolder, names: list[str], base: Mapping[str, Any]) -> dict[str, int]:
    """Learnable values of every arm on the whole training set whose ``train_val.prototxt`` is there."""
    found = {}
    for name in names:
        path = folder.arm(name) / "train_val.prototxt"
        if Variant.parse(name).whole and path.is_file():
            inputs = {"data": (1, base["channels"], *base["size"]), "label": (1,)}
            found[name] = summarize(path, "TRAIN", inputs=inputs).total("learnable")
    return found


def _order(variant: Variant, trained: Mapping[str, int]) -> tuple[int, int]:
    """The deeper an arm the more it trains; arms of which nothing is known stay in the order of metrics.json."""
    kind = (SCRATCH, HANDCRAFTED).index(variant.arm) + 1 if variant.arm in (SCRATCH, HANDCRAFTED) else 0
    return kind, -trained.get(variant.arm, 0)
