"""Conversions of weights: every format to and from Caffe, bit for bit; the protobuf package as another reader."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
import torch

from caffe_port import CaffeWarning, Net
from caffe_port.convert import Converted, convert
from caffe_port.convert.tensors import read_tensors
from caffe_port.errors import FormatError, UnknownFieldError, WeightsError
from caffe_port.proto import pb, read_net
from caffe_port.proto.files import write_binary, write_text
from caffe_port.proto.weights import read_weights
from tests.convert.files import CAFFE, TENSORS, assert_same, blobs_of, by_protobuf, refuse
from tests.net.make import build, conv, inputs, ip, layer, parse
from tests.proto.encoder import integer, message, packed, shape, string
from tests.shared import MODELS, ORACLE, needs

pytest.importorskip("safetensors")

MODEL_NAMES = sorted(path.parent.name for path in MODELS.glob("*/weights.caffemodel"))
SNAPSHOTS = sorted((ORACLE / "solvers").glob("*/*.caffemodel"))
DATA = inputs(x=(2, 3, 6, 6))
ALL = (
    'name: "all"'
    + DATA
    + conv("c/1", "x", "a")
    + layer("BatchNorm", "b.n", "a", "b")
    + layer("Scale", "größe 1", "b", "s", "scale_param { bias_term: true }")
    + layer("PReLU", "尾", "s", "p")
    + ip("ip", "p", "i", 5)
    + layer("Softmax", "prob", "i", "o")
)


@pytest.fixture
def net_file(tmp_path):
    write_text(parse(ALL), tmp_path / "net.prototxt")
    return tmp_path / "net.prototxt"


@pytest.fixture
def model(tmp_path):
    """A net of many layers with its caffemodel."""
    net = build(ALL, seed=3)
    net.save(tmp_path / "w.caffemodel")
    return net


# -- from and to everything -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [False, True], ids=["alone", "with net"])
@pytest.mark.parametrize("through", [*TENSORS, *CAFFE])
def test_there_and_back(through, given, model, net_file, tmp_path):
    net = net_file if given else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = convert(tmp_path / "w.caffemodel", tmp_path / f"m{through}", net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaffeWarning)
        back = convert(tmp_path / f"m{through}", tmp_path / "back.caffemodel", net)
    assert_same(by_protobuf(tmp_path / "back.caffemodel"), blobs_of(model))
    parameters = sum(blob.numel() for blob in model.parameters())
    for done, path in ((there, tmp_path / f"m{through}"), (back, tmp_path / "back.caffemodel")):
        assert (done.layers, done.parameters, done.bytes) == (5, parameters, path.stat().st_size)
    assert there.left_out == (("x", "prob") if through in TENSORS else ())


@pytest.mark.parametrize("suffix", TENSORS)
def test_with_the_net_the_state_dict_can_be_loaded(suffix, model, net_file, tmp_path):
    convert(tmp_path / "w.caffemodel", tmp_path / f"m{suffix}", net_file)
    found = {key: torch.from_numpy(array) for key, array in read_tensors(tmp_path / f"m{suffix}").items()}
    assert "b_n.scale_factor" in found
    other = build(ALL, seed=4)
    other.load_state_dict(found)
    assert_same(blobs_of(other), blobs_of(model))


def test_without_a_net_keys_have_the_names_of_the_layers(model, tmp_path):
    convert(tmp_path / "w.caffemodel", tmp_path / "m.npz")
    assert list(np.load(tmp_path / "m.npz")) == [
        *("c/1.weight", "c/1.bias", "b.n.mean", "b.n.variance", "b.n.scale_factor", "größe 1.scale", "größe 1.bias"),
        *("尾.slope", "ip.weight", "ip.bias"),
    ]


def test_what_a_state_dict_gives_is_what_net_save_writes(model, net_file, tmp_path):
    torch.save(model.state_dict(), tmp_path / "m.pth")
    convert(tmp_path / "m.pth", tmp_path / "made.caffemodel", net_file)
    assert (tmp_path / "made.caffemodel").read_bytes() == (tmp_path / "w.caffemodel").read_bytes()
    convert(tmp_path / "m.pth", tmp_path / "train.caffemodel", net_file, phase="TRAIN")
    stored = pb.NetParameter.FromString((tmp_path / "train.caffemodel").read_bytes())
    assert {one.phase for one in stored.layer} == {pb.TRAIN}


def test_keys_of_a_file_alone_fit_the_net_later(model, net_file, tmp_path):
    """Names with dots, and numbers where HDF5 does not tell what a blob is."""
    convert(tmp_path / "w.caffemodel", tmp_path / "w.h5")
    with pytest.warns(CaffeWarning, match=r"w\.h5: .*größe 1.*--net"):
        convert(tmp_path / "w.h5", tmp_path / "m.npz")
    assert "尾.0" in np.load(tmp_path / "m.npz")
    convert(tmp_path / "m.npz", tmp_path / "back.caffemodel", net_file)
    assert (tmp_path / "back.caffemodel").read_bytes() == (tmp_path / "w.caffemodel").read_bytes()


def test_types_are_written_as_far_as_they_are_certain(model, tmp_path):
    convert(tmp_path / "w.caffemodel", tmp_path / "m.safetensors")
    convert(tmp_path / "m.safetensors", tmp_path / "back.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "back.caffemodel").read_bytes())
    types = {one.name: one.type for one in stored.layer}
    assert types == {"c/1": "", "b.n": "BatchNorm", "größe 1": "Scale", "尾": "PReLU", "ip": ""}
    assert_same(blobs_of(build(ALL, weights=tmp_path / "back.caffemodel")), blobs_of(model))


@pytest.mark.parametrize("suffix", [*TENSORS, *CAFFE])
def test_special_values(suffix, net_file, model, tmp_path):
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    with torch.no_grad():
        model.layer("ip").bias.copy_(values)
    model.save(tmp_path / "w.caffemodel")
    convert(tmp_path / "w.caffemodel", tmp_path / f"m{suffix}")
    convert(tmp_path / f"m{suffix}", tmp_path / "back.caffemodel", net_file)
    assert by_protobuf(tmp_path / "back.caffemodel")["ip"][1].tobytes() == values.numpy().tobytes()


# -- real files -------------------------------------------------------------------------------------------------------


@needs(MODELS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_models(name, tmp_path):
    """Through each format, with and without the net, every value stays; the file loads as the published one does."""
    source, prototxt = MODELS / name / "weights.caffemodel", MODELS / name / "net.prototxt"
    expected = blobs_of(Net(prototxt, source))
    state = Net(prototxt, source).state_dict()
    for net in (None, prototxt):
        for suffix in (*TENSORS, *CAFFE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CaffeWarning)  # MTCNN's files hold numbers that no known fork has
                done = convert(source, tmp_path / f"m{suffix}", net, unknown="warn")
            assert done.layers >= len(expected)
            if suffix in TENSORS:
                found = read_tensors(tmp_path / f"m{suffix}")
                assert all(found[key].tobytes() == value.numpy().tobytes() for key, value in state.items())
                assert all(found[key].shape == value.shape for key, value in state.items())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CaffeWarning)
                convert(tmp_path / f"m{suffix}", tmp_path / "back.caffemodel", prototxt)
            assert_same(by_protobuf(tmp_path / "back.caffemodel"), expected)


@needs(MODELS)
def test_an_old_model_gets_the_shapes_of_today(tmp_path):
    """Real Caffe takes (1, 1, 500, 800) for (500, 800) only where an old file says num, channels, height, width."""
    convert(MODELS / "lenet_v1" / "weights.caffemodel", tmp_path / "new.caffemodel")
    shapes = {
        name: [array.shape for array in arrays] for name, arrays in by_protobuf(tmp_path / "new.caffemodel").items()
    }
    assert shapes == {
        "conv1": [(20, 1, 5, 5), (20,)],
        "conv2": [(50, 20, 5, 5), (50,)],
        "ip1": [(500, 800), (500,)],
        "ip2": [(10, 500), (10,)],
    }
    old = pb.NetParameter.FromString((MODELS / "lenet_v1" / "weights.caffemodel").read_bytes())
    new = pb.NetParameter.FromString((tmp_path / "new.caffemodel").read_bytes())
    assert [one.name for one in new.layer] == [one.name for one in old.layers]
    assert [one.type for one in new.layer[-3:]] == ["ReLU", "InnerProduct", "SoftmaxWithLoss"]


@needs(MODELS)
def test_nvidias_half_precision_becomes_float32(tmp_path):
    source = MODELS / "hyperlpr_finemapping_fp16" / "weights.caffemodel"
    done = convert(source, tmp_path / "new.caffemodel")
    assert_same(by_protobuf(tmp_path / "new.caffemodel"), {w.name: w.blobs for w in read_weights(source) if w.blobs})
    assert done == Converted(4, 11754, (tmp_path / "new.caffemodel").stat().st_size)


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_caffe_wrote_stays_as_it_is(path, tmp_path):
    """But that the statistics of BatchNorm get no decay, as Caffe's upgrade has it."""
    convert(path, tmp_path / "same.caffemodel")
    expected = pb.NetParameter.FromString(path.read_bytes())
    for spec in (spec for one in expected.layer if one.type == "BatchNorm" for spec in one.param):
        spec.decay_mult = 0
    assert (tmp_path / "same.caffemodel").read_bytes() == expected.SerializeToString(deterministic=True)


@needs(MODELS)
def test_what_caffe_wrote_as_hdf5(tmp_path):
    source = MODELS / "snapshots" / "cifar10_full_iter_60000.caffemodel.h5"
    done = convert(source, tmp_path / "w.caffemodel")
    with h5py.File(source) as file:
        expected = {
            name: [group[key][()] for key in sorted(group)] for name, group in file["data"].items() if len(group)
        }
        assert set(done.left_out) == {name for name, group in file["data"].items() if not len(group)}
    assert_same(by_protobuf(tmp_path / "w.caffemodel"), expected)


def test_settings_of_a_binary_net_are_kept(tmp_path):
    net = parse('name: "n" force_backward: true debug_info: true state { stage: "s" }' + DATA + ip("ip", "x", "y"))
    net.layer[1].blobs.add(data=[1.5] * 6).shape.dim.extend([2, 3])
    write_binary(net, tmp_path / "w.caffemodel")
    convert(tmp_path / "w.caffemodel", tmp_path / "same.caffemodel")
    assert pb.NetParameter.FromString((tmp_path / "same.caffemodel").read_bytes()) == net


# -- forks ------------------------------------------------------------------------------------------------------------

PERMUTE = message(100, string(1, "p"), string(2, "Permute"), message(202, integer(1, 0)))
NORMALIZE = message(100, string(1, "n"), string(2, "Normalize"), message(7, packed(5, [1, 2]) + shape(2)))


def test_weights_of_a_fork_need_no_schema(tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(PERMUTE + NORMALIZE)
    with pytest.warns(CaffeWarning, match="blobs of n are called"):
        convert(tmp_path / "w.caffemodel", tmp_path / "m.npz")
    assert np.load(tmp_path / "m.npz")["n.0"].tolist() == [1, 2]
    convert(tmp_path / "w.caffemodel", tmp_path / "m.h5")


def test_a_caffemodel_of_a_fork_is_judged_by_name(tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(PERMUTE + NORMALIZE)
    with pytest.raises(UnknownFieldError, match=r"layer 'p'.*permute_param of NVIDIA"):
        convert(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel")
    with pytest.warns(CaffeWarning, match="permute_param"):
        convert(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel", unknown="warn")
    stored = pb.NetParameter.FromString((tmp_path / "m.caffemodel").read_bytes())
    assert [(one.name, one.type, len(one.blobs)) for one in stored.layer] == [
        ("p", "Permute", 0),
        ("n", "Normalize", 1),
    ]


def test_the_dialect_is_passed_on(tmp_path):
    moved = message(100, string(1, "r"), string(2, "RNN"), message(151, integer(1, 3)))
    (tmp_path / "w.caffemodel").write_bytes(moved)
    with pytest.raises(FormatError, match="--dialect nvidia"):
        convert(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel")
    convert(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel", dialect="nvidia")
    assert read_net(tmp_path / "m.caffemodel").layer[0].recurrent_param.num_output == 3


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_layers_that_the_net_lacks_are_left_out(model, tmp_path):
    write_text(parse(DATA + conv("c/1", "x", "a")), tmp_path / "small.prototxt")
    done = convert(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel", tmp_path / "small.prototxt")
    assert done.left_out == ("b.n", "größe 1", "尾", "ip")
    assert (done.layers, done.parameters) == (1, 4 * 3 * 3 * 3 + 4)
    write_text(parse(DATA + ip("new", "x", "a")), tmp_path / "other.prototxt")
    refuse(tmp_path / "w.caffemodel", tmp_path / "m.caffemodel", "No learnable layer", tmp_path / "other.prototxt")


def test_suffixes(model, tmp_path):
    weights = tmp_path / "w.caffemodel"
    refuse(weights, tmp_path / "m.bin", "'.bin' tells no known format.*.npz, .onnx, a folder ", None, FormatError)
    refuse(tmp_path / "m.onnx", tmp_path / "m.npz", "'.onnx' tells no known format", None, FormatError)
    refuse(tmp_path, tmp_path / "m.npz", "no known format", None, FormatError)
    for target in (tmp_path / "m.onnx", tmp_path / "folder"):
        refuse(weights, target, "can only be made with the net.*--net", None, FormatError)
    with pytest.raises(FormatError, match="--net"):
        convert(weights, f"{tmp_path}/model.v1/")
    for pair in ((weights, ""), ("", weights)):
        with pytest.raises(FormatError, match="name of a file is empty"):
            convert(*pair)


def test_two_layers_of_one_name(tmp_path):
    twin = message(100, string(1, "x"), string(2, "Bias"), message(7, packed(5, [1, 2]) + shape(2)))
    for content in (twin + twin, twin + message(100, string(1, "x"), string(2, "ReLU"))):
        (tmp_path / "w.caffemodel").write_bytes(content)
        for suffix in (*TENSORS, *CAFFE):
            refuse(
                tmp_path / "w.caffemodel", tmp_path / f"m{suffix}", "Several layers are called 'x'", None, WeightsError
            )


def test_a_file_without_blobs(tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(message(100, string(1, "x"), string(2, "ReLU")))
    refuse(tmp_path / "w.caffemodel", tmp_path / "m.npz", "w.caffemodel: holds no blobs", None, WeightsError)


def test_a_failure_harms_no_file(model, net_file, tmp_path):
    whole = (tmp_path / "w.caffemodel").read_bytes()
    (tmp_path / "cut.caffemodel").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "absurd.caffemodel").write_bytes(message(100, string(1, "x"), message(7, shape(2**40, 2**40))))
    for source in ("cut.caffemodel", "absurd.caffemodel", "absent.caffemodel", "absent.npz", "absent.safetensors"):
        for suffix in (".npz", ".caffemodel", ".h5"):
            (tmp_path / f"old{suffix}").write_bytes(b"old")
            for net in (None, net_file):
                refuse(tmp_path / source, tmp_path / f"old{suffix}", source.replace(".", r"\."), net)


@pytest.mark.parametrize("suffix", [*TENSORS, *CAFFE])
def test_onto_itself(suffix, model, net_file, tmp_path):
    """The source is mapped or read before its name passes to the new file."""
    path = tmp_path / f"m{suffix}"
    convert(tmp_path / "w.caffemodel", path, net_file)
    convert(path, path, net_file)
    convert(path, tmp_path / "back.caffemodel", net_file)
    assert_same(by_protobuf(tmp_path / "back.caffemodel"), blobs_of(model))


# -- exports ----------------------------------------------------------------------------------------------------------


def test_exports_go_through_the_net(tmp_path):
    text = inputs(x=(2, 3)) + ip("ip", "x", "y") + layer("Softmax", "prob", "y", "prob")
    write_text(parse(text), tmp_path / "net.prototxt")
    source = build(text + ip("surplus", "prob", "z"), seed=5)
    source.save(tmp_path / "w.caffemodel")
    done = convert(tmp_path / "w.caffemodel", f"{tmp_path}/folder/", tmp_path / "net.prototxt")
    assert (done.layers, done.parameters, done.left_out) == (1, 12, ("surplus",))
    assert (tmp_path / "folder" / "model.py").is_file()
    onnx = pytest.importorskip("onnx")
    done = convert(tmp_path / "w.caffemodel", tmp_path / "m.onnx", tmp_path / "net.prototxt")
    values = [onnx.numpy_helper.to_array(one) for one in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert any(np.array_equal(value, source.layer("ip").bias.detach()) for value in values)
    assert done.left_out == ("surplus",)
