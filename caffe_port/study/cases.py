"""What the protocol and an application tell one another: cases, patches, rows of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from caffe_port.net import Net
    from caffe_port.study.settings import Settings

#: Called with the number of things that are done and that of all.
Progress = Callable[[int, int], None]
#: One row of scores.csv: column -> value.
Row = dict[str, "str | float"]


@dataclass(frozen=True)
class Candidate:
    """A place of a case that may be a lesion.

    :param id: unique within the case, stable, such as ``x=312,y=201``.
    :param score: the candidate detector's own; the larger, the likelier a lesion.
    :param lesion: the lesion that it hits; empty: none, it is a false positive.
    :param info: the detector's own (box, extent), of JSON's types.
    """

    id: str
    score: float
    lesion: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One image (frame, region of interest, volume), as a loader found it.

    :param id: unique, stable, usable as a file name.
    :param patient: what splits go by: patient, subject, exam or video.
    :param label: class of a whole frame; None where labels are by pixel or candidate.
    :param info: the loader's own (paths, mm per pixel, traces), of JSON's types or numpy's.
    :param lesions: those to be detected in it. A lesion that several cases show (a polyp, in many frames) has one id,
        that no other patient's has.
    :param candidates: what the candidate detector found; see :class:`Detection`.
    """

    id: str
    patient: str
    label: int | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    lesions: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Patch:
    """One example for training or validation.

    :param image: uint8 (H, W), or (H, W, 3) in the order BGR, before crop and mean; all patches are of one size. Or a
        function that gives it: it is called for patches that are kept, before the next one is asked for.
    :param candidate: candidate or place in the case, such as ``x=312,y=201``.
    """

    image: np.ndarray | Callable[[], np.ndarray]
    label: int
    case: str
    patient: str
    candidate: str = ""


class Application(Protocol):
    """What an application is to the protocol. A module, a class instance: anything with these names."""

    #: As on the command line.
    name: str
    #: C of Table I.
    classes: int
    class_names: tuple[str, ...]
    #: The classes that are merged as the positive one for the AUC on the validation set.
    positive: tuple[int, ...]
    #: What a smaller training set has fewer of: ``patient`` (video, exam), ``case`` (frame) or ``lesion`` (embolus).
    reduce_by: str
    #: Whether the base keeps the padding of its layers unless told otherwise; see ``study.padding``.
    padding: bool
    #: The mean of its images, for bases that come with none; may be empty.
    mean: tuple[float, ...]
    #: Where a new run's ``Training`` begins otherwise than by its defaults.
    training: Mapping[str, Any]
    #: Layout -> loader of a folder; it raises DataError.
    datasets: Mapping[str, Callable[[Path], list[Case]]]
    #: Its own settings and their values unless others are given: ``Settings.app``.
    defaults: Mapping[str, Any]

    def detect(self, data: Path) -> str:
        """The layout (a key of ``datasets``) of the folder ``data``; raises DataError where it is none."""

    def patches(self, cases: Sequence[Case], settings: Settings, seed: int, progress: Progress) -> Iterator[Patch]:
        """Training examples of ``cases``. Which of them are kept (stratified, shuffled) is the protocol's business."""

    def score(self, net: Net, cases: Sequence[Case], settings: Settings, progress: Progress) -> list[Row]:
        """Apply a trained ``net`` to test cases.

        ``net`` is in deploy form and TEST phase: input ``data``, to be made by ``settings.base.preprocess``, and class
        probabilities in ``prob``.
        """

    def handcrafted(
        self, train: Sequence[Case], test: Sequence[Case], settings: Settings, progress: Progress
    ) -> list[Row]:
        """The rows that the handcrafted competitor gives for ``test``."""

    def metrics(self, rows: Sequence[Row], cases: Sequence[Case], settings: Settings) -> dict[str, Any]:
        """The measures of one arm's rows for the test ``cases``, as they stand in metrics.json."""

    def pictures(self, net: Net, cases: Sequence[Case], settings: Settings, folder: Path) -> list[Path]:
        """Pictures of what ``net`` does, written into ``folder``; may be none."""


@runtime_checkable
class Detection(Application, Protocol):
    """An application that classifies candidates for lesions (sections VI-A, VI-B).

    The protocol asks for candidates once; afterwards every case that the other methods get has its own.
    """

    #: What false positives are counted by, ``frame`` or ``volume``: one case.
    unit: str
    #: False positives per unit at which arms are compared (Tables S1, S2).
    operating_points: tuple[float, ...]

    def candidates(
        self, train: Sequence[Case], cases: Sequence[Case], settings: Settings, progress: Progress
    ) -> dict[str, list[Candidate]]:
        """Candidates by the ids of all ``cases``, from a detector that has learned from ``train`` alone."""
