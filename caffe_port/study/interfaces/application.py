"""Carotid intima-media interfaces (section VI-D): a 3-way net at every pixel, two snakes, thickness in mm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write
from caffe_port.net import Net
from caffe_port.study.arms import deploy
from caffe_port.study.base import Base
from caffe_port.study.cases import Case, Patch, Progress, Row
from caffe_port.study.interfaces import handcrafted, loaders
from caffe_port.study.interfaces.confidence import confidence_maps
from caffe_port.study.interfaces.contours import find_contours
from caffe_port.study.interfaces.dense import DenseNet
from caffe_port.study.interfaces.errors import errors_of, measures_of
from caffe_port.study.interfaces.patches import patches_of
from caffe_port.study.interfaces.pictures import picture
from caffe_port.study.interfaces.regions import Region, region_of
from caffe_port.study.settings import Settings

#: So many test regions are pictured, spread over all.
_PICTURES = 6


class Interfaces:
    """The :class:`~caffe_port.study.cases.Application` of section VI-D; README.md tells its settings."""

    name = "interfaces"
    classes = 3
    class_names = ("background", "lumen-intima", "media-adventitia")
    positive = (1, 2)
    reduce_by = "patient"
    padding = False
    mean = (42.0,)
    training: Mapping[str, Any] = {"base_lr": 0.0003, "epochs": 30, "patience": 15}
    datasets: Mapping[str, Callable[[Path], list[Case]]] = loaders.DATASETS
    defaults: Mapping[str, Any] = {
        # region of interest where the data set gives none
        "margin_mm": 1.4,
        # patches
        "patch_px": 43,
        "mm_per_px": 0.0,
        "patches_per_interface": 150,
        "background_px": 3.0,
        "calliper_px": 28.0,
        "erase_callipers": True,
        "stretch": [0.65, 1.4],
        # from confidence to interfaces
        "path": "joint",
        "least_mm": 0.25,
        "most_mm": 2.0,
        "membrane": 0.1,
        "plate": 500.0,
        "attraction": 2.0,
    }

    def detect(self, data: Path) -> str:
        """The data set whose layout ``data`` has."""
        return loaders.detect_dataset(data)

    def patches(self, cases: Sequence[Case], settings: Settings, seed: int, progress: Progress) -> Iterator[Patch]:
        """Patches on both interfaces and away from them, of every case."""
        _check(settings.app)
        height = _side(settings.base)
        for done, case in enumerate(cases, 1):
            region = _region(case, settings)
            for image, label, place in patches_of(region, settings.app, height, seed):
                yield Patch(image, label, case.id, case.patient, place)
            progress(done, len(cases))

    def score(self, net: Net, cases: Sequence[Case], settings: Settings, progress: Progress) -> list[Row]:
        """The errors of every region."""
        _check(settings.app)
        rows = []
        for done, case in enumerate(cases, 1):
            region = _region(case, settings)
            found = find_contours(confidence_maps(net, region, settings), settings.app, region.mm)
            rows.append(errors_of(region, found.smooth + region.top))
            progress(done, len(cases))
        return rows

    def handcrafted(
        self, train: Sequence[Case], test: Sequence[Case], settings: Settings, progress: Progress
    ) -> list[Row]:
        """The errors of the baseline without learning, but for two offsets fitted to ``train``."""
        regions = []
        for done, case in enumerate([*train, *test], 1):
            regions.append(_region(case, settings))
            progress(done, len(train) + len(test))
        offsets = handcrafted.offsets_mm(regions[: len(train)], settings.app)
        return [
            errors_of(region, handcrafted.interfaces(region, settings.app) - offsets[:, None] / region.mm)
            for region in regions[len(train) :]
        ]

    def metrics(self, rows: Sequence[Row], cases: Sequence[Case], settings: Settings) -> dict[str, Any]:
        """The three errors in mm."""
        return measures_of(rows)

    def pictures(self, net: Net, cases: Sequence[Case], settings: Settings, folder: Path) -> list[Path]:
        """Some regions as Fig. 8, one PNG each."""
        paths = []
        for index in np.unique(np.linspace(0, len(cases) - 1, _PICTURES).astype(int)):
            region = _region(cases[index], settings)
            maps = confidence_maps(net, region, settings)
            path = folder / f"{region.id}.png"
            with atomic_write(path, StudyError) as file:
                file.write(picture(region, maps, find_contours(maps, settings.app, region.mm)))
            paths.append(path)
        return paths


APPLICATION = Interfaces()


def _region(case: Case, settings: Settings) -> Region:
    return region_of(case, settings.app, settings.seed)


def _side(base: Base) -> int:
    """The side of the patches that ``base`` sees.

    :raises StudyError: they are not square.
    :raises NetError: the net cannot be applied to every pixel: better said before it is trained.
    """
    height, width = base.size
    if height != width:
        raise StudyError(f"base.size is {height} x {width}; patches around a pixel are square.")
    DenseNet(Net(deploy(base.body(), Interfaces.classes, (1, base.channels, height, width))))
    return height


def _check(app: Mapping[str, Any]) -> None:
    """Refuse settings that are out of range.

    :raises StudyError: names the first.
    """
    stretch = app["stretch"]
    allowed = {
        "stretch": len(stretch) == 2 and 0 < stretch[0] <= stretch[1],
        "path": app["path"] in ("joint", "maximum"),
        "patch_px": app["patch_px"] > 0,
        "patches_per_interface": app["patches_per_interface"] > 0,
        "least_mm": 0 <= app["least_mm"] < app["most_mm"],
        **{name: app[name] >= 0 for name in ("margin_mm", "mm_per_px", "membrane", "plate", "attraction")},
    }
    for name in (name for name, fits in allowed.items() if not fits):
        raise StudyError(f"app.{name} is {app[name]}: out of range.")
