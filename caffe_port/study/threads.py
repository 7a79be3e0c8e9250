"""The same function of many things, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import cpu_count
from typing import TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")


@contextmanager
def in_threads(function: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Iterator[Result]]:
    """``function`` of each of ``things``, in their order, computed by one thread per core.

    For work that OpenCV, numpy and scikit-learn do, which leaves Python to the others. After an error or an interrupt
    in the block, what has not begun is left out.
    """
    pool = ThreadPoolExecutor(cpu_count())
    try:
        yield pool.map(function, things)
    finally:
        pool.shutdown(cancel_futures=True)
