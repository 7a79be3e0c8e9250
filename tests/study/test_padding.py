"""A base without its padding: which input suits it, and that the study keeps to it."""

from __future__ import annotations

import pytest

from caffe_port import Net
from caffe_port.errors import StudyError
from caffe_port.study.arms import deploy
from caffe_port.study.base import open_base
from caffe_port.study.body import Body
from caffe_port.study.padding import fitting_size, without_padding
from tests.net.make import conv, inputs, ip, layer, parse
from tests.shared import MODELS, needs


def body(head: str, pad: int = 2) -> Body:
    """conv(5) and pool(3, 2), twice, on 32 x 32 pixels."""
    text = inputs(data=(1, 3, 32, 32))
    bottom = "data"
    for i in (1, 2):
        text += conv(f"conv{i}", bottom, f"conv{i}", 4, 5, more=f"pad: {pad}")
        text += layer("Pooling", f"pool{i}", f"conv{i}", f"pool{i}", "pooling_param { kernel_size: 3 stride: 2 }")
        bottom = f"pool{i}"
    return Body.of(parse(text + head))


def test_a_new_last_layer_takes_the_smallest_input_in_which_windows_fit():
    """By hand: 35 -> conv 31 -> pool 15 -> conv 11 -> pool 5; 32 to 34 leave a pooling window over the edge."""
    assert fitting_size(body(ip("score", "pool2", "score")), 3, (32, 32)) == (35, 35)


def test_other_fully_connected_layers_see_what_their_weights_are_made_for():
    """By hand: padded, 32 -> 32 -> 16 -> 16 -> 8. Without: pool2 8 <- conv2 17 <- 21 = pool1 <- conv1 43 <- 47."""
    two = body(ip("fc1", "pool2", "fc1") + ip("score", "fc1", "score"))
    assert fitting_size(two, 3, (32, 32)) == (47, 47)


def test_the_layers_pad_nothing_and_the_base_is_left_as_it_was():
    padded = body(ip("score", "pool2", "score"))
    bare = without_padding(padded)
    pads = [[list(x.convolution_param.pad) for x in b.layers if x.type == "Convolution"] for b in (padded, bare)]
    assert pads == [[[2], [2]], [[], []]]
    assert Net(deploy(bare, 3, (1, 3, 35, 35))).blob_shapes["pool2"][2:] == (5, 5)


def test_a_convolutional_net_without_padding_keeps_its_size():
    assert fitting_size(body(conv("score", "pool2", "score"), pad=0), 3, (23, 29)) == (23, 29)


def test_refused():
    with pytest.raises(StudyError, match="no InnerProduct"):
        fitting_size(body(conv("score", "pool2", "score")), 3, (32, 32))
    uneven = body(
        conv("a", "pool2", "a", 4, 3, more="pad: 1")
        + conv("b", "pool2", "b", 4, 5, more="pad: 2")
        + layer("Concat", "c", "a", "c", 'bottom: "b"')
        + ip("fc1", "c", "fc1")
        + ip("score", "fc1", "score")
    )
    with pytest.raises(StudyError, match="No input from 32 to 128 pixels"):
        fitting_size(uneven, 3, (32, 32))


@needs(MODELS / "cifar10_full_v1")
def test_real_nets():
    """By hand: CIFAR10_full 43 -> 39 -> 19 -> 15 -> 7 -> 3 -> 1; AlexNet, whose fc6 sees 6 x 6, needs 355."""
    folder = MODELS / "cifar10_full_v1"
    base = open_base(str(folder / "net.prototxt"), str(folder / "weights.caffemodel"), padding=False)
    assert base.size == (43, 43)
    base.check_weights()
    assert open_base(None, None, padding=False).size == (355, 355)
    assert open_base(None, None).size == (227, 227)
