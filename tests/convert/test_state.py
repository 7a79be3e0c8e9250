"""Weights as layers and as named tensors: old forms, shared blobs, state_dicts that do not fit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from caffe_port import CaffeWarning
from caffe_port.convert import convert
from caffe_port.errors import WeightsError
from caffe_port.proto.files import write_text
from caffe_port.proto.weights import read_weights
from tests.convert.files import CAFFE, TENSORS, assert_same, by_protobuf, refuse
from tests.net.make import build, inputs, ip, layer, parse
from tests.proto.encoder import integer, legacy_shape, message, packed, string

safetensors = pytest.importorskip("safetensors.torch")

# -- old forms by hand ------------------------------------------------------------------------------------------------


def old_blob(*dims: int) -> bytes:
    return packed(5, list(range(int(np.prod(dims))))) + legacy_shape(*dims)


V1 = message(2, string(4, "ip"), integer(5, 14), message(6, old_blob(1, 1, 2, 3)), message(6, old_blob(1, 1, 1, 2)))
V0_INSIDE = (string(1, "ip"), string(2, "innerproduct"), *(message(50, old_blob(1, 1, *d)) for d in ((2, 3), (1, 2))))
V0 = string(3, "x") + message(2, message(1, *V0_INSIDE), string(2, "x"), string(3, "y"))
V2 = message(
    100, string(1, "ip"), string(2, "InnerProduct"), *(message(7, old_blob(1, 1, *d)) for d in ((2, 3), (1, 2)))
)
BARE = message(100, string(1, "ip"), *(message(7, old_blob(1, 1, *d)) for d in ((2, 3), (1, 2))))


@pytest.mark.parametrize("content", [V0, V1, V2, BARE], ids=["V0", "V1", "V2", "no type"])
def test_forms_of_nets(content, tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(content)
    expected = {"ip": [np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2, dtype=np.float32)]}
    for suffix in CAFFE:
        convert(tmp_path / "w.caffemodel", tmp_path / f"n{suffix}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaffeWarning)
            convert(tmp_path / f"n{suffix}", tmp_path / "back.npz")
        convert(tmp_path / "back.npz", tmp_path / "back.caffemodel")
        assert_same(by_protobuf(tmp_path / "back.caffemodel"), expected)
        assert set(np.load(tmp_path / "back.npz")) == {"ip.weight", "ip.bias"}


def test_a_file_without_types_gives_a_warning(tmp_path):
    (tmp_path / "w.caffemodel").write_bytes(BARE)
    with pytest.warns(CaffeWarning, match=r"w\.caffemodel: it does not tell what the blobs of ip are called.*--net"):
        convert(tmp_path / "w.caffemodel", tmp_path / "w.npz")


# -- shared parameters ------------------------------------------------------------------------------------------------

SHARING = (
    inputs(x=(2, 4))
    + ip("a", "x", "a", 4, 'param { name: "w" } param { name: "b" }')
    + ip("c", "a", "c", 4, 'param { name: "w" } param { lr_mult: 2 }')
    + ip("d", "c", "d", 4, 'param { name: "w" } param { name: "b" }')
)


@pytest.mark.parametrize("through", [*TENSORS, *CAFFE])
@pytest.mark.parametrize("given", [False, True], ids=["alone", "with net"])
def test_shared_parameters_survive(through, given, tmp_path):
    source = build(SHARING, seed=7)
    write_text(parse(SHARING), tmp_path / "net.prototxt")
    source.save(tmp_path / "w.caffemodel")
    convert(tmp_path / "w.caffemodel", tmp_path / f"m{through}", tmp_path / "net.prototxt" if given else None)
    convert(tmp_path / f"m{through}", tmp_path / "back.caffemodel", tmp_path / "net.prototxt")
    assert (tmp_path / "back.caffemodel").read_bytes() == (tmp_path / "w.caffemodel").read_bytes()


def test_hdf5_with_shared_blobs_needs_the_net(tmp_path):
    """Caffe itself leaves a shared blob out of all layers but the first."""
    build(SHARING, seed=7).save(tmp_path / "w.h5")
    write_text(parse(SHARING), tmp_path / "net.prototxt")
    for target in ("m.caffemodel", "m.npz"):
        with pytest.raises(WeightsError, match=r"w\.h5, layer 'c': A blob is left out.*--net"):
            convert(tmp_path / "w.h5", tmp_path / target)
        convert(tmp_path / "w.h5", tmp_path / target, tmp_path / "net.prototxt")
    convert(tmp_path / "w.h5", tmp_path / "same.h5")
    assert {w.name: len(w.blobs) for w in read_weights(tmp_path / "same.h5")} == {"a": 2, "c": 2, "d": 0, "x": 0}


def test_tensors_may_leave_out_what_another_layer_owns(tmp_path):
    """safetensors itself leaves out all but one name of a shared tensor."""
    source = build(SHARING, seed=7)
    write_text(parse(SHARING), tmp_path / "net.prototxt")
    source.save(tmp_path / "w.caffemodel")
    safetensors.save_model(source, tmp_path / "m.safetensors")
    assert set(safetensors.load_file(tmp_path / "m.safetensors")) == {"a.weight", "a.bias", "c.bias"}
    convert(tmp_path / "m.safetensors", tmp_path / "back.caffemodel", tmp_path / "net.prototxt")
    assert (tmp_path / "back.caffemodel").read_bytes() == (tmp_path / "w.caffemodel").read_bytes()


def test_permissive_sharing(tmp_path):
    text = inputs(x=(4, 6)) + ip("a", "x", "a", 2, 'param { name: "w" }')
    text += layer("Reshape", "r", "x", "r", "reshape_param { shape { dim: 8 dim: 3 } }")
    text += ip("b", "r", "b", 4, 'param { name: "w" share_mode: PERMISSIVE }')
    source = build(text, seed=7)
    write_text(parse(text), tmp_path / "net.prototxt")
    torch.save(source.state_dict(), tmp_path / "m.pt")
    convert(tmp_path / "m.pt", tmp_path / "w.caffemodel", tmp_path / "net.prototxt")
    shapes = {name: arrays[0].shape for name, arrays in by_protobuf(tmp_path / "w.caffemodel").items()}
    assert shapes == {"a": (2, 6), "b": (4, 3)}


# -- state_dicts of other nets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        (["conv1weight"], "Key 'conv1weight' is not of the form layer.blob"),
        (["conv1.weight", "bn.running_mean"], "no layer of Caffe has a blob 'running_mean'"),
        (["a.weight", "a.slope"], "layer 'a': No layer of Caffe has exactly the blobs slope, weight"),
    ],
)
def test_foreign_checkpoints(keys, cause, tmp_path):
    torch.save({key: torch.zeros(2) for key in keys}, tmp_path / "m.pt")
    refuse(
        tmp_path / "m.pt",
        tmp_path / "w.caffemodel",
        rf"m\.pt.*{cause}.*state_dict of another program",
        None,
        WeightsError,
    )


def test_state_dicts_that_do_not_fit_the_net(tmp_path):
    text, net_file = inputs(x=(2, 4)) + ip("ip", "x", "y", 2), tmp_path / "net.prototxt"
    write_text(parse(text), net_file)
    state = build(text).state_dict()
    for change, cause in (
        ({"ip.bias": None}, r"layer 'ip' \(InnerProduct\): 'ip.bias' is missing"),
        ({"ip.weight": torch.zeros(3, 3)}, "Cannot copy param 0 weights from layer 'ip'; shape mismatch"),
        ({"ip.slope": torch.zeros(3)}, "layer 'ip': The layer has other blobs in the net"),
    ):
        changed = {key: value for key, value in {**state, **change}.items() if value is not None}
        torch.save(changed, tmp_path / "m.pt")
        refuse(tmp_path / "m.pt", tmp_path / "out.caffemodel", cause, net_file, WeightsError)
    torch.save({**state, "other.weight": torch.zeros(3)}, tmp_path / "m.pt")
    assert convert(tmp_path / "m.pt", tmp_path / "out.caffemodel", net_file).left_out == ("other",)
