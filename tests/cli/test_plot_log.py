"""``caffe-port plot-log``."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.cli.process import Here, error_line
from tests.shared import ORACLE

LOG = ORACLE / "logs" / "train.log"


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    run = Here(monkeypatch, capsys)
    return lambda *args: run("plot-log", *args, cwd=tmp_path)


def colors(image):
    """Numbers of pixels in the colours of training loss, test curves and learning rate."""
    wanted = [(180, 119, 31), (14, 127, 255), (127, 127, 127)]  # blue, green, red
    return [int((np.abs(image.astype(int) - color).max(axis=-1) < 12).sum()) for color in wanted]


def test_picture_of_one_log(here, tmp_path):
    result = here(LOG)
    assert (result.returncode, result.stdout) == (0, "Wrote train.log.png\n")
    image = cv2.imread(str(tmp_path / "train.log.png"))
    assert min(colors(image)) > 200


def test_several_logs_side_by_side(here, tmp_path):
    here(LOG, "-o", "one.png")
    result = here(LOG, ORACLE / "logs" / "train_classic.log", "-o", "two.png", "--title", "a", "--title", "b")
    assert result.stdout == "Wrote two.png\n"
    one, two = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("one", "two"))
    assert two.shape[1] == 2 * one.shape[1]
    assert all(min(colors(half)) > 200 for half in np.split(two, 2, axis=1))


def test_titles_are_shown(here, tmp_path):
    for name, flags in (("net", []), ("other", ["--title", "Log two"])):
        here(LOG, "-o", f"{name}.png", *flags)
    net, other = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("net", "other"))
    rows = np.flatnonzero((net != other).any(axis=(1, 2)))
    assert rows.size
    assert rows.max() < 40  # only the line at the top differs


def test_refusals(here, tmp_path):
    assert error_line(here("gone.log")).startswith("gone.log: The log cannot be read")
    assert "--title is given 1 time(s) for 2 logs" in error_line(here(LOG, LOG, "--title", "a"))
    assert error_line(here(LOG, "-o", "gone/a.png")).startswith("gone/a.png: The picture cannot be written")
    assert here().returncode == 2
