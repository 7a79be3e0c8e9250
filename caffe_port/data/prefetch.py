"""Batches prepared ahead in the background. Caffe: BasePrefetchingDataLayer in base_data_layer.cpp."""

from __future__ import annotations

import atexit
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

#: How long to wait for the workers at the end of the interpreter; they are daemons and die with it anyway.
EXIT_SECONDS = 5.0


@dataclass(frozen=True)
class Stream:
    """Which items each batch holds, and where their random numbers come from.

    Batch b of process ``rank`` holds the items (b * batch_size + j) * world + rank: Caffe's counter, which runs on
    across epochs, dealt out in turn to the processes that train side by side.
    """

    batch_size: int
    seed: int
    name: str
    rank: int = 0
    world: int = 1

    def items(self, batch: int) -> range:
        """Global item numbers of ``batch``, ascending."""
        first = batch * self.batch_size * self.world + self.rank
        return range(first, first + self.batch_size * self.world, self.world)


class BatchSource(ABC):
    """Where batches come from. What a batch holds is a function of its number alone.

    A source may not refer to the layer or prefetcher that uses it: threads hold the source, and would keep those alive.
    """

    #: Whether batches go to a CUDA device, so that page-locked memory pays.
    pin_memory = False

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, ...]]:
        """The top shapes, from the first record."""

    @abstractmethod
    def read(self, batch: int) -> Any:
        """Fetch the raw items of ``batch``. Called for ascending numbers, by one thread at a time."""

    @abstractmethod
    def prepare(self, batch: int, raw: Any) -> Any:
        """Decode and cut what :meth:`read` gave; any number of threads at a time."""

    @abstractmethod
    def finish(self, prepared: Any, like: Tensor) -> tuple[Tensor, ...]:
        """The tops, with the device and type of ``like``; runs in the thread that wants them."""


class Prefetcher:
    """Prepares the batches of ``source`` from number ``start`` on, at most ``depth`` ahead, with daemon threads.

    :meth:`get` returns them in order, whatever the number of ``workers``. The threads stop when this object is closed
    or collected, and when the interpreter exits.
    """

    def __init__(self, source: BatchSource, start: int, depth: int, workers: int = 1) -> None:
        self._queue = _Queue(start, depth)
        weakref.finalize(self, self._queue.stop).atexit = False
        count = min(workers, depth)
        self._queue.threads = [
            threading.Thread(target=_work, args=(self._queue, source), daemon=True, name=f"prefetch-{i}")
            for i in range(count)
        ]
        for thread in self._queue.threads:
            thread.start()

    @property
    def position(self) -> int:
        """Number of the batch that :meth:`get` returns next."""
        return self._queue.wanted

    def get(self) -> Any:
        """The next prepared batch.

        :raises Exception: what went wrong while preparing it; the prefetcher is closed then.
        """
        outcome = self._queue.take()
        if isinstance(outcome, _Failure):
            self.close()
            raise outcome.error
        return outcome

    def close(self) -> None:
        """Stop the threads and wait for them."""
        self._queue.stop()
        join(self._queue.threads)


@dataclass
class _Failure:
    error: BaseException


class _Queue:
    """What the consumer and the workers share; it knows neither the source nor the prefetcher."""

    def __init__(self, start: int, depth: int) -> None:
        self.wanted = start  # what the consumer takes next
        self.unclaimed = start  # what the next worker prepares
        self.depth = depth
        self.done: dict[int, Any] = {}
        self.stopped = False
        self.changed = threading.Condition()
        self.reading = threading.Lock()
        self.threads: list[threading.Thread] = []
        _live.add(self)

    def claim(self) -> int | None:
        """The number to prepare next, once there is room for it; None when all is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or self.unclaimed < self.wanted + self.depth)
            if self.stopped:
                return None
            self.unclaimed += 1
            return self.unclaimed - 1

    def put(self, number: int, outcome: Any) -> None:
        """Hand over batch ``number``."""
        with self.changed:
            self.done[number] = outcome
            self.changed.notify_all()

    def take(self) -> Any:
        """The next batch in order; waits for it."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or self.wanted in self.done)
            if self.stopped:
                raise RuntimeError("the prefetcher is closed")
            outcome = self.done.pop(self.wanted)
            self.wanted += 1
            self.changed.notify_all()
            return outcome

    def stop(self) -> None:
        """Tell every thread to end."""
        with self.changed:
            self.stopped = True
            self.done.clear()
            self.changed.notify_all()


def _work(queue: _Queue, source: BatchSource) -> None:
    """One worker: read in turn, prepare at leisure."""
    while True:
        with queue.reading:
            number = queue.claim()
            if number is None:
                return
            raw = _attempt(source.read, number)
        queue.put(number, raw if isinstance(raw, _Failure) else _attempt(source.prepare, number, raw))


def _attempt(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except BaseException as error:  # it belongs to the consumer, who would wait for ever otherwise
        return _Failure(error)


_live: weakref.WeakSet[_Queue] = weakref.WeakSet()


def join(threads: Sequence[threading.Thread]) -> None:
    """Wait for ``threads``, except the current one and those that take too long."""
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(EXIT_SECONDS)


@atexit.register
def _stop_all() -> None:
    """End all workers before the interpreter takes its modules apart under them."""
    for queue in list(_live):
        queue.stop()
    for queue in list(_live):
        join(queue.threads)
