"""LeNet on the MNIST databases that Caffe's example wrote, through the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.process import caffe_port
from tests.shared import IMAGES, MODELS, ROOT, needs

MNIST = IMAGES / "mnist"
LENET = MODELS / "lenet_v1" / "weights.caffemodel"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working directory with LeNet's prototxts and links to its two LevelDBs."""
    for path in (ROOT / "prototxt" / "lenet").glob("*.prototxt"):
        shutil.copy(path, tmp_path)
    for path in MNIST.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def scores(text: str, pattern: str) -> list[float]:
    return [float(value) for value in re.findall(pattern, text)]


@needs(MNIST)
@needs(LENET)
def test_a_lenet_that_real_caffe_trained(folder):
    """Everpeace's LeNet recognises 9,905 of the 10,000 test images."""
    arguments = ["--model", "train_val.prototxt", "--weights", LENET, "--iterations", 100]
    result = caffe_port("test", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr[-2000:]
    (accuracy,) = scores(result.stderr, r"\] accuracy = (\S+)")
    assert accuracy == 0.9905
    batches = scores(result.stderr, r"Batch \d+, accuracy = (\S+)")
    assert round(sum(batches) * 100) == 9905


@needs(MNIST)
def test_training_passes_98_percent(folder):
    """2,000 iterations of 64; real Caffe reached 98.36 %."""
    result = caffe_port("train", "--solver", "solver.prototxt", cwd=folder, timeout=1800)
    assert result.returncode == 0, result.stderr[-2000:]
    accuracies = scores(result.stderr, r"Test net output #0: accuracy = (\S+)")
    assert len(accuracies) == 3  # at 0, 1000 and 2000
    assert accuracies[0] < 0.3
    assert accuracies[-1] > 0.98
    assert (folder / "lenet_iter_2000.caffemodel").is_file()
