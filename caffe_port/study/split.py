"""Who is trained on and who is tested on: splits by patient, smaller training sets, equal classes.

Every choice is a function of the seed and of what is chosen from; no order of files or number of workers changes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.cases import Case


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
    groups = _groups(cases, "case")
    chosen = set(_draw(groups, _count(share, groups), seed, "validation"))
    return [c for c in cases if c.id not in chosen], [c for c in cases if c.id in chosen]


def reduced(cases: Sequence[Case], fraction: float, by: str, seed: int, draw: int = 1) -> list[Case]:
    """A random part of the training cases: at least one patient (or case, or lesion), evenly spread over the classes.

    Smaller fractions of one ``draw`` are parts of larger ones.

    :param by: ``patient`` (a video, an exam), ``case`` (a frame), or ``lesion``: all cases stay, without the others'
        candidates. False positives are as many as before; that classes are balanced makes them fewer.
    """
    if fraction == 1:
        return list(cases)
    groups = _groups(cases, by)
    if not groups:
        raise DataError(f"There is no {by} to leave out.", remedy="Give data with lesions, or no --fractions.")
    chosen = set(_draw(groups, max(1, round(fraction * len(groups))), seed, f"reduced {draw}"))
    if by == "lesion":
        return [_without_others(case, chosen) for case in cases]
    return [case for case in cases if (case.patient if by == "patient" else case.id) in chosen]


def _without_others(case: Case, lesions: set[str]) -> Case:
    """``case`` as if it had no lesion but these."""
    kept = tuple(c for c in case.candidates if not c.lesion or c.lesion in lesions)
    return replace(case, candidates=kept, lesions=tuple(name for name in case.lesions if name in lesions))


def balanced(labels: Sequence[int], seed: int, what: str, most: int | None = None) -> np.ndarray:
    """The numbers of the examples to keep, in a random order: every class as often as the rarest one.

    The paper has "the positive and negative classes equally present", the minority kept whole (section VI); with three
    classes this gives each of them a third.

    :param what: the set, which gets an order of its own.
    :param most: of all classes together; None: all that there are.
    """
    labels_array = np.asarray(labels, dtype=np.int64)
    random = rng.numpy_generator(seed, "balanced", what)
    counts = Counter(labels)
    number = min(counts.values()) if most is None else min(*counts.values(), max(1, most // len(counts)))
    kept = [random.permutation(np.flatnonzero(labels_array == label))[:number] for label in sorted(counts)]
    return random.permutation(np.concatenate(kept))


def _by_patient(cases: Sequence[Case], share: float, seed: int, key: str, what: str) -> tuple[list[Case], list[Case]]:
    groups = _groups(cases, "patient")
    if len(groups) < 2:
        raise DataError(
            f"There is one patient ('{cases[0].patient}'): no split into {what}.",
            remedy="Give more data, or a folder of other patients as --test-data.",
        )
    chosen = set(_draw(groups, _count(share, groups), seed, key))
    return [c for c in cases if c.patient not in chosen], [c for c in cases if c.patient in chosen]


def _count(share: float, groups: Mapping[str, Hashable]) -> int:
    """How many to take: the ``share``, but one of every class that has two or more, and not all."""
    classes = sum(count > 1 for count in Counter(groups.values()).values())
    return min(max(1, classes, round(share * len(groups))), len(groups) - 1)


def _groups(cases: Sequence[Case], by: str) -> dict[str, Hashable]:
    """Patients, cases or lesions, each with its class: its commonest label, and whether it shows a lesion."""
    if by == "lesion":
        return {lesion: None for case in cases for lesion in case.lesions}
    labels: dict[str, Counter[int | None]] = defaultdict(Counter)
    ill: set[str] = set()
    for case in cases:
        name = case.patient if by == "patient" else case.id
        labels[name][case.label] += 1
        ill |= {name} if case.lesions else set()
    commonest = {name: min(found, key=lambda label: (-found[label], str(label))) for name, found in labels.items()}
    return {name: (label, name in ill) for name, label in commonest.items()}


def _draw(groups: Mapping[str, Hashable], count: int, seed: int, what: str) -> list[str]:
    """``count`` of the groups: from every stratum of two or more at least one, as far as they go, then its share."""
    strata: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(groups):
        strata[groups[name]].append(name)
    random = rng.numpy_generator(seed, "split", what)
    ranked: list[tuple[bool, float, str]] = []
    for label in sorted(strata, key=str):
        members = [strata[label][i] for i in random.permutation(len(strata[label]))]
        offset = random.random()  # which stratum gives one more is chance, not the order of labels
        for place, name in enumerate(members):
            ranked.append((place > 0 or len(members) == 1, (place + offset) / len(members), name))
    return [name for *_, name in sorted(ranked)[:count]]
