"""Work side by side: its order, and its end."""

from __future__ import annotations

import time

import pytest

from caffe_port.study.threads import in_threads


def test_results_come_in_order():
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    with in_threads(work, range(20)) as found:
        assert list(found) == [number * number for number in range(20)]


def test_an_error_ends_the_rest():
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.002)
        return 1 // number

    with pytest.raises(ZeroDivisionError), in_threads(work, range(2000)) as found:
        list(found)
    assert len(begun) < 1000


def test_an_interrupt_in_the_block_ends_the_rest():
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.002)

    def interrupted() -> None:
        with in_threads(work, range(2000)) as found:
            next(found)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(begun) < 1000
