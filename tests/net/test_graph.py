"""How a net is put together: connections, loss weights, which diffs exist, shared parameters (Caffe: net.cpp, Init)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.net.make import build, conv, executor, inputs, ip, layer, random_inputs

DATA = inputs(data=(4, 5), label=(4,))


def loss_of(bottom: str, rest: str = "") -> str:
    """A loss layer over ``bottom`` and the label."""
    return layer("SoftmaxWithLoss", "loss", f"{bottom} label", "loss", rest)


def flags(text: str, **options) -> dict[str, tuple[bool, list[bool]]]:
    """Per layer whether it needs backward, and which bottoms get a diff."""
    return {n.name: (n.need_backward, n.bottom_need_backward) for n in build(text, phase="TRAIN", **options).nodes}


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ip("a", "nowhere", "a"), r"layer 'a' \(InnerProduct\): Unknown bottom blob 'nowhere' \(bottom index 0\)"),
        (
            ip("a", "data", "x") + ip("b", "label", "x"),
            r"layer 'b' \(InnerProduct\): Top blob 'x' produced by multiple",
        ),
        (ip("a", "data", "data"), r"layer 'a' \(InnerProduct\): .*in-place"),
        (layer("Slice", "s", "data", "x x"), r"layer 's' \(Slice\): Top blob 'x' produced by multiple sources"),
        (layer("ReLU", "r", "data label", "x"), r"layer 'r' \(ReLU\): has 2 bottom blob\(s\), but takes 1"),
        (layer("ReLU", "r", "", "x"), r"layer 'r' \(ReLU\): has 0 bottom blob\(s\), but takes 1"),
        (layer("ReLU", "r", "data"), r"layer 'r' \(ReLU\): has 0 top blob\(s\), but takes 1"),
        (layer("ReLU", "r", "data", "x y"), r"layer 'r' \(ReLU\): has 2 top blob\(s\), but takes 1"),
        (layer("Convolution", "c", "data label", "x"), "as many tops as bottoms"),
        (layer("Eltwise", "e", "data", "x"), r"has 1 bottom blob\(s\), but takes 2 or more"),
        (layer("Sofmax", "p", "data", "x"), r"layer 'p'.*: Unknown layer type: 'Sofmax'. Did you mean 'Softmax'"),
        (layer("ReLU", "r", "data", "x", 'param { name: "w" }'), "Too many params specified: 1 for 0"),
        (ip("a", "data", "x", rest="param { } param { } param { }"), "Too many params specified: 3 for 2"),
        (ip("a", "data", "x", rest="propagate_down: true propagate_down: true"), "propagate_down has 2 entries for 1"),
        (ip("a", "data", "x", rest="loss_weight: 1 loss_weight: 1"), r"loss_weight is given 2 time\(s\) for 1 tops"),
        (layer("Slice", "s", "data", "x y", "slice_param { slice_point: 2 } loss_weight: 1"), "1 time.s. for 2 tops"),
    ],
)
def test_what_cannot_be_connected(text, message, tmp_path):
    with pytest.raises(NetError, match=message):
        build(DATA + text)
    path = tmp_path / "net.prototxt"
    path.write_text(DATA + text)
    with pytest.raises(NetError) as caught:
        Net(path)
    assert str(caught.value).startswith(f"{path}, layer '")


def test_a_bottom_that_the_phase_leaves_out():
    text = DATA + ip("a", "data", "a", rest="include { phase: TRAIN }") + ip("b", "a", "b")
    build(text, phase="TRAIN")
    with pytest.raises(NetError, match=r"Unknown bottom blob 'a' .*phase, level and stage"):
        build(text, phase="TEST")


def test_in_place_needs_the_same_index():
    text = DATA + layer("Slice", "s", "data", "x y", "slice_param { slice_point: 2 }")
    with pytest.raises(NetError, match="Top blob 'y' produced by multiple sources"):
        build(text + layer("Split", "t", "x", "z y"))


def test_outputs_are_alphabetical_inputs_as_written():
    net = build(inputs(z=(2, 3), b=(2, 3)) + ip("q", "z", "q") + ip("p", "b", "p"))
    assert net.inputs == ["z", "b"]
    assert net.outputs == ["p", "q"]


def test_an_unused_input_is_also_an_output():
    net = build(inputs(z=(2, 3), b=(2, 3)) + ip("q", "z", "q"))
    assert net.outputs == ["b", "q"]
    values = random_inputs(net)
    torch.testing.assert_close(net(values)["b"], values["b"])


def test_a_loss_without_a_top_still_counts():
    net = build(DATA + ip("a", "data", "a") + layer("SoftmaxWithLoss", "loss", "a label"))
    assert net.outputs == []
    _, loss = net.run(random_inputs(net))
    assert loss > 0


def test_the_layers_phase_reaches_it_and_overrides_the_nets():
    text = inputs(data=(2000,)) + layer("Dropout", "d", "data", "d", "phase: TRAIN")
    net = build(text, phase="TEST")
    assert net.nodes[0].layer.layer_param.phase == 1
    assert net.nodes[1].layer.layer_param.phase == 0


# -- loss weights -----------------------------------------------------------------------------------------------------


def test_loss_weight_on_any_top():
    net = build(DATA + ip("a", "data", "a", rest="loss_weight: 0.5") + layer("Silence", "end", "a"))
    values = random_inputs(net)
    blobs, loss = net.run(values)
    torch.testing.assert_close(loss, 0.5 * blobs["a"].sum())
    loss.backward()
    torch.testing.assert_close(net.layer("a").weight.grad, 0.5 * values["data"].sum(0).expand(3, 5))


def test_loss_weight_zero_switches_a_loss_off():
    text = DATA + ip("a", "data", "a") + layer("SoftmaxWithLoss", "loss", "a label", "loss", "loss_weight: 0")
    assert flags(text)["a"] == (False, [False])


def test_two_losses_add_up():
    text = DATA + ip("a", "data", "a") + loss_of("a", "loss_weight: 2")
    text += layer("Reduction", "mean", "a", "mean", "reduction_param { operation: MEAN } loss_weight: 3")
    net = build(text, phase="TRAIN")
    blobs, loss = net.run(random_inputs(net))
    torch.testing.assert_close(loss, 2 * blobs["loss"] + 3 * blobs["mean"])


def test_a_loss_that_a_weighted_layer_consumes_gets_its_gradient_from_there_only():
    """In Caffe the consumer's backward overwrites the diff that held the loss weight 1."""
    text = DATA + ip("a", "data", "a") + loss_of("a")
    scaled = layer("Power", "scaled", "loss", "scaled", "power_param { scale: 4 } loss_weight: 0.5")
    plain, twice = build(text, phase="TRAIN"), build(text + scaled, phase="TRAIN")
    values = random_inputs(plain)
    _, loss = plain.run(values)
    loss.backward()
    _, total = twice.run(values)
    torch.testing.assert_close(total, loss + 0.5 * 4 * loss)
    total.backward()
    torch.testing.assert_close(twice.layer("a").weight.grad, 2 * plain.layer("a").weight.grad)
    run = executor(twice, values)
    twice.zero_grad()
    run.forward()
    run.backward()
    torch.testing.assert_close(twice.layer("a").weight.grad, 2 * plain.layer("a").weight.grad)


# -- which diffs exist ------------------------------------------------------------------------------------------------

CHAIN = DATA + ip("a", "data", "a") + layer("ReLU", "r", "a", "a") + ip("b", "a", "b") + loss_of("b")


def test_backward_reaches_down_to_the_first_learnable_layer():
    assert flags(CHAIN) == {
        "data": (False, []),
        "label": (False, []),
        "a": (True, [False]),
        "r": (True, [True]),
        "b": (True, [True]),
        "loss": (True, [True, False]),
    }


FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def test_frozen_layers_at_the_bottom_get_no_backward():
    text = DATA + ip("a", "data", "a", rest=FROZEN) + ip("b", "a", "b") + loss_of("b")
    found = flags(text)
    assert found["a"] == (False, [False])
    assert found["b"] == (True, [False])
    net = build(text, phase="TRAIN")
    assert [p.requires_grad for p in net.layer("a").blobs] == [False, False]


def test_a_frozen_layer_in_the_middle_passes_the_diff_on():
    text = DATA + ip("a", "data", "a") + ip("b", "a", "b", rest=FROZEN) + loss_of("b")
    assert flags(text)["b"] == (True, [True])
    net = build(text, phase="TRAIN")
    net.run(random_inputs(net))[1].backward()
    assert net.layer("a").weight.grad is not None
    assert net.layer("b").weight.grad is None


def test_one_frozen_blob():
    text = DATA + ip("a", "data", "a", rest="param { lr_mult: 0 } param { lr_mult: 2 }") + loss_of("a")
    assert flags(text)["a"] == (True, [False])
    net = build(text, phase="TRAIN")
    net.run(random_inputs(net))[1].backward()
    assert (net.layer("a").weight.grad is None, net.layer("a").bias.grad is None) == (True, False)


def test_layers_under_no_loss():
    text = CHAIN + ip("side", "data", "side") + layer("Silence", "end", "side")
    found = flags(text)
    assert found["side"] == (False, [False])
    assert found["end"] == (False, [False])
    assert found["a"] == (True, [False])


def test_accuracy_beside_the_loss():
    text = DATA + ip("a", "data", "a") + loss_of("a") + layer("Accuracy", "acc", "a label", "acc")
    found = flags(text)
    assert found["acc"] == (False, [False, False])
    assert found["a_a_0_split"] == (True, [True])


def test_propagate_down_false_stops_the_diff():
    text = DATA + ip("a", "data", "a") + ip("b", "a", "b", rest="propagate_down: false") + loss_of("b")
    found = flags(text)
    assert found["b"] == (True, [False])
    assert found["a"] == (False, [False])
    net = build(text, phase="TRAIN")
    net.run(random_inputs(net))[1].backward()
    assert net.layer("a").weight.grad is None
    assert net.layer("b").weight.grad is not None


def test_propagate_down_true_asks_for_the_diff_of_data():
    text = DATA + ip("a", "data", "a", rest="propagate_down: true") + loss_of("a")
    assert flags(text)["a"] == (True, [True])
    net = build(text, phase="TRAIN")
    run = executor(net, random_inputs(net))
    run.forward()
    run.backward()
    weight, diff = net.layer("a").weight, run.blobs["a"].diff
    torch.testing.assert_close(run.blobs["data"].diff, diff @ weight.detach())


def test_propagate_down_of_one_bottom_of_two():
    text = DATA + ip("a", "data", "a") + ip("b", "data", "b")
    text += layer("Eltwise", "sum", "a b", "s", "propagate_down: true propagate_down: false") + loss_of("s")
    found = flags(text)
    assert (found["a"][0], found["b"][0]) == (True, False)
    net = build(text, phase="TRAIN")
    net.run(random_inputs(net))[1].backward()
    assert net.layer("a").weight.grad is not None
    assert net.layer("b").weight.grad is None


def test_force_backward():
    text = "force_backward: true\n" + DATA + ip("a", "data", "a", rest=FROZEN) + loss_of("a")
    found = flags(text)
    assert found["a"] == (True, [True])
    assert found["loss"] == (True, [True, False])  # never to labels
    net = build(text, phase="TRAIN")
    values = random_inputs(net)
    run = executor(net, values)
    run.forward()
    run.backward()
    diff = run.blobs["a"].diff
    torch.testing.assert_close(run.blobs["data"].diff, diff @ net.layer("a").weight.detach())
    torch.testing.assert_close(net.layer("a").weight.grad, diff.T @ values["data"])  # frozen, yet it has a diff


def test_force_backward_without_any_loss():
    text = "force_backward: true\n" + DATA + ip("a", "data", "a") + layer("ReLU", "r", "a", "r")
    net = build(text)
    run = executor(net, random_inputs(net))
    run.forward()
    run.blobs["r"].diff.fill_(1)
    run.backward()
    active = (run.blobs["a"].data > 0).float()
    torch.testing.assert_close(run.blobs["data"].diff, active @ net.layer("a").weight.detach())


def test_force_backward_gives_the_fast_path_the_diff_of_data_too():
    net = build("force_backward: true\n" + CHAIN, phase="TRAIN")
    values = random_inputs(net)
    traced = {}
    net.run(values, traced=traced)[1].backward()
    run = executor(net, values)
    run.forward()
    run.backward()
    for name in ("data", "a", "b"):
        torch.testing.assert_close(traced[name].grad, run.blobs[name].diff)
    assert "label" not in traced


def test_asking_for_the_diff_of_a_label_is_an_error():
    text = DATA + ip("a", "data", "a") + ip("l", "data", "l", 1) + layer("SoftmaxWithLoss", "loss", "a l", "loss")
    net = build(text, phase="TRAIN")
    with pytest.raises(LayerError, match=r"layer 'loss' \(SoftmaxWithLoss\): cannot backpropagate to label inputs"):
        net.run(random_inputs(net))
    told = text.replace('top: "loss"', 'top: "loss" propagate_down: true propagate_down: false')
    net = build(told, phase="TRAIN")
    net.layer("l").weight.data.zero_()
    net.layer("l").bias.data.zero_()
    net.run(random_inputs(net))[1].backward()
    assert net.layer("l").weight.grad is None


# -- shared parameters ------------------------------------------------------------------------------------------------


def pair(first: str, second: str, outputs: int = 3, more: str = "") -> str:
    text = inputs(data=(4, 3), label=(4,)) + ip("a", "data", "a", 3, first)
    return text + ip("b", "a", "b", outputs, second + more) + loss_of("b")


def test_shared_by_name():
    net = build(pair('param { name: "w" }', 'param { name: "w" }'), phase="TRAIN")
    a, b = net.layer("a"), net.layer("b")
    assert a.weight is b.weight
    assert a.bias is not b.bias
    assert [(p.owner.name, p.index) for p in net.params] == [("a", 0), ("a", 1), ("b", 1)]
    assert [(user.name, index) for user, index in net.params[0].users] == [("a", 0), ("b", 0)]
    assert len(list(net.parameters())) == 3


def test_gradients_of_sharers_add_up():
    net = build(pair('param { name: "w" }', 'param { name: "w" }'), phase="TRAIN")
    values = random_inputs(net)
    net.run(values)[1].backward()
    apart = build(pair("", ""), phase="TRAIN")
    for name in ("a", "b"):
        for own, theirs in zip(apart.layer(name).blobs, net.layer(name).blobs):
            own.data.copy_(theirs.data)
    apart.run(values)[1].backward()
    total = apart.layer("a").weight.grad + apart.layer("b").weight.grad
    torch.testing.assert_close(net.layer("a").weight.grad, total)


def test_strict_sharing_wants_equal_shapes():
    with pytest.raises(
        NetError,
        match=r"layer 'b' .*Cannot share param 'w' owned by layer 'a': shape mismatch. Owner layer param shape is "
        r"3 3 \(9\); sharing layer shape is 1 3 \(3\). share_mode: PERMISSIVE",
    ):
        build(pair('param { name: "w" }', 'param { name: "w" }', outputs=1))


TRANSPOSED = inputs(data=(4, 6)) + ip("a", "data", "a", 2, 'param { name: "w" }')
TRANSPOSED += layer("Reshape", "r", "data", "r", "reshape_param { shape { dim: 8 dim: 3 } }")


def test_permissive_sharing_wants_equal_counts():
    permissive = 'param { name: "w" share_mode: PERMISSIVE }'
    net = build(TRANSPOSED + ip("b", "r", "b", 4, permissive))
    assert net.layer("b").blob_shapes[0] == (4, 3)
    assert net.layer("a").weight is net.layer("b").weight
    values = random_inputs(net)
    weight = net.layer("a").weight.detach().reshape(4, 3)
    found = net(values)["b"].detach() - net.layer("b").bias.detach()
    torch.testing.assert_close(found, values["data"].reshape(8, 3) @ weight.T)
    with pytest.raises(NetError, match=r"count mismatch. Owner layer param shape is 2 6 \(12\); .* 5 3 \(15\)"):
        build(TRANSPOSED + ip("b", "r", "b", 5, permissive))
    with pytest.raises(NetError, match="shape mismatch"):  # the sharer's mode counts, as in Caffe
        build(TRANSPOSED.replace('"w"', '"w" share_mode: PERMISSIVE') + ip("b", "r", "b", 4, 'param { name: "w" }'))


@pytest.mark.parametrize("key", ["lr_mult", "decay_mult"])
def test_multipliers_of_sharers(key):
    only_first = build(pair(f'param {{ name: "w" {key}: 2 }}', 'param { name: "w" }'))
    only_second = build(pair('param { name: "w" }', f'param {{ name: "w" {key}: 2 }}'))
    neither = build(pair('param { name: "w" }', 'param { name: "w" }'))
    assert [getattr(net.params[0], key) for net in (only_first, only_second, neither)] == [2, 2, None]
    with pytest.raises(NetError, match=f"Shared param 'w' has mismatched {key}: 2 and 1"):
        build(pair(f'param {{ name: "w" {key}: 2 }}', f'param {{ name: "w" {key}: 1 }}'))


def test_blobs_of_one_layer_may_share():
    text = inputs(data=(4, 3), x=(4, 3))
    text += layer("Scale", "s", "data", "s", 'scale_param { bias_term: true } param { name: "p" } param { name: "p" }')
    net = build(text)
    assert net.layer("s").blobs[0] is net.layer("s").blobs[1]


def test_batch_norm_params_get_no_rate():
    """Caffe: batch_norm_layer.cpp sets lr_mult 0 for its three blobs, and refuses another one."""
    text = inputs(data=(4, 3, 2, 2)) + conv("c", "data", "c", 3, 1) + layer("BatchNorm", "bn", "c", "c")
    net = build(text, phase="TRAIN")
    assert [p.lr_mult for p in net.params if p.owner.name == "bn"] == [0, 0, 0]
    assert not any(blob.requires_grad for blob in net.layer("bn").blobs)
    stated = 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" param { lr_mult: 1 } }'
    with pytest.raises(CaffeError, match="layer 'bn'"):
        build(text.replace('layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c"  }', stated))


def test_batch_norm_alone_still_needs_backward():
    """Without param specs its flag comes from the default lr_mult 1 (Caffe reads it before the layer's own zeros)."""
    text = inputs(data=(4, 3), label=(4,)) + layer("BatchNorm", "bn", "data", "bn") + loss_of("bn")
    assert flags(text)["bn"] == (True, [False])


def test_multipliers_as_written():
    text = DATA + ip("a", "data", "a", rest="param { lr_mult: 3 decay_mult: 0 } param { decay_mult: 5 }")
    assert [(p.lr_mult, p.decay_mult) for p in build(text).params] == [(3, 0), (None, 5)]


def test_weights_of_equally_seeded_nets_are_equal_and_others_differ():
    same = [build(CHAIN, seed=seed).layer("a").weight.detach().numpy() for seed in (3, 3, 4)]
    np.testing.assert_array_equal(same[0], same[1])
    assert (same[0] != same[2]).any()


@pytest.mark.parametrize(
    ("dims", "outputs", "layer"),
    [
        ("dim: 4000000000 dim: 4000000000", 1, "in"),
        ("dim: 1 dim: 4000000", 4294967295, "ip"),
        ("dim: 70000 dim: 2", 70000, "ip"),
    ],
)
def test_sizes_beyond_caffes_counting(dims, outputs, layer):
    """Refused before any memory is asked for, whether the blob is an input, a weight or a top."""
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ num_output: {outputs} }} }}
    """
    with pytest.raises(CaffeError, match=rf"layer '{layer}' .*A blob of shape .* cannot be made"):
        Net(parse_text(text, pb.NetParameter))
