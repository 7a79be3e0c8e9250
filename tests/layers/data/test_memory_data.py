from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeWarning, DataError, LayerError
from tests.data.make import images
from tests.layers.harness import checks, make_layer, run

SIZES = "batch_size: 2 channels: 3 height: 4 width: 5"


def make(transform="", sizes=SIZES, **options):
    more = f"transform_param {{ {transform} }}" if transform else ""
    line = f'name: "data" type: "MemoryData" top: "d" top: "l" memory_data_param {{ {sizes} }} {more}'
    return make_layer(line, **options)


def arrays(count):
    return np.random.default_rng(0).normal(size=(count, 3, 4, 5)).astype(np.float32), np.arange(count, dtype=np.float32)


@checks("MemoryData", "numeric")
def test_batches_in_turn():
    layer = make()
    data, labels = arrays(6)
    layer.set_arrays(data, labels.reshape(6, 1, 1, 1))
    for start in (0, 2, 4, 0, 2):
        got, label = run(layer)
        np.testing.assert_array_equal(got, data[start : start + 2])
        np.testing.assert_array_equal(label, labels[start : start + 2])
    layer.set_arrays(data[4:], labels[4:])
    assert run(layer)[1].tolist() == [4, 5]


@checks("MemoryData", "gradient")
def test_no_gradient():
    layer = make()
    layer.set_arrays(*arrays(2))
    assert [top.requires_grad for top in layer()] == [False, False]


def test_arrays_are_read_where_they_are_but_not_changed():
    layer = make(dtype=torch.float32)
    data, labels = arrays(2)
    layer.set_arrays(data, labels)
    data[0, 0, 0, 0] = 9
    top = layer()[0]
    assert top[0, 0, 0, 0] == 9
    top.zero_()
    assert data[0, 0, 0, 0] == 9


def test_resume():
    layer = make()
    layer.set_arrays(*arrays(6))
    layer.passes = 4
    assert run(layer)[1].tolist() == [2, 3]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_datums_are_transformed(phase):
    pixels = images(4, (3, 8, 7))
    layer = make("crop_size: 4 scale: 0.5 mean_value: 10", SIZES.replace("width: 5", "width: 4"), phase=phase)
    layer.add_datums([array_to_datum(p, i + 3) for i, p in enumerate(pixels)])
    got = [run(layer) for _ in range(2)]
    assert [label.tolist() for _, label in got] == [[3, 4], [5, 6]]
    data = np.concatenate([d for d, _ in got])
    for image, whole in zip(data, (pixels - 10.0) * 0.5):
        places = [(2, 1)] if phase == "TEST" else np.ndindex(5, 4)
        assert any(np.array_equal(image, whole[:, t : t + 4, x : x + 4]) for t, x in places)


def test_datums_wait_for_those_before():
    layer = make()
    datums = [array_to_datum(p) for p in images(4, (3, 4, 5))]
    layer.add_datums(datums)
    layer()
    for refused in (lambda: layer.add_datums(datums), lambda: layer.set_batch_size(4)):
        with pytest.raises(LayerError, match="until current data has been consumed"):
            refused()
    layer()
    layer.add_datums(datums)
    np.testing.assert_array_equal(run(layer)[0], images(4, (3, 4, 5))[:2])


def test_batch_size_may_change():
    layer = make()
    layer.set_arrays(*arrays(6))
    layer.set_batch_size(3)
    assert layer.reshape([]) == [(3, 3, 4, 5), (3,)]
    assert run(layer)[1].tolist() == [0, 1, 2]
    layer.set_batch_size(4)
    with pytest.raises(LayerError, match="MemoryData has no data"):
        layer()


@checks("MemoryData", "errors")
@pytest.mark.parametrize("field", ["batch_size: 2", "channels: 3", "height: 4", "width: 5"])
def test_all_sizes_are_needed(field):
    with pytest.raises(LayerError, match="must be specified and positive in memory_data_param"):
        make(sizes=SIZES.replace(field, ""))


def test_refused_data():
    layer = make()
    data, labels = arrays(6)
    with pytest.raises(LayerError, match=r"layer 'data' \(MemoryData\): MemoryData has no data. Call set_arrays"):
        layer()
    with pytest.raises(LayerError, match=r"number of items \(5\) must be a positive multiple of the batch size 2"):
        layer.set_arrays(data[:5], labels[:5])
    with pytest.raises(LayerError, match=r"number of items \(0\)"):
        layer.set_arrays(data[:0], labels[:0])
    with pytest.raises(LayerError, match="there are 4 labels for 6 items"):
        layer.set_arrays(data, labels[:4])
    with pytest.raises(LayerError, match="not n x 3 x 4 x 5"):
        layer.set_arrays(data[:, :2], labels)
    with pytest.raises(LayerError, match="There is no datum to add"):
        layer.add_datums([])
    datum = array_to_datum(images(1, (3, 4, 5))[0])
    datum.data = b"x"
    with pytest.raises(DataError, match=r"layer 'data' \(MemoryData\): datum 1 holds 1 values"):
        layer.add_datums([array_to_datum(images(1, (3, 4, 5))[0]), datum])


def test_arrays_are_not_transformed():
    layer = make("scale: 2", dtype=torch.float32)
    data, labels = arrays(2)
    with pytest.warns(CaffeWarning, match="does not transform array data"):
        layer.set_arrays(data, labels)
    np.testing.assert_array_equal(run(layer)[0], data)
