"""What is exported of a net, and what is left out."""

from __future__ import annotations

import pytest

from caffe_port.convert.emitters import Emitters
from caffe_port.convert.onnx_layers import EMITTERS as ONNX
from caffe_port.convert.plan import plan_export
from caffe_port.convert.torch_layers import EMITTERS as TORCH
from caffe_port.errors import CaffeError, LayerError, NetError
from tests.convert.exports import REFUSED, case
from tests.net.make import build, conv, inputs, ip, layer


def plan(text, **options):
    return plan_export(build(text, **options), TORCH)


def test_both_targets_have_the_same_layers():
    assert set(TORCH) == set(ONNX)


def test_a_type_cannot_be_registered_twice():
    emitters = Emitters()
    emitters.register("ReLU", "ELU")(len)
    with pytest.raises(ValueError, match="ELU is registered twice"):
        emitters.register("ELU")(len)


def test_the_scores_of_losses_become_outputs_and_labels_vanish():
    made = plan(
        inputs(data=(2, 4), label=(2, 2))
        + layer("Slice", "labels", "label", "fine coarse")
        + ip("body", "data", "body")
        + ip("fine_score", "body", "f")
        + ip("coarse_score", "body", "c")
        + layer("SoftmaxWithLoss", "fine_loss", "f fine", "l1")
        + layer("SoftmaxWithLoss", "coarse_loss", "c coarse", "l2")
        + layer("Accuracy", "accuracy", "f fine", "a")
    )
    assert list(made.outputs) == ["c", "f"]
    assert list(made.inputs) == ["data"]
    assert [step.layer.TYPE for step in made.steps if step.layer.TYPE != "Split"] == ["InnerProduct"] * 3
    assert made.left_out == ("label", "labels", "fine_loss", "coarse_loss", "accuracy")


def test_an_autoencoder_gives_its_reconstruction_and_not_its_target():
    made = plan(
        inputs(data=(2, 1, 2, 2))
        + layer("Flatten", "flat", "data", "flat")
        + ip("encode", "data", "code")
        + ip("decode", "code", "decode", 4)
        + layer("SigmoidCrossEntropyLoss", "cross_entropy", "decode flat", "l1")
        + layer("Sigmoid", "sigmoid", "decode", "image")
        + layer("EuclideanLoss", "distance", "image flat", "l2")
    )
    assert list(made.outputs) == ["decode", "image"]
    assert made.left_out == ("flat", "cross_entropy", "distance")


def test_what_depends_on_a_loss_or_is_silenced_is_left_out():
    made = plan(
        inputs(data=(2, 4), label=(2,))
        + ip("score", "data", "score")
        + layer("SoftmaxWithLoss", "loss", "score label", "loss")
        + layer("Power", "tenfold", "loss", "tenfold", "power_param { scale: 10 }")
        + ip("unused", "data", "unused")
        + layer("Silence", "silence", "unused")
    )
    assert list(made.outputs) == ["score"]
    assert made.left_out == ("label", "loss", "tenfold", "unused", "silence")


def test_tops_of_data_layers_become_inputs():
    shapes = "dummy_data_param { shape { dim: 2 dim: 4 } shape { dim: 2 } }"
    made = plan(
        layer("DummyData", "source", "", "data label", shapes)
        + ip("score", "data", "score")
        + layer("SoftmaxWithLoss", "loss", "score label", "loss")
    )
    assert made.inputs == {"data": (None, 4)}
    assert made.left_out == ("source", "loss")


def test_axes_follow_the_batch_size_unless_a_layer_insists():
    body = inputs(data=(2, 3, 4, 4)) + conv("c", "data", "c", 4, 3)
    free = plan(body + layer("Reshape", "r", "c", "r", "reshape_param { shape { dim: -1 dim: 4 } }"))
    assert free.outputs == {"r": (None, 4)}
    fixed = plan(body + layer("Reshape", "r", "c", "r", "reshape_param { shape { dim: 2 dim: 16 } }"))
    assert (fixed.inputs, fixed.outputs) == ({"data": (2, 3, 4, 4)}, {"r": (2, 16)})


def test_converted_counts_layers_with_weights_and_shared_values_once():
    shared = 'param { name: "w" } param { name: "b" }'
    made = plan(inputs(data=(2, 3)) + ip("one", "data", "x", 3, shared) + ip("two", "x", "y", 3, shared))
    counted = made.converted(7)
    assert (counted.layers, counted.parameters, counted.bytes) == (2, 12, 7)


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_what_has_no_counterpart_is_refused(name, message):
    net, _ = case(name)
    with pytest.raises(CaffeError, match=message) as caught:
        plan_export(net, TORCH)
    assert f"{name}.prototxt" in str(caught.value)


def test_an_unsupported_layer_is_named():
    text = inputs(data=(2, 3, 8, 8)) + layer("SPP", "pyramid", "data", "y", "spp_param { pyramid_height: 2 }")
    with pytest.raises(LayerError, match=r"layer 'pyramid' \(SPP\): cannot be exported"):
        plan(text)


def test_stochastic_pooling_is_refused():
    param = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    with pytest.raises(LayerError, match="STOCHASTIC"):
        plan(inputs(data=(2, 3, 8, 8)) + layer("Pooling", "p", "data", "p", param))


def test_train_phase_is_refused():
    with pytest.raises(NetError, match="TRAIN"):
        plan(inputs(data=(2, 3)) + ip("a", "data", "a"), phase="TRAIN")
