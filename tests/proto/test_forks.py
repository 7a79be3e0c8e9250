"""Fields and values of other forks: recognised by name, harmless ones accepted."""

from __future__ import annotations

import csv
import warnings

import pytest

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto import forks
from caffe_port.proto.schema import FILE, pb
from caffe_port.proto.text import parse_text
from tests.shared import SHARED, needs

TABLE = SHARED / "caffe_schema" / "forks.csv"


def enums():
    for message in FILE.message_types_by_name.values():
        for enum in message.enum_types:
            yield enum.full_name.removeprefix("caffe."), enum
    yield from FILE.enum_types_by_name.items()


def wires(row, enum_names):
    """The wire types of a field, as the table's file gives them (protobuf's "Encoding")."""
    if row["label"] == "enum":
        return ("value",)
    integers = {"bool", "int32", "uint32", "int64", "uint64", *enum_names}
    wire = {"float": "fixed32", "double": "fixed64"}.get(row["type"], "varint" if row["type"] in integers else "length")
    return (wire, "length") if row["label"] == "repeated" and wire != "length" else (wire,)


@needs(TABLE)
def test_the_table_is_what_the_forks_have():
    """For messages and enums that BVLC has, every field or value that it lacks or has under another number, with its
    wire types; and nothing else."""
    known_enums = dict(enums())
    rows = list(csv.DictReader(TABLE.open()))
    enum_names = {*known_enums, *(row["message"] for row in rows if row["label"] == "enum")}
    expected = set()
    for row in rows:
        owner, name, number = row["message"], row["field"], int(row["number"])
        if row["label"] == "enum":
            ours = known_enums.get(owner)
            there = None if ours is None else ours.values_by_name.get(name)
        else:
            ours = FILE.message_types_by_name.get(owner)
            there = None if ours is None else ours.fields_by_name.get(name)
        if ours is None or (there is not None and there.number == number):
            continue
        expected.add((owner, number, name, wires(row, enum_names), row["fork"]))
        assert forks.FORK_NAMES[row["fork"]] in forks.forks_with(owner, name)
    owners = {owner for owner, *_ in expected}
    found = {
        (owner, number, entry.name, entry.wires, fork)
        for owner in {*owners, *known_enums, *FILE.message_types_by_name}
        for number in forks.numbers(owner)
        for entry in forks.entries(owner, number)
        for fork in entry.forks
    }
    assert found == expected
    assert len(expected) > 200


def test_what_forks_renumbered_are_messages_and_enum_values():
    """:mod:`caffe_port.proto.dialect` renumbers nothing else."""
    for owner, message in FILE.message_types_by_name.items():
        moved = [e for n in forks.numbers(owner) for e in forks.entries(owner, n) if e.name in message.fields_by_name]
        assert all(entry.wires == ("length",) for entry in moved)


def test_harmless_fields_are_fork_fields():
    for message, names in forks.HARMLESS.items():
        for name in names:
            assert name not in FILE.message_types_by_name[message].fields_by_name
            assert forks.forks_with(message, name), (message, name)


def test_nothing_that_is_known_here_is_called_foreign():
    for message, names in forks.HARMLESS.items():
        assert not forks.forks_with(message, "name")
        assert not forks.is_harmless(message, "no_such_field")
        assert names


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("layer { name: 'p' type: 'Permute' permute_param { order: 0 } }", "NVIDIA Caffe, Intel Caffe and SSD Caffe"),
        ("layer { detection_output_param { num_classes: 2 } }", "NVIDIA Caffe, Intel Caffe and SSD Caffe"),
        ("layer { convolution_param { relu: true } }", "only in Intel Caffe."),
        ("layer { batch_norm_param { scale_bias: true } }", "only in NVIDIA Caffe."),
        ("layer { transform_param { resize_param { prob: 1 } } }", "NVIDIA Caffe, Intel Caffe and SSD Caffe"),
        ("layer { roi_pooling_param { pooled_h: 2 } }", "only in Intel Caffe."),
    ],
)
def test_fields_with_an_effect_are_refused(text, origin):
    with pytest.raises(UnknownFieldError, match=origin) as caught:
        parse_text(text, pb.NetParameter, file="n.prototxt")
    assert caught.value.line == 1
    with pytest.warns(CaffeWarning, match="is skipped throughout"):
        parse_text(text, pb.NetParameter, unknown="warn")


def test_harmless_fields_give_one_warning():
    text = """
    default_forward_type: FLOAT16
    default_backward_math: FLOAT
    engine: "MKLDNN"
    global_grad_scale: 1000
    compile_net_state { bn_scale_remove: true }
    layer {
      name: "c" type: "Convolution" forward_type: FLOAT16 debug: true
      quantization_param { bw_layer_in: 8 }
      convolution_param { num_output: 2 engine: MKL2017 conv_algorithm: "winograd" cudnn_convolution_algo_seeker: GET }
      batch_norm_param { engine: CUDNN eps: 0.1 }
      relu_param { engine: MKLDNN }
    }
    layer { pooling_param { engine: CUDNN } }
    """
    with pytest.warns(CaffeWarning) as caught:
        net = parse_text(text, pb.NetParameter, file="n.prototxt")
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("n.prototxt: ")
    for part in ("NetParameter.default_forward_type", "LayerParameter.quantization_param", "BatchNormParameter.engine"):
        assert part in message
    assert "ConvolutionParameter.engine: MKL2017" in message
    assert "ReLUParameter.engine: MKLDNN" in message
    assert net.layer[0].convolution_param == pb.ConvolutionParameter(num_output=2)
    assert net.layer[0].batch_norm_param == pb.BatchNormParameter(eps=0.1)
    assert net.layer[1].pooling_param.engine == pb.PoolingParameter.CUDNN


def test_plain_caffe_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_text("layer { convolution_param { engine: CUDNN } } debug_info: true", pb.NetParameter)


@pytest.mark.parametrize(
    ("text", "message_class", "cause"),
    [
        ("solver_type: SAG", pb.SolverParameter, "solver_type 'SAG' exists only in NVIDIA Caffe"),
        ("normalization: PRE_FIXED", pb.LossParameter, "'PRE_FIXED' exists only in Intel Caffe"),
        ("engine: MKL2018", pb.ConvolutionParameter, "unknown value 'MKL2018'"),
        ("engine: MKLDNN", pb.SoftmaxParameter, "unknown value 'MKLDNN'"),
    ],
)
def test_values_with_an_effect_are_refused(text, message_class, cause):
    with pytest.raises(FormatError, match=cause):
        parse_text(text, message_class)
