"""Names of blobs: by type those of every layer in the registry, without one by shapes."""

from __future__ import annotations

import pytest

from caffe_port.convert.names import BLOB_NAMES, blob_names, caffe_order, current_type, natural_shape, split_key
from caffe_port.errors import WeightsError
from caffe_port.layers import layer_types
from tests.net.make import build, inputs, layer
from tests.shared import tool

make_layer_table = tool("make_layer_table")

BARE = {
    "Convolution": "convolution_param { num_output: 2 kernel_size: 1 bias_term: false }",
    "Deconvolution": "convolution_param { num_output: 2 kernel_size: 1 bias_term: false }",
    "Embed": "embed_param { num_output: 2 input_dim: 3 bias_term: false }",
    "InnerProduct": "inner_product_param { num_output: 2 bias_term: false }",
    "Scale": "",
}


@pytest.mark.parametrize("kind", sorted(set(layer_types()) - {"Python"}))
def test_with_every_blob_that_a_layer_can_have(kind):
    cls = layer_types()[kind]
    example = make_layer_table.example(kind)[0] if make_layer_table.takes_input(cls) else None
    if example is None or not example.blob_names:
        assert kind not in BLOB_NAMES
    elif kind not in ("LSTM", "RNN"):
        assert blob_names(kind, example.blob_shapes) == (tuple(example.blob_names), True)


@pytest.mark.parametrize("kind", sorted(BARE))
def test_without_bias(kind):
    found = build(inputs(x=(2, 3, 4, 4)) + layer(kind, "l", "x", "y", BARE[kind])).layer("l")
    assert blob_names(kind, found.blob_shapes) == (tuple(found.blob_names), True)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
@pytest.mark.parametrize("bottoms", ["x c", "x c s"])
def test_recurrent_layers_with_and_without_static_input(kind, bottoms):
    text = inputs(x=(2, 3, 4), c=(2, 3), s=(3, 4)) + layer(kind, "l", bottoms, "y", "recurrent_param { num_output: 2 }")
    found = build(text).layer("l")
    assert blob_names(kind, found.blob_shapes) == (tuple(found.blob_names), True)


def test_a_scale_layer_of_two_bottoms_has_a_bias_alone():
    text = inputs(x=(2, 3), y=(3,)) + layer("Scale", "l", "x y", "z", "scale_param { bias_term: true }")
    assert tuple(build(text).layer("l").blob_names) in BLOB_NAMES["Scale"]


def test_types_of_forks_and_counts_of_blobs_that_no_layer_has():
    assert blob_names("Normalize", [(3,)]) == (("0",), False)
    assert blob_names("BatchNorm", [(3,)] * 5) == (("0", "1", "2", "3", "4"), False)  # NVIDIA's with scale and bias
    assert blob_names("Python", [(3,), (4,)]) == (("0", "1"), True)
    assert blob_names("ReLU", []) == ((), False)


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ([(2, 3, 5, 5), (2,)], ("weight", "bias")),
        ([(2, 3), (2,)], ("weight", "bias")),
        ([(2, 3)], ("weight",)),
        ([(3,), (3,), (1,)], ("mean", "variance", "scale_factor")),
        ([(3,)], ("0",)),
        ([(3,), (3,)], ("0", "1")),
        ([(3,), (4,), (1,)], ("0", "1", "2")),
        ([(8, 4), (8,), (8, 2)], ("0", "1", "2")),
        ([()], ("0",)),
    ],
)
def test_without_a_type_by_shapes(shapes, names):
    assert blob_names("", shapes) == (names, False)


def test_types_of_any_age():
    for given, type_ in [("INNER_PRODUCT", "InnerProduct"), ("innerproduct", "InnerProduct"), ("conv", "Convolution")]:
        assert current_type(given) == type_
    for unchanged in ("Convolution", "LRN", "Normalize", "77", ""):
        assert current_type(unchanged) == unchanged


@pytest.mark.parametrize(
    ("kind", "name", "old", "new"),
    [
        ("InnerProduct", "weight", (1, 1, 10, 20), (10, 20)),
        ("InnerProduct", "weight", (1, 1, 1, 20), (1, 20)),
        ("InnerProduct", "weight", (10, 20, 1, 1), (10, 20, 1, 1)),  # real Caffe refuses these too
        ("InnerProduct", "bias", (1, 1, 1, 10), (10,)),
        ("InnerProduct", "bias", (1, 1, 1, 1), (1,)),
        ("Convolution", "weight", (1, 1, 3, 3), (1, 1, 3, 3)),
        ("Convolution", "weight", (8, 3, 3, 3), (8, 3, 3, 3)),
        ("Convolution", "bias", (1, 1, 1, 8), (8,)),
        ("Deconvolution", "weight", (1, 8, 4, 4), (1, 8, 4, 4)),
        ("Embed", "weight", (1, 1, 5, 6), (5, 6)),
        ("PReLU", "slope", (1, 1, 1, 8), (8,)),
        ("Scale", "scale", (1, 1, 1, 8), (8,)),
        ("Scale", "bias", (1, 8, 2, 2), (8, 2, 2)),
        ("BatchNorm", "scale_factor", (1, 1, 1, 1), (1,)),
        ("LSTM", "W_hc", (1, 1, 8, 2), (8, 2)),
        ("LSTM", "b_c", (1, 1, 1, 8), (8,)),
        ("Parameter", "parameter", (1, 1, 2, 3), (1, 1, 2, 3)),
        ("Normalize", "0", (1, 1, 1, 8), (1, 1, 1, 8)),
        ("", "", (1, 1, 10, 20), (10, 20)),
        ("", "", (1, 1, 1, 10), (10,)),
    ],
)
def test_natural_shapes(kind, name, old, new):
    assert natural_shape(kind, name, old) == new


def test_keys():
    assert split_key("conv1.weight") == ("conv1", "weight")
    assert split_key("a.b/c d.W_xc_static") == ("a.b/c d", "W_xc_static")
    assert split_key(".0") == ("", "0")
    for key in ("weight", "", "layer1.running_mean", "a.weight.", "a.Weight", "a.²"):
        with pytest.raises(WeightsError, match="Key"):
            split_key(key)


def test_the_order_of_blobs_does_not_depend_on_that_of_keys():
    """safetensors sorts them."""
    for kind, variants in BLOB_NAMES.items():
        for names in variants:
            order, found = caffe_order("l", sorted(names))
            assert order == names
            assert found in ("", kind)
    assert caffe_order("l", ["variance", "scale_factor", "mean"])[1] == "BatchNorm"
    assert caffe_order("l", ["bias", "weight"])[1] == ""
    assert caffe_order("l", [str(n) for n in reversed(range(12))])[0] == tuple(map(str, range(12)))


@pytest.mark.parametrize("names", [["weight", "slope"], ["mean", "variance"], ["0", "2"], ["weight", "0"]])
def test_blobs_that_no_layer_has_together(names):
    with pytest.raises(WeightsError, match="layer 'l': No layer of Caffe has exactly the blobs"):
        caffe_order("l", names)
