"""Measuring one thing beside another."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch

#: Something to measure. It may return the seconds that count; without, all of the call counts.
Task = Callable[[], "float | None"]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Row(NamedTuple):
    """What is measured, its yardstick, and how many times as fast it is to be (None: no goal).

    A call of ``measured`` does ``count`` pieces of work, of ``yardstick`` ``yardstick_count``; milliseconds are shown
    for one piece.
    """

    name: str
    measured: Task
    yardstick_name: str
    yardstick: Task
    goal: float | None = None
    count: int = 1
    yardstick_count: int = 1


def seconds(task: Task, clock: Callable[[], float]) -> float:
    """How long one call of ``task`` takes."""
    start = clock()
    counted = task()
    return clock() - start if counted is None else counted


def medians(rows: Sequence[Row], repeats: int, clock: str) -> list[tuple[float, float]]:
    """Median seconds of one piece of every row and of its yardstick; the tasks take turns, the first does not count."""
    tasks = dict.fromkeys(task for row in rows for task in (row.measured, row.yardstick))
    times: dict[Task, list[float]] = {task: [] for task in tasks}
    for _ in range(repeats + 1):
        for task, record in times.items():
            record.append(seconds(task, CLOCKS[clock]))
    median = {task: statistics.median(record[1:]) for task, record in times.items()}
    return [(median[row.measured] / row.count, median[row.yardstick] / row.yardstick_count) for row in rows]


def report(rows: Sequence[Row], repeats: int, clock: str = "wall") -> bool:
    """Measure and print a table; whether every goal is reached."""
    print(f"{torch.get_num_threads()} threads, {clock} time, medians of {repeats}")
    print(f"{'':26}{'ms':>10}  {'yardstick':36}{'ms':>10}{'times as fast':>15}{'goal':>8}")
    reached = True
    for row, (measured, yardstick) in zip(rows, medians(rows, repeats, clock)):
        speed = yardstick / measured
        fails = row.goal is not None and speed < row.goal
        reached &= not fails
        goal = "" if row.goal is None else f"{row.goal:8.2f}"
        print(
            f"{row.name:26}{measured * 1e3:10.4f}  {row.yardstick_name:36}{yardstick * 1e3:10.4f}{speed:15.2f}{goal}"
            + ("  missed" if fails else ""),
            flush=True,
        )
    return reached


class Worker:
    """A task in a process of its own, as a user runs it; calling it gives the seconds of one turn there.

    :param make: a module's function that returns the task; called with ``arguments`` in the process.
    """

    def __init__(self, make: Callable[..., Task], *arguments: Any, threads: int, clock: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        settings = (theirs, make, arguments, threads, clock)
        self._process = context.Process(target=_serve, args=settings, daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self) -> float:
        """Do one turn.

        :raises EOFError: the process has failed; it has said why.
        """
        self._connection.send(True)
        return float(self._connection.recv())

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(
    connection: Connection, make: Callable[..., Task], arguments: tuple[Any, ...], threads: int, clock: str
) -> None:
    torch.set_num_threads(threads)
    task = make(*arguments)
    try:
        while connection.recv():
            connection.send(seconds(task, CLOCKS[clock]))
    except EOFError:  # closed by the parent
        pass
