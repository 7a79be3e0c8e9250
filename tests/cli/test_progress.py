"""The progress bar on a real (pseudo) terminal, and its absence elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest

from caffe_port.cli.progress import Progress
from caffe_port.log import log, log_to

BAR = re.compile(r"\[(#*)(-*)\] (\d+)/(\d+)  loss (\S+)  (\S+) it/s  (\S+) left")


class Terminal:
    """A terminal of 80 columns: ``stream`` is the program's end, :meth:`screen` what the user sees."""

    def __init__(self, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w")
        self.written = ""

    def screen(self) -> list[str]:
        os.set_blocking(self.master, False)
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.master, 65536):
                self.written += chunk.decode()
        lines = []
        for row in self.written.split("\n"):
            cells: list[str] = []
            for part in row.split("\r"):
                cells[: len(part)] = part
            lines.append("".join(cells).rstrip())
        return lines


@pytest.fixture
def terminal():
    made = Terminal()
    with log_to(made.stream):
        yield made
    made.stream.close()
    os.close(made.master)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(Progress, "EVERY", 0)
    monkeypatch.setenv("TERM", "xterm")


def test_log_lines_pass_above_the_bar(terminal):
    with Progress(40, terminal.stream) as progress:
        log.info("before the first iteration")
        assert len(terminal.screen()) == 2
        progress(10, 2.5)
        (_, bar) = terminal.screen()
        assert BAR.fullmatch(bar)[3] == "10"
        log.info("a line that is %s the bar which it replaces", "a good deal longer than")
        log.info("short")
        screen = terminal.screen()
        assert [line.split("] ")[-1] for line in screen[:3]] == [
            "before the first iteration",
            "a line that is a good deal longer than the bar which it replaces",
            "short",
        ]
        assert screen[3:] == [bar]
        progress(20, 1.25)
        done, left, iteration, total, loss, _, _ = BAR.fullmatch(terminal.screen()[3]).groups()
        assert (iteration, total, loss) == ("20", "40", "1.25")
        assert len(done) == len(left) > 0
    log.info("after the last")
    screen = terminal.screen()
    assert not any(BAR.search(line) for line in screen)
    assert [bool(re.match(r"I\d{4} ", line)) for line in screen] == [True] * 4 + [False]
    assert screen[3].endswith("] after the last")
    assert screen[4] == ""


def test_speed_and_time_left(terminal, monkeypatch):
    clock = iter([100.0, 104.0])
    monkeypatch.setattr("caffe_port.cli.progress.time.monotonic", lambda: next(clock))
    with Progress(1000, terminal.stream) as progress:
        progress(501, 1.0)  # a resumed training: its first iteration here
        assert "? left" in terminal.screen()[-1]
        progress(521, 1.0)
        bar = BAR.fullmatch(terminal.screen()[-1])
    assert bar[6] == "5.0"  # 20 iterations in 4 s
    assert bar[7] == "0:01:36"  # 479 / 5 s = 95.8 s


def test_drawn_seldom_but_at_the_end(terminal, monkeypatch):
    monkeypatch.setattr(Progress, "EVERY", 1000)
    with Progress(3, terminal.stream) as progress:
        for iteration in (1, 2, 3):
            progress(iteration, 1.0)
        terminal.screen()
    assert re.findall(r"\d/3", terminal.written) == ["1/3", "3/3"]


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_never_wider_than_the_terminal(columns):
    terminal = Terminal(columns)
    with Progress(100000, terminal.stream) as progress:
        for iteration in (1, 50000, 100000):
            progress(iteration, 0.123456)
            assert 10 < len(terminal.screen()[-1]) < columns
    assert terminal.screen() == [""]
    terminal.stream.close()
    os.close(terminal.master)


def test_terminal_of_unknown_width():
    terminal = Terminal(0)
    with Progress(10, terminal.stream) as progress:
        progress(5, 1.0)
        assert BAR.fullmatch(terminal.screen()[-1])
    terminal.stream.close()
    os.close(terminal.master)


def fail_under_a_bar(stream):
    with Progress(10, stream) as progress:
        progress(5, 1.0)
        raise ZeroDivisionError


def test_failure_leaves_a_clean_terminal(terminal):
    with pytest.raises(ZeroDivisionError):
        fail_under_a_bar(terminal.stream)
    log.info("the error")
    assert [line.endswith("] the error") for line in terminal.screen()] == [True, False]


@pytest.mark.parametrize("kind", ["file", "dumb terminal"])
def test_without_a_terminal_the_log_alone(kind, monkeypatch):
    monkeypatch.setenv("TERM", "dumb" if kind == "dumb terminal" else "xterm")
    terminal = Terminal()
    stream = io.StringIO() if kind == "file" else terminal.stream
    with log_to(stream), Progress(10, stream) as progress:
        progress(5, 1.0)
        log.info("a line")
        progress(10, 1.0)
    text = stream.getvalue() if kind == "file" else "\n".join(terminal.screen())
    assert re.fullmatch(r"I\d{4} \S+ +\d+ \S+\] a line\n", text)
    terminal.stream.close()
    os.close(terminal.master)


def test_other_things_are_counted_without_a_loss(terminal):
    with Progress(stream=terminal.stream, unit="images") as progress:
        for done in (1, 7):
            progress.count(done, 14)
        bar = terminal.screen()[-1]
    assert re.fullmatch(r"\[#+-+\] 7/14  [\d.]+ images/s  [\d:]+ left", bar)
    assert terminal.screen() == [""]
