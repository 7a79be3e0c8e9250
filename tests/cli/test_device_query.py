"""``caffe-port device_query``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from caffe_port.cli.device_query import describe
from tests.cli.process import Here, caffe_port, error_line, messages

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("name", ["device_query", "device-query"])
@pytest.mark.parametrize("flags", [[], ["-gpu=all"], ["--gpu", "0"]])
def test_without_a_gpu(name, flags, tmp_path):
    result = caffe_port(name, *flags, cwd=tmp_path)
    asked = "0" if "0" in flags else "all"
    assert error_line(result).startswith(f"--gpu {asked}: no usable GPU was found. Check the driver")
    assert messages(result.stderr) == [f"Querying GPUs {asked}"]


def test_lines_are_aligned_as_caffes():
    card = SimpleNamespace(
        major=9, minor=0, name="NVIDIA H200", total_memory=150_109_880_320, multi_processor_count=132, warp_size=32
    )
    assert list(describe(3, card)) == [
        "Device id:                     3",
        "Major revision number:         9",
        "Minor revision number:         0",
        "Name:                          NVIDIA H200",
        "Total global memory:           150109880320",
        "Warp size:                     32",
        "Number of multiprocessors:     132",
    ]


@needs_gpu
def test_gpu_0(monkeypatch, capsys, tmp_path):
    result = Here(monkeypatch, capsys)("device_query", "-gpu", "0", cwd=tmp_path)
    lines = messages(result.stderr)
    assert lines[:2] == ["Querying GPUs 0", "Device id:                     0"]
    assert f"Name:                          {torch.cuda.get_device_name(0)}" in lines
    assert f"Major revision number:         {torch.cuda.get_device_capability(0)[0]}" in lines


@needs_gpu
def test_a_gpu_that_is_not_there(monkeypatch, capsys, tmp_path):
    line = error_line(Here(monkeypatch, capsys)("device_query", "-gpu", "99", cwd=tmp_path))
    assert line.startswith("--gpu 99: GPUs 0 to ")
