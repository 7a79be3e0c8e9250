"""The batches that real Caffe's data layers served in TEST phase, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.layers import LayerContext, create_layer
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.shared import ORACLE

FOLDER = ORACLE / "data"
CASES = sorted(path.stem for path in FOLDER.glob("*.prototxt"))


def test_every_case_is_here():
    assert len(CASES) == 13


@pytest.mark.parametrize("case", CASES)
def test_batches_are_caffes(case, monkeypatch):
    monkeypatch.chdir(FOLDER)
    net = parse_text((FOLDER / f"{case}.prototxt").read_text(), pb.NetParameter)
    layer = create_layer(net.layer[0], LayerContext(phase=pb.TEST, seed=1))
    layer.setup([])
    shapes = layer.reshape([])
    with np.load(FOLDER / f"{case}.npz") as expected:
        count = len({key.split("/")[0] for key in expected})
        for batch in range(count):
            tops = layer()
            for name, top, shape in zip(net.layer[0].top, tops, shapes):
                wanted = expected[f"{batch}/{name}"]
                assert top.numpy().dtype == wanted.dtype
                np.testing.assert_array_equal(top.numpy(), wanted, err_msg=f"{case}, batch {batch}, {name}")
                if batch == 0:
                    assert shape == wanted.shape
