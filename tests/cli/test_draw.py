"""``caffe-port draw``."""

from __future__ import annotations

import pytest

from tests.cli.process import Here, caffe_port, error_line
from tests.net.make import inputs, ip, layer
from tests.shared import ROOT

LENET = ROOT / "prototxt" / "lenet" / "train_val.prototxt"


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    run = Here(monkeypatch, capsys)
    return lambda *args: run("draw", *args, cwd=tmp_path)


def test_in_a_process_of_its_own(tmp_path):
    result = caffe_port("draw", LENET, "net.png", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "Wrote net.png\n", "")
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def svg(here, tmp_path, *args):
    assert here(*args[:1], "net.svg", *args[1:]).returncode == 0
    return (tmp_path / "net.svg").read_text()


def size(text):
    """Width and height of the page in points."""
    head = text[: text.index("viewBox")]
    return [float(head.split(f'{side}="')[1].split("pt")[0]) for side in ("width", "height")]


def test_options(here, tmp_path):
    plain = svg(here, tmp_path, LENET)
    assert ">accuracy<" in plain
    assert "lr mult" not in plain
    test = svg(here, tmp_path, LENET, "--phase", "TRAIN", "--lr-mult")
    assert ">accuracy<" not in test
    assert "lr mult: 1.0, 2.0" in test
    wide = svg(here, tmp_path, LENET, "--rankdir", "LR")
    (width, height), (other_width, other_height) = size(plain), size(wide)
    assert height > width
    assert other_width > other_height


def test_stages_and_shapes(here, tmp_path):
    net = inputs(x=(3, 4)) + ip("fc", "x", "y", 5) + layer("TanH", "deep", "y", "z", 'include { stage: "deep" }')
    (tmp_path / "net.prototxt").write_text(net)
    text = svg(here, tmp_path, "net.prototxt", "--phase", "TEST", "--shapes")
    assert ">3 x 5<" in text
    assert ">deep<" not in text
    assert ">deep<" in svg(here, tmp_path, "net.prototxt", "--phase", "TEST", "--stage", "deep")


def test_refusals(here, tmp_path):
    assert "gone.prototxt: Cannot be read" in error_line(here("gone.prototxt", "net.svg"))
    assert error_line(here(LENET, "net.gif")).startswith("net.gif: A net cannot be drawn as 'gif'")
    assert "does not exist" in error_line(here(LENET, "net.svg", "--phase", "TEST", "--shapes"))
    assert not (tmp_path / "net.svg").exists()
    for flags in (["--shapes"], ["--stage", "a"], ["--level", "1"], ["--rankdir", "XY"], ["--phase", "test"]):
        assert here(LENET, "net.svg", *flags).returncode == 2
