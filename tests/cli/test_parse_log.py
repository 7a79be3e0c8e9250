"""``caffe-port parse-log`` against the text of real logs."""

from __future__ import annotations

import csv
import math
import re
from datetime import datetime

import pytest

from caffe_port.errors import FormatError
from caffe_port.log_tables import read_tables, write_tables
from tests.cli.process import Here, caffe_port, error_line
from tests.shared import ORACLE
from tests.solver.make import copy_log_case

LOGS = ORACLE / "logs"


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    run = Here(monkeypatch, capsys)
    return lambda *args: run("parse-log", *args, cwd=tmp_path)


def table(path, delimiter=","):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def clock(text):
    return datetime.strptime(text, "%H:%M:%S.%f")


def by_regex(text, phase):
    """The rows of ``phase``, found with three expressions over the whole text, in Caffe's order of columns."""
    start = clock(re.search(r"(\S+) +\d+ \S+\] Solving", text)[1])
    rates = [(m.start(), float(m[1])) for m in re.finditer(r"lr = (.*)", text)]
    found = {}
    for match in re.finditer(rf"(\S+) +\d+ \S+\]     {phase} net output #\d+: (\w+) = (\S+)", text):
        iteration = int(re.findall(r"Iteration (\d+)", text[: match.start()])[-1])
        seen = [rate for at, rate in rates if at < match.start()]
        first = {
            "NumIters": float(iteration),
            "Seconds": (clock(match[1]) - start).total_seconds(),
            "LearningRate": seen[-1] if seen else math.nan,
        }
        found.setdefault(iteration, first)[match[2]] = float(match[3])
    rows = list(found.values())
    rows[0]["LearningRate"] = rows[1]["LearningRate"]
    return rows


@pytest.mark.parametrize("name", ["train.log", "train_classic.log"])
def test_real_log(here, tmp_path, name):
    result = here(LOGS / name, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    for phase, columns in (("train", ["loss"]), ("test", ["accuracy", "loss"])):
        rows = table(tmp_path / f"{name}.{phase}")
        assert list(rows[0]) == ["NumIters", "Seconds", "LearningRate", *columns]
        expected = by_regex((LOGS / name).read_text(), phase.title())
        assert len(rows) >= 3
        assert [{key: float(value) for key, value in row.items()} for row in rows] == expected


def test_numbers_and_line_ends_are_those_of_caffes_script(here, tmp_path):
    here(LOGS / "train.log")
    assert (tmp_path / "train.log.test").read_bytes() == (
        b"NumIters,Seconds,LearningRate,accuracy,loss\r\n"
        b"0.0,0.000416,0.009025,0.1,2.72228\r\n"
        b"20.0,0.002842,0.009025,0.975,0.0806063\r\n"
        b"40.0,0.005426,0.00735092,1.0,0.00823824\r\n"
    )


def test_our_own_log(here, tmp_path):
    folder = copy_log_case(tmp_path)
    run = caffe_port("train", "--solver", "solver.prototxt", cwd=folder)
    (tmp_path / "own.log").write_text(run.stderr)
    assert here("own.log", "logs", "--verbose").stdout == "Wrote logs/own.log.train\nWrote logs/own.log.test\n"
    for phase in ("Train", "Test"):
        rows = table(folder / f"own.log.{phase.lower()}")
        assert [{key: float(value) for key, value in row.items()} for row in rows] == by_regex(run.stderr, phase)


def test_delimiter(here, tmp_path):
    here(LOGS / "train.log", ".", "--delimiter", ";")
    assert table(tmp_path / "train.log.train", ";")[1]["LearningRate"] == "0.01"


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_no_delimiter(here, delimiter):
    assert "Give one character" in error_line(here(LOGS / "train.log", ".", "--delimiter", delimiter))


def test_missing_files_and_folders(here, tmp_path):
    assert error_line(here("gone.log")).startswith("gone.log: The log cannot be read")
    assert error_line(here(LOGS / "train.log", "gone")).startswith("gone/train.log.train: cannot be written")
    (tmp_path / "empty").write_text("")
    assert "is no training log" in error_line(here("empty"))
    assert not list(tmp_path.glob("empty.*"))


# -- logs that Caffe's script mixes up or gives up on -----------------------------------------------------------------


def make(tmp_path, *messages):
    lines = [f"I1123 08:13:{n:02d}.500000  4471 solver.cpp:1] {text}\n" for n, text in enumerate(messages)]
    (tmp_path / "log").write_text("".join(lines))
    return tmp_path / "log"


def test_values_per_class_and_several_test_nets(tmp_path):
    test = [
        "Iteration %d, Testing net (#0)", "    Test net output #0: acc = 0.5", "    Test net output #1: acc = 0.25",
        "Iteration %d, Testing net (#1)", "    Test net output #0: acc = 1", "    Test net output #1: cost = nan",
    ]  # fmt: skip
    lines = ["Solving N", *(line % i if "%" in line else line for i in (0, 5) for line in test)]
    train, rows = read_tables(make(tmp_path, *lines))
    assert train == []
    assert [row["NumIters"] for row in rows] == [0, 5]
    assert [list(row)[3:] for row in rows] == [["acc", "acc[1]", "acc[2]", "cost"]] * 2
    assert [list(row.values())[3:6] for row in rows] == [[0.5, 0.25, 1]] * 2
    assert all(math.isnan(row["cost"]) for row in rows)
    assert [row["Seconds"] for row in rows] == [2, 8]


def test_single_and_incomplete_rows_are_kept(tmp_path):
    log = make(
        tmp_path, "Solving N", "Iteration 0, loss = 2", "    Train net output #0: a = 1",
        "    Train net output #1: b = 2", "Iteration 0, lr = 0.5", "Iteration 9, loss = 1",
        "    Train net output #0: a = inf",
    )  # fmt: skip
    write_tables(log, tmp_path)
    assert (tmp_path / "log.train").read_text().splitlines() == [
        "NumIters,Seconds,LearningRate,a,b", "0.0,2.0,0.5,1.0,2.0", "9.0,6.0,0.5,inf,"
    ]  # fmt: skip
    assert (tmp_path / "log.test").read_text().splitlines() == ["NumIters,Seconds,LearningRate"]


def test_rate_before_the_outputs(tmp_path):
    """Caffe before 2014 shows the rate first: then it is the row's own."""
    lines = [f"Iteration {i}, {text}" for i, lr in ((0, 0.5), (1, 0.25)) for text in (f"lr = {lr}", "loss = 1")]
    lines[2:2] = ["    Train net output #0: loss = 1"]
    train, _ = read_tables(make(tmp_path, "Solving N", *lines, "    Train net output #0: loss = 1"))
    assert [row["LearningRate"] for row in train] == [0.25, 0.25]


def test_library_errors_are_of_the_tree(tmp_path):
    with pytest.raises(FormatError, match="delimiter"):
        write_tables(LOGS / "train.log", tmp_path, "")
