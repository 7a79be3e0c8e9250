"""Real models that other people trained with Caffe: every blob of a forward pass."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import caffe_port
from tests.reference.compare import assert_equal
from tests.shared import MODELS, needs

NAMES = sorted(path.parent.name for path in MODELS.glob("*/reference.npz")) or ["none"]


@needs(MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_blob_equals_real_caffe(name):
    folder = MODELS / name
    recorded = np.load(folder / "reference.npz")
    net = caffe_port.Net(folder / "net.prototxt", folder / "weights.caffemodel")
    blobs, _ = net.run({key[6:]: _tensor(recorded[key]) for key in recorded.files if key.startswith("input/")})
    compared = [key[5:] for key in recorded.files if key.startswith("blob/")]
    assert compared
    for blob in compared:
        assert_equal(blob, blobs[blob].detach().numpy(), recorded[f"blob/{blob}"])


def _tensor(array):
    import torch

    return torch.from_numpy(array)
