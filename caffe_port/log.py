"""Log lines in the form of classic glog, which Caffe's own log parsers read.

``I1123 08:13:16.923439  4471 solver.py:239] Iteration 0, loss = 2.3``. The library only writes to the logger
``caffe_port``; the command line sends it to standard error with :func:`log_to`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

log = logging.getLogger("caffe_port")
log.addHandler(logging.NullHandler())


class GlogFormatter(logging.Formatter):
    """Severity letter, month and day, time to the microsecond, thread, file and line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one glog line (further lines of a message follow as they are)."""
        clock = time.localtime(record.created)
        micro = int(record.created % 1 * 1_000_000)
        head = f"{record.levelname[0]}{time.strftime('%m%d %H:%M:%S', clock)}.{micro:06d}"
        return f"{head} {threading.get_native_id():5d} {record.filename}:{record.lineno}] {record.getMessage()}"


@contextmanager
def log_to(stream: TextIO, level: int = logging.INFO) -> Iterator[None]:
    """Send the log to ``stream`` as well, within the ``with`` block."""
    former = log.level
    handler = logging.StreamHandler(stream)
    handler.setFormatter(GlogFormatter())
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(former)
