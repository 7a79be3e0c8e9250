"""The table of caffe_port/layers/README.md is what the registry says."""

from __future__ import annotations

import inspect

import pytest

from caffe_port.layers import Layer, layer_types
from tests.shared import tool

make_layer_table = tool("make_layer_table")


def test_the_table_is_up_to_date():
    written = make_layer_table.README.read_text(encoding="utf-8")
    assert written == make_layer_table.readme(), "run python tools/make_layer_table.py"


def test_every_layer_has_one_row_in_a_group_of_caffes_catalogue():
    rows = [line.split(" | ") for line in make_layer_table.table().splitlines()[2:]]
    assert sorted(row[0].removeprefix("| ") for row in rows) == sorted(layer_types())
    assert {row[2] for row in rows} == set(make_layer_table.GROUPS)


@pytest.mark.parametrize(
    ("name", "blobs"),
    [
        ("Convolution", "`weight`, `bias`"),
        ("BatchNorm", "`mean`, `variance`, `scale_factor`"),
        ("LSTM", "`W_xc`, `b_c`, `W_xc_static`, `W_hc`"),
        ("ReLU", ""),
        ("Data", ""),
    ],
)
def test_blobs_stand_in_the_order_of_caffes_weights_files(name, blobs):
    assert make_layer_table.blobs(layer_types()[name]) == blobs


@pytest.mark.parametrize("cls", layer_types().values(), ids=lambda cls: cls.TYPE)
def test_a_layer_that_makes_blobs_shows_them(cls):
    makes = any("add_blob" in inspect.getsource(base) for base in cls.__mro__ if base not in Layer.__mro__)
    assert bool(make_layer_table.blobs(cls)) == makes
