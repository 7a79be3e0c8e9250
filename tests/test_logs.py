"""Reading training logs, against what real Caffe wrote and against lines of older and other Caffes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from caffe_port.errors import FormatError
from caffe_port.logs import TrainRow, plot_log, read_log
from tests.shared import ORACLE

LOGS = ORACLE / "logs"


def make(tmp_path, *messages, day="1123", end="\n"):
    """A log of these messages, one second apart."""
    lines = [f"I{day} 08:13:{n:02d}.500000  4471 solver.cpp:1] {text}" for n, text in enumerate(messages)]
    (tmp_path / "log").write_text("\n".join(lines) + end)
    return tmp_path / "log"


@pytest.mark.parametrize("name", ["train.log", "train_classic.log"])
def test_log_of_real_caffe(name):
    log = read_log(LOGS / name)
    assert log.name == "LogNet"
    assert log.losses == {"loss"}
    assert log.test_nets == [0]
    # The numbers stand in the log; seconds are the difference to the line "Solving LogNet" at 16.926...98 s.
    assert [(r.iteration, r.loss, r.lr, r.outputs) for r in log.train] == [
        (0, 3.00827, 0.01, {"loss": 3.00827}),
        (10, 0.307482, 0.009025, {"loss": 0.307482}),
        (20, 0.0245451, 0.00814506, {"loss": 0.024545}),
        (30, 0.00773548, 0.00735092, {"loss": 0.00773542}),
        (40, 0.00607638, 0.0066342, {"loss": 0.00607632}),
        (50, 0.004745, None, {}),
    ]
    assert [(r.iteration, r.net, r.loss, r.outputs) for r in log.test] == [
        (0, 0, None, {"accuracy": 0.1, "loss": 2.72228}),
        (20, 0, None, {"accuracy": 0.975, "loss": 0.0806063}),
        (40, 0, None, {"accuracy": 1, "loss": 0.00823824}),
    ]
    assert [r.seconds for r in log.train] == pytest.approx(
        [0.000552, 0.001619, 0.002955, 0.004221, 0.005532, 0.006578], abs=1e-9
    )
    assert log.test[2].seconds == pytest.approx(0.005153, abs=1e-9)


def test_several_nets_and_values(tmp_path):
    log = read_log(
        make(
            tmp_path,
            "Iteration 5, Testing net (#0)",
            "Test loss: 0.75",
            "    Test net output #0: per_class = 0.5",
            "    Test net output #1: per_class = 0.25",
            "    Test net output #2: cost = 0.5 (* 0.3 = 0.15 loss)",
            "Iteration 5, Testing net (#1)",
            "    Test net output #0: accuracy = 1",
        )
    )
    assert [(r.net, r.loss, r.outputs) for r in log.test] == [
        (0, 0.75, {"per_class": 0.5, "per_class[1]": 0.25, "cost": 0.5}),
        (1, None, {"accuracy": 1}),
    ]
    assert log.losses == {"cost"}
    assert log.test_nets == [0, 1]
    assert log.train == []


def test_rate_before_the_loss(tmp_path):
    messages = ["Iteration 0, lr = 0.1", "Iteration 0, loss = 2", "Iteration 20, lr = 0.05", "Iteration 20, loss = 1"]
    assert read_log(make(tmp_path, *messages)).train == [TrainRow(0, 0, 2, 0.1), TrainRow(20, 2, 1, 0.05)]


def test_display_line_of_nvidias_caffe(tmp_path):
    log = read_log(make(tmp_path, "Iteration 100 (2.5 iter/s, 40s/100 iter), 1.2/90ep, loss = 0.5"))
    assert (log.train[0].iteration, log.train[0].loss) == (100, 0.5)


def test_restarted_training_in_the_same_file(tmp_path):
    messages = ["Solving A", "Iteration 0, loss = 2", "Iteration 10, loss = 1"] * 2
    assert [row.iteration for row in read_log(make(tmp_path, *messages)).train] == [0, 10, 0, 10]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nan", math.nan),
        ("-nan", math.nan),
        ("-nan(ind)", math.nan),
        ("1.#QNAN", math.nan),
        ("-1.#IND", math.nan),
        ("inf", math.inf),
        ("1.#INF", math.inf),
        ("-inf", -math.inf),
        ("1e-07", 1e-7),
    ],
)
def test_diverged(tmp_path, text, value):
    log = read_log(make(tmp_path, f"Iteration 0, loss = {text}"))
    np.testing.assert_equal(log.train[0].loss, value)


def test_new_year(tmp_path):
    (tmp_path / "log").write_text(
        "I1231 23:59:59.000000 1 solver.cpp:1] Solving A\nI0101 00:00:01.250000 1 solver.cpp:1] Iteration 0, loss = 1\n"
    )
    assert read_log(tmp_path / "log").train[0].seconds == 2.25


def test_leap_day(tmp_path):
    assert read_log(make(tmp_path, "Iteration 0, loss = 1", day="0229")).train[0].loss == 1


def test_other_lines_and_encodings(tmp_path):
    path = make(tmp_path, "Iteration 0, loss = 1")
    path.write_bytes(b"\xff\xfe caf\xe9 Iteration 3, loss = 9\r\n" + path.read_bytes())
    assert [row.loss for row in read_log(path).train] == [1]


def test_unfinished_last_line(tmp_path):
    log = read_log(make(tmp_path, "Iteration 0, loss = 1", "Iteration 1, loss = 0.9", end=""))
    assert [row.iteration for row in log.train] == [0]


@pytest.mark.parametrize("text", ["", "hello\n", "I1123 08:13:16.923439  4471 caffe.cpp:197] Use CPU.\n"])
def test_no_training_log(tmp_path, text):
    (tmp_path / "log").write_text(text)
    with pytest.raises(FormatError, match=r"log: is no training log.*standard error"):
        read_log(tmp_path / "log")


def test_impossible_date(tmp_path):
    (tmp_path / "log").write_text("\nI9999 08:13:16.923439  4471 a.cpp:1] Iteration 0, loss = 1\n")
    with pytest.raises(FormatError, match=r"log:2: The log line makes no sense"):
        read_log(tmp_path / "log")


def test_bad_number(tmp_path):
    with pytest.raises(FormatError, match=r"log:1: .*3\.x"):
        read_log(make(tmp_path, "Iteration 0, loss = 3.x"))


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FormatError, match="cannot be read"):
            read_log(path)


def count(image, color):
    """Pixels of this colour, given as red, green, blue."""
    return int((np.abs(image[..., ::-1].astype(int) - color).max(axis=-1) < 12).sum())


BLUE, ORANGE, GREY = (31, 119, 180), (255, 127, 14), (127, 127, 127)


def test_plot_shows_both_losses_and_the_rate(tmp_path):
    plot_log(read_log(LOGS / "train.log"), tmp_path / "one.png")
    one = cv2.imread(str(tmp_path / "one.png"))
    assert min(count(one, color) for color in (BLUE, ORANGE, GREY)) > 200
    plot_log([read_log(LOGS / "train.log")] * 2, tmp_path / "two.png", titles=["a", "b"])
    two = cv2.imread(str(tmp_path / "two.png"))
    assert two.shape[1] == 2 * one.shape[1]
    for half in np.split(two, 2, axis=1):
        assert min(count(half, color) for color in (BLUE, ORANGE, GREY)) > 200


@pytest.mark.parametrize(
    "messages",
    [
        ["Iteration 0, loss = nan", "Iteration 10, loss = inf"],
        ["Iteration 0, loss = -3", "Iteration 10, loss = -2"],
        ["Iteration 0, loss = 0", "Iteration 0, lr = 0"],
        ["Iteration 0, Testing net (#0)"],
        ["Iteration 0, Testing net (#0)", "    Test net output #0: mean_error = 4"],
        ["Iteration 0, loss = 1", "    Train net output #0: accuracy = 0.5"],
    ],
)
def test_plot_of_odd_logs(tmp_path, messages):
    plot_log(read_log(make(tmp_path, *messages)), tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 704


def test_plot_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FormatError, match="cannot be written"):
        plot_log(read_log(LOGS / "train.log"), tmp_path / "none" / "a.png")
