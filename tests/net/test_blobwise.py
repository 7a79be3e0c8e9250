"""Layer by layer with kept blobs, against the same net under autograd as a whole, and Caffe's rules for its memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from caffe_port.errors import LayerError
from caffe_port.net import Blob, BlobwiseExecutor
from tests.net.make import build, conv, executor, inputs, ip, layer, random_inputs

LABELLED = inputs(data=(6, 2, 7, 7), label=(6,))
VECTORS = inputs(data=(6, 5), label=(6,))
LOSS = layer("SoftmaxWithLoss", "loss", "top label", "loss")
SQUARE = "inner_product_param { num_output: 5 weight_filler { type: 'xavier' } }"

NETS = {
    "in-place": LABELLED
    + conv("c1", "data", "c1")
    + layer("ReLU", "r1", "c1", "c1")
    + conv("c2", "c1", "c2")
    + layer("Sigmoid", "s2", "c2", "c2")
    + layer("TanH", "t2", "c2", "c2")
    + ip("top", "c2", "top")
    + LOSS,
    "splits": LABELLED
    + conv("c1", "data", "c1", rest="propagate_down: true")
    + layer("ReLU", "r1", "c1", "c1")
    + conv("c2", "c1", "c2", more="pad: 1")
    + layer("Eltwise", "sum", "c1 c2 c1", "sum")
    + ip("top", "sum", "top")
    + layer("Accuracy", "accuracy", "top label", "accuracy")
    + LOSS,
    "shared params": VECTORS
    + layer("InnerProduct", "a", "data", "a", SQUARE + ' param { name: "w" }')
    + layer("ReLU", "r", "a", "a")
    + layer("InnerProduct", "b", "a", "top", SQUARE + ' param { name: "w" }')
    + LOSS,
    "two losses": VECTORS
    + ip("a", "data", "a", 4)
    + ip("b", "a", "top", 3)
    + LOSS
    + layer("Reduction", "norm", "a", "norm", "reduction_param { operation: SUMSQ } loss_weight: 0.25"),
    "loss_weight on an intermediate blob": VECTORS
    + ip("a", "data", "a", 4, "loss_weight: 0.125")
    + layer("TanH", "t", "a", "t")
    + ip("b", "t", "top", 3)
    + LOSS,
    "BatchNorm": LABELLED
    + conv("c1", "data", "c1")
    + layer("BatchNorm", "bn", "c1", "c1")
    + layer("Scale", "scale", "c1", "c1", "scale_param { bias_term: true filler { value: 1.5 } }")
    + layer("ReLU", "r1", "c1", "c1")
    + ip("top", "c1", "top")
    + LOSS,
    "Dropout": VECTORS
    + ip("a", "data", "a", 30)
    + layer("Dropout", "drop", "a", "a", "dropout_param { dropout_ratio: 0.4 }")
    + ip("b", "a", "top")
    + LOSS,
    "Flatten, Reshape, Slice, Concat": LABELLED
    + conv("c1", "data", "c1")
    + layer("Flatten", "f", "c1", "f")
    + layer("Reshape", "re", "f", "re", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }")
    + layer("Slice", "sl", "re", "x y", "slice_param { axis: 1 }")
    + layer("Concat", "co", "y x", "co", "concat_param { axis: 2 }")
    + ip("top", "co", "top")
    + LOSS,
    "LRN and pooling": LABELLED
    + conv("c1", "data", "c1", 6)
    + layer("LRN", "n", "c1", "n", "lrn_param { alpha: 0.5 }")
    + layer("Pooling", "p", "n", "p", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + ip("top", "p", "top")
    + LOSS,
    "force_backward": "force_backward: true\n" + VECTORS + ip("a", "data", "top", 3, "param { lr_mult: 0 }") + LOSS,
}


def close(found: Tensor, expected: Tensor, name: str, scale: float = 1e-3) -> None:
    """Equal to 1e-6 of the largest value, or of ``scale`` where terms of that size cancel."""
    scale = max(scale, float(expected.abs().max()))
    assert found.shape == expected.shape, name
    assert float((found - expected).abs().max()) <= 1e-6 * scale, name


def reached(net) -> set[str]:
    """Blobs whose diff backward writes."""
    return {
        name
        for node in net.nodes
        if node.need_backward
        for name, flows in zip(node.bottoms, node.bottom_need_backward)
        if flows
    }


@pytest.mark.parametrize("name", NETS)
def test_equals_the_fast_path(name):
    fast, slow = (build(NETS[name], phase="TRAIN") for _ in range(2))
    values = random_inputs(fast)
    run = executor(slow, values)
    for _ in range(2):  # the second time from other random numbers and running sums, gradients added up
        traced: dict[str, Tensor] = {}
        blobs, loss = fast.run(values, traced=traced)
        loss.backward()
        total = run.forward()
        run.backward()
        assert total == pytest.approx(float(loss.detach()), rel=1e-6)
        in_place = {t for node in fast.nodes for t in node.tops if t in node.bottoms}
        for blob in blobs.keys() - in_place:
            close(run.blobs[blob].data, blobs[blob].detach(), blob)
        assert reached(slow) <= set(traced)
        for blob in reached(slow):
            close(run.blobs[blob].diff, traced[blob].grad, f"diff of {blob}")
        largest = max((float(p.grad.abs().max()) for p in fast.parameters() if p.grad is not None), default=0)
        for (key, ours), theirs in zip(slow.named_parameters(), fast.parameters()):
            assert (ours.grad is None) == (theirs.grad is None), key
            close(ours.detach(), theirs.detach(), key)
            if ours.grad is not None:
                close(ours.grad, theirs.grad, f"diff of {key}", largest)


def chain(phase: str = "TRAIN") -> tuple[BlobwiseExecutor, dict[str, Tensor]]:
    net = build(
        VECTORS + ip("a", "data", "a", 4) + layer("ReLU", "r", "a", "h") + ip("b", "h", "top") + LOSS, phase=phase
    )
    values = random_inputs(net)
    return executor(net, values), values


INDEX = {"data": 0, "label": 1, "a": 2, "r": 3, "b": 4, "loss": 5}


def test_forward_from_and_to():
    run, values = chain()
    run.forward(end=INDEX["a"])
    a = run.blobs["a"].data.clone()
    weight, bias = (blob.detach() for blob in run.net.layer("a").blobs)
    torch.testing.assert_close(a, values["data"] @ weight.T + bias)
    assert not run.blobs["h"].data.any()
    run.blobs["a"].data[...] = -1
    run.blobs["a"].data[0] = 2
    loss = run.forward(start=INDEX["r"])
    expected = torch.zeros(6, 4)
    expected[0] = 2
    torch.testing.assert_close(run.blobs["h"].data, expected)
    assert loss == pytest.approx(float(run.blobs["loss"].data))
    assert run.forward(start=3, end=2) == 0.0  # nothing


def test_backward_from_and_to():
    run, _ = chain()
    run.forward()
    top = torch.randn(6, 3)
    run.blobs["top"].diff[...] = top
    run.backward(start=INDEX["b"], end=INDEX["b"])
    torch.testing.assert_close(run.blobs["h"].diff, top @ run.net.layer("b").weight.detach())
    assert run.net.layer("a").weight.grad is None
    assert not run.blobs["a"].diff.any()
    run.backward(start=INDEX["r"], end=INDEX["a"])
    a_diff = run.blobs["h"].diff * (run.blobs["a"].data > 0)
    torch.testing.assert_close(run.blobs["a"].diff, a_diff)
    torch.testing.assert_close(run.net.layer("a").weight.grad, a_diff.T @ run.blobs["data"].data)


def test_param_diffs_add_up_blob_diffs_do_not():
    run, _ = chain()
    run.forward()
    run.backward()
    once = {name: p.grad.clone() for name, p in run.net.named_parameters()}
    diff = run.blobs["h"].diff.clone()
    run.backward()
    for name, parameter in run.net.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])
    torch.testing.assert_close(run.blobs["h"].diff, diff)


def test_editing_a_diff_and_going_on():
    run, _ = chain()
    run.forward()
    run.backward(end=INDEX["b"])
    run.blobs["h"].diff[...] = 0
    run.backward(start=INDEX["r"])
    assert not run.net.layer("a").weight.grad.any()


def test_backward_without_forward_uses_what_the_blobs_hold():
    run, _ = chain()
    run.blobs["h"].data[...] = torch.randn(6, 4)
    run.blobs["top"].diff[...] = torch.randn(6, 3)
    run.backward(start=INDEX["b"], end=INDEX["b"])
    weight = run.net.layer("b").weight
    torch.testing.assert_close(weight.grad, run.blobs["top"].diff.T @ run.blobs["h"].data)
    torch.testing.assert_close(run.blobs["h"].diff, run.blobs["top"].diff @ weight.detach())


def test_split_diffs_are_summed():
    text = VECTORS + ip("a", "data", "a", 3) + ip("b", "a", "b") + ip("c", "a", "c")
    net = build(text + layer("Eltwise", "sum", "b c", "top") + LOSS, phase="TRAIN")
    run = executor(net, random_inputs(net))
    run.forward()
    run.backward()
    first, second = (run.blobs[f"a_a_0_split_{i}"].diff for i in (0, 1))
    torch.testing.assert_close(run.blobs["a"].diff, first + second)
    assert (first != second).any()
    split = next(i for i, node in enumerate(net.nodes) if node.name == "a_a_0_split")
    second[...] = 0
    run.backward(start=split, end=split)
    torch.testing.assert_close(run.blobs["a"].diff, first)


def test_the_loss_weight_stands_in_the_diff():
    net = build(NETS["two losses"], phase="TRAIN")
    run = BlobwiseExecutor(net)
    assert float(run.blobs["loss"].diff) == 1.0
    assert float(run.blobs["norm"].diff) == 0.25


def test_a_larger_batch_keeps_a_loss_weight_on_a_blob_with_items():
    text = inputs(data=(2, 3)) + ip("a", "data", "a", 2, "loss_weight: 3")
    net = build(text, phase="TRAIN")
    run = BlobwiseExecutor(net)
    run.blobs["data"].reshape(5, 3)
    run.blobs["data"].data.fill_(1)
    assert run.forward() == pytest.approx(3 * float(run.blobs["a"].data.sum()), rel=1e-6)
    run.backward()
    torch.testing.assert_close(net.layer("a").bias.grad, torch.full((2,), 15.0))


# -- memory -----------------------------------------------------------------------------------------------------------


def test_views_stay_valid_across_passes_and_reshapes_to_smaller():
    run, values = chain()
    views = {name: (blob.data, blob.diff) for name, blob in run.blobs.items()}
    run.forward()
    run.backward()
    for name, (data, diff) in views.items():
        assert data.data_ptr() == run.blobs[name].data.data_ptr(), name
        assert diff.data_ptr() == run.blobs[name].diff.data_ptr(), name
    assert views["a"][0].any()
    assert views["a"][1].any()
    views["data"][0][:2] = 1  # written through an old view
    for name in ("data", "label"):
        run.blobs[name].reshape(2, *values[name].shape[1:])
    run.forward()
    assert run.blobs["a"].shape == (2, 4)
    assert run.blobs["a"].data.data_ptr() == views["a"][0].data_ptr()
    weight, bias = (blob.detach() for blob in run.net.layer("a").blobs)
    torch.testing.assert_close(views["a"][0][:2], torch.ones(2, 5) @ weight.T + bias)


def test_reshape_to_larger():
    run, _ = chain()
    run.forward()
    run.blobs["data"].reshape(9, 5)
    run.blobs["label"].reshape(9)
    run.reshape()
    assert run.blobs["top"].shape == run.blobs["top"].data.shape == (9, 3)
    assert run.blobs["top"].diff.shape == (9, 3)
    run.blobs["data"].data.fill_(1)
    run.forward()
    run.backward()
    assert run.blobs["top"].diff.shape == (9, 3)
    assert run.blobs["top"].diff.any()


@pytest.mark.parametrize("looked", [True, False])
def test_blobs_that_were_computed_then_reshaped(looked):
    run, _ = chain()
    run.forward()
    if looked:
        run.blobs["a"].data
    other = chain()[0]
    other.forward()
    run.blobs["data"].reshape(2, 5)
    run.blobs["label"].reshape(2)
    run.reshape()
    torch.testing.assert_close(run.blobs["a"].data, other.blobs["a"].data[:2])  # kept as far as they reach


def test_part_of_a_net_runs_on_sizes_that_the_rest_refuses():
    """As deep dreams need it: whole images through the convolutions of a net that ends in fully connected layers."""
    text = inputs(data=(1, 2, 7, 7)) + conv("c", "data", "c") + ip("top", "c", "top")
    small = torch.randn(1, 2, 7, 7)
    run = executor(build(text), {"data": small})
    run.forward()
    top = run.blobs["top"].data.clone()
    image = torch.randn(1, 2, 9, 12)
    run.blobs["data"].reshape(*image.shape)
    run.blobs["data"].data.copy_(image)
    run.forward(end=1)
    weight, bias = run.net.layer("c").blobs
    torch.testing.assert_close(run.blobs["c"].data, torch.nn.functional.conv2d(image, weight.data, bias.data))
    with pytest.raises(LayerError, match=r"'top'.*incompatible"):
        run.forward()
    run.blobs["data"].reshape(*small.shape)
    run.blobs["data"].data.copy_(small)
    run.forward()
    torch.testing.assert_close(run.blobs["top"].data, top)


def test_reshape_restores_every_blob():
    run, _ = chain()
    run.forward()
    run.blobs["h"].reshape(3, 4)
    run.forward(start=INDEX["b"], end=INDEX["b"])
    assert run.blobs["top"].shape == (3, 3)
    run.reshape()
    assert (run.blobs["h"].shape, run.blobs["top"].shape) == ((6, 4), (6, 3))
    run.forward()
    assert run.net.blob_shapes["top"] == (6, 3)


def test_a_blob_of_a_wrong_shape_names_the_layer():
    run, _ = chain()
    run.blobs["h"].reshape(6, 2, 2, 2)
    with pytest.raises(LayerError, match=r"layer 'b' \(InnerProduct\)"):
        run.forward(start=INDEX["b"])


def test_results_are_safe_from_later_edits():
    """A diff that nobody looked at must not follow edits of the diff that it was computed from."""
    text = "force_backward: true\n" + inputs(x=(2, 3), y=(2, 3)) + layer("Eltwise", "e", "x y", "s")
    run = BlobwiseExecutor(build(text))
    run.forward()
    run.blobs["s"].diff.fill_(2)
    run.backward()
    run.blobs["s"].diff.fill_(7)
    assert (run.blobs["x"].diff == 2).all()


@pytest.mark.parametrize(
    ("kind", "rest", "diffs"),
    [
        ("Flatten", "", True),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", True),
        ("Split", "", False),
    ],
)
def test_tops_that_share_memory_with_their_bottom(kind, rest, diffs):
    """Caffe: ShareData and ShareDiff in flatten_layer.cpp, reshape_layer.cpp and split_layer.cpp."""
    text = "force_backward: true\n" + inputs(data=(2, 3, 2)) + layer("ReLU", "r", "data", "x")
    run = BlobwiseExecutor(build(text + layer(kind, "s", "x", "y", rest)))
    data = run.blobs["data"].data
    data[...] = torch.arange(12.0).view(2, 3, 2)
    run.forward()
    assert run.blobs["x"].data.data_ptr() == run.blobs["y"].data.data_ptr()
    run.blobs["y"].data.flatten()[3] = 50
    assert run.blobs["x"].data[0, 1, 1] == 50
    assert (run.blobs["x"].diff.data_ptr() == run.blobs["y"].diff.data_ptr()) is diffs
    run.blobs["y"].diff.fill_(3)
    run.backward()
    assert (run.blobs["x"].diff == 3).all()
    assert run.blobs["data"].diff.sum() == 3 * 11  # not where the data is 0


def test_nothing_is_allocated_before_somebody_looks():
    run, _ = chain()
    run.forward()
    run.backward()
    assert run.blobs["a"]._data._flat is None
    assert run.blobs["a"]._diff._flat is None


def test_filter_reshapes_the_blobs_after_it():
    text = inputs(data=(4, 3), keep=(4,)) + layer("Filter", "f", "data keep", "x") + ip("a", "x", "a")
    run = BlobwiseExecutor(build(text))
    run.blobs["data"].data[...] = torch.randn(4, 3)
    for keep in ([1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0]):
        run.blobs["keep"].data[...] = torch.tensor(keep)
        run.forward()
        assert run.blobs["a"].shape == run.blobs["a"].data.shape == (sum(keep), 3)


def test_double_nets_have_double_blobs():
    net = build(NETS["in-place"], phase="TRAIN").double()
    run = executor(net, random_inputs(net))
    run.forward()
    run.backward()
    assert run.blobs["top"].data.dtype == run.blobs["top"].diff.dtype == torch.float64


def test_a_blob_alone():
    blob = Blob((2, 3))
    blob.data[...] = 4
    blob.reshape(3)
    assert blob.data.tolist() == [4, 4, 4]
    blob.reshape()
    assert blob.data.shape == ()
    blob.reshape(0, 3)
    assert blob.data.numel() == 0
    blob.put_data(torch.ones(4, 4))
    assert blob.shape == (4, 4)
    assert (blob.value() == 1).all()
