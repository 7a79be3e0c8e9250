"""Nets written in Python (Caffe: python/caffe/test/test_net_spec.py)."""
# ruff: noqa: C408 -- parameters are written as old scripts write them

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest

from caffe_port.errors import LayerError, NetError, UnknownFieldError
from caffe_port.proto import pb
from caffe_port.pycaffe.net import Net
from caffe_port.pycaffe.net_spec import (
    Function,
    Layers,
    NetSpec,
    Parameters,
    Top,
    assign_proto,
    param_name_dict,
    to_proto,
)
from caffe_port.pycaffe.net_spec import layers as L
from caffe_port.pycaffe.net_spec import params as P
from tests.net.make import parse

LENET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  transform_param { scale: 0.00390625 }
  dummy_data_param { shape { dim: 4 dim: 1 dim: 28 dim: 28 } shape { dim: 4 dim: 1 dim: 1 dim: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  inner_product_param { num_output: 50 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss"
  loss_param { ignore_label: 3 } }
"""


def lenet():
    """The tops of LENET by name."""
    data, label = L.DummyData(
        shape=[dict(dim=[4, 1, 28, 28]), dict(dim=[4, 1, 1, 1])], transform_param=dict(scale=1.0 / 256), ntop=2
    )
    conv1 = L.Convolution(
        data,
        kernel_size=5,
        num_output=20,
        weight_filler=dict(type="xavier"),
        param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)],
    )
    pool1 = L.Pooling(conv1, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    ip1 = L.InnerProduct(pool1, num_output=50, weight_filler=dict(type="gaussian", std=0.5))
    relu1 = L.ReLU(ip1, in_place=True)
    ip2 = L.InnerProduct(relu1, num_output=10)
    loss = L.SoftmaxWithLoss(ip2, label, loss_param=dict(ignore_label=3))
    return dict(data=data, label=label, conv1=conv1, pool1=pool1, ip1=ip1, relu1=relu1, ip2=ip2, loss=loss)


def one(top):
    """The message of the last layer of ``top``'s net."""
    return to_proto(top).layer[-1]


# -- whole nets -------------------------------------------------------------------------------------------------------


def test_a_named_net_is_the_prototxt_one_would_write():
    n = NetSpec()
    for name, top in lenet().items():
        setattr(n, name, top)
    assert n.to_proto() == parse(LENET)
    items = NetSpec()
    for name, top in lenet().items():
        items[name] = top
    assert items.to_proto() == parse(LENET)


def test_an_unnamed_net_numbers_its_layers_by_type():
    net = lenet()["loss"].to_proto()
    expected = parse(
        LENET.replace('"data"', '"DummyData1"')
        .replace('"label"', '"DummyData2"')
        .replace('"conv1"', '"Convolution1"')
        .replace('"pool1"', '"Pooling1"')
        .replace('"ip1"', '"InnerProduct1"')
        .replace('"relu1"', '"ReLU1"')
        .replace('"ip2"', '"InnerProduct2"')
        .replace('"loss"', '"SoftmaxWithLoss1"')
    )
    assert net == expected


def test_both_nets_run(tmp_path):
    n = NetSpec()
    for name, top in lenet().items():
        setattr(n, name, top)
    for message in (n.to_proto(), lenet()["loss"].to_proto()):
        path = tmp_path / "net.prototxt"
        path.write_text(str(message))
        net = Net(str(path), phase="TEST")
        assert [layer.type for layer in net.layers if layer.type != "Split"] == [one.type for one in message.layer]
        (loss,) = net.forward().values()
        assert np.isfinite(loss)


def test_layers_without_tops(tmp_path):
    n = NetSpec()
    n.data, n.data2 = L.DummyData(shape=dict(dim=3), ntop=2)
    n.quiet = L.Silence(n.data, ntop=0)
    n.quiet2 = L.Silence(n.data2, ntop=0)
    net = n.to_proto()
    assert [(one.name, list(one.bottom), list(one.top)) for one in net.layer] == [
        ("data", [], ["data", "data2"]),
        ("quiet", ["data"], []),
        ("quiet2", ["data2"], []),
    ]
    (tmp_path / "net.prototxt").write_text(str(net))
    assert Net(str(tmp_path / "net.prototxt"), phase="TEST").forward() == {}


def test_unnamed_layers_without_tops_are_numbered_too():
    data = L.DummyData(shape=dict(dim=3))
    made, names, counts = {}, {}, Counter()
    for _ in range(2):
        L.Silence(data, ntop=0)._to_proto(made, names, counts)
    assert [layer.name for layer in made.values()] == ["DummyData1", "Silence1", "Silence2"]


def test_a_spec_holds_what_its_tops_need_and_no_more():
    n = NetSpec()
    data = L.Input(shape=dict(dim=[1, 2]))
    L.ReLU(data)  # assigned to nothing
    n.out = L.Sigmoid(L.TanH(data))
    assert [(one.name, one.type) for one in n.to_proto().layer] == [
        ("Input1", "Input"),
        ("TanH1", "TanH"),
        ("out", "Sigmoid"),
    ]


def test_a_layer_comes_after_all_that_it_reads_and_once():
    n = NetSpec()
    a = L.Input(shape=dict(dim=[1, 2]))
    b = L.ReLU(a)
    c = L.TanH(a)
    n.last = L.Eltwise(c, L.Eltwise(b, c))
    n.b = b
    layers = n.to_proto().layer
    assert [one.type for one in layers] == ["Input", "TanH", "ReLU", "Eltwise", "Eltwise"]
    seen = set()
    for layer in layers:
        assert set(layer.bottom) <= seen
        seen |= set(layer.top)


def test_to_proto_of_several_tops_and_of_none():
    data = L.Input(shape=dict(dim=[1, 2]))
    net = to_proto(L.ReLU(data), L.ReLU(data))
    assert [one.name for one in net.layer] == ["Input1", "ReLU1", "ReLU2"]
    assert to_proto() == NetSpec().to_proto() == pb.NetParameter()


def test_deeper_than_pythons_stack():
    top = L.Input(shape=dict(dim=[1, 2]))
    for _ in range(3000):
        top = L.ReLU(top)
    net = top.to_proto()
    assert len(net.layer) == 3001
    assert net.layer[-1].bottom == ["ReLU2999"]


def test_writing_twice_gives_the_same():
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 2]))
    n.relu = L.ReLU(L.TanH(n.data), in_place=True)
    assert n.to_proto() == n.to_proto()
    assert n.relu.to_proto() == n.relu.to_proto()


# -- layers -----------------------------------------------------------------------------------------------------------


def test_what_a_call_returns():
    data = L.Input(shape=dict(dim=3))
    assert isinstance(data, Top)
    assert (data.fn.type_name, data.n, data.fn.ntop, data.fn.inputs) == ("Input", 0, 1, ())
    two = L.Slice(data, ntop=2)
    assert [type(top) for top in two] == [Top, Top]
    assert two == two[0].fn.tops
    assert [top.n for top in two] == [0, 1]
    none = L.Silence(data, ntop=0)
    assert isinstance(none, Function)
    assert none.tops == ()
    assert Layers().Foo(data, bar=1, ntop=1, in_place=True).fn.params == {"bar": 1}


def test_in_place():
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 2]))
    n.relu = L.ReLU(n.data, in_place=True)
    n.drop = L.Dropout(n.relu, in_place=True, dropout_ratio=0.25)
    n.out = L.TanH(n.drop)
    assert [(one.name, list(one.bottom), list(one.top)) for one in n.to_proto().layer] == [
        ("data", [], ["data"]),
        ("relu", ["data"], ["data"]),
        ("drop", ["data"], ["data"]),
        ("out", ["data"], ["out"]),
    ]


def test_a_later_top_of_a_layer():
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 4]))
    n.left, n.right = L.Slice(n.data, ntop=2, axis=1, slice_point=[1])
    n.out = L.ReLU(n.right)
    assert list(n.to_proto().layer[2].bottom) == ["right"]
    assert n.to_proto().layer[1].name == "left"


def test_name_changes_the_layers_name_only():
    layer = one(L.ReLU(L.Input(shape=dict(dim=1)), name="rectify"))
    assert (layer.name, list(layer.top)) == ("rectify", ["ReLU1"])


def test_keywords_go_to_the_message_of_the_type_or_to_the_layer():
    data = L.Input(shape=dict(dim=1))
    layer = one(
        L.Pooling(
            data,
            kernel_size=3,
            pool=P.Pooling.STOCHASTIC,
            loss_weight=2,
            propagate_down=[True],
            include=dict(phase=pb.TEST, stage=["a", "b"]),
        )
    )
    expected = parse(
        'layer { name: "Pooling1" type: "Pooling" bottom: "Input1" top: "Pooling1" loss_weight: 2 propagate_down: true '
        'include { phase: TEST stage: "a" stage: "b" } pooling_param { kernel_size: 3 pool: STOCHASTIC } }'
    )
    assert layer == expected.layer[0]


def test_types_whose_message_has_another_name():
    data = L.Input(shape=dict(dim=1))
    layer = one(
        L.Deconvolution(data, convolution_param=dict(num_output=2, kernel_size=4, weight_filler=dict(type="bilinear")))
    )
    assert layer.convolution_param == pb.ConvolutionParameter(
        num_output=2, kernel_size=[4], weight_filler=pb.FillerParameter(type="bilinear")
    )
    layer = one(L.EuclideanLoss(data, data, loss_weight=0.5))
    assert list(layer.loss_weight) == [0.5]


def test_repeated_fields_take_one_value_or_many():
    data = L.Input(shape=dict(dim=1))
    for given, kept in ((3, [3]), ([3, 5], [3, 5]), ((3, 5), [3, 5]), ([], [])):
        assert list(one(L.Convolution(data, kernel_size=given)).convolution_param.kernel_size) == kept
    for given in (dict(lr_mult=2), [dict(lr_mult=2)]):
        assert [param.lr_mult for param in one(L.Convolution(data, param=given)).param] == [2]
    sizes = one(L.Convolution(data, kernel_size=np.int64(3), num_output=np.int32(2))).convolution_param
    assert (list(sizes.kernel_size), sizes.num_output) == ([3], 2)


def test_layers_written_in_python():
    data, label = L.Python(module="rows", layer="Rows", ntop=2, param_str=str(dict(seed=1)))
    assert one(data).python_param == pb.PythonParameter(module="rows", layer="Rows", param_str="{'seed': 1}")
    layer = one(L.Python(data, label, python_param=dict(module="m", layer="Loss"), loss_weight=1))
    assert (layer.python_param.layer, list(layer.bottom), list(layer.loss_weight)) == (
        "Loss",
        ["Python1", "Python2"],
        [1],
    )


def test_data_layers():
    _data, label = L.Data(
        source="db", backend=P.Data.LMDB, batch_size=8, ntop=2, transform_param=dict(mean_value=[1, 2, 3], mirror=True)
    )
    expected = parse(
        'layer { name: "Data1" type: "Data" top: "Data1" top: "Data2" transform_param { mirror: true mean_value: 1 '
        'mean_value: 2 mean_value: 3 } data_param { source: "db" batch_size: 8 backend: LMDB } }'
    )
    assert to_proto(label) == expected


# -- parameters -------------------------------------------------------------------------------------------------------


def test_enum_values():
    assert (P.Pooling.MAX, P.Pooling.AVE, P.Pooling.STOCHASTIC) == (0, 1, 2)
    assert P.Eltwise.SUM == 1
    assert P.LRN.WITHIN_CHANNEL == 1
    assert P.Loss.VALID == 1
    assert Parameters().Data.LMDB == 1
    with pytest.raises(AttributeError, match="no message WrongParameter"):
        P.Wrong
    with pytest.raises(AttributeError, match="MIN"):
        P.Pooling.MIN


def test_param_name_dict():
    names = param_name_dict()
    assert names["Pooling"] == "pooling"
    assert names["InnerProduct"] == "inner_product"
    assert names["LRN"] == "lrn"
    assert names["HDF5Data"] == "hdf5_data"
    assert "Deconvolution" not in names
    for kind, name in names.items():
        field = pb.LayerParameter.DESCRIPTOR.fields_by_name[f"{name}_param"]
        assert field.message_type.name == f"{kind}Parameter"


def test_assign_proto():
    layer = pb.LayerParameter()
    assign_proto(layer, "name", "x")
    assign_proto(layer, "bottom", "a")
    assign_proto(layer, "bottom", ["b", "c"])
    assign_proto(layer, "convolution_param", dict(weight_filler=dict(type="msra", std=2), pad=1))
    assign_proto(layer, "blobs", [dict(data=[1, 2], shape=dict(dim=2)), pb.BlobProto(data=[3])])
    expected = parse(
        'layer { name: "x" bottom: "a" bottom: "b" bottom: "c" convolution_param { pad: 1 weight_filler { type: "msra" '
        "std: 2 } } blobs { data: 1 data: 2 shape { dim: 2 } } blobs { data: 3 } }"
    )
    assert layer == expected.layer[0]


# -- NetSpec as a container -------------------------------------------------------------------------------------------


def test_tops_in_order():
    n = NetSpec()
    n.b = L.Input(shape=dict(dim=1))
    n["a"] = L.ReLU(n["b"])
    assert list(n.tops) == ["b", "a"]
    assert n.tops["a"] is n.a is n["a"]
    del n.tops["a"]
    assert len(n.to_proto().layer) == 1
    assert not hasattr(n, "a")
    with pytest.raises(KeyError):
        n["a"]


def test_a_name_can_be_given_anew():
    n = NetSpec()
    n.x = L.Input(shape=dict(dim=1))
    n.x = L.ReLU(n.x)
    assert [one.name for one in n.to_proto().layer] == ["Input1", "x"]


def test_copies():
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=1))
    other = copy.deepcopy(n)
    other.relu = L.ReLU(other.data)
    assert len(n.to_proto().layer) == 1
    assert len(other.to_proto().layer) == 2
    assert copy.copy(L).ReLU(n.data).fn.type_name == "ReLU"


# -- what is refused --------------------------------------------------------------------------------------------------


def test_inputs_that_are_no_tops():
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(data, ntop=0)
    with pytest.raises(NetError, match=r"^ReLU input 1 is not a Top \(type is <class 'str'>\)$"):
        L.ReLU(data[0], "data")
    L.Silence(*data, ntop=0)


def test_tuples_of_tops_are_unpacked():
    n = NetSpec()
    with pytest.raises(NetError, match=r"'data' is not a Top.*n\.data, n\.label = "):
        n.data = L.Data(ntop=2)


def test_unknown_parameters():
    data = L.Input(shape=dict(dim=1))
    message = r"layer 'Convolution1' \(Convolution\): ConvolutionParameter has no field 'kernel_sizes'.*'kernel_size'"
    with pytest.raises(UnknownFieldError, match=message):
        L.Convolution(data, kernel_sizes=3).to_proto()
    with pytest.raises(UnknownFieldError, match="FillerParameter has no field 'sigma'"):
        L.Convolution(data, weight_filler=dict(sigma=3)).to_proto()
    with pytest.raises(UnknownFieldError, match="LayerParameter has no field 'kernel_size'"):
        L.Deconvolution(data, kernel_size=3).to_proto()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(num_output="many"), r"ConvolutionParameter.num_output cannot be 'many'"),
        (dict(num_output=-1), r"num_output cannot be -1"),
        (dict(weight_filler="xavier"), r"weight_filler cannot be 'xavier'"),
        (dict(kernel_size=[3, "x"]), r"kernel_size cannot be \[3, 'x'\]"),
        (dict(convolution_param=3), r"LayerParameter.convolution_param cannot be 3"),
        (dict(num_output=dict(a=1)), r"num_output cannot be"),
        (dict(kernel_size=dict(a=1)), r"kernel_size cannot be"),
    ],
)
def test_values_of_the_wrong_kind(params, message):
    with pytest.raises(LayerError, match=message):
        L.Convolution(L.Input(shape=dict(dim=1)), **params).to_proto()
