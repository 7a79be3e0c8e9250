"""Training logs as CSV tables (Caffe: tools/extra/parse_log.py)."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from caffe_port.errors import FormatError
from caffe_port.files import atomic_write
from caffe_port.logs import LogReader, TestRow, TrainRow

COLUMNS = ("NumIters", "Seconds", "LearningRate")

Table = list[dict[str, float]]


def write_tables(path: str | Path, folder: str | Path = ".", delimiter: str = ",") -> tuple[Path, Path]:
    """Write the tables of the log at ``path`` as ``<folder>/<name>.train`` and ``.test``, and return their paths.

    Numbers and line ends are those that Caffe's script writes. A value that a row lacks is left blank.

    :raises FormatError: the log is none (see :func:`~caffe_port.logs.read_log`), ``delimiter`` is not one character
        that may separate columns, or a file cannot be written.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise FormatError(
            f"The delimiter is {delimiter!r}.", remedy="Give one character other than quotation mark and line end."
        )
    written = []
    for table, suffix in zip(read_tables(path), ("train", "test")):
        columns = dict.fromkeys([*COLUMNS, *(name for row in table for name in row)])
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
        target = Path(folder) / f"{Path(path).name}.{suffix}"
        with atomic_write(target) as file:
            file.write(text.getvalue().encode())
        written.append(target)
    return written[0], written[1]


def read_tables(path: str | Path) -> tuple[Table, Table]:
    """The outputs in a training log: a table of the training net's and one of the test nets', a row per iteration.

    ``Seconds`` count from the start of training to the row's first output. ``LearningRate`` is the last one shown
    before that: on a training row the rate of the row before, as the log shows a rate after the outputs of its
    iteration; the first row takes that of the second.

    Deviates from Caffe: further values of one name (accuracies per class, several test nets) become columns
    ``name[1]``, ``name[2]``, ... where Caffe mixes up the rows; values that are no numbers are kept as nan and inf; an
    incomplete last row is kept; a table without rows is one with its header only, where Caffe stops with an error.

    :raises FormatError: as :func:`~caffe_port.logs.read_log`.
    """
    reader = _TableReader(path)
    log = reader.read()
    train = [_table_row(row, *reader.shown[id(row)]) for row in log.train if id(row) in reader.shown]
    test: Table = []
    for row in log.test:
        if id(row) in reader.shown:
            values = _table_row(row, *reader.shown[id(row)])
            if row.net and test and test[-1]["NumIters"] == row.iteration:
                _join(test[-1], row.outputs)
            else:
                test.append(values)
    for table in (train, test):
        if len(table) > 1:
            table[0]["LearningRate"] = table[1]["LearningRate"]
    return train, test


class _TableReader(LogReader):
    """Also remembers when each row showed its first output, and the learning rate last seen by then."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.shown: dict[int, tuple[float, float]] = {}
        self._last_rate = math.nan

    def _rate(self, iteration: int, value: float) -> None:
        super()._rate(iteration, value)
        self._last_rate = value

    def _output(self, phase: str, name: str, value: str, weighted: str | None) -> None:
        super()._output(phase, name, value, weighted)
        if (row := self._rows[phase]) is not None:
            self.shown.setdefault(id(row), (self._seconds, self._last_rate))


def _table_row(row: TrainRow | TestRow, seconds: float, rate: float) -> dict[str, float]:
    return {"NumIters": float(row.iteration), "Seconds": seconds, "LearningRate": rate, **row.outputs}


def _join(row: dict[str, float], outputs: dict[str, float]) -> None:
    """Add the outputs of a further test net."""
    for name, value in outputs.items():
        key, count = name, 0
        while key in row:
            count += 1
            key = f"{name}[{count}]"
        row[key] = value
