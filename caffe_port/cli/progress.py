"""A live bar on the terminal that shares it with the log lines."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TextIO

import click

from caffe_port.log import log


class Progress:
    """``with Progress(total) as progress: solver.progress = progress; solver.solve()``.

    Shows, on the last line of a terminal, iteration, loss, iterations per second and the time that is left; log lines
    scroll past above it. Where ``stream`` is no terminal it writes nothing, and the log is as it would be without.

    :param total: the iteration at which training ends.
    :param stream: where the log goes too; None: standard error.
    """

    #: Seconds between two drawings.
    EVERY = 0.1

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self._handlers: list[logging.StreamHandler[TextIO]] = []
        self._lock = threading.RLock()  # log lines may come from the threads that read data
        self._first: tuple[int, float] | None = None
        self._line = ""
        self._drawn_at = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            handlers = [h for h in log.handlers if isinstance(h, logging.StreamHandler) and h.stream is self.stream]
            for handler in handlers:
                handler.setStream(self)  # type: ignore[arg-type]  # write and flush are all that it uses
            self._handlers = handlers
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            handler.setStream(self.stream)
        self._clear()
        self.stream.flush()

    def __call__(self, iteration: int, loss: float) -> None:
        """Show that ``iteration`` iterations are done, the last of them with this loss."""
        if not self.live:
            return
        now = time.monotonic()
        first, since = self._first = self._first or (iteration, now)
        if now - self._drawn_at < self.EVERY and iteration < self.total:
            return
        self._drawn_at = now
        rate = (iteration - first) / (now - since) if now > since else 0.0
        with self._lock:
            self._clear()
            self._line = self._text(iteration, loss, rate)
            self._draw()

    def write(self, text: str) -> None:
        """Write a log line where the bar stands; the bar moves below it."""
        with self._lock:
            line, self._line = self._line, (self._clear() or "")
            self.stream.write(text)
            self._line = line
            self._draw()

    def flush(self) -> None:
        """Nothing is held back."""

    def _text(self, iteration: int, loss: float, rate: float) -> str:
        left = f"{(self.total - iteration) / rate:.0f} s left" if rate else "..."
        numbers = f" {iteration}/{self.total}  loss {loss:.4g}  {rate:.1f} it/s  {left}"
        columns = os.get_terminal_size(self.stream.fileno()).columns or 80
        width = max(min(columns - len(numbers) - 3, 30), 0)
        done = min(width * iteration // max(self.total, 1), width)
        return f"[{'#' * done}{'-' * (width - done)}]{numbers}"[: columns - 1]

    def _clear(self) -> None:
        if self._line:
            self.stream.write("\r" + " " * len(self._line) + "\r")
            self._line = ""

    def _draw(self) -> None:
        self.stream.write(self._line)
        self.stream.flush()
