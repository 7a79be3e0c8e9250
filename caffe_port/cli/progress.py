"""A live bar on the terminal that shares it with the log lines."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from datetime import timedelta
from typing import TextIO

from caffe_port.log import log


class Progress:
    """``with Progress(total) as progress: solver.progress = progress; solver.solve()``.

    Shows, on the last line of a terminal, iterations, loss, iterations per second and the time that is left; log lines
    scroll past above it. Where ``stream`` is no terminal it writes nothing, and the log is as it would be without.
    Whatever else is counted calls :meth:`count`.

    :param total: the iteration at which training ends.
    :param stream: where the log goes too; None: standard error.
    :param unit: what is counted.
    """

    #: Seconds between two drawings.
    EVERY = 0.1

    def __init__(self, total: int = 0, stream: TextIO | None = None, unit: str = "it") -> None:
        self.total = total
        self.unit = unit
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self._handlers: list[logging.StreamHandler[TextIO]] = []
        self._lock = threading.RLock()  # log lines may come from the threads that read data
        self._first: tuple[int, float] | None = None
        self._drawn_at = 0.0
        self._bar = ""

    def __enter__(self) -> Progress:
        if self.live:
            handlers = [h for h in log.handlers if isinstance(h, logging.StreamHandler)]
            self._handlers = [h for h in handlers if h.stream is self.stream]
            for handler in self._handlers:
                handler.setStream(self)  # type: ignore[arg-type]  # it uses write and flush alone
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            handler.setStream(self.stream)
        self._replace("", bar="")

    def __call__(self, iteration: int, loss: float) -> None:
        """Show that ``iteration`` iterations are done, the last of them with this loss."""
        self._show(iteration, f"  loss {loss:.4g}")

    def count(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        self.total = total
        self._show(done, "")

    def _show(self, iteration: int, note: str) -> None:
        now = time.monotonic()
        # The speed counts from the first call: a resumed training does not begin at 0.
        first, since = self._first = self._first or (iteration, now)
        if self.live and (now - self._drawn_at >= self.EVERY or iteration >= self.total):
            self._drawn_at = now
            self._replace("", self._text(iteration, note, (iteration - first) / max(now - since, 1e-9)))

    def write(self, text: str) -> None:
        """Write log lines where the bar stands, and the bar below them."""
        self._replace(text, self._bar)

    def flush(self) -> None:
        """Nothing is held back: :meth:`write` flushes."""

    def _replace(self, text: str, bar: str) -> None:
        with self._lock:
            blank = f"\r{' ' * len(self._bar)}\r" if self._bar else ""
            self._bar = bar
            self.stream.write(blank + text + bar)
            self.stream.flush()

    def _text(self, iteration: int, note: str, rate: float) -> str:
        left = timedelta(seconds=round((self.total - iteration) / rate)) if rate else "?"
        numbers = f" {iteration}/{self.total}{note}  {rate:.1f} {self.unit}/s  {left} left"
        columns = os.get_terminal_size(self.stream.fileno()).columns or 80
        width = max(min(columns - len(numbers) - 3, 30), 0)
        done = min(width * iteration // max(self.total, 1), width)
        return f"[{'#' * done}{'-' * (width - done)}]{numbers}"[: columns - 1]
