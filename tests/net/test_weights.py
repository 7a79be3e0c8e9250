"""Copying weights between files and nets: Caffe's rules and messages, and never half a net."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeError, FormatError, WeightsError
from caffe_port.proto import pb
from tests.net.make import build, conv, inputs, ip, layer

DATA = inputs(data=(2, 4))
TEXT = DATA + ip("a", "data", "a", 3) + layer("ReLU", "r", "a", "a") + ip("b", "a", "b", 2)
FORMS = ["w.caffemodel", "w.caffemodel.h5"]


def weights(net: Net) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def write(path, layers: dict[str, list[np.ndarray]], legacy: bool = False) -> None:
    """A caffemodel made with the protobuf package."""
    net = pb.NetParameter()
    for name, arrays in layers.items():
        one = net.layer.add(name=name, type="InnerProduct")
        for array in arrays:
            blob = one.blobs.add(data=array.ravel().tolist())
            if legacy:
                dims = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = dims
            else:
                blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


# -- what fits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_by_layer_name_others_are_ignored(form, tmp_path, caplog):
    source = build(TEXT + ip("c", "b", "c", 5), seed=7)
    source.save(tmp_path / form)
    net = build(TEXT, seed=8)
    with caplog.at_level(logging.INFO, "caffe_port"):
        net.load(tmp_path / form, missing="error")
    assert "Ignoring source layer c" in caplog.text
    for name in ("a", "b"):
        for index in (0, 1):
            assert torch.equal(net.layer(name).blobs[index], source.layer(name).blobs[index])


@pytest.mark.parametrize("form", FORMS)
def test_a_shape_mismatch_advises_to_rename(form, tmp_path):
    build(TEXT.replace("num_output: 2", "num_output: 9")).save(tmp_path / form)
    net = build(TEXT)
    before = weights(net)
    with pytest.raises(WeightsError) as caught:
        net.load(tmp_path / form)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / form}, layer 'b' (InnerProduct): Cannot copy param 0 weights from layer 'b'; ")
    assert "Source param shape is 9 3 (27); target param shape is 2 3 (6). " in text
    assert (
        "To learn this layer's parameters from scratch rather than copying from a saved net, rename the layer" in text
    )
    assert_same(weights(net), before)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("more_in", ["file", "net"])
def test_another_number_of_blobs(form, more_in, tmp_path):
    bare = TEXT.replace("num_output: 2", "num_output: 2 bias_term: false")
    in_file, in_net = (TEXT, bare) if more_in == "file" else (bare, TEXT)
    build(in_file).save(tmp_path / form)
    net = build(in_net)
    before = weights(net)
    with pytest.raises(WeightsError, match=r"layer 'b' .*Incompatible number of blobs for layer b: .*bias_term"):
        net.load(tmp_path / form)
    assert_same(weights(net), before)


def test_legacy_shapes_match_only_their_own(tmp_path):
    path = tmp_path / "w.caffemodel"
    blobs = arrays((3, 4), (3,))
    write(path, {"a": blobs, "b": arrays((2, 3), (2,))}, legacy=True)
    net = build(TEXT)
    net.load(path, missing="error")
    np.testing.assert_array_equal(net.layer("a").blobs[0].detach(), blobs[0])
    np.testing.assert_array_equal(net.layer("a").blobs[1].detach(), blobs[1])


@pytest.mark.parametrize("shape", [(4, 3), (3, 4, 1, 1), (1, 3, 4, 1), (1, 1, 12), (12,), (1, 1, 3, 4)])
def test_a_new_style_shape_must_be_the_same(shape, tmp_path):
    path = tmp_path / "w.caffemodel"
    write(path, {"a": arrays(shape, (3,))})
    with pytest.raises(WeightsError, match="Cannot copy param 0 weights from layer 'a'; shape mismatch"):
        build(TEXT).load(path)


@pytest.mark.parametrize("shape", [(3, 4, 1, 1), (1, 3, 4, 1), (1, 3, 1, 4), (4, 3), (2, 6)])
def test_a_legacy_shape_is_padded_from_the_front_only(shape, tmp_path):
    path = tmp_path / "w.caffemodel"
    write(path, {"a": arrays(shape, (3,))}, legacy=True)
    with pytest.raises(WeightsError, match="shape mismatch"):
        build(TEXT).load(path)


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_layer_is_an_error_unless_opted_out(form, tmp_path, caplog):
    build(DATA + ip("a", "data", "a", 3)).save(tmp_path / form)
    with pytest.raises(WeightsError, match=r"layer 'b' \(InnerProduct\): .*no blobs for 1 learnable layer\(s\): b\."):
        build(TEXT, weights=tmp_path / form)
    with caplog.at_level(logging.INFO, "caffe_port"):
        net = build(TEXT, weights=tmp_path / form, missing="log", seed=4)
    assert "Layer b is not in" in caplog.text
    assert torch.equal(net.layer("b").weight, build(TEXT, seed=4).layer("b").weight)


def test_another_word_for_missing(tmp_path):
    build(TEXT).save(tmp_path / "w.caffemodel")
    with pytest.raises(WeightsError, match="Use 'error' or 'log'"):
        build(TEXT, weights=tmp_path / "w.caffemodel", missing="ignore")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", ["error", "log"])
def test_no_layer_matches(form, missing, tmp_path):
    build(DATA + ip("other", "data", "a", 3)).save(tmp_path / form)
    with pytest.raises(WeightsError, match=r"No learnable layer of the net is in this file.*another net"):
        build(TEXT).load(tmp_path / form, missing=missing)


def test_a_name_that_matches_without_blobs_is_no_match(tmp_path):
    """Data layers of unrelated nets are often called alike."""
    build(DATA + ip("other", "data", "a", 3)).save(tmp_path / "w.caffemodel")  # holds "data" too
    with pytest.raises(WeightsError, match="No learnable layer"):
        build(TEXT).load(tmp_path / "w.caffemodel")


def test_a_net_without_parameters_wants_nothing_of_a_file(tmp_path):
    build(TEXT).save(tmp_path / "w.caffemodel")
    build(DATA + layer("ReLU", "r", "data", "x")).load(tmp_path / "w.caffemodel", missing="error")


# -- damaged files ----------------------------------------------------------------------------------------------------


def test_cut_anywhere_the_net_stays_as_it_was(tmp_path):
    whole = tmp_path / "whole.caffemodel"
    source = build(TEXT, seed=7)
    source.save(whole)
    data = whole.read_bytes()
    assert len(data) < 2000
    net = build(TEXT, seed=8)
    before, after = weights(net), weights(source)
    cut = tmp_path / "cut.caffemodel"
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        with pytest.raises(CaffeError) as caught:
            net.load(cut, missing="error")
        assert str(cut) in str(caught.value), size
        assert_same(weights(net), before)
    net.load(whole, missing="error")
    assert_same(weights(net), after)


def test_cut_hdf5_files(tmp_path):
    whole, cut = tmp_path / "whole.caffemodel.h5", tmp_path / "cut.caffemodel.h5"
    build(TEXT, seed=7).save(whole)
    data = whole.read_bytes()
    net = build(TEXT, seed=8)
    before = weights(net)
    for size in [*range(0, 64, 3), *range(64, len(data), max(1, len(data) // 60))]:
        cut.write_bytes(data[:size])
        with pytest.raises(CaffeError) as caught:
            net.load(cut, missing="error")
        assert str(cut) in str(caught.value), size
        assert_same(weights(net), before)


def test_wild_shapes_and_non_weights(tmp_path):
    net = build(TEXT)
    before = weights(net)
    path = tmp_path / "x.caffemodel"
    bomb = pb.NetParameter()
    bomb.layer.add(name="a", type="InnerProduct").blobs.add().shape.dim.extend([1 << 40, 1 << 40])
    for content in (b"", b"\0" * 100, b"name: 'net'", b"\x89PNG\r\n\x1a\n" + b"0" * 90, bomb.SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"x\.caffemodel"):
            net.load(path)
    for absent in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FormatError, match=str(absent)):
            net.load(absent)
    assert_same(weights(net), before)


# -- shared parameters ------------------------------------------------------------------------------------------------

SHARED = inputs(data=(2, 3)) + ip("a", "data", "a", 3, 'param { name: "w" }')
SHARED += ip("b", "a", "b", 3, 'param { name: "w" }')


@pytest.mark.parametrize("form", FORMS)
def test_shared_parameters_round_trip(form, tmp_path):
    source = build(SHARED, seed=7)
    source.save(tmp_path / form)
    net = build(SHARED, weights=tmp_path / form, seed=8)
    assert net.layer("a").weight is net.layer("b").weight
    assert_same(weights(net), weights(source))


def test_hdf5_holds_a_shared_blob_once(tmp_path):
    build(SHARED).save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert {name: sorted(file["data"][name]) for name in file["data"]} == {
            "a": ["0", "1"],
            "b": ["1"],
            "data": [],
        }


def test_hdf5_without_the_owners_blob_is_refused(tmp_path):
    """Only the blob of a layer that borrows it may be absent."""
    build(SHARED).save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["data/a/0"]
    net = build(SHARED, seed=8)
    before = weights(net)
    for missing in ("error", "log"):
        with pytest.raises(WeightsError, match="Incompatible number of blobs for layer a: 1 in the file, 2 in the net"):
            net.load(tmp_path / "w.h5", missing=missing)
    assert_same(weights(net), before)


def test_binary_files_hold_a_shared_blob_for_each_layer_and_the_last_counts(tmp_path):
    source = build(SHARED)
    source.save(tmp_path / "w.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert [len(one.blobs) for one in stored.layer] == [0, 2, 2]
    stored.layer[2].blobs[0].data[:] = [5.0] * 9
    (tmp_path / "w.caffemodel").write_bytes(stored.SerializeToString())
    net = build(SHARED, weights=tmp_path / "w.caffemodel")
    assert (net.layer("a").weight == 5).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_file_without_sharing_loads_into_a_sharing_net(form, tmp_path):
    apart = SHARED.replace('param { name: "w" }', "")
    source = build(apart, seed=7)
    source.save(tmp_path / form)
    net = build(SHARED, weights=tmp_path / form)
    assert torch.equal(net.layer("a").weight, source.layer("b").weight)


def test_permissive_sharers_store_their_own_shapes(tmp_path):
    text = inputs(data=(4, 6)) + ip("a", "data", "a", 2, 'param { name: "w" }')
    text += layer("Reshape", "r", "data", "r", "reshape_param { shape { dim: 8 dim: 3 } }")
    text += ip("b", "r", "b", 4, 'param { name: "w" share_mode: PERMISSIVE }')
    source = build(text, seed=7)
    for form in FORMS:
        source.save(tmp_path / form)
        assert_same(weights(build(text, weights=tmp_path / form, seed=8)), weights(source))
    stored = pb.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert [list(one.blobs[0].shape.dim) for one in stored.layer if one.blobs] == [[2, 6], [4, 3]]


# -- saving -----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_caffe_saves(tmp_path):
    net = build('name: "small"\n' + TEXT, phase="TRAIN")
    net.save(tmp_path / "w.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert stored.name == "small"
    assert [(one.name, one.type, one.phase) for one in stored.layer] == [
        ("data", "Input", pb.TRAIN),
        ("a", "InnerProduct", pb.TRAIN),
        ("r", "ReLU", pb.TRAIN),
        ("b", "InnerProduct", pb.TRAIN),
    ]
    np.testing.assert_array_equal(stored.layer[1].blobs[0].data, net.layer("a").weight.detach().flatten())
    assert list(stored.layer[1].blobs[0].shape.dim) == [3, 4]


def test_edited_weights_go_back_to_caffe(tmp_path):
    """Edited in place, and by net surgery: a fully connected layer becomes a convolution, as Caffe's example has it."""
    image = inputs(data=(1, 2, 3, 3))
    source = build(image + ip("fc", "data", "fc", 4), seed=7)
    net = build('name: "surgery"\n' + image + conv("fc-conv", "data", "fc", 4) + layer("ReLU", "r", "fc", "fc"))
    state = {key.replace("fc", "fc-conv"): value for key, value in source.state_dict().items()}
    state["fc-conv.weight"] = state["fc-conv.weight"].view(4, 2, 3, 3)
    net.load_state_dict(state)
    with torch.no_grad():
        net.layer("fc-conv").weight[0] *= -2
        net.layer("fc-conv").bias[:] = torch.tensor([0.0, float("inf"), 1e-45, -0.0])
    net.save(tmp_path / "w.caffemodel")
    stored = pb.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert stored.name == "surgery"
    assert [(one.name, one.type, one.phase) for one in stored.layer] == [
        ("data", "Input", pb.TEST),
        ("fc-conv", "Convolution", pb.TEST),
        ("r", "ReLU", pb.TEST),
    ]
    weight, bias = stored.layer[1].blobs
    assert ([*weight.shape.dim], [*bias.shape.dim]) == ([4, 2, 3, 3], [4])
    assert stored.layer[1].convolution_param.num_output == 4
    before = source.layer("fc").weight.detach().numpy()
    assert np.array(weight.data, np.float32).tobytes() == np.concatenate([before[:1] * -2, before[1:]]).tobytes()
    assert np.array(bias.data, np.float32).tobytes() == np.array([0, np.inf, 1e-45, -0.0], np.float32).tobytes()


def test_diffs_are_saved_on_request(tmp_path):
    net = build(TEXT, phase="TRAIN")
    net.layer("a").weight.grad = torch.full((3, 4), 2.0)
    net.save(tmp_path / "w.caffemodel", diffs=True)
    net.save(tmp_path / "w.h5", diffs=True)
    stored = pb.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert list(stored.layer[1].blobs[0].diff) == [2.0] * 12
    assert list(stored.layer[3].blobs[0].diff) == [0.0] * 6  # never computed
    with h5py.File(tmp_path / "w.h5") as file:
        assert (file["diff/a/0"][()] == 2).all()


def test_the_suffix_or_the_argument_tells_the_form(tmp_path):
    net = build(TEXT)
    net.save(tmp_path / "x.h5")
    net.save(tmp_path / "x", hdf5=True)
    net.save(tmp_path / "y.h5", hdf5=False)
    assert [h5py.is_hdf5(tmp_path / name) for name in ("x.h5", "x", "y.h5")] == [True, True, False]


def test_double_nets_are_saved_as_floats(tmp_path):
    net = build(TEXT).double()
    net.save(tmp_path / "w.caffemodel")
    found = build(TEXT, weights=tmp_path / "w.caffemodel")
    np.testing.assert_array_equal(found.layer("a").weight.detach(), net.layer("a").weight.detach().float())
    net.load(tmp_path / "w.caffemodel")
    assert net.dtype == torch.float64


TWINS = inputs(data=(2, 3)) + ip("x", "data", "p") + ip("x", "p", "q")


def test_two_learnable_layers_of_one_name_cannot_be_saved(tmp_path):
    net = build(TWINS)
    for form in FORMS:
        with pytest.raises(CaffeError, match="'x'"):
            net.save(tmp_path / form)
        assert not (tmp_path / form).exists()


def test_loading_between_forward_and_backward(tmp_path):
    """Real Caffe's backward reads the weights as they are then."""
    text = inputs(data=(2, 3), label=(2, 3)) + ip("a", "data", "a", 3) + ip("b", "a", "b", 3)
    text += layer("EuclideanLoss", "loss", "b label", "loss")
    net = build(text, phase="TRAIN", seed=1)
    other = build(text, phase="TRAIN", seed=2)
    other.save(tmp_path / "w.caffemodel")
    data = torch.randn(2, 3)
    blobs, loss = net.run({"data": data, "label": torch.zeros(2, 3)})
    net.load(tmp_path / "w.caffemodel")
    loss.backward()
    diff = (blobs["b"].detach() / 2) @ other.layer("b").weight.detach()
    torch.testing.assert_close(net.layer("a").weight.grad, diff.T @ data)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.caffemodel"
    build(TEXT).save(path)
    before = path.read_bytes()
    with pytest.raises(CaffeError):
        build(TWINS).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CaffeError, match="folder"):
        build(TEXT).save(tmp_path / "no" / "such" / "folder.caffemodel")
