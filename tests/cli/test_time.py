"""``caffe-port time``: Caffe's lines, Caffe's flags."""

from __future__ import annotations

import re

import pytest

from caffe_port import Net
from tests.cli.process import Here, caffe_port, error_line, messages

NET = """
name: "timed"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1
  bias_filler { type: "constant" value: 2 } } }
layer { name: "train" type: "Reduction" bottom: "y" top: "sum" include { phase: TRAIN } loss_weight: 1 }
layer { name: "test" type: "TanH" bottom: "y" top: "z" include { phase: TEST } }
"""
DEEP = 'layer { name: "deep" type: "TanH" bottom: "y" top: "d" include { stage: "deep" min_level: 2 } }'


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET + DEEP)
    run = Here(monkeypatch, capsys)
    return lambda *args: run("time", *args, cwd=tmp_path)


def report(result):
    """The lines from "Testing for" on, numbers replaced by N."""
    assert result.returncode == 0, result.stderr
    lines = messages(result.stderr)
    start = next(index for index, line in enumerate(lines) if line.startswith("Testing for"))
    return [re.sub(r"(?<=: )[\d.e+-]+(?= ms\.)", "N", line) for line in lines[start:]]


def test_report_in_caffes_words(here):
    lines = report(here("--model", "net.prototxt", "--iterations", "2"))
    layers = [f"{name:>10}\t{way}: N ms." for name in ("x", "ip", "train") for way in ("forward", "backward")]
    assert lines == [
        "Testing for 2 iterations.",
        "Iteration: 1 forward-backward time: N ms.",
        "Iteration: 2 forward-backward time: N ms.",
        "Average time per layer: ",
        *layers,
        "Average Forward pass: N ms.",
        "Average Backward pass: N ms.",
        "Average Forward-Backward: N ms.",
        "Total Time: N ms.",
        "*** Benchmark ends ***",
    ]


def names(result):
    return [line.split("\t")[0].strip() for line in report(result) if "\tforward" in line]


def test_phase_level_and_stage_select_layers(here):
    assert names(here("-model=net.prototxt", "-iterations=1")) == ["x", "ip", "train"]
    assert names(here("-model=net.prototxt", "-iterations=1", "-phase=TEST")) == ["x", "ip", "test"]
    deep = names(here("-model", "net.prototxt", "-iterations", "1", "-stage", "deep,other", "-level", "2"))
    assert "deep" in deep


def test_initial_loss_and_weights(here, tmp_path):
    """The loss is the sum of two rows of bias."""
    lines = messages(here("--model", "net.prototxt", "--iterations", "1").stderr)
    assert "Initial loss: 4" in lines
    assert "Use CPU." in lines
    (tmp_path / "other.prototxt").write_text(NET.replace("value: 2", "value: 5"))
    Net(str(tmp_path / "other.prototxt")).save(tmp_path / "w.caffemodel")
    lines = messages(here("--model", "net.prototxt", "--iterations", "1", "--weights", "w.caffemodel").stderr)
    assert "Initial loss: 10" in lines


def test_a_net_without_a_loss_has_no_backward_pass(here):
    expected = "caffe-port: warning: The net has no loss, so its backward pass does nothing.\n"
    assert expected in here("--model", "net.prototxt", "--iterations", 1, "--phase", "TEST").stderr
    assert expected not in here("--model", "net.prototxt", "--iterations", 1).stderr


def test_flags_of_caffe_without_effect_are_accepted(here):
    result = here("-model=net.prototxt", "-iterations=1", "-solver=s.prototxt", "--sighup_effect", "none")
    assert result.returncode == 0
    for flag in ("--solver", "--sighup_effect"):
        assert f"caffe-port: warning: {flag} has no effect on 'time', as in Caffe.\n" in result.stderr
    assert result.stderr.count("warning") == 2


def test_refusals(here, tmp_path):
    assert "gone.prototxt: Cannot be read" in error_line(here("--model", "gone.prototxt"))
    for flags in (["--iterations", "0"], ["--phase", "train"], []):
        model = ["--model", "net.prototxt"] if flags else []
        result = here(*model, *flags)
        assert result.returncode == 2
        assert "Error: " in result.stderr


def test_no_gpu(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    line = error_line(caffe_port("time", "-model=net.prototxt", "-gpu=0", cwd=tmp_path))
    assert line == "--gpu 0: no usable GPU was found. Leave --gpu out to compute on the CPU."
