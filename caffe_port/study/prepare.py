"""The first stage: who is trained and tested on, and the patches of the training cases as LMDBs."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caffe_port.data.database import DatabaseWriter, new_database
from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeError, CaffeWarning, DataError, StudyError
from caffe_port.study.applications import load_cases
from caffe_port.study.arms import Arm
from caffe_port.study.candidates import has_candidates, store_candidates, with_candidates
from caffe_port.study.cases import Application, Case, Detection, Patch, Progress
from caffe_port.study.folder import RunFolder, read_made, read_table, write_record, write_table
from caffe_port.study.settings import Settings
from caffe_port.study.split import balanced, halves, reduced, training_and_validation

CASE_COLUMNS = ("case", "patient", "split", "label")
PATCH_COLUMNS = ("patch", "label", "case", "patient", "split", "candidate")
#: Shows the progress of what a sentence names: ``with bar("Training patches") as progress: progress(done, total)``.
Bars = Callable[[str], AbstractContextManager[Progress]]


def silent(what: str) -> AbstractContextManager[Progress]:
    """Bars that nobody sees."""
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class Split:
    """The cases of a run. Those for validation are a part of ``train`` (see :func:`examples`)."""

    train: list[Case]
    test: list[Case]


def read_split(app: Application, settings: Settings) -> Split:
    """Load the cases and split them: the same for the same settings and data.

    :raises DataError: the data cannot be read, or not be split.
    """
    data = settings.data
    cases = load_cases(app, data.train, data.dataset)
    if not data.test:
        return Split(*halves(cases, settings.training.test, settings.seed))
    test = _apart(cases, load_cases(app, data.test, data.test_dataset or data.dataset))
    if shared := {case.patient for case in cases} & {case.patient for case in test}:
        text = f"{len(shared)} patients have the same name in both folders ('{min(shared)}'): are they others?"
        warnings.warn(text, CaffeWarning, stacklevel=2)
    return Split(cases, test)


def _apart(cases: list[Case], test: list[Case]) -> list[Case]:
    """``test`` with other ids for those that ``cases`` have too, as images of any two data sets may be called 1."""
    taken = {case.id for case in cases}
    return [replace(case, id=f"{case.id}~test") if case.id in taken else case for case in test]


def read_same_split(folder: RunFolder, app: Application, settings: Settings) -> Split:
    """The split of a run that is prepared, without the warnings that the first stage has given. Cases of a detection
    have their candidates.

    :raises StudyError: the data are others than those that the run began with; there are no candidates yet.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaffeWarning)
        split = read_split(app, settings)
    _check_cases(folder, _case_rows(split, settings))
    return _with_candidates(folder, settings, split) if isinstance(app, Detection) else split


def _with_candidates(folder: RunFolder, settings: Settings, split: Split) -> Split:
    return Split(*(with_candidates(folder, settings, cases) for cases in (split.train, split.test)))


def examples(split: Split, settings: Settings, arm: Arm) -> tuple[list[Case], list[Case]]:
    """The cases of an arm's training set that are learned from, and those of its validation set.

    The training set is made smaller first and then divided, so that a fraction means less of everything.
    """
    cases = reduced(split.train, arm.fraction, settings.arms.reduce_by, settings.seed, arm.draw)
    return training_and_validation(cases, settings.training.validation, settings.seed)


def prepare(folder: RunFolder, app: Application, settings: Settings, arms: Sequence[Arm], bars: Bars = silent) -> Split:
    """Write ``cases.csv``, candidates for detection, and, for every training set that ``arms`` need, LMDBs and
    ``patches.csv``.

    What is there already is left as it is.

    :raises StudyError: what is there was made of other data or with other settings.
    """
    split = read_split(app, settings)
    rows = _case_rows(split, settings)
    if folder.cases.exists():
        _check_cases(folder, rows)
    else:
        write_table(folder.cases, CASE_COLUMNS, rows)
    if isinstance(app, Detection):
        _detect(folder, app, settings, split, arms, bars)
        split = _with_candidates(folder, settings, split)
    for arm in _by_subset(arms):
        if read_prepared(folder, settings, arm.subset) is None:
            _Preparation(folder, app, settings, arm, bars).run(*examples(split, settings, arm))
    return split


def _by_subset(arms: Sequence[Arm]) -> list[Arm]:
    """One arm for each training set."""
    return list({arm.subset: arm for arm in arms}.values())


def _share(arm: Arm) -> str:
    """The arm's training set, for messages: empty where it is whole."""
    return f" of {arm.subset[1:]} of the training set" if arm.subset else ""


def _detect(
    folder: RunFolder, app: Detection, settings: Settings, split: Split, arms: Sequence[Arm], bars: Bars
) -> None:
    """Find and store the candidates of all cases, unless they are there."""
    parts = {"test": split.test}
    for arm in _by_subset(arms):
        names = (f"training{_share(arm)}", f"validation{_share(arm)}")
        parts |= dict(zip(names, examples(split, settings, arm)))
    for what, cases in parts.items():  # before hours of looking for candidates
        if not any(case.lesions for case in cases):
            remedy = "Give more data, a folder that has some as --test-data, larger --fractions, or another --seed."
            raise DataError(f"No case for {what} has a lesion.", remedy=remedy)
    if not has_candidates(folder, settings):
        cases = [*split.train, *split.test]
        with bars(f"Candidates in {len(cases)} cases") as progress:
            store_candidates(folder, settings, cases, app.candidates(split.train, cases, settings, progress))


def read_prepared(folder: RunFolder, settings: Settings, subset: str) -> dict[str, Any] | None:
    """The numbers of patches of a training set, ``train`` and ``val``; None while it is not made, or not whole.

    :raises StudyError: it was made with other settings.
    """
    made = read_made(_mark(folder, subset), settings.digest(), ("train", "val"))
    whole = [folder.patches(subset), *(folder.root / name / "data.mdb" for name in folder.databases(subset))]
    return made if all(path.exists() for path in whole) else None


def _mark(folder: RunFolder, subset: str) -> Any:
    """What is written when the LMDBs of a training set are complete."""
    return folder.root / "lmdb" / f"prepared{subset}.json"


def _case_rows(split: Split, settings: Settings) -> list[dict[str, str]]:
    """The rows of ``cases.csv``."""
    whole = Arm("")
    learned, validated = examples(split, settings, whole)
    validation = {case.id for case in validated} - {case.id for case in learned}
    rows = []
    for name, cases in (("train", split.train), ("test", split.test)):
        for case in cases:
            part = "val" if name == "train" and case.id in validation else name
            label = "" if case.label is None else str(case.label)
            rows.append({"case": case.id, "patient": case.patient, "split": part, "label": label})
    return rows


def _check_cases(folder: RunFolder, rows: list[dict[str, str]]) -> None:
    """Refuse data of which ``cases.csv`` has not these rows."""
    if [{key: row[key] for key in CASE_COLUMNS} for row in read_table(folder.cases, CASE_COLUMNS)] != rows:
        raise StudyError(
            "does not agree with the data: cases were added, lost or moved.",
            file=folder.cases,
            remedy="Put the data back as they were, or begin in a new folder.",
        )


class _Preparation:
    """Makes the LMDBs and the index of one training set.

    The application is asked for its patches twice: to count them, and to store those that are kept. So nothing has to
    be held in memory or stored in vain.
    """

    def __init__(self, folder: RunFolder, app: Application, settings: Settings, arm: Arm, bars: Bars) -> None:
        self.folder, self.app, self.settings, self.bars = folder, app, settings, bars
        self.subset = arm.subset
        self.what = _share(arm)

    def run(self, train: list[Case], validation: list[Case]) -> None:
        """Make them of these cases; a single case for both shares out its patches."""
        kept: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
        paths = {name: self.folder.root / path for name, path in zip(kept, self.folder.databases(self.subset))}
        parts = {name: path.with_name(f"{path.name}.part") for name, path in paths.items()}
        for path in [*paths.values(), *parts.values()]:
            shutil.rmtree(path, ignore_errors=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        sets = {"both": train} if train == validation else {"train": train, "val": validation}
        with ExitStack() as stack:
            writers = {name: stack.enter_context(new_database(path, "LMDB")) for name, path in parts.items()}
            for name, cases in sets.items():
                places = self._choose(name, cases)
                for index, row in self._store(name, cases, places, writers):
                    kept[row["split"]].append({"index": index, **row})
        for name, path in parts.items():
            path.rename(paths[name])
            kept[name].sort(key=lambda row: row.pop("index"))
        write_table(self.folder.patches(self.subset), PATCH_COLUMNS, [*kept["train"], *kept["val"]])
        counts = {name: len(rows) for name, rows in kept.items()}
        write_record(_mark(self.folder, self.subset), {"digest": self.settings.digest(), **counts})

    def _patches(self, cases: Sequence[Case], progress: Progress) -> Iterator[Patch]:
        for patch in self.app.patches(cases, self.settings, self.settings.seed, progress):
            if not 0 <= patch.label < self.app.classes:
                raise DataError(f"A patch of case '{patch.case}' has the label {patch.label}: no class.")
            yield patch

    def _choose(self, name: str, cases: Sequence[Case]) -> dict[int, tuple[str, int]]:
        """By the number of each patch that is kept: its database and its place there."""
        with self.bars(f"Counting {_WORDS[name]} patches{self.what}") as progress:
            labels = [patch.label for patch in self._patches(cases, progress)]
        order = balanced(labels, self.settings.seed, name, self._most(name)) if labels else np.zeros(0, np.int64)
        validated = order if name == "val" else order[:0]
        if name == "both":
            by_class = [order[np.asarray(labels)[order] == label] for label in sorted(set(labels))]
            share = self.settings.training.validation
            first = {int(n) for part in by_class for n in part[: max(1, round(share * len(part)))]}
            validated = np.array([n for n in order if n in first])
        chosen = set(validated.tolist())
        learned = [n for n in order.tolist() if n not in chosen]
        if name != "val":
            self._check({labels[n] for n in learned}, set(range(self.app.classes)), "training")
        if name != "train":
            found, positive = {labels[n] for n in chosen}, set(self.app.positive)
            self._check({label in positive for label in found}, {True, False}, "validation")
        return {n: ("val", i) for i, n in enumerate(validated.tolist())} | {
            n: ("train", i) for i, n in enumerate(learned)
        }

    def _most(self, name: str) -> int | None:
        """How many patches a set may have, if there is a bound."""
        training = self.settings.training
        share = {"train": 1 - training.validation, "val": training.validation, "both": 1.0}[name]
        return round(share * training.patches) if training.patches else None

    def _check(self, found: set[Any], wanted: set[Any], what: str) -> None:
        if missing := wanted - found:
            names = {True: "a positive class", False: "a negative class"} if what == "validation" else {}
            words = ", ".join(names.get(label) or self.app.class_names[label] for label in sorted(missing))
            raise DataError(
                f"The {what} patches{self.what} have none of {words}.",
                remedy="Give more data, another --seed, or a larger share (training.validation, --fractions).",
            )

    def _store(
        self, name: str, cases: Sequence[Case], places: dict[int, tuple[str, int]], writers: dict[str, DatabaseWriter]
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Store the chosen patches; give the place and the row of each."""
        stored = 0
        with self.bars(f"Storing {_WORDS[name]} patches{self.what}") as progress:
            for number, patch in enumerate(self._patches(cases, progress)):
                if number not in places:
                    continue
                target, place = places[number]
                try:
                    image = patch.image() if callable(patch.image) else patch.image
                    pixels = self.settings.base.pixels(image)
                except CaffeError as error:
                    error.cause = f"Case '{patch.case}' {patch.candidate}: {error.cause}"
                    raise
                writers[target].put(b"%08d" % place, array_to_datum(pixels, patch.label).SerializeToString())
                stored += 1
                row = {"patch": f"{target}{self.subset}/{place:08d}", "label": str(patch.label), "case": patch.case}
                yield place, row | {"patient": patch.patient, "split": target, "candidate": patch.candidate}
        if stored != len(places):
            raise DataError(f"The application '{self.app.name}' gave other patches the second time.")


_WORDS = {"train": "training", "val": "validation", "both": "training and validation"}
