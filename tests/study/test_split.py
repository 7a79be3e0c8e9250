"""Splits: by patient, even over classes, the same for a seed; smaller training sets; equal classes."""

from __future__ import annotations

from collections import Counter

import pytest

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.split import balanced, check_cases, halves, reduced, training_and_validation


def cases(patients, frames=3, label=lambda patient, frame: None):
    return [Case(f"{p}-{f}", f"patient{p}", label(p, f)) for p in range(patients) for f in range(frames)]


def patients(found):
    return {case.patient for case in found}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("count", "share", "expected"), [(40, 0.5, 20), (41, 0.2, 8), (2, 0.5, 1), (3, 0.01, 1), (3, 0.99, 2)]
)
def test_no_patient_is_on_both_sides(seed, count, share, expected):
    everything = cases(count)
    train, test = halves(everything, share, seed)
    assert not patients(train) & patients(test)
    assert sorted(c.id for c in train + test) == sorted(c.id for c in everything)
    assert len(patients(test)) == expected


def test_the_seed_decides_and_the_order_does_not():
    everything = cases(30)
    first = halves(everything, 0.5, 1)[1]
    again = halves(everything[::-1], 0.5, 1)[1]
    assert patients(first) == patients(again)
    assert len({frozenset(patients(halves(everything, 0.5, seed)[1])) for seed in range(20)}) > 15


def test_every_patient_is_as_often_tested():
    counts = Counter(p for seed in range(400) for p in patients(halves(cases(10), 0.5, seed)[1]))
    assert all(abs(count - 200) < 50 for count in counts.values())  # 5 standard deviations


@pytest.mark.parametrize("seed", range(10))
def test_classes_are_spread_evenly(seed):
    """60 patients of one class and 20 of the other: the halves have 30 and 10."""
    train, test = halves(cases(80, 2, lambda p, f: int(p % 4 == 0)), 0.5, seed)
    for part in (train, test):
        labels = Counter(case.label for case in part)
        assert abs(labels[0] - 60) <= 2
        assert abs(labels[1] - 20) <= 2


def test_one_patient_cannot_be_tested():
    with pytest.raises(DataError, match=r"one patient.*--test-data"):
        halves(cases(1), 0.5, 1)


def test_validation_is_by_patient_else_by_case():
    train, val = training_and_validation(cases(10), 0.2, 1)
    assert (len(patients(train)), len(patients(val))) == (8, 2)
    assert not patients(train) & patients(val)
    train, val = training_and_validation(cases(1, 10, lambda p, f: f % 2), 0.2, 1)
    assert (len(train), len(val)) == (8, 2)
    assert {case.label for case in val} == {0, 1}
    train, val = training_and_validation(cases(1, 6, lambda p, f: f % 3), 0.2, 1)
    assert {case.label for case in val} == {case.label for case in train} == {0, 1, 2}, "one of each class at least"
    one = cases(1, 1)
    assert training_and_validation(one, 0.2, 1) == (one, one)


def test_reduced_by_patient_and_by_case():
    everything = cases(20, 10)
    assert reduced(everything, 1.0, "patient", 1) == everything
    half = reduced(everything, 0.5, "patient", 1)
    assert len(patients(half)) == 10
    assert len(half) == 100, "whole patients"
    assert len(reduced(everything, 0.1, "case", 1)) == 20
    assert len(patients(reduced(everything, 0.001, "patient", 1))) == 1, "down to one patient"
    assert len(reduced(everything, 0.001, "case", 1)) == 1


def test_smaller_sets_are_parts_of_larger_ones_and_draws_differ():
    everything = cases(20, 3, lambda p, f: int(p > 12))
    tenth, half = (patients(reduced(everything, f, "patient", 1)) for f in (0.1, 0.5))
    assert tenth < half
    draws = {frozenset(patients(reduced(everything, 0.1, "patient", 1, draw))) for draw in range(1, 11)}
    assert len(draws) > 7


def test_balanced_keeps_the_minority_whole():
    labels = [0] * 70 + [1] * 9 + [0] * 21
    kept = balanced(labels, 1, "train").tolist()
    assert len(set(kept)) == len(kept) == 18
    assert set(range(70, 79)) <= set(kept)
    assert sorted(kept) != kept, "in a random order"
    assert balanced(labels, 1, "train").tolist() == kept
    assert balanced(labels, 2, "train").tolist() != kept
    three = [0] * 50 + [1] * 20 + [2] * 30
    assert Counter(three[i] for i in balanced(three, 1, "train")) == {0: 20, 1: 20, 2: 20}


def test_every_one_of_the_majority_is_as_often_kept():
    labels = [0] * 40 + [1] * 10
    counts = Counter(i for seed in range(400) for i in balanced(labels, seed, "x").tolist() if labels[i] == 0)
    assert len(counts) == 40
    assert all(abs(count - 100) < 45 for count in counts.values())  # 5 standard deviations


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ([], "no case"),
        ([Case("a", "p"), Case("a", "q")], "Two cases are called 'a'"),
        ([Case("a/b", "p")], "no usable id"),
        ([Case("..", "p")], "no usable id"),
        ([Case("a", "")], "no usable id or patient"),
        ([Case("a\nb", "p")], "no usable id"),
        ([Case("a", "p\r")], "no usable id or patient"),
    ],
)
def test_what_a_loader_must_not_return(found, cause):
    with pytest.raises(DataError, match=cause):
        check_cases(found, "folder")
