"""The log's form: classic glog."""

from __future__ import annotations

import io
import logging
import re
import threading
import time

import pytest

from caffe_port.log import GlogFormatter, log, log_to
from tests.shared import ORACLE

#: Severity, month and day, time with microseconds, thread, file and line: the head of a classic glog line.
LINE = re.compile(r"([IWEF])(\d{4}) (\d\d:\d\d:\d\d\.\d{6}) +(\d+) ([\w.]+):(\d+)\] (.*)", re.DOTALL)


@pytest.fixture
def stream():
    """What :func:`log_to` writes to; the log is as before afterwards."""
    target, level, handlers = io.StringIO(), log.level, list(log.handlers)
    with log_to(target):
        yield target
    assert (log.level, log.handlers) == (level, handlers)


def test_the_pattern_is_real_caffes():
    """Every line of Caffe's own log is one, but for the prototxt texts in it."""
    text = (ORACLE / "logs" / "train_classic.log").read_text()
    heads = [line for line in text.splitlines() if re.match(r"[IWEF]\d{4} ", line)]
    assert len(heads) > 100
    assert all(LINE.fullmatch(line) for line in heads)


@pytest.mark.parametrize(
    ("level", "letter"),
    [(logging.INFO, "I"), (logging.WARNING, "W"), (logging.ERROR, "E")],
)
def test_one_line(stream, level, letter):
    log.log(level, "Iteration %d, loss = %g", 0, 2.5)
    severity, day, clock, thread, file, line, message = LINE.fullmatch(stream.getvalue().rstrip("\n")).groups()
    assert severity == letter
    assert message == "Iteration 0, loss = 2.5"
    assert file == "test_log.py"
    assert int(line) > 0
    assert int(thread) == threading.get_native_id()
    logged = time.mktime(time.strptime(f"{time.localtime().tm_year}{day} {clock[:8]}", "%Y%m%d %H:%M:%S"))
    assert abs(time.time() - logged) < 5


def test_width_and_microseconds_are_padded():
    record = logging.LogRecord("caffe_port", logging.INFO, "/x/solver.py", 239, "m", None, None)
    record.created = time.mktime((2026, 1, 3, 8, 3, 6, 0, 0, -1)) + 0.000042
    assert re.fullmatch(r"I0103 08:03:06\.00004\d {0,5}\d+ solver\.py:239\] m", GlogFormatter().format(record))


def test_further_lines_follow_as_they_are(stream):
    log.info("Initializing solver from parameters: \n%s", 'net: "a"\nbase_lr: 1\n')
    first, *rest = stream.getvalue().split("\n")
    assert first.endswith("] Initializing solver from parameters: ")
    assert rest[:2] == ['net: "a"', "base_lr: 1"]


def test_debug_lines_are_left_out_and_the_root_logger_is_not_touched(stream):
    log.debug("detail")
    assert stream.getvalue() == ""
    assert all(not isinstance(handler.formatter, GlogFormatter) for handler in logging.getLogger().handlers)


def test_the_library_is_silent_by_itself():
    assert any(isinstance(handler, logging.NullHandler) for handler in log.handlers)
    assert not any(isinstance(handler.formatter, GlogFormatter) for handler in log.handlers)
