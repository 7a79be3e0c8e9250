"""Who is trained on and who is tested on: splits by patient, smaller training sets, equal classes.

Every choice is a function of the seed and of what is chosen from; no order of files or number of workers changes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.cases import Case

Item = TypeVar("Item", bound=Hashable)


def check_cases(cases: Sequence[Case], where: str) -> None:
    """Refuse what a loader should not have returned: no case, an id twice or one that is no file name.

    :param where: the folder, for the message.
    """
    if not cases:
        raise DataError("holds no case of this data set.", file=where, remedy="Check --data and --dataset.")
    ids: set[str] = set()
    for case in cases:
        if case.id in ids:
            raise DataError(f"Two cases are called '{case.id}'.", file=where, remedy="Rename one of the files.")
        named = case.id and case.patient and case.id not in (".", "..")
        if not named or any(c in '/\\"' for c in case.id) or any(ord(c) < 32 for c in case.id + case.patient):
            raise DataError(f"A case has no usable id or patient: {case.id!r}, {case.patient!r}.", file=where)
        ids.add(case.id)


def halves(cases: Sequence[Case], share: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Training and test cases; no patient is on both sides, and classes are spread evenly where cases have any.

    The paper tests on half of its videos or subjects (section VI).

    :param share: of the patients that are tested on.
    :raises DataError: there are fewer than two patients.
    """
    return _by_patient(cases, share, seed, "test", "training and test")


def training_and_validation(cases: Sequence[Case], share: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Training and validation cases, by patient where there are two or more, else by case.

    :return: as two lists; with a single case both hold it, and its patches are to be shared out.
    """
    if len({case.patient for case in cases}) > 1:
        return _by_patient(cases, share, seed, "validation", "training and validation")
    if len(cases) == 1:
        return list(cases), list(cases)
    groups = {case.id: case.label for case in cases}
    chosen = set(_draw(groups, _count(share, groups), seed, "validation"))
    return [c for c in cases if c.id not in chosen], [c for c in cases if c.id in chosen]


def reduced(cases: Sequence[Case], fraction: float, by: str, seed: int, draw: int = 1) -> list[Case]:
    """A random part of the training cases: at least one patient (or case), evenly spread over the classes.

    Smaller fractions of one ``draw`` are parts of larger ones.

    :param by: ``patient`` (a video, an exam) or ``case`` (a frame).
    """
    if fraction == 1:
        return list(cases)
    groups = _groups(cases) if by == "patient" else {case.id: case.label for case in cases}
    count = max(1, round(fraction * len(groups)))
    chosen = set(_draw(groups, count, seed, f"reduced {draw}"))
    return [case for case in cases if (case.patient if by == "patient" else case.id) in chosen]


def balanced(labels: Sequence[int], seed: int, what: str) -> np.ndarray:
    """The numbers of the examples to keep, in a random order: every class as often as the rarest one.

    The paper has "the positive and negative classes equally present", the minority kept whole (section VI); with three
    classes this gives each of them a third.

    :param what: the set, which gets an order of its own.
    """
    labels_array = np.asarray(labels, dtype=np.int64)
    random = rng.numpy_generator(seed, "balanced", what)
    counts = Counter(labels)
    kept = [
        random.permutation(np.flatnonzero(labels_array == label))[: min(counts.values())] for label in sorted(counts)
    ]
    return random.permutation(np.concatenate(kept))


def _by_patient(cases: Sequence[Case], share: float, seed: int, key: str, what: str) -> tuple[list[Case], list[Case]]:
    groups = _groups(cases)
    if len(groups) < 2:
        raise DataError(
            f"There is one patient ('{cases[0].patient}'): no split into {what}.",
            remedy="Give more data, or a folder of other patients as --test-data.",
        )
    chosen = set(_draw(groups, _count(share, groups), seed, key))
    return [c for c in cases if c.patient not in chosen], [c for c in cases if c.patient in chosen]


def _count(share: float, groups: Mapping[Item, int | None]) -> int:
    """How many to take: the ``share``, but one of every class that has two or more, and not all."""
    classes = sum(count > 1 for count in Counter(groups.values()).values())
    return min(max(1, classes, round(share * len(groups))), len(groups) - 1)


def _groups(cases: Sequence[Case]) -> dict[str, int | None]:
    """Patients with the commonest label of each."""
    labels: dict[str, Counter[int | None]] = defaultdict(Counter)
    for case in cases:
        labels[case.patient][case.label] += 1
    return {name: min(found, key=lambda label: (-found[label], str(label))) for name, found in labels.items()}


def _draw(groups: Mapping[Item, int | None], count: int, seed: int, what: str) -> list[Item]:
    """``count`` of the groups: from every stratum of two or more at least one, as far as they go, then its share."""
    strata: dict[int | None, list[Item]] = defaultdict(list)
    for name in sorted(groups, key=str):
        strata[groups[name]].append(name)
    random = rng.numpy_generator(seed, "split", what)
    ranked: list[tuple[bool, float, Item]] = []
    for label in sorted(strata, key=str):
        members = [strata[label][i] for i in random.permutation(len(strata[label]))]
        offset = random.random()  # which stratum gives one more is chance, not the order of labels
        for place, name in enumerate(members):
            ranked.append((place > 0 or len(members) == 1, (place + offset) / len(members), name))
    return [name for *_, name in sorted(ranked, key=lambda entry: (*entry[:2], str(entry[2])))[:count]]
