"""The schema as a module, used as scripts that read and write prototxts use it."""

from __future__ import annotations

import copy
import csv

import numpy as np
import pytest
from google.protobuf import descriptor_pool, text_format

import caffe_port
from caffe_port.pycaffe.proto import caffe_pb2
from tests.shared import MODELS, SHARED, needs

TEXT = """
name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 }
}
"""


@needs(SHARED / "caffe_schema")
def test_every_message_and_enum_of_caffe_is_there():
    def rows(name):
        with (SHARED / "caffe_schema" / name).open() as file:
            return list(csv.DictReader(file))

    for row in rows("fields.csv"):
        message = getattr(caffe_pb2, row["message"])
        assert getattr(message, f"{row['field'].upper()}_FIELD_NUMBER") == int(row["number"])
    for row in rows("enums.csv"):
        *owners, enum = row["enum"].split(".")
        owner = caffe_pb2
        for name in owners:
            owner = getattr(owner, name)
        assert getattr(owner, row["value"]) == getattr(owner, enum).Value(row["value"]) == int(row["number"])


def test_phase():
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"
    assert caffe_pb2.Phase.keys() == ["TRAIN", "TEST"]


def test_nested_enums():
    assert caffe_pb2.PoolingParameter.AVE == caffe_pb2.PoolingParameter.PoolMethod.Value("AVE") == 1
    assert caffe_pb2.V1LayerParameter.LayerType.Value("CONVOLUTION") == caffe_pb2.V1LayerParameter.CONVOLUTION
    names = caffe_pb2.PoolingParameter.PoolMethod.DESCRIPTOR.values_by_name
    assert {name: value.number for name, value in names.items()} == {"MAX": 0, "AVE": 1, "STOCHASTIC": 2}


def test_what_a_star_import_brings():
    names = {name: getattr(caffe_pb2, name) for name in caffe_pb2.__all__}
    assert {"NetParameter", "SolverParameter", "Phase", "TEST", "DESCRIPTOR"} <= set(names)
    assert set(names) - {"DESCRIPTOR", "Phase", "TRAIN", "TEST"} == set(caffe_pb2.DESCRIPTOR.message_types_by_name)
    assert caffe_pb2.DESCRIPTOR.package == "caffe"


def test_text_format():
    net = caffe_pb2.NetParameter()
    text_format.Merge(TEXT, net)
    assert text_format.Parse(TEXT, caffe_pb2.NetParameter()) == net
    assert [layer.name for layer in net.layer] == ["data", "pool"]
    assert list(net.layer[0].input_param.shape[0].dim) == [2, 3, 8, 8]
    assert net.layer[1].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert net.layer[1].HasField("pooling_param")
    assert not net.layer[1].HasField("convolution_param")
    written = text_format.MessageToString(net)
    assert written == str(net)
    assert "pool: AVE" in written
    assert text_format.Parse(written, caffe_pb2.NetParameter()) == net
    with pytest.raises(text_format.ParseError, match="nme"):
        text_format.Merge('nme: "x"', net)


def test_binary_and_copies():
    net = text_format.Parse(TEXT, caffe_pb2.NetParameter())
    data = net.SerializeToString()
    again = caffe_pb2.NetParameter()
    again.ParseFromString(data)
    copied = caffe_pb2.NetParameter()
    copied.CopyFrom(net)
    deep = copy.deepcopy(net)
    assert again == copied == deep == net == caffe_pb2.NetParameter.FromString(data)
    deep.layer[1].pooling_param.kernel_size = 3
    assert net.layer[1].pooling_param.kernel_size == 2
    del net.layer[1]
    assert len(net.layer) == 1
    assert len(again.layer) == 2


def test_defaults_are_caffes():
    assert caffe_pb2.LRNParameter().alpha == 1
    assert caffe_pb2.ConvolutionParameter().bias_term is True
    assert caffe_pb2.SolverParameter().regularization_type == "L2"


def test_the_default_pool_stays_free_for_others():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("caffe.BlobProto")


def test_a_message_made_here_is_a_net_for_caffe_port():
    net = caffe_port.Net(text_format.Parse(TEXT, caffe_pb2.NetParameter()), phase="TEST")
    assert net.blob_shapes["pool"] == (2, 3, 4, 4)


@needs(MODELS / "lenet_v1" / "weights.caffemodel")
def test_a_real_caffemodel():
    """Read by protobuf here, and by the wire scanner when a net loads it."""
    folder = MODELS / "lenet_v1"
    message = caffe_pb2.NetParameter.FromString((folder / "weights.caffemodel").read_bytes())
    layers = {layer.name: layer for layer in message.layers}
    assert layers["ip2"].type == caffe_pb2.V1LayerParameter.INNER_PRODUCT
    net = caffe_port.Net(folder / "net.prototxt", folder / "weights.caffemodel")
    for layer in ("conv1", "ip2"):
        loaded = net.layer(layer).blobs[0].detach().numpy().ravel()
        np.testing.assert_array_equal(np.array(layers[layer].blobs[0].data, np.float32), loaded)
