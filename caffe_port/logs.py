"""Reading training logs back, and plotting them.

Reads what ``caffe-port train`` and any Caffe wrote: classic glog lines (``I1123 08:13:16.923439 ...``) and those of
newer glog with the year (``I20261123 08:13:16.923439 ...``). Caffe: tools/extra/parse_log.py, solver.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from caffe_port.errors import FormatError

_GLOG = re.compile(r"[IWEF](\d{4}|\d{8}) (\d\d:\d\d:\d\d\.\d{6}) +\d+ [^\]]*\] (.*)")
_SOLVING = re.compile(r"Solving (.*)")
_DISPLAY = re.compile(r"Iteration (\d+)\b.*, loss = (\S+)")
_RATE = re.compile(r"Iteration (\d+), lr = (\S+)")
_TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
_TEST_LOSS = re.compile(r"Test loss: (\S+)")
_OUTPUT = re.compile(r" *(Train|Test) net output #\d+: (.*) = (\S+)( \(\* \S+ = \S+ loss\))?")


@dataclass
class TrainRow:
    """What the log shows of one training iteration.

    ``seconds`` count from the start of training; ``loss`` is the smoothed one (average_loss); ``lr`` is None where the
    log ends before it, and on the last line of a training. ``outputs`` are the net's output blobs; the second and
    further values of a blob are called ``name[1]``, ``name[2]``, ...
    """

    iteration: int
    seconds: float
    loss: float | None = None
    lr: float | None = None
    outputs: dict[str, float] = field(default_factory=dict)


@dataclass
class TestRow:
    """One test: means of the outputs of test net number ``net`` (named as in :class:`TrainRow`) after ``iteration``
    updates. ``loss`` is set by solvers with ``test_compute_loss``."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    iteration: int
    seconds: float
    net: int
    loss: float | None = None
    outputs: dict[str, float] = field(default_factory=dict)


@dataclass
class TrainingLog:
    """A training log: name of the net, rows in the order of the log, and the outputs that carry a loss weight."""

    source: Path
    name: str = ""
    train: list[TrainRow] = field(default_factory=list)
    test: list[TestRow] = field(default_factory=list)
    losses: set[str] = field(default_factory=set)

    @property
    def test_nets(self) -> list[int]:
        """Numbers of the test nets."""
        return sorted({row.net for row in self.test})


def read_log(path: str | Path) -> TrainingLog:
    """The training log at ``path``. Lines that say nothing about an iteration are passed over, and so is a last line
    without its end, for the number in it may be cut.

    :raises FormatError: it cannot be read, or holds no training or test iteration.
    """
    return LogReader(path).read()


class LogReader:
    """Goes through a log line by line."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.log = TrainingLog(self.path)
        self._start: datetime | None = None
        self._time: datetime | None = None
        self._rows: dict[str, TrainRow | TestRow | None] = {"Train": None, "Test": None}

    def read(self) -> TrainingLog:
        """The log (see :func:`read_log`)."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                self._lines(file)
        except OSError as error:
            raise FormatError(f"The log cannot be read: {error.strerror}.", file=self.path) from None
        if not self.log.train and not self.log.test:
            raise FormatError(
                "is no training log: no line 'Iteration N, loss = ...' or 'Iteration N, Testing net (#0)' is in it.",
                remedy="Save what 'caffe-port train' writes to standard error; the solver's 'display' must not be 0.",
                file=self.path,
            )
        return self.log

    def _lines(self, lines: Iterable[str]) -> None:
        for number, line in enumerate(lines, 1):
            glog = _GLOG.search(line) if line.endswith("\n") else None
            if glog is None:
                continue
            try:
                self._tell(glog[1], glog[2])
                self._message(glog[3])
            except ValueError as error:
                raise FormatError(f"The log line makes no sense: {error}.", file=self.path, line=number) from None

    def _tell(self, day: str, clock: str) -> None:
        """Set the time. A classic line has no year: it starts at 2000, and the next one begins when time runs back by
        months (a later attempt in the same file may run back by less)."""
        year = self._time.year if self._time else 2000
        full = day if len(day) == 8 else f"{year}{day}"
        time = datetime.strptime(f"{full} {clock}", "%Y%m%d %H:%M:%S.%f")
        if len(day) == 4 and self._time and (self._time - time).days > 180:
            time = time.replace(year=year + 1)
        self._time = time

    @property
    def _seconds(self) -> float:
        self._start = self._start or self._time
        return (self._time - self._start).total_seconds() if self._time and self._start else 0.0

    def _message(self, text: str) -> None:
        if match := _SOLVING.fullmatch(text):
            self.log.name = self.log.name or match[1]
            self._start = self._start or self._time
        elif match := _DISPLAY.fullmatch(text):
            self._train_row(int(match[1]), "loss").loss = _number(match[2])
        elif match := _RATE.fullmatch(text):
            self._rate(int(match[1]), _number(match[2]))
        elif match := _TESTING.fullmatch(text):
            row = TestRow(int(match[1]), self._seconds, int(match[2]))
            self.log.test.append(row)
            self._rows["Test"] = row
        elif (match := _TEST_LOSS.fullmatch(text)) and isinstance(self._rows["Test"], TestRow):
            self._rows["Test"].loss = _number(match[1])
        elif match := _OUTPUT.fullmatch(text):
            self._output(*match.groups())

    def _train_row(self, iteration: int, setting: str) -> TrainRow:
        """The last row if it is of this iteration and still lacks ``setting``, else a new one: loss and rate stand on
        two lines, in either order (it changed in 2014)."""
        last = self.log.train[-1] if self.log.train else None
        if last is None or last.iteration != iteration or getattr(last, setting) is not None:
            last = TrainRow(iteration, self._seconds)
            self.log.train.append(last)
            self._rows["Train"] = last
        return last

    def _rate(self, iteration: int, value: float) -> None:
        self._train_row(iteration, "lr").lr = value

    def _output(self, phase: str, name: str, value: str, weighted: str | None) -> None:
        row = self._rows[phase]
        if row is None:
            return
        key, count = name, 0
        while key in row.outputs:
            count += 1
            key = f"{name}[{count}]"
        row.outputs[key] = _number(value)
        if weighted:
            self.log.losses.add(key)


def _number(text: str) -> float:
    """The number in ``text``, in Microsoft's spelling too: ``1.#INF``, ``-nan(ind)``.

    :raises ValueError: it is none.
    """
    word = text.lower()
    if "nan" in word or "#ind" in word:
        return math.nan
    if "inf" in word:
        return -math.inf if word.startswith("-") else math.inf
    return float(text)


# -- plotting ---------------------------------------------------------------------------------------------------------


def plot_log(logs: TrainingLog | Sequence[TrainingLog], png_path: str | Path, titles: Sequence[str] = ()) -> None:
    """Draw each log as a column of panels: training and test loss, accuracy and other outputs, learning rate.

    :param titles: one per log; without them the names of the nets.
    :raises FormatError: the picture cannot be written.
    """
    # Drawn on a figure of its own, without pyplot: nothing global is touched and no display is needed. Imported here,
    # for reading a log needs no matplotlib.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    logs = [logs] if isinstance(logs, TrainingLog) else logs
    panels = [_plot_loss]
    if any(_others(log) for log in logs):
        panels.append(_plot_others)
    if any(row.lr is not None for log in logs for row in log.train):
        panels.append(_plot_rate)
    heights = {_plot_loss: 3.2, _plot_others: 3.2, _plot_rate: 1.6}
    ratios = [heights[panel] for panel in panels]
    figure = Figure(figsize=(6.4 * len(logs), sum(ratios) + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), len(logs), squeeze=False, sharex="col", gridspec_kw={"height_ratios": ratios})
    for column, log in enumerate(logs):
        for panel, axis in zip(panels, axes[:, column]):
            panel(axis, log)
            axis.grid(alpha=0.3)
            axis.margins(x=0.02)
        axes[0, column].set_title(titles[column] if titles else log.name or log.source.name)
        axes[-1, column].set_xlabel("iteration")
    try:
        figure.savefig(png_path, format="png")
    except OSError as error:
        raise FormatError(f"The picture cannot be written: {error.strerror}.", file=png_path) from None


def _others(log: TrainingLog) -> list[tuple[str, int, str]]:
    """Outputs without a loss weight: phase, test net (0 for Train) and name."""
    rows: list[tuple[str, int, dict[str, float]]] = [("Train", 0, row.outputs) for row in log.train]
    rows += [("Test", row.net, row.outputs) for row in log.test]
    return list(dict.fromkeys((p, net, name) for p, net, outputs in rows for name in outputs if name not in log.losses))


def _label(log: TrainingLog, net: int, what: str) -> str:
    return f"test {what}" if len(log.test_nets) < 2 else f"test net #{net}, {what}"


def _plot_loss(axis: Any, log: TrainingLog) -> None:
    points = [(row.iteration, row.loss) for row in log.train if row.loss is not None]
    if points:
        axis.plot(*zip(*points), color="C0", linewidth=1, label="training loss")
    for net in log.test_nets:
        rows = [row for row in log.test if row.net == net]
        for name in sorted({name for row in rows for name in row.outputs} & log.losses):
            points = [(row.iteration, row.outputs[name]) for row in rows if name in row.outputs]
            label = _label(log, net, name if "loss" in name else f"{name} (loss)")
            axis.plot(*zip(*points), "o-", color=f"C{len(axis.lines) or 1}", markersize=4, label=label)
    axis.set_ylabel("loss")
    _choose_scale(axis)
    if axis.lines:
        axis.legend(loc="upper right")


def _plot_others(axis: Any, log: TrainingLog) -> None:
    names = _others(log)
    for color, (phase, net, name) in enumerate(names, 1):
        rows: Sequence[Any] = log.train if phase == "Train" else [row for row in log.test if row.net == net]
        points = [(row.iteration, row.outputs[name]) for row in rows if name in row.outputs]
        label = f"training {name}" if phase == "Train" else _label(log, net, name)
        axis.plot(*zip(*points), "-" if phase == "Train" else "o-", color=f"C{color}", markersize=4, label=label)
    only_accuracy = all("acc" in name.lower() for *_, name in names)
    axis.set_ylabel("accuracy" if only_accuracy else "other outputs")
    if only_accuracy:
        axis.set_ylim(0, 1.03)
    if names:
        axis.legend(loc="lower right")


def _plot_rate(axis: Any, log: TrainingLog) -> None:
    points = [(row.iteration, row.lr) for row in log.train if row.lr is not None]
    if points:
        axis.plot(*zip(*points), color="tab:gray", drawstyle="steps-post")
    axis.set_ylabel("learning rate")
    _choose_scale(axis)


def _choose_scale(axis: Any) -> None:
    """Logarithmic where the values span a decade or more, else linear from 0 (or from the lowest, if negative)."""
    from matplotlib.ticker import LogLocator, NullLocator

    values = [value for line in axis.lines for value in line.get_ydata() if math.isfinite(value)]
    low, high = min(values, default=0), max(values, default=0)
    if low > 0 and high / low > 9.99:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,)))
        axis.yaxis.set_minor_locator(NullLocator())
    elif low >= 0:
        axis.set_ylim(0, 1.05 * high or 1)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
