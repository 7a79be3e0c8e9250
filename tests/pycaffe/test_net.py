"""pycaffe's Net, used as old scripts use it (Caffe: python/caffe/test/test_net.py)."""

from __future__ import annotations

import gc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import caffe_port
from caffe_port import pycaffe as caffe
from caffe_port.errors import CaffeError, CaffeWarning, LayerError, NetError, WeightsError
from tests.net.make import conv, inputs, ip, layer
from tests.shared import MODELS, needs

DEPLOY = (
    'name: "deploy"\nforce_backward: true\n'
    + inputs(data=(5, 2, 3, 4))
    + conv("conv", "data", "conv", 11, 2)
    + layer("ReLU", "relu", "conv", "conv")
    + ip("ip", "conv", "ip", 10)
    + layer("Softmax", "prob", "ip", "prob")
)
TRAINING = inputs(data=(5, 4), label=(5,)) + ip("ip", "data", "ip", 3)
TRAINING += layer("SoftmaxWithLoss", "loss", "ip label", "loss", "loss_weight: 2")


@pytest.fixture(autouse=True)
def _mode(monkeypatch):
    caffe.set_mode_cpu()
    monkeypatch.setattr(caffe.mode, "_seed", 1)
    monkeypatch.setattr(caffe.mode, "_device", 0)


@pytest.fixture
def deploy(tmp_path) -> Path:
    path = tmp_path / "deploy.prototxt"
    path.write_text(DEPLOY)
    return path


@pytest.fixture
def net(deploy) -> caffe.Net:
    net = caffe.Net(str(deploy), caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    return net


# -- construction -----------------------------------------------------------------------------------------------------


def test_every_way_to_construct(deploy, tmp_path):
    first = caffe.Net(str(deploy), caffe.TRAIN)
    weights = tmp_path / "w.caffemodel"
    first.save(str(weights))
    caffe.set_random_seed(2)
    nets = [
        caffe.Net(str(deploy), str(weights), caffe.TEST),
        caffe.Net(deploy, weights, caffe.TEST),
        caffe.Net(str(deploy), caffe.TEST, weights=str(weights)),
        caffe.Net(str(deploy), caffe.TEST, 0, None, str(weights)),
        caffe.Net(str(deploy), weights=weights, phase=caffe.TEST),
        caffe.Net(str(deploy), str(weights), phase=caffe.TEST),
        caffe.Net(network_file=str(deploy), phase=np.int64(caffe.TEST), weights=str(weights)),
        caffe.Net(str(deploy), np.int64(caffe.TEST), weights=str(weights)),
        caffe.Net(str(deploy), phase="TEST", stages=["x"], level=1, weights=weights),
    ]
    for net in nets:
        np.testing.assert_array_equal(net.params["ip"][0].data, first.params["ip"][0].data)
    assert (caffe.Net(str(deploy), caffe.TEST).params["ip"][0].data != first.params["ip"][0].data).any()
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "No phase is given"),
        (("w.caffemodel",), "No phase is given"),
        ((2,), "Unknown phase 2"),
        ((0.5,), "No phase is given"),
        (("w.caffemodel", "DEPLOY"), "Unknown phase 'DEPLOY'"),
        (("w.caffemodel", 1, 0), "Net takes a model and then at most weights, phase"),
        (("w.caffemodel", 1), r"w\.caffemodel"),
    ],
)
def test_wrong_arguments(deploy, args, message):
    with pytest.raises(CaffeError, match=message):
        caffe.Net(str(deploy), *args)


def test_level_and_stages_select_layers(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(DEPLOY + layer("ReLU", "deep", "prob", "deep", 'include { stage: "deep" min_level: 1 }'))
    assert "deep" not in caffe.Net(str(path), caffe.TEST).layer_dict
    assert "deep" in caffe.Net(str(path), caffe.TEST, level=1, stages=["deep"]).layer_dict


def test_weights_that_lack_a_layer(deploy, tmp_path):
    """As in the net surgery and the fine-tuning of Caffe's examples."""
    other = tmp_path / "other.prototxt"
    other.write_text(DEPLOY.replace('"ip"', '"renamed"'))
    caffe.Net(str(other), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    for arguments in (
        (str(tmp_path / "w.caffemodel"), caffe.TEST),
        (caffe.TEST, 0, None, str(tmp_path / "w.caffemodel")),
    ):
        with pytest.warns(
            CaffeWarning, match=r"w\.caffemodel has no weights for ip: they start from their fillers"
        ) as seen:
            net = caffe.Net(str(deploy), *arguments)
        assert net.params["ip"][0].data.any()
        assert [Path(warning.filename).name for warning in seen] == ["test_net.py"]
    net = caffe.Net(str(deploy), caffe.TEST)
    before = net.params["ip"][0].data.copy()
    net.copy_from(str(tmp_path / "w.caffemodel"))
    np.testing.assert_array_equal(net.params["ip"][0].data, before)
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file.create_group("data/elsewhere")["0"] = np.zeros(3, np.float32)
    with pytest.raises(WeightsError, match="No learnable layer"):
        net.copy_from(str(tmp_path / "none.h5"))


# -- what a net shows -------------------------------------------------------------------------------------------------


def test_inspection(net):
    assert list(net.blobs) == ["data", "conv", "ip", "prob"]
    assert list(net.params) == ["conv", "ip"]
    assert net.inputs == ["data"]
    assert net.outputs == ["prob"]
    assert list(net._layer_names) == ["data", "conv", "relu", "ip", "prob"]
    assert [one.type for one in net.layers] == ["Input", "Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert list(net.layer_dict) == list(net._layer_names)
    assert net.layer_dict["conv"].type == "Convolution"
    assert [len(one.blobs) for one in net.layers] == [0, 2, 0, 2, 0]
    assert net.layer_dict["conv"].blobs[0].data.shape == net.params["conv"][0].data.shape == (11, 2, 2, 2)
    assert [p.count for p in net.params["ip"]] == [10 * 66, 10]
    assert net.top_names["relu"] == net.bottom_names["relu"] == ["conv"]
    assert dict(net.blob_loss_weights) == {"data": 0, "conv": 0, "ip": 0, "prob": 0}


def test_blob_loss_weights(tmp_path):
    (tmp_path / "net.prototxt").write_text(TRAINING)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert net.blob_loss_weights["loss"] == 2
    assert net.blob_loss_weights["ip"] == 0


def test_blob_members(net):
    blob = net.blobs["data"]
    assert tuple(blob.shape) == blob.data.shape == blob.diff.shape == (5, 2, 3, 4)
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (5, 2, 3, 4, 120)
    assert (net.blobs["prob"].channels, net.blobs["prob"].height) == (10, 1)
    weight = net.params[next(iter(net.params))][0]
    assert (weight.num, weight.channels, weight.height, weight.width) == (*weight.shape, 1, 1, 1, 1)[:4]
    assert blob.data.dtype == blob.diff.dtype == np.float32
    assert blob.data.flags.writeable
    blob.reshape(1, 1, 1, 1, 1)
    with pytest.raises(NetError, match="legacy"):
        blob.num


@pytest.mark.parametrize("shape", [(-1, 2), (1.5,), ((5, 2, 3, 4),), (None,)])
def test_shapes_that_no_blob_has(net, shape):
    with pytest.raises(NetError, match="cannot have the shape"):
        net.blobs["data"].reshape(*shape)
    assert net.blobs["data"].shape == (5, 2, 3, 4)


def test_unknown_blobs(net):
    with pytest.raises(NetError, match="no blob 'absent'"):
        net.forward(blobs=["absent"])
    with pytest.raises(NetError, match="no blob 'absent'"):
        net.backward(diffs=["absent"])
    assert set(net.forward(blobs="ip")) == {"prob", "ip"}


# -- forward and backward ---------------------------------------------------------------------------------------------


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_forward_returns_outputs_and_what_is_asked_for(net):
    assert set(net.forward()) == {"prob"}
    found = net.forward(blobs=["conv", "ip"])
    assert set(found) == {"prob", "conv", "ip"}
    np.testing.assert_allclose(found["prob"], softmax(found["ip"]), rtol=1e-5)
    assert found["conv"].min() == 0


def test_forward_with_inputs(net):
    image = np.random.default_rng(1).standard_normal((5, 2, 3, 4))  # float64, as scripts give it
    found = net.forward(data=image)["prob"].copy()
    np.testing.assert_array_equal(net.blobs["data"].data, image.astype(np.float32))
    net.blobs["data"].data[...] = image
    np.testing.assert_array_equal(net.forward()["prob"], found)
    with pytest.raises(NetError, match="do not match net inputs"):
        net.forward(image=image)
    with pytest.raises(NetError, match="not batch sized"):
        net.forward(data=image[:2])
    with pytest.raises(NetError, match="does not fit"):
        net.forward(data=image[:, :, :2])


def test_forward_start_and_end(net):
    whole = net.forward()["prob"].copy()
    found = net.forward(end="conv")
    assert set(found) == {"conv"}
    assert found["conv"].min() < 0  # before the ReLU in place
    found = net.forward(start="relu", end="ip", blobs=["conv"])
    assert set(found) == {"ip", "conv"}
    np.testing.assert_allclose(net.forward(start="prob")["prob"], whole, rtol=1e-6)
    for name in ("start", "end"):
        with pytest.raises(NetError, match=r"no layer 'absent'"):
            net.forward(**{name: "absent"})


def test_editing_a_blob_and_going_on(net):
    net.forward()
    net.blobs["ip"].data[...] = 0
    net.blobs["ip"].data[:, 3] = 50
    np.testing.assert_allclose(net.forward(start="prob")["prob"][:, 3], 1)


def test_editing_parameters(net):
    net.params["ip"][0].data[...] = 0
    net.params["ip"][1].data[...] = np.arange(10)
    np.testing.assert_allclose(net.forward()["prob"], softmax(np.tile(np.arange(10.0), (5, 1))), rtol=1e-5)


def test_backward(net):
    net.forward()
    top = np.random.default_rng(2).standard_normal((5, 10)).astype(np.float32)
    net.blobs["prob"].diff[...] = top
    found = net.backward(diffs=["ip"])
    assert set(found) == {"data", "ip"}
    prob = net.blobs["prob"].data
    ip_diff = prob * (top - (top * prob).sum(1, keepdims=True))
    np.testing.assert_allclose(found["ip"], ip_diff, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        net.params["ip"][0].diff, ip_diff.T @ net.blobs["conv"].data.reshape(5, -1), rtol=1e-4, atol=1e-5
    )
    assert found["data"].any()
    once = net.params["conv"][0].diff.copy()
    net.backward(prob=top)
    np.testing.assert_allclose(net.params["conv"][0].diff, 2 * once, rtol=1e-5, atol=1e-7)
    net.clear_param_diffs()
    assert not net.params["conv"][0].diff.any()
    with pytest.raises(NetError, match="do not match net outputs"):
        net.backward(ip=top)
    with pytest.raises(NetError, match="not batch sized"):
        net.backward(prob=top[:1])


def test_backward_start_and_end(net):
    """As scripts for saliency maps and deep dreams do."""
    net.forward(end="conv")
    net.blobs["conv"].diff[...] = 1
    found = net.backward(start="conv", end="conv")
    assert set(found) == {"data"}
    np.testing.assert_allclose(net.params["conv"][1].diff, np.full(11, 5 * 2 * 3), rtol=1e-6)
    assert not net.params["ip"][0].diff.any()


def test_loss_and_gradient(tmp_path):
    (tmp_path / "net.prototxt").write_text(TRAINING)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    data, label = np.random.default_rng(0).standard_normal((5, 4)), np.array([0, 1, 2, 1, 0])
    net.blobs["data"].data[...] = data
    net.blobs["label"].data[...] = label
    loss = net.forward()["loss"]
    prob = softmax(net.blobs["ip"].data)
    np.testing.assert_allclose(loss, -np.log(prob[range(5), label]).mean(), rtol=1e-5)
    net.backward()
    prob[range(5), label] -= 1
    np.testing.assert_allclose(net.blobs["ip"].diff, 2 * prob / 5, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.params["ip"][0].diff, (2 * prob / 5).T @ data, rtol=1e-4, atol=1e-6)


# -- shapes and memory ------------------------------------------------------------------------------------------------


def test_reshape(net):
    whole = net.forward()["prob"].copy()
    image = net.blobs["data"].data.copy()
    net.blobs["data"].reshape(2, 2, 3, 4)
    net.reshape()
    assert [net.blobs[name].data.shape[0] for name in net.blobs] == [2] * 4
    np.testing.assert_allclose(net.forward(data=image[3:])["prob"], whole[3:], rtol=1e-5)
    net.blobs["data"].reshape(7, 2, 3, 4)  # without net.reshape(): forward carries it on
    net.blobs["data"].data[...] = image[0]
    assert net.forward()["prob"].shape == (7, 10)


def test_a_refused_reshape_names_the_layer_and_the_file(net, deploy):
    net.forward()
    net.blobs["data"].reshape(5, 2, 1, 4)
    for attempt in (net.reshape, net.forward):
        with pytest.raises(LayerError, match=r"layer 'conv' \(Convolution\)") as caught:
            attempt()
        assert str(deploy) in str(caught.value)
    net.blobs["data"].reshape(5, 2, 3, 4)
    assert net.forward()["prob"].shape == (5, 10)


def test_views_follow_the_net(net):
    data, prob, diff = net.blobs["data"].data, net.blobs["prob"].data, net.blobs["data"].diff
    weight, weight_diff = net.params["conv"][0].data, net.params["conv"][0].diff
    net.forward()
    first = prob.copy()
    assert first.any()
    data *= 2
    weight *= 3
    net.forward()
    assert (prob != first).any()
    net.blobs["prob"].diff[...] = np.eye(5, 10)
    net.backward()
    assert diff.any()
    assert weight_diff.any()
    assert np.shares_memory(weight_diff, net.params["conv"][0].diff)
    net.clear_param_diffs()
    assert not weight_diff.any()


def test_views_outlive_the_net(net):
    net.forward()
    kept = [net.blobs["prob"].data, net.params["conv"][0].data, net.params["conv"][0].diff, net.blobs["data"].diff]
    blob, param = net.blobs["conv"], net.params["ip"]
    copies = [array.copy() for array in kept]
    del net
    gc.collect()
    for array, copy in zip(kept, copies):
        np.testing.assert_array_equal(array, copy)
        array[...] = 3
    assert blob.data.shape == (5, 11, 2, 3)
    assert param[0].data.shape == (10, 66)


def test_memory_of_a_net_that_nobody_looks_at_is_not_doubled(net):
    net.forward()
    assert net._run.blobs["conv"]._data._flat is None


# -- weights ----------------------------------------------------------------------------------------------------------


def test_save_and_copy_from(net, deploy, tmp_path):
    path = tmp_path / "w.caffemodel"
    net.save(str(path))
    caffe.set_random_seed(5)
    other = caffe.Net(str(deploy), caffe.TEST)
    view = other.params["conv"][0].data
    assert (view != net.params["conv"][0].data).any()
    other.copy_from(str(path))
    np.testing.assert_array_equal(view, net.params["conv"][0].data)  # an old view sees them


def test_hdf5(net, deploy, tmp_path):
    path = tmp_path / "w.caffemodel.h5"
    net.params["ip"][0].diff[...] = 4
    net.save_hdf5(str(path), True)
    with h5py.File(path) as file:
        assert (file["diff/ip/0"][()] == 4).all()
        np.testing.assert_array_equal(file["data/conv/0"][()], net.params["conv"][0].data)
    caffe.set_random_seed(5)
    for load in ("load_hdf5", "copy_from"):
        other = caffe.Net(str(deploy), caffe.TEST)
        getattr(other, load)(str(path))
        np.testing.assert_array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    net.save_hdf5(str(tmp_path / "x.h5"))
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file) == {"data"}


def test_edited_parameters_are_saved(net, deploy, tmp_path):
    net.params["ip"][1].data[...] = 8
    net.save(str(tmp_path / "w.caffemodel"))
    found = caffe_port.Net(deploy, tmp_path / "w.caffemodel")
    assert (found.layer("ip").bias == 8).all()


def test_share_with(net, deploy):
    caffe.set_random_seed(5)
    other = caffe.Net(str(deploy), caffe.TEST)
    other.share_with(net)
    net.params["ip"][1].data[...] = 6
    assert (other.params["ip"][1].data == 6).all()
    other.blobs["data"].data[...] = net.blobs["data"].data
    np.testing.assert_array_equal(other.forward()["prob"], net.forward()["prob"])


def test_share_with_another_shape(net, tmp_path):
    path = tmp_path / "other.prototxt"
    path.write_text(DEPLOY.replace("num_output: 10", "num_output: 9"))
    with pytest.raises(NetError, match=r"layer 'ip' \(InnerProduct\)"):
        caffe.Net(str(path), caffe.TEST).share_with(net)


# -- mode and seed ----------------------------------------------------------------------------------------------------


def test_set_random_seed(deploy):
    def weights() -> np.ndarray:
        return caffe.Net(str(deploy), caffe.TEST).params["conv"][0].data

    caffe.set_random_seed(7)
    first = weights()
    caffe.set_random_seed(7)
    np.testing.assert_array_equal(weights(), first)
    caffe.set_random_seed(8)
    assert (weights() != first).any()


def test_gpu_mode(deploy, monkeypatch):
    if torch.cuda.is_available():
        caffe.set_device(0)
        caffe.set_mode_gpu()
        net = caffe.Net(str(deploy), caffe.TEST)
        assert net.forward()["prob"].shape == (5, 10)
        caffe.set_mode_cpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(CaffeWarning, match="computing on the CPU"):
        caffe.set_mode_gpu()
    assert caffe.Net(str(deploy), caffe.TEST).forward()["prob"].shape == (5, 10)


@pytest.mark.parametrize("index", [-1, 2, 99])
def test_a_gpu_that_is_not_there(deploy, index, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    caffe.set_mode_gpu()
    caffe.set_device(index)
    with pytest.raises(CaffeError, match=f"no GPU {index}. There are 2"):
        caffe.Net(str(deploy), caffe.TEST)


# -- real models ------------------------------------------------------------------------------------------------------


@needs(MODELS)
def test_a_script_over_a_real_model():
    folder = MODELS / "lenet_v1"
    reference = np.load(folder / "reference.npz")
    net = caffe.Net(str(folder / "net.prototxt"), str(folder / "weights.caffemodel"), caffe.TEST)
    found = net.forward(**{name: reference[f"input/{name}"] for name in net.inputs})
    for name, value in found.items():
        np.testing.assert_allclose(value, reference[f"blob/{name}"], rtol=1e-4, atol=1e-5)


# -- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_surround_every_layer(net):
    seen = []
    for kind in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, kind)(lambda i, kind=kind: seen.append((kind, i)))
    net.forward()
    expected = [(f"{when}_forward", i) for i in range(5) for when in ("before", "after")]
    assert seen == expected
    seen.clear()
    net.forward(start="conv", end="relu")
    assert seen == expected[2:6]
    seen.clear()
    net.backward(start="ip", end="conv")
    assert seen == [(f"{when}_backward", i) for i in (3, 2, 1) for when in ("before", "after")]


def test_what_a_hook_writes_counts(net):
    """A hook may change a blob or a weight before the layer reads it."""

    def change(i):
        if net._layer_names[i] == "ip":
            net.blobs["conv"].data[...] = 2
            net.params["ip"][1].data[...] = 5

    net.before_forward(change)
    net.forward()
    expected = np.tile(2 * net.params["ip"][0].data.sum(1) + 5, (5, 1))
    np.testing.assert_allclose(net.blobs["ip"].data, expected, rtol=1e-5)


def test_an_exception_in_a_hook_ends_the_pass(net):
    def fail(i):
        if i == 3:
            raise ZeroDivisionError

    net.after_forward(fail)
    with pytest.raises(ZeroDivisionError):
        net.forward()
    assert net.blobs["ip"].data.any()
    assert not net.blobs["prob"].data.any()


# -- any number of items ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, 7, 10])
def test_forward_all(net, count):
    images = np.random.default_rng(2).standard_normal((count, 2, 3, 4)).astype(np.float32)
    found = net.forward_all(blobs=["ip"], data=images)
    assert {name: value.shape for name, value in found.items()} == {"prob": (count, 10), "ip": (count, 10)}
    for i in range(count):
        net.blobs["data"].data[...] = images[i]
        np.testing.assert_allclose(found["prob"][i], net.forward()["prob"][0], rtol=1e-5, atol=1e-7)


def test_forward_backward_all(net):
    generator = np.random.default_rng(3)
    images, tops = generator.standard_normal((7, 2, 3, 4)), generator.standard_normal((7, 10))
    data, diffs = net.forward_backward_all(blobs=["conv"], diffs=["conv"], data=images, prob=tops)
    assert {name: len(value) for name, value in data.items()} == {"prob": 7, "conv": 7}
    assert {name: len(value) for name, value in diffs.items()} == {"data": 7, "conv": 7}
    for i in (0, 6):
        net.blobs["data"].data[...] = images[i]
        net.forward()
        net.blobs["prob"].diff[...] = tops[i]
        np.testing.assert_allclose(diffs["data"][i], net.backward()["data"][0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(net.forward_backward_all(data=images)[0]["prob"], data["prob"])


def test_arrays_that_are_no_batches(net):
    with pytest.raises(NetError, match=r"Arrays are given for nothing\..*takes data"):
        net.forward_all()
    with pytest.raises(NetError, match=r"Arrays are given for image\..*takes data"):
        net.forward_all(image=np.zeros((5, 2, 3, 4)))
    with pytest.raises(NetError, match="one or more"):
        net.forward_all(data=np.zeros((0, 2, 3, 4)))
    with pytest.raises(NetError, match="same number of items"):
        net.forward_backward_all(data=np.zeros((5, 2, 3, 4)), prob=np.zeros((6, 10)))


MEMORY = layer("MemoryData", "memory", "", "x y", "memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 }")


def test_set_input_arrays(tmp_path):
    (tmp_path / "net.prototxt").write_text(MEMORY + ip("ip", "x", "ip", 1))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    data, labels = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3), np.arange(4, dtype=np.float32)
    net.set_input_arrays(data, labels)
    seen = []
    for _ in range(3):
        net.forward()
        seen.append(net.blobs["y"].data.ravel().tolist())
    assert seen == [[0, 1], [2, 3], [0, 1]]
    np.testing.assert_array_equal(net.blobs["x"].data, data[:2])
    data += 100  # read where they are
    net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data, data[2:])
    for wrong in (data.astype(np.float64), data[:, :, :, ::-1], data.tolist()):
        with pytest.raises(NetError, match="float32 array in C order"):
            net.set_input_arrays(wrong, labels)
    with pytest.raises(LayerError, match="multiple of the batch size"):
        net.set_input_arrays(data[:3], labels[:3])


def test_set_input_arrays_needs_a_memory_data_layer(net):
    with pytest.raises(NetError, match="begin with a MemoryData layer, not with Input"):
        net.set_input_arrays(np.zeros((5, 2, 3, 4), np.float32), np.zeros(5, np.float32))


# -- what pycaffe shows of the inside ---------------------------------------------------------------------------------


def test_numbers_of_blobs(net):
    assert list(net._blob_names) == ["data", "conv", "ip", "prob"]
    assert [list(net._top_ids(i)) for i in range(5)] == [[0], [1], [1], [2], [3]]
    assert [list(net._bottom_ids(i)) for i in range(5)] == [[], [0], [1], [1], [2]]
    assert (list(net._inputs), list(net._outputs)) == ([0], [3])
    assert [blob.shape for blob in net._blobs] == [blob.shape for blob in net.blobs.values()]
    assert list(net._blob_loss_weights) == [0, 0, 0, 0]


def test_share_with_shares_data_but_not_diffs(deploy):
    one, other = (caffe.Net(str(deploy), caffe.TEST) for _ in range(2))
    other.params["ip"][0].data[...] = 0
    other.share_with(one)
    for name in one.params:
        for ours, theirs in zip(one.params[name], other.params[name]):
            np.testing.assert_array_equal(ours.data, theirs.data)
    one.params["ip"][0].data[...] = 3
    assert (other.params["ip"][0].data == 3).all()
    one.params["ip"][0].diff[...] = 4
    assert not other.params["ip"][0].diff.any()
