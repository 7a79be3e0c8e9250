"""Weights files as other readers see them, and conversions that must fail, for the tests of conversions."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.convert import convert
from caffe_port.errors import CaffeError
from caffe_port.proto import pb

TENSORS = [".safetensors", ".pt", ".pth", ".npz"]
CAFFE = [".caffemodel", ".caffemodel.h5"]


def by_protobuf(path) -> dict[str, list[np.ndarray]]:
    """The layers with blobs of a caffemodel in current form."""
    net = pb.NetParameter.FromString(path.read_bytes())
    assert not net.layers
    found = {}
    for one in net.layer:
        blobs = [np.array(blob.data, np.float32).reshape(list(blob.shape.dim)) for blob in one.blobs]
        assert not any(blob.HasField("num") for blob in one.blobs)
        if blobs:
            found[one.name] = blobs
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, arrays in expected.items():
        for mine, other in zip(found[name], arrays, strict=True):
            assert mine.shape == other.shape
            assert mine.tobytes() == other.tobytes()


def blobs_of(net: Net) -> dict[str, list[np.ndarray]]:
    return {
        node.name: [blob.detach().numpy() for blob in node.layer.blobs] for node in net.nodes if node.layer.blob_names
    }


def refuse(source, target, cause, net=None, kind=CaffeError):
    before = target.read_bytes() if target.is_file() else None
    with pytest.raises(kind, match=cause):
        convert(source, target, net)
    assert (target.read_bytes() if target.is_file() else None) == before
    assert not list(target.parent.glob(".*.part"))
