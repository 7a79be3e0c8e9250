"""Real models that other people trained with Caffe: every blob of a forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe_port
from tests.reference.compare import assert_equal
from tests.shared import MODELS, needs

NAMES = sorted(path.parent.name for path in MODELS.glob("*/reference.npz")) or ["none"]


@needs(MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_blob_equals_real_caffe(name):
    folder = MODELS / name
    recorded = np.load(folder / "reference.npz")
    inputs = {key[6:]: torch.from_numpy(recorded[key]) for key in recorded.files if key.startswith("input/")}
    net = caffe_port.Net(folder / "net.prototxt", folder / "weights.caffemodel")
    with torch.no_grad():
        blobs, _ = net.run(inputs)
    compared = [key[5:] for key in recorded.files if key.startswith("blob/")]
    assert compared
    for blob in compared:
        assert_equal(blob, blobs[blob].numpy(), recorded[f"blob/{blob}"])
