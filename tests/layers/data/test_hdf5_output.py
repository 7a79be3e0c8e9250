from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from caffe_port.errors import DataError, LayerError
from tests.layers.harness import checks, make_layer


def text(path):
    return f'name: "out" type: "HDF5Output" hdf5_output_param {{ file_name: "{path}" }}'


@checks("HDF5Output", "numeric")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_writes_four_axes(tmp_path, dtype):
    path = tmp_path / "out.h5"
    path.write_text("an old file is replaced")
    layer = make_layer(text(path), (2, 3, 4), (2,))
    assert path.read_text() == "an old file is replaced"
    data, label = torch.randn(2, 3, 4, dtype=dtype), torch.tensor([5, 7], dtype=dtype)
    assert layer(data, label) == ()
    with h5py.File(path) as file:
        assert sorted(file) == ["data", "label"]
        assert file["data"].shape == (2, 3, 4, 1)
        assert file["label"].shape == (2, 1, 1, 1)
        assert file["data"].dtype == data.numpy().dtype
        np.testing.assert_array_equal(file["data"][..., 0], data.numpy())
        np.testing.assert_array_equal(file["label"][:, 0, 0, 0], [5, 7])


def test_a_second_forward_adds_rows(tmp_path):
    layer = make_layer(text(tmp_path / "out.h5"), (2, 3), (2,))
    parts = [torch.randn(n, 3) for n in (2, 3)]
    for part in parts:
        layer(part, part[:, 0])
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["data"][:, :, 0, 0], torch.cat(parts).numpy())
        assert file["label"].shape == (5, 1, 1, 1)
    with pytest.raises(LayerError, match=r"rows of 'data' changed their shape"):
        layer(torch.zeros(2, 4), torch.zeros(2))


@checks("HDF5Output", "gradient")
def test_no_gradient(tmp_path):
    layer = make_layer(text(tmp_path / "out.h5"), (2, 3), (2,))
    bottom = torch.randn(2, 3, requires_grad=True)
    assert layer(bottom, torch.zeros(2)) == ()  # nothing to go back from
    assert list(layer.parameters()) == []


@checks("HDF5Output", "errors")
@pytest.mark.parametrize(
    ("shapes", "cause"),
    [
        ([(2, 3), (3,)], "data blob and label blob must have the same batch size, not 2 and 3"),
        ([(2, 3, 1, 1, 1), (2,)], "a bottom has 5 axes"),
        ([(2, 3), ()], "a bottom has 0 axes"),
    ],
)
def test_refused_shapes(tmp_path, shapes, cause):
    with pytest.raises(LayerError, match=cause):
        make_layer(text(tmp_path / "out.h5"), *shapes)


def test_refused_files(tmp_path):
    with pytest.raises(LayerError, match="hdf5_output_param has no file_name"):
        make_layer('type: "HDF5Output"', (1,), (1,))
    with pytest.raises(LayerError, match="does not exist"):
        make_layer(text(tmp_path / "no" / "out.h5"), (1,), (1,))
    (tmp_path / "out.h5").mkdir()
    layer = make_layer(text(tmp_path / "out.h5"), (1,), (1,))
    with pytest.raises(DataError, match=r"out.h5, layer 'out' \(HDF5Output\): Failed to write"):
        layer(torch.zeros(1), torch.zeros(1))
