"""Net as a module: calls, reshapes, names, state_dict, devices and types, train and eval, compile and export, files."""

from __future__ import annotations

import copy
import io
import shutil
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import caffe_port
from caffe_port import Net
from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.proto import pb
from tests.net.make import build, conv, inputs, ip, layer, random_inputs

LENET = (
    inputs(data=(2, 1, 12, 12))
    + conv("conv1", "data", "conv1", 4, 3)
    + layer("Pooling", "pool1", "conv1", "pool1", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + conv("conv2", "pool1", "conv2", 6, 2)
    + layer("Pooling", "pool2", "conv2", "pool2", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + ip("ip1", "pool2", "ip1", 8)
    + layer("ReLU", "relu1", "ip1", "ip1")
    + ip("ip2", "ip1", "ip2", 5)
    + layer("Softmax", "prob", "ip2", "prob")
)

CAFFENET = (
    inputs(data=(2, 3, 23, 23))
    + conv("conv1", "data", "conv1", 6, 5, more="stride: 2")
    + layer("ReLU", "relu1", "conv1", "conv1")
    + layer("Pooling", "pool1", "conv1", "pool1", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + layer("LRN", "norm1", "pool1", "norm1", "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 }")
    + conv("conv2", "norm1", "conv2", 8, 3, more="group: 2 pad: 1")
    + layer("ReLU", "relu2", "conv2", "conv2")
    + layer("LRN", "norm2", "conv2", "norm2", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }")
    + layer("Pooling", "pool2", "norm2", "pool2", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }")
    + ip("fc6", "pool2", "fc6", 10)
    + layer("ReLU", "relu6", "fc6", "fc6")
    + layer("Dropout", "drop6", "fc6", "fc6")
    + ip("fc7", "fc6", "fc7", 5)
    + layer("Softmax", "prob", "fc7", "prob")
)

TWO = inputs(a=(2, 3), b=(2, 3)) + layer("Eltwise", "sum", "a b", "s", "eltwise_param { coeff: 1 coeff: -1 }")


# -- calls ------------------------------------------------------------------------------------------------------------


def test_every_way_to_call():
    net = build(TWO)
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    for found in (net(a=a, b=b), net(a, b), net({"a": a, "b": b}), net(a, b=b), net({"a": a}, b=b)):
        assert list(found) == ["s"]
        torch.testing.assert_close(found["s"], a - b)


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, "Missing input: a, b. The net takes a, b"),
        ((), {"a": 1}, "Missing input: b."),
        ((), {"a": 1, "b": 1, "c": 1}, "Unknown input: c."),
        ((1, 1, 1), {}, "3 inputs given; the net takes a, b"),
        ((1,), {"a": 1, "b": 1}, "Input 'a' is given twice"),
        (({"a": 1, "b": 1},), {"b": 1}, "Input 'b' is given twice"),
        (({"a": 1, 7: 1, "b": 1},), {}, "Unknown input: 7"),
    ],
)
def test_wrong_inputs(args, named, message, tmp_path):
    path = tmp_path / "two.prototxt"
    path.write_text(TWO)
    net = Net(path)
    with pytest.raises(NetError, match=message) as caught:
        net(*args, **named)
    assert str(path) in str(caught.value)


def test_inputs_must_be_tensors_of_the_nets_type():
    net = build(LENET)
    image = torch.randint(0, 255, (2, 1, 12, 12))
    with pytest.raises(NetError, match=r"Input 'data' is ndarray, not a tensor. torch.as_tensor"):
        net(image.numpy())
    with pytest.raises(NetError, match=r"Input 'data' is torch.complex64"):
        net(image.to(torch.complex64))
    with pytest.raises(NetError, match=r"Input 'data' is torch.float64 on cpu; the net is torch.float32 on cpu"):
        net(image.double())
    with pytest.raises(NetError, match=r"Input 'data' is torch.float32 on meta; the net is torch.float32 on cpu"):
        net(image.float().to("meta"))
    for kind in (torch.uint8, torch.int64, torch.int32):
        torch.testing.assert_close(net(image.to(kind))["prob"], net(image.float())["prob"])


def test_run_checks_its_inputs_too():
    with pytest.raises(NetError, match="Missing input: data"):
        build(LENET).run({})


def test_a_net_without_inputs_or_layers():
    assert build(layer("DummyData", "d", "", "x", "dummy_data_param { shape { dim: 2 } }"))()["x"].shape == (2,)
    assert build("")() == {}
    with pytest.raises(NetError, match="the net takes none"):
        build("")(torch.zeros(1))


@pytest.mark.parametrize("net_param", [None, 3, b"", pb.SolverParameter()])
def test_what_is_no_net(net_param):
    with pytest.raises(NetError, match="A net cannot be made from"):
        Net(net_param)


def test_message_of_an_old_net_is_upgraded_on_a_copy():
    old = pb.NetParameter(input=["data"], input_dim=[2, 3, 1, 1])
    old.layers.add(name="r", type=18, bottom=["data"], top=["r"])  # RELU
    before = old.SerializeToString()
    net = Net(old)
    assert (net.inputs, net.outputs, net.blob_shapes["data"]) == (["data"], ["r"], (2, 3, 1, 1))
    assert old.SerializeToString() == before


@pytest.mark.parametrize(
    "head",
    [
        'input: "data" input_dim: 2 input_dim: 1 input_dim: 12 input_dim: 12',
        'input: "data" input_shape { dim: 2 dim: 1 dim: 12 dim: 12 }',
    ],
)
def test_old_inputs(head, tmp_path):
    path = tmp_path / "old.prototxt"
    path.write_text(head + "\n" + conv("c", "data", "c"))
    net = Net(path)
    assert net.inputs == ["data"]
    assert net.blob_shapes["data"] == (2, 1, 12, 12)
    assert net.net_name == ""


@pytest.mark.parametrize("phase", ["DEPLOY", 2, None, 1.5])
def test_wrong_phase(phase):
    with pytest.raises(NetError, match="Use TRAIN or TEST"):
        build(LENET, phase=phase)


def test_missing_file_names_it(tmp_path):
    with pytest.raises(CaffeError, match=r"absent.prototxt"):
        Net(tmp_path / "absent.prototxt")


# -- shapes -----------------------------------------------------------------------------------------------------------


def test_reshape_between_calls():
    net = build(LENET)
    images = torch.randn(7, 1, 12, 12)
    whole = net(images)["prob"]
    assert whole.shape == (7, 5)
    for size in (1, 3, 7):
        torch.testing.assert_close(net(images[:size])["prob"], whole[:size])
        assert net.blob_shapes["pool1"] == (size, 4, 5, 5)


def test_fully_convolutional_nets_take_other_sizes():
    net = build(inputs(data=(1, 1, 8, 8)) + conv("c", "data", "c"))
    assert net(torch.zeros(2, 1, 11, 9))["c"].shape == (2, 4, 9, 7)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((2, 3, 12, 12), "conv1"),
        ((2, 1, 2, 2), "conv1"),
        ((2, 1, 4, 4), "conv2"),
        ((2, 1, 20, 20), "ip1"),
        ((2,), "conv1"),
    ],
)
def test_a_refused_shape_names_the_layer_and_changes_nothing(shape, name, tmp_path):
    path = tmp_path / "lenet.prototxt"
    path.write_text(LENET)
    net = Net(path)
    image = torch.randn(3, 1, 12, 12)
    before = net(image)["prob"]
    state = (dict(net.blob_shapes), [(list(n.bottom_shapes), list(n.top_shapes)) for n in net.nodes])
    with pytest.raises(LayerError, match=f"layer '{name}'") as caught:
        net(torch.zeros(shape))
    assert str(caught.value).startswith(str(path))
    assert (net.blob_shapes, [(n.bottom_shapes, n.top_shapes) for n in net.nodes]) == state
    torch.testing.assert_close(net(image)["prob"], before)


def test_layers_after_filter_follow_what_it_kept():
    text = inputs(data=(4, 3), keep=(4,)) + layer("Filter", "f", "data keep", "x") + ip("a", "x", "a")
    net = build(text)
    data = torch.randn(4, 3)
    for keep in ([1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]):
        mask = torch.tensor(keep, dtype=torch.float32)
        found = net(data, mask)["a"]
        torch.testing.assert_close(found, net.layer("a")(data[mask > 0])[0])
        assert net.blob_shapes["a"] == found.shape


def test_a_layer_that_refuses_what_filter_kept_is_named():
    text = inputs(data=(4, 3), keep=(4,), other=(4, 3))
    net = build(text + layer("Filter", "f", "data keep", "x") + layer("Eltwise", "sum", "x other", "s"))
    data, all_of_them = torch.ones(4, 3), torch.ones(4)
    torch.testing.assert_close(net(data, all_of_them, data)["s"], 2 * data)
    with pytest.raises(LayerError, match=r"layer 'sum' \(Eltwise\)"):
        net(data, torch.tensor([1.0, 0, 0, 1]), data)
    torch.testing.assert_close(net(data, all_of_them, data)["s"], 2 * data)


@pytest.fixture
def images_of_two_sizes(tmp_path, monkeypatch):
    import cv2

    monkeypatch.chdir(tmp_path)
    for name, size in (("a", 8), ("b", 10)):
        cv2.imwrite(f"{name}.png", np.full((size, size, 3), 7, np.uint8))
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    return layer("ImageData", "data", "", "data label", 'image_data_param { source: "list.txt" batch_size: 1 }')


def test_a_data_layer_may_serve_other_shapes(images_of_two_sizes):
    net = build(images_of_two_sizes + conv("c", "data", "c"))
    assert [net()["c"].shape[2:] for _ in range(3)] == [(6, 6), (8, 8), (6, 6)]


def test_a_layer_that_refuses_a_data_layers_other_shape_is_named(images_of_two_sizes):
    net = build(images_of_two_sizes + ip("a", "data", "a"))
    net()
    with pytest.raises(LayerError, match=r"layer 'a' \(InnerProduct\)"):
        net()


# -- intermediate results ---------------------------------------------------------------------------------------------


def test_all_blobs_or_those_wanted():
    net = build(LENET)
    values = random_inputs(net)
    blobs, loss = net.run(values)
    assert loss is None
    assert set(blobs) == set(net.blob_shapes)
    assert {name: tuple(value.shape) for name, value in blobs.items()} == net.blob_shapes
    kept, _ = net.run(values, keep=["pool1", "prob"])
    assert set(kept) == {"pool1", "prob"}


def test_others_are_freed_as_soon_as_nothing_needs_them():
    net = build(LENET)
    alive: dict[str, weakref.ref] = {}
    at_the_end: list[str] = []

    def note(module: nn.Module, args: tuple, tops: tuple) -> None:
        alive[module.name] = weakref.ref(tops[0])

    for node in net.nodes[1:-1]:
        node.layer.register_forward_hook(note)
    net.nodes[-1].layer.register_forward_pre_hook(
        lambda module, args: at_the_end.extend(name for name, top in alive.items() if top() is not None)
    )
    with torch.no_grad():
        net(random_inputs(net))
    assert at_the_end == ["ip2"]


def test_a_net_without_a_loss_is_differentiable_like_any_module():
    net = build(CAFFENET)
    image = torch.randn(2, 3, 23, 23, requires_grad=True)
    torch.nn.functional.cross_entropy(net(image)["prob"], torch.tensor([0, 4])).backward()
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_the_gradient_of_inputs_of_a_net_with_a_loss():
    text = inputs(data=(2, 3), label=(2,)) + ip("a", "data", "a") + layer("SoftmaxWithLoss", "l", "a label", "l")
    net = build(text, phase="TRAIN")
    data, label = torch.randn(2, 3, requires_grad=True), torch.tensor([0.0, 2.0])
    net(data, label)["l"].backward()
    a = net.layer("a")
    logits = (data @ a.weight.T + a.bias).detach().requires_grad_()
    torch.nn.functional.cross_entropy(logits, label.long()).backward()
    torch.testing.assert_close(data.grad, logits.grad @ a.weight.detach())


# -- module -----------------------------------------------------------------------------------------------------------


def test_state_dict_round_trip():
    first, second = build(LENET, seed=1), build(LENET, seed=2)
    image = torch.randn(2, 1, 12, 12)
    assert (first(image)["prob"] != second(image)["prob"]).any()
    memory = io.BytesIO()
    torch.save(first.state_dict(), memory)
    memory.seek(0)
    second.load_state_dict(torch.load(memory, weights_only=True))
    torch.testing.assert_close(first(image)["prob"], second(image)["prob"], rtol=0, atol=0)
    assert "conv1.weight" in first.state_dict()


def test_state_dict_of_shared_parameters():
    text = inputs(data=(2, 3)) + ip("a", "data", "a", rest='param { name: "w" }')
    text += ip("b", "a", "b", rest='param { name: "w" }')
    first, second = build(text, seed=1), build(text, seed=2)
    second.load_state_dict(first.state_dict())
    assert second.layer("a").weight is second.layer("b").weight
    data = torch.randn(2, 3)
    torch.testing.assert_close(first(data)["b"], second(data)["b"], rtol=0, atol=0)


def test_running_sums_are_in_the_state_dict():
    net = build(inputs(data=(4, 3)) + layer("BatchNorm", "bn", "data", "bn"), phase="TRAIN")
    net(torch.randn(4, 3))
    assert float(list(net.state_dict().values())[2]) == 1  # the scale factor after one batch


def test_other_floating_types():
    net = build(CAFFENET)
    image = torch.randn(2, 3, 23, 23)
    single = net(image)["prob"]
    double = net.double()(image.double())["prob"]
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)
    assert net.dtype == torch.float64
    half = net.to(torch.bfloat16)(image.bfloat16())["prob"]
    assert half.dtype == torch.bfloat16


def test_data_layers_follow_the_nets_type():
    text = layer("DummyData", "d", "", "x", "dummy_data_param { shape { dim: 2 dim: 3 } }") + ip("a", "x", "a")
    assert build(text).double()()["a"].dtype == torch.float64


def test_train_and_eval_switch_layers():
    text = inputs(data=(8, 50)) + layer("Dropout", "drop", "data", "drop") + layer("BatchNorm", "bn", "drop", "bn")
    net = build(text, phase="TRAIN")
    data = torch.ones(8, 50)
    assert net.training
    assert (net.run({"data": data})[0]["drop"] == 0).any()
    net.eval()
    torch.testing.assert_close(net.run({"data": data})[0]["drop"], data)
    assert not build(text, phase="TEST").training


def test_random_layers_differ_from_call_to_call_and_repeat_from_the_seed():
    text = inputs(data=(8, 50)) + layer("Dropout", "drop", "data", "drop")
    data = torch.ones(8, 50)
    runs = [[net(data)["drop"] for _ in range(3)] for net in (build(text, phase="TRAIN", seed=s) for s in (5, 5, 6))]
    assert (runs[0][0] != runs[0][1]).any()
    assert (runs[0][0] != runs[2][0]).any()
    for first, second in zip(runs[0], runs[1]):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_deepcopy_is_a_net_of_its_own():
    net = build(CAFFENET)
    image = torch.randn(2, 3, 23, 23)
    other = copy.deepcopy(net)
    before = net(image)["prob"]
    torch.testing.assert_close(other(image)["prob"], before, rtol=0, atol=0)
    assert {id(p) for p in other.parameters()}.isdisjoint({id(p) for p in net.parameters()})
    assert {id(p.blob) for p in other.params} == {id(p) for p in other.parameters()}
    with torch.no_grad():
        other.layer("fc7").weight.zero_()
    torch.testing.assert_close(net(image)["prob"], before, rtol=0, atol=0)


def test_deepcopy_with_a_data_layer_that_has_served(images_of_two_sizes):
    net = build(images_of_two_sizes + conv("c", "data", "c"))
    net()
    other = copy.deepcopy(net)
    for _ in range(2):
        torch.testing.assert_close(other()["c"], net()["c"])


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = [
    "conv1/7x7",
    "a.b.c",
    "with space",
    "class",
    "forward",
    "loss",
    "inputs",
    "params",
    "training",
    "0",
    "größe",
    "",
]
NAMES += ["weight", "parameters", "_modules", "nodes", "context", "source", "train", "state_dict", "lambda", "a b.c/d"]


def named(names: list[str]) -> str:
    text, below = inputs(data=(2, 3)), "data"
    for index, name in enumerate(names):
        text += ip(name, below, f"t{index}", 3)
        below = f"t{index}"
    return text


def test_any_layer_name_goes():
    net = build(named(NAMES))
    assert [node.name for node in net.nodes[1:]] == NAMES
    assert len(net.state_dict()) == len(set(net.state_dict())) == 2 * len(NAMES)
    found = net(torch.randn(2, 3))[f"t{len(NAMES) - 1}"]
    assert found.shape == (2, 3)
    for name in NAMES:
        assert net.layer(name).name == name
    for path, parameter in net.named_parameters():
        assert net.get_parameter(path) is parameter
    assert net.inputs == ["data"]
    assert net.training is False


def test_names_that_differ_in_a_dot_only():
    net = build(named(["a.b", "a_b", "a_b_"]))
    assert len(net.state_dict()) == 6
    assert net.layer("a.b") is not net.layer("a_b")


def test_blobs_with_odd_names():
    text = inputs(**{"self": (2, 3), "a.b/c d": (2, 3)}) + layer("Eltwise", "e", "self", "x y")
    text = text.replace('bottom: "self" top: "x" top: "y"', 'bottom: "self" bottom: "a.b/c d" top: "for"')
    net = build(text)
    torch.testing.assert_close(
        net({"self": torch.ones(2, 3), "a.b/c d": torch.ones(2, 3)})["for"], torch.full((2, 3), 2.0)
    )


def test_equal_layer_names():
    """Caffe allows them; weights go to the first one, which is why a net with two learnable ones cannot be saved."""
    net = build(
        inputs(data=(2, 3)) + layer("ReLU", "x", "data", "a") + ip("x", "a", "b") + layer("ReLU", "x", "b", "c")
    )
    assert net(torch.randn(2, 3))["c"].shape == (2, 3)
    assert net.layer("x").TYPE == "ReLU"
    with pytest.raises(NetError, match="no layer 'y'"):
        net.layer("y")


# -- compile and export -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [LENET, CAFFENET], ids=["lenet", "caffenet"])
def test_compile_eager_is_one_graph(text):
    net = build(text)
    values = random_inputs(net)
    with torch.no_grad():
        expected = net(values)["prob"]
        compiled = torch.compile(net, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(**values)["prob"], expected)
        more = torch.cat([values["data"]] * 2)
        torch.testing.assert_close(compiled(data=more)["prob"], torch.cat([expected] * 2))


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("c++") is None, reason="no C++ compiler")
def test_compile_inductor():
    net = build(inputs(data=(2, 4)) + ip("a", "data", "prob") + layer("ReLU", "r", "prob", "prob"))
    values = random_inputs(net)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net)(**values)["prob"], net(values)["prob"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("text", [LENET, CAFFENET], ids=["lenet", "caffenet"])
def test_export_with_an_open_batch(text, strict):
    net = build(text)
    (example,) = random_inputs(net).values()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (example,), dynamic_shapes={"args": ({0: batch},)}, strict=strict)
    run = program.module()
    for size in (1, 2, 5):
        image = torch.randn(size, *example.shape[1:])
        torch.testing.assert_close(run(image)["prob"], net(image)["prob"])


def test_export_by_input_name():
    net = build(LENET)
    values = random_inputs(net)
    run = torch.export.export(net, (), values).module()
    torch.testing.assert_close(run(**values)["prob"], net(**values)["prob"])


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_save_then_load(name, tmp_path):
    (tmp_path / "net.prototxt").write_text(CAFFENET)
    first = Net(tmp_path / "net.prototxt", seed=1)
    first.save(tmp_path / name)
    second = Net(tmp_path / "net.prototxt", tmp_path / name, seed=2)
    image = torch.randn(2, 3, 23, 23)
    torch.testing.assert_close(first(image)["prob"], second(image)["prob"], rtol=0, atol=0)


def test_weights_as_a_path_or_a_string(tmp_path):
    net = build(LENET)
    net.save(tmp_path / "w.caffemodel")
    for weights in (tmp_path / "w.caffemodel", str(tmp_path / "w.caffemodel")):
        found = build(LENET, weights=weights, seed=9)
        torch.testing.assert_close(found.layer("ip2").weight, net.layer("ip2").weight, rtol=0, atol=0)


def test_a_net_that_cannot_be_built_leaves_nothing_behind(tmp_path):
    with pytest.raises(CaffeError, match=r"absent\.caffemodel"):
        build(LENET, weights=tmp_path / "absent.caffemodel")
    assert caffe_port.Net is Net
