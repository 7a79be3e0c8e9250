"""pycaffe's stop watch (Caffe: benchmark.cpp)."""

from __future__ import annotations

import time

import torch


class Timer:
    """``start()``, work, ``stop()``, then ``ms``. On a GPU its work is awaited before the clock is read."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to count, if it does not yet."""
        if self._started is None:
            self._started = _now()

    def stop(self) -> None:
        """Stop counting, if it does."""
        if self._started is not None:
            self._seconds = _now() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds from the last start to its stop, which this is if there was none yet."""
        self.stop()
        return self._seconds * 1000


def _now() -> float:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
