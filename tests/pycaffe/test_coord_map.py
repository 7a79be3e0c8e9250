"""Coordinate maps and crops (Caffe: python/caffe/test/test_coord_map.py).

Besides the arithmetic, nets are run in which every kernel passes one pixel on: cropped to their input, they give it
back.
"""
# ruff: noqa: C408 -- parameters are written as old scripts write them

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.errors import NetError
from caffe_port.pycaffe import coord_map as cm
from caffe_port.pycaffe.coord_map import coord_map_from_to, crop
from caffe_port.pycaffe.net import Net
from caffe_port.pycaffe.net_spec import NetSpec
from caffe_port.pycaffe.net_spec import layers as L
from caffe_port.pycaffe.net_spec import params as P


def chain(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    """data -> conv -> pool -> deconv; the deconvolution's kernel is twice its stride."""
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
    n.other = L.Input(shape=dict(dim=[2, 1, 20, 20]))
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=2 * np.array(up), stride=up, pad=up_pad)
    return n


def same(found, axis, scale, shift):
    assert found[0] == axis
    np.testing.assert_allclose(found[1], scale, rtol=1e-12)
    np.testing.assert_allclose(found[2], shift, rtol=1e-12, atol=1e-12)


# -- single layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "scale", "shift"),
    [
        (dict(kernel_size=1), 1, 0),
        (dict(kernel_size=3), 1, -1),
        (dict(kernel_size=3, pad=1), 1, 0),
        (dict(kernel_size=2, stride=2), 1 / 2, -1 / 4),
        (dict(kernel_size=7, stride=4, pad=3), 1 / 4, 0),
        (dict(kernel_size=3, dilation=4), 1, -4),
        (dict(kernel_size=[3, 5], stride=[1, 2], pad=[0, 10]), [1, 1 / 2], [-1, 4]),
        (dict(kernel_size=[1, 3, 5]), 1, [0, -1, -2]),
    ],
)
def test_layers_with_kernels(params, scale, shift):
    """A pixel of the input lies at the middle of the window that is centred on it; a deconvolution does the reverse."""
    data = L.Input(shape=dict(dim=1))
    for given in (params, dict(convolution_param=params)):
        same(cm.coord_map(L.Convolution(data, **given).fn), 1, scale, shift)
        same(cm.coord_map(L.Im2col(data, **given).fn), 1, scale, shift)
        same(cm.inverse(cm.coord_map(L.Deconvolution(data, **given).fn)), 1, scale, shift)
    for given in (params, dict(pooling_param=params)):
        same(cm.coord_map(L.Pooling(data, **given).fn), 1, scale, shift)


def test_conv_params_and_crop_params():
    data = L.Input(shape=dict(dim=1))
    axis, stride, kernel, pad = cm.conv_params(L.Convolution(data, kernel_size=3, dilation=2, axis=2, pad=[1, 2]).fn)
    assert (axis, list(stride), list(kernel), list(pad)) == (2, [1], [5], [1, 2])
    for given in (dict(axis=1, offset=[3, 4]), dict(crop_param=dict(axis=1, offset=[3, 4]))):
        axis, offset = cm.crop_params(L.Crop(data, data, **given).fn)
        assert (axis, list(offset)) == (1, [3, 4])
    axis, offset = cm.crop_params(L.Crop(data, data).fn)
    assert (axis, list(offset)) == (2, [0])


@pytest.mark.parametrize(
    "kind", ["ReLU", "PReLU", "ELU", "TanH", "Sigmoid", "Dropout", "LRN", "BatchNorm", "Scale", "Eltwise", "Power"]
)
def test_pointwise_layers_are_the_identity_of_any_axis(kind):
    assert cm.coord_map(getattr(L, kind)(L.Input(shape=dict(dim=1))).fn) == (None, 1, 0)


@pytest.mark.parametrize("kind", ["InnerProduct", "Flatten", "Reshape", "Softmax", "Input", "Python"])
def test_other_layers_have_no_map(kind):
    with pytest.raises(cm.UndefinedMapException, match=kind):
        cm.coord_map(getattr(L, kind)().fn)


@pytest.mark.parametrize("name", ["kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w"])
def test_sizes_for_height_and_width_are_refused(name):
    for given in ({name: 2}, dict(convolution_param={"kernel_size": 3, name: 2})):
        with pytest.raises(AssertionError, match=name):
            cm.coord_map(L.Convolution(L.Input(shape=dict(dim=1)), **given).fn)


def test_no_kernel_size():
    with pytest.raises(NetError, match="Pooling: has no kernel_size"):
        cm.coord_map(L.Pooling(L.Input(shape=dict(dim=1)), global_pooling=True).fn)


# -- composition ------------------------------------------------------------------------------------------------------


def test_compose_and_inverse():
    first, second = (1, np.array([2.0]), np.array([3.0])), (1, np.array([0.5]), np.array([-1.0]))
    x = np.array([7.0])
    same(cm.compose(second, first), 1, 1, 0.5 * 3 - 1)
    np.testing.assert_allclose(cm.compose(second, first)[1] * x + cm.compose(second, first)[2], 0.5 * (2 * x + 3) - 1)
    same(cm.compose(first, cm.inverse(first)), 1, 1, 0)
    same(cm.compose(cm.inverse(first), first), 1, 1, 0)
    identity = (None, 1, 0)
    assert cm.compose(identity, identity) == identity
    assert cm.compose(identity, first) == cm.compose(first, identity) == first
    with pytest.raises(cm.AxisMismatchException):
        cm.compose(first, (2, 1, 0))


@pytest.mark.parametrize(
    ("settings", "shift"),
    [
        ({}, 0),  # kernel 3 cuts 1, pool 2 another 1/2, which the deconvolution gives back three times over
        (dict(pool=4, up=4), -1 + 3 / 2 + 1 / 2 - 2),
        (dict(pad=4), -4),
        (dict(up_pad=3), 3),
        (dict(pad=5, up_pad=5), 0),
        (dict(kernel=5), 1),
    ],
)
def test_conv_pool_deconv(settings, shift):
    n = chain(**settings)
    same(coord_map_from_to(n.deconv, n.data), 1, 1, shift)
    same(coord_map_from_to(n.data, n.deconv), 1, 1, -shift)


def test_scale_and_axes():
    n = chain(pool=3, up=2)
    same((*coord_map_from_to(n.deconv, n.data)[:2], 0), 1, 1.5, 0)
    n = chain(kernel=[3, 5], stride=[1, 2], pad=[0, 10])
    three, five = chain(kernel=3), chain(kernel=5, stride=2, pad=10)
    found = coord_map_from_to(n.deconv, n.data)
    for axis, alone in enumerate((three, five)):
        part = coord_map_from_to(alone.deconv, alone.data)
        assert (found[1][axis], found[2][axis]) == (part[1][0], part[2][0])


def test_more_spatial_axes():
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 100, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=[3, 3, 3], stride=[1, 1, 1], pad=[0, 1, 2])
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=4, stride=2)
    same(coord_map_from_to(n.deconv, n.data), 1, [1, 1, 1], [0, -1, -2])


def test_pointwise_layers_change_nothing_on_the_way():
    n = chain()
    expected = coord_map_from_to(n.deconv, n.data)
    top = n.deconv
    for kind in ("ReLU", "Dropout", "LRN", "Scale"):
        top = getattr(L, kind)(top)
        assert coord_map_from_to(top, n.data) == expected
    assert coord_map_from_to(L.Convolution(top, kernel_size=1), n.data) == expected


def test_every_bottom_and_top_of_a_layer():
    n = chain()
    one, two = L.Convolution(n.data, n.other, ntop=2, kernel_size=5, stride=2)
    assert coord_map_from_to(one, n.data) == coord_map_from_to(two, n.other)
    total = L.Eltwise(L.Convolution(n.other, kernel_size=3), L.Convolution(n.data, kernel_size=3))
    for source in (n.data, n.other):
        same(coord_map_from_to(total, source), 1, 1, 1)


def test_two_branches_meet_at_the_nearest_blob():
    n = chain()
    left = L.Convolution(n.conv, kernel_size=3)
    right = L.Convolution(n.conv, kernel_size=7)
    same(coord_map_from_to(left, right), 1, 1, -2)
    same(coord_map_from_to(n.conv, n.conv), None, 1, 0)


def test_many_branches_take_no_longer_than_their_layers():
    """Twice as many ways with each block: 2^200 of them here."""
    data = top = L.Input(shape=dict(dim=1))
    for _ in range(200):
        top = L.Eltwise(top, L.Convolution(top, kernel_size=3, pad=1))
    same(coord_map_from_to(top, data), None, 1, 0)


def test_crop_of_a_crop():
    n = chain()
    for offset in (0, 7):
        cropped = L.Crop(n.deconv, n.data, axis=2, offset=offset)
        same(coord_map_from_to(cropped, n.data), 1, 1, offset)
    # its second bottom gives the size only
    with pytest.raises(RuntimeError):
        coord_map_from_to(L.Crop(L.Convolution(n.other, kernel_size=1), n.data), n.data)


# -- crop -------------------------------------------------------------------------------------------------------------


def pass_on(params, kind, kernel):
    """Weights of a net's layers (1 channel): all zeros but the middle of each kernel, or all ones."""
    weights = np.zeros((kernel, kernel)) if kind == "middle" else np.ones((kernel, kernel))
    weights[kernel // 2, kernel // 2] = 1
    params[0].data[...] = weights


@pytest.mark.parametrize("pad", [0, 2, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_cropped_net_gives_its_input_back(pad, dilation, tmp_path):
    """A convolution and a deconvolution, each of which passes the middle of its kernel on, move pixels only."""
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 9, 11]))
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=pad, dilation=dilation, bias_term=False)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.up = L.Deconvolution(n.relu, convolution_param=dict(num_output=1, kernel_size=5, bias_term=False))
    n.out = crop(n.up, n.data)
    assert n.out.fn.params["crop_param"] == dict(axis=2, offset=[pad + 2 - dilation])
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    net = Net(str(tmp_path / "net.prototxt"), phase="TEST")
    pass_on(net.params["conv"], "middle", 3)
    pass_on(net.params["up"], "middle", 5)
    image = np.random.default_rng(0).random((1, 1, 9, 11), np.float32)
    lost = max(0, dilation - pad)  # at the border of the convolution's output
    inside = np.s_[:, :, lost : 9 - lost, lost : 11 - lost]
    np.testing.assert_array_equal(net.forward(data=image)["out"][inside], image[inside])


def test_a_cropped_upsampling_lies_on_the_image(tmp_path):
    """Halved by averages and enlarged by repetition, each block of 2x2 becomes its mean; the padding is cut off."""
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 8, 8]))
    n.pad = L.Convolution(n.data, num_output=1, kernel_size=1, pad=4, bias_term=False)
    n.pool = L.Pooling(n.pad, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    n.up = L.Deconvolution(n.pool, convolution_param=dict(num_output=1, kernel_size=2, stride=2, bias_term=False))
    n.out = crop(n.up, n.data)
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    net = Net(str(tmp_path / "net.prototxt"), phase="TEST")
    pass_on(net.params["pad"], "middle", 1)
    pass_on(net.params["up"], "all", 2)
    image = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    means = image.reshape(4, 2, 4, 2).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(net.forward(data=image)["out"][0, 0], means, rtol=1e-6)


def test_crop_to_a_blob_of_the_same_pixels():
    n = chain()
    assert crop(L.ReLU(n.data), n.data).fn.params["crop_param"] == dict(axis=2, offset=[0])


def test_crops_that_cannot_be():
    n = chain(pool=3, up=2)
    with pytest.raises(AssertionError, match=r"Scale mismatch on crop \(a = \[1.5\]\)"):
        crop(n.deconv, n.data)
    n = chain(up_pad=10)
    with pytest.raises(NetError, match=r"Cannot crop negative offset \(b = \[10.\]\)"):
        crop(n.deconv, n.data)
    n = chain(kernel=2, pad=3)
    with pytest.raises(NetError, match="Cannot crop noninteger offset"):
        crop(n.deconv, n.data)


def test_tops_that_nothing_connects():
    n = chain()
    for top in (L.InnerProduct(n.deconv, num_output=10), n.other):
        with pytest.raises(RuntimeError, match="connected by spatial layers"):
            coord_map_from_to(top, n.data)
    with pytest.raises(cm.AxisMismatchException, match=r"axes after 2 .* after 1"):
        coord_map_from_to(L.Convolution(n.conv, kernel_size=1, axis=2), n.data)
