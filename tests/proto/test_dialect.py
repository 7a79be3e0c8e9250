"""Binary nets of forks: told by their fields, or as the caller says; then read by name. Files are encoded by hand."""

from __future__ import annotations

import struct
import time
import warnings

import pytest

from caffe_port import Net
from caffe_port.errors import CaffeError, CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto import pb, read_message, read_net
from caffe_port.proto.files import write_binary
from tests.proto.encoder import integer, message, packed, shape, string, varint
from tests.shared import MODELS, needs


def fixed32(number: int, value: float) -> bytes:
    return varint(number * 8 + 5) + struct.pack("<f", value)


def layer(*content: bytes) -> bytes:
    return message(100, string(1, "x"), *content)


#: the numbers of parameters in a LayerParameter
CONVOLUTION, POOLING, LOSS, TRANSFORM = 106, 121, 101, 100
PERMUTE = layer(message(202, integer(1, 0)))  # one field of every fork
NVIDIA = layer(integer(147, 1))  # forward_math; BVLC: swish_param, a message
INTEL = layer(message(CONVOLUTION, integer(15, 3)))  # engine: MKL2017


@pytest.fixture
def file(tmp_path):
    def make(*content: bytes):
        path = tmp_path / "net.caffemodel"
        path.write_bytes(b"".join(content))
        return path

    return make


def quiet(path, **options):
    """The net, without any warning on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_net(path, **options)


def skipped(path, **options):
    """The net and the text of its one warning of harmless fields."""
    with pytest.warns(CaffeWarning, match="do not change results") as caught:
        net = read_net(path, **options)
    assert len(caught) == 1
    return net, str(caught[0].message).partition("results: ")[2]


def refusal(path, kind=FormatError, **options):
    with pytest.raises(kind) as caught:
        read_net(path, **options)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# -- told by the fields -----------------------------------------------------------------------------------------------


def test_bvlcs_own_fields_are_bvlcs(file):
    net = pb.NetParameter(name="n")
    one = net.layer.add(name="x", type="Clip")
    one.clip_param.min, one.clip_param.max = -1, 1
    one.swish_param.beta = 2
    one.recurrent_param.num_output = 3
    one.parameter_param.shape.dim.append(4)
    one.pooling_param.round_mode = pb.PoolingParameter.FLOOR
    one.loss_param.normalization = pb.LossParameter.NONE
    path = file(net.SerializeToString())
    assert quiet(path) == quiet(path, dialect="bvlc") == net


def test_harmless_fields_of_one_fork(file):
    assert skipped(file(NVIDIA))[1] == "LayerParameter.forward_math."
    assert skipped(file(INTEL))[1] == "ConvolutionParameter.engine: MKL2017."
    net, names = skipped(file(string(9, "CAFFE"), message(100, string(1, "x"), string(149, "MKL"))))
    assert names == "NetParameter.engine, LayerParameter.engine."
    assert net == pb.NetParameter(layer=[pb.LayerParameter(name="x")])


def test_the_wire_type_is_evidence(file):
    """Number 149 of a layer is NVIDIA's bool debug and Intel's string engine."""
    assert skipped(file(layer(integer(149, 1))))[1] == "LayerParameter.debug."
    assert skipped(file(layer(string(149, "CAFFE"))))[1] == "LayerParameter.engine."


def test_one_field_decides_for_the_others(file):
    """Number 11 of a net is NVIDIA's harmless default_forward_type and Intel's bn_stats_batch_size; both varints."""
    both = integer(11, 2)
    assert "number 11 in NetParameter is default_forward_type of NVIDIA Caffe or bn_stats_batch" in refusal(file(both))
    assert skipped(file(both, NVIDIA))[1] == "NetParameter.default_forward_type, LayerParameter.forward_math."
    assert "bn_stats_batch_size of Intel Caffe" in refusal(file(both, INTEL), UnknownFieldError)


def test_a_moved_field_is_read_where_it_stands(file):
    """NVIDIA has BVLC's recurrent_param (146) as 151, which Intel uses for mn_activation_param."""
    moved = layer(message(151, integer(1, 7), message(2, string(1, "xavier"))))
    net, _ = skipped(file(NVIDIA, moved))
    assert net.layer[1].recurrent_param.num_output == 7
    assert net.layer[1].recurrent_param.weight_filler.type == "xavier"
    assert "mn_activation_param of Intel Caffe" in refusal(file(INTEL, moved), UnknownFieldError)


def test_fork_fields_inside_a_moved_one_are_judged(file):
    """FillerParameter.scale is Intel's alone, so that nobody has this file."""
    moved = layer(message(151, message(2, fixed32(9, 0.5))))
    assert "no fork has together" in refusal(file(NVIDIA, moved))
    assert "9 in FillerParameter is none of NVIDIA" in refusal(file(moved), UnknownFieldError, dialect="nvidia")


def test_clashing_messages_of_one_number(file):
    """148: BVLC's clip_param, which needs min and max, Intel's smooth_l1_loss_param (sigma), NVIDIA's backward_math."""
    sigma = message(148, fixed32(1, 2))
    assert "smooth_l1_loss_param of Intel Caffe" in refusal(file(layer(sigma)), UnknownFieldError)
    clip = layer(message(148, fixed32(1, -1), fixed32(2, 1)))
    assert quiet(file(clip)).layer[0].clip_param.min == -1
    assert "smooth_l1_loss_param of Intel" in refusal(file(clip, INTEL), UnknownFieldError)
    assert skipped(file(layer(integer(148, 0))))[1] == "LayerParameter.backward_math."


def test_clashing_numbers_of_one_wire_type(file):
    """13 of a pooling is BVLC's round_mode and Intel's avg_include_pad. Alone it is BVLC's."""
    pooling = layer(message(POOLING, integer(13, 1)))
    assert quiet(file(pooling)).layer[0].pooling_param.round_mode == pb.PoolingParameter.FLOOR
    for path, options in ((file(pooling), {"dialect": "intel"}), (file(pooling, INTEL), {})):
        assert "layer 'x': field number 13 in PoolingParameter is avg_include_pad" in refusal(path, **options)
    with pytest.warns(CaffeWarning, match="avg_include_pad"):
        net = read_net(file(pooling), "warn", "intel")
    assert not net.layer[0].pooling_param.HasField("round_mode")


def test_clashing_values_of_an_enum(file):
    """Intel has PRE_FIXED where BVLC has NONE (3), and NONE as 4."""
    three, four = (layer(message(LOSS, integer(3, value))) for value in (3, 4))
    assert quiet(file(three)).layer[0].loss_param.normalization == pb.LossParameter.NONE
    assert "is normalization: PRE_FIXED of Intel" in refusal(file(three), dialect="intel")
    assert quiet(file(four)).layer[0].loss_param.normalization == pb.LossParameter.NONE
    net, _ = skipped(file(INTEL, four))
    assert net.layer[1].loss_param.normalization == pb.LossParameter.NONE


def test_forks_that_agree_need_no_telling_apart(file):
    """permute_param is 202 of all; resize_param is 8 of Intel and SSD."""
    assert "permute_param of NVIDIA Caffe, Intel Caffe and SSD Caffe" in refusal(file(PERMUTE), UnknownFieldError)
    resize = layer(message(TRANSFORM, message(8, fixed32(1, 1))))
    assert "resize_param of Intel Caffe and SSD Caffe" in refusal(file(resize), UnknownFieldError)
    with pytest.warns(CaffeWarning, match="skipped throughout"):
        net = read_net(file(resize), "warn")
    assert net.layer[0].transform_param == pb.TransformationParameter()


def test_two_names_that_are_both_refused(file):
    number = layer(message(152, integer(1, 1)))
    text = refusal(file(number), UnknownFieldError)
    assert "trt_param of NVIDIA Caffe or box_annotator_ohem_param of Intel Caffe" in text


# -- not told by the fields -------------------------------------------------------------------------------------------


def test_several_that_disagree(file):
    moved = layer(message(151, integer(1, 7)))
    text = refusal(file(PERMUTE, moved))
    assert "NVIDIA Caffe or Intel Caffe, which differ" in text
    assert "number 151 in LayerParameter is recurrent_param of NVIDIA Caffe or mn_activation_param of Intel" in text
    assert "--dialect nvidia or --dialect intel" in text
    assert "permute" not in text
    assert quiet(file(moved), dialect="nvidia").layer[0].recurrent_param.num_output == 7
    with pytest.raises(UnknownFieldError, match="mn_activation_param of Intel"):
        read_net(file(moved), dialect="intel")
    assert "which differ" in refusal(file(PERMUTE, moved), unknown="warn")


def test_none_that_has_all(file):
    text = refusal(file(NVIDIA, INTEL), unknown="warn")
    assert "no fork has together" in text
    assert "forward_math of NVIDIA Caffe" in text
    assert "engine: MKL2017 of Intel Caffe" in text
    assert "--dialect" in text


def test_what_the_dialect_lacks_is_refused_or_skipped(file):
    path = file(NVIDIA, INTEL)
    text = refusal(path, UnknownFieldError, dialect="intel")
    assert "number 147 in LayerParameter is none of Intel Caffe; it may be forward_math of NVIDIA Caffe" in text
    with pytest.warns(CaffeWarning, match="147"), pytest.warns(CaffeWarning, match="engine: MKL2017"):
        net = read_net(path, "warn", "intel")
    assert [str(one) for one in net.layer] == ['name: "x"\n', 'name: "x"\nconvolution_param {\n}\n']
    assert "202 in LayerParameter is none of BVLC" in refusal(file(PERMUTE), UnknownFieldError, dialect="bvlc")


def test_bvlc_numbers_that_the_dialect_has_otherwise_are_not_let_through(file):
    swish = layer(message(147, fixed32(1, 2)))
    text = refusal(file(swish), UnknownFieldError, dialect="nvidia")
    assert "is none of NVIDIA Caffe; it may be swish_param of BVLC Caffe, Intel Caffe and SSD Caffe" in text
    with pytest.warns(CaffeWarning):
        assert not read_net(file(swish), "warn", "nvidia").layer[0].HasField("swish_param")


def test_numbers_that_nobody_has_are_no_evidence(file):
    path = file(NVIDIA, layer(integer(999, 1)))
    with pytest.warns(CaffeWarning), pytest.raises(UnknownFieldError, match="unknown field number 999"):
        read_net(path)
    with pytest.warns(CaffeWarning, match="999"), pytest.warns(CaffeWarning, match="forward_math"):
        assert len(read_net(path, "warn").layer) == 2


def test_another_word(file):
    with pytest.raises(FormatError, match="Use one of bvlc, nvidia, intel, ssd"):
        read_net(file(PERMUTE), dialect="opencv")


# -- through the library ----------------------------------------------------------------------------------------------


def test_a_net_of_a_fork_runs(file):
    param = message(151, integer(1, 3), message(2, string(1, "constant"), fixed32(2, 0.5)))
    recurrent = message(100, string(1, "r"), string(2, "RNN"), string(3, "d"), string(3, "c"), string(4, "y"), param)
    dims = [message(1, b"".join(integer(1, n) for n in dim)) for dim in ((4, 1, 2), (4, 1))]
    data = message(100, string(1, "i"), string(2, "Input"), string(4, "d"), string(4, "c"), message(143, *dims))
    path = file(data, recurrent)
    with pytest.raises(FormatError, match="--dialect nvidia"):
        Net(path)
    net = Net(path, dialect="nvidia")
    assert net.blob_shapes["y"] == (4, 1, 3)
    assert net.layer("r").W_xh.unique().tolist() == [0.5]


def test_messages_as_they_stand(file):
    with pytest.raises(FormatError, match="which differ"):
        read_message(file(integer(11, 2)))
    with pytest.warns(CaffeWarning):
        assert read_message(file(integer(11, 2)), dialect="nvidia") == ("net", pb.NetParameter())


def test_text_has_names_and_needs_no_dialect(tmp_path):
    (tmp_path / "n.prototxt").write_text("layer { pooling_param { round_mode: FLOOR } }")
    net = quiet(tmp_path / "n.prototxt", dialect="intel")
    assert net.layer[0].pooling_param.round_mode == pb.PoolingParameter.FLOOR


def test_blobs_are_left_out_unread(file):
    blob = message(7, packed(5, [1, 2]) + shape(2))
    nvidias = message(7, integer(10, 2), message(12, b"\0\0"), message(7, message(1, varint(1))))
    old = message(2, string(4, "v1"), integer(5, 18), message(6, integer(1, 9)))
    assert "raw_data_type of NVIDIA" in refusal(file(layer(nvidias)))
    net = quiet(file(layer(blob, nvidias, string(2, "ReLU"))), blobs=False)
    assert net == pb.NetParameter(layer=[pb.LayerParameter(name="x", type="ReLU")])
    assert quiet(file(old), blobs=False).layer[0] == pb.LayerParameter(name="v1", type="ReLU")


@needs(MODELS)
def test_nvidias_half_precision_weights():
    path = MODELS / "hyperlpr_finemapping_fp16" / "weights.caffemodel"
    assert "raw_data_type of NVIDIA Caffe" in refusal(path, UnknownFieldError)
    types = [layer.type for layer in quiet(path, blobs=False).layer]
    assert types.count("Convolution") == 3
    assert types.count("InnerProduct") == 1


@needs(MODELS)
@pytest.mark.parametrize("path", sorted(MODELS.glob("*/weights.caffemodel")), ids=lambda path: path.parent.name)
def test_real_weights_without_blobs_are_those_with(path):
    """protobuf's own reading, its unknown fields dropped."""
    expected = pb.NetParameter.FromString(path.read_bytes())
    for one in [*expected.layer, *expected.layers]:
        one.ClearField("blobs")
    expected.DiscardUnknownFields()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaffeWarning)
        found = read_net(path, "warn", blobs=False)
    if not expected.layers:
        assert found == expected
    assert len(found.layer) >= len(expected.layer) + len(expected.layers)


# -- damage and size --------------------------------------------------------------------------------------------------


def test_damage_gives_one_clear_error(file):
    """Every cut and every changed byte of a file of a fork is read, or refused with a CaffeError."""
    whole = NVIDIA + layer(message(151, integer(1, 7), message(2, string(1, "xavier")))) + PERMUTE
    cases = [whole[:size] for size in range(1, len(whole))]
    cases += [whole[:i] + bytes([whole[i] ^ bit]) + whole[i + 1 :] for i in range(len(whole)) for bit in (1, 8, 128)]
    refused = 0
    for data in cases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CaffeWarning)
                read_net(file(data), "warn", "nvidia")
        except CaffeError:
            refused += 1
    assert 0 < refused < len(cases)


def test_large_nets_cost_little(tmp_path):
    """60,000 fields in 3,000 layers."""
    net = pb.NetParameter()
    for index in range(3000):
        one = net.layer.add(name=f"c{index}", type="Convolution", bottom=["a"], top=["b"])
        one.convolution_param.num_output = 3
        one.convolution_param.engine = pb.ConvolutionParameter.CAFFE
        for _ in range(4):
            one.param.add(lr_mult=1, decay_mult=2)
    write_binary(net, tmp_path / "n")
    start = time.perf_counter()
    assert read_net(tmp_path / "n") == net
    assert time.perf_counter() - start < 10
