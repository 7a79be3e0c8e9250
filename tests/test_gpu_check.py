"""The GPU check, on the CPU: the same code with a small part of the work; and that it notices what goes wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import torch

from caffe_port import Net
from tests.layers.harness import make_layer
from tests.shared import ORACLE, ROOT, tool

SCRIPT = ROOT / "tools" / "gpu_check.py"
#: Runs ``compare`` in a process of its own: pytest within pytest shares too much.
COMPARE = """
import sys
from pathlib import Path
sys.path.insert(0, {tools!r})
import torch, gpu_check
for suite in ("mixed", "broken", "empty", "good"):
    passed = gpu_check.compare({{suite: Path({folder!r}, f"test_{{suite}}.py")}}, torch.device("cpu"), quick=False)
    print("compare:", suite, passed)
"""
MIXED = """
import pytest
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_ours(device): assert device == "cpu"
def test_wrong(): assert 1 == 2, "one is not two"
@pytest.fixture
def unready(): raise OSError("no such vector")
def test_unready(unready): pass
@pytest.mark.skip(reason="elsewhere")
def test_absent(): pass
"""


def run(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=300)


def counts(output, suite):
    """Passed, failed and skipped of the table's row."""
    (row,) = re.findall(rf"^{re.escape(suite)} +(\d+) +(\d+) +(\d+) +[\d.]+$", output, re.MULTILINE)
    return [int(number) for number in row]


def test_it_runs_on_the_cpu():
    result = run(SCRIPT, "--device", "cpu", "--quick")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    for suite in ("layers", "solvers", "Eq. 2"):
        passed, failed, skipped = counts(result.stdout, suite)
        assert passed >= 5
        assert failed == skipped == 0
    assert "TF32 off" in result.stdout
    (plain, ours, ratio) = re.findall(r"plain ([\d.]+) ms, caffe_port ([\d.]+) ms, ratio ([\d.]+)", result.stdout)[0]
    assert float(plain) / float(ours) == pytest.approx(float(ratio), rel=0.02)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so():
    result = run(SCRIPT)
    assert result.returncode == 2
    assert "no usable GPU was found" in result.stderr
    assert result.stdout == ""


def test_failures_are_shown_and_counted(tmp_path):
    suites = {"mixed": MIXED, "broken": "import a_module_that_is_not_there", "empty": "", "good": "def test(): pass"}
    for suite, text in suites.items():
        (tmp_path / f"test_{suite}.py").write_text(text)
    result = run("-c", COMPARE.format(tools=str(SCRIPT.parent), folder=str(tmp_path)))
    assert result.returncode == 0, result.stderr
    assert re.findall("compare: (.*)", result.stdout) == ["mixed False", "broken False", "empty False", "good True"]
    assert counts(result.stdout, "mixed") == [1, 2, 1]
    assert "test_wrong\n    AssertionError: one is not two" in result.stdout
    assert "no such vector" in result.stdout
    assert counts(result.stdout, "broken") == [0, 1, 0]
    assert "a_module_that_is_not_there" in result.stdout
    assert counts(result.stdout, "empty") == [0, 0, 0]


def test_a_layer_that_computes_elsewhere_is_caught():
    gpu_check = tool("gpu_check")
    layer = make_layer('type: "ReLU"', (2, 3))
    with gpu_check.watch(torch.device("cpu")) as types:
        layer(torch.ones(2, 3))
    assert types == {"ReLU"}
    with gpu_check.watch(torch.device("cuda")), pytest.raises(AssertionError, match=r"ReLU.* on cpu, not on cuda"):
        layer(torch.ones(2, 3))
    layer(torch.ones(2, 3))  # no longer watched


@pytest.mark.parametrize("case", ["relu_0", "softmaxwithloss_0", "innerproduct_0"])
def test_a_net_knows_its_device_even_without_parameters(case):
    """What puts the blobs of a net on the GPU with it; "meta" is a device that every machine has."""
    net = Net(ORACLE / "layers" / f"{case}.prototxt")
    assert net.device.type == "cpu"
    assert net.to("meta").device.type == "meta"


def test_the_plain_translation_is_the_same_net():
    """Scores from the same weights, and that a changed weight would show."""
    gpu_check = tool("gpu_check")
    device = torch.device("cpu")
    inputs = {"data": 100 * torch.randn(2, 3, 67, 67), "label": torch.tensor([0.0, 1.0])}
    solver = gpu_check.caffe_alexnet(device, inputs)
    plain = gpu_check.translate(solver.net, device)
    assert gpu_check.disagreement(solver, plain, inputs) < 1e-5
    with torch.no_grad():
        plain[2].alpha *= 10
    assert gpu_check.disagreement(solver, plain, inputs) > 1e-4
