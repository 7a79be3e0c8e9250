from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from caffe_port.errors import DataError, LayerError
from caffe_port.layers import LayerContext, create_layer
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.layers.harness import checks, make_layer, run
from tests.shared import ORACLE

ROWS = (5, 1, 4)


def make_files(folder, rows=ROWS):
    """Files of these many rows, numbered through: data (n, 2, 3), label (n,), weight (n, 1, 1, 1, 2) as float64."""
    first, names = 0, []
    for number, count in enumerate(rows):
        numbers = np.arange(first, first + count)
        with h5py.File(folder / f"{number}.h5", "w") as file:
            file["data"] = (numbers[:, None, None] * 10 + np.arange(6).reshape(2, 3)).astype(np.float32)
            file["label"] = numbers.astype(np.int64)
            file["weight"] = numbers.reshape(-1, 1, 1, 1, 1) + np.array([0.1, 0.2])
        first += count
        names.append(str(folder / f"{number}.h5"))
    (folder / "list.txt").write_text("\n".join(names) + "\n")
    return folder


def text(folder, batch=3, tops=("data", "label", "weight"), more=""):
    names = " ".join(f'top: "{top}"' for top in tops)
    param = f'hdf5_data_param {{ source: "{folder}/list.txt" batch_size: {batch} {more} }}'
    return f'name: "data" type: "HDF5Data" {names} {param}'


def labels(layer, count):
    return [int(x) for _ in range(count) for x in run(layer)[0]]


@checks("HDF5Data", "numeric")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_cross_files_and_epochs(tmp_path, dtype):
    layer = make_layer(text(make_files(tmp_path)), dtype=dtype)
    assert layer.reshape([]) == [(3, 2, 3), (3,), (3, 1, 1, 1, 2)]
    for batch in range(8):
        data, label, weight = run(layer)
        numbers = (batch * 3 + np.arange(3)) % 10
        np.testing.assert_array_equal(label, numbers)
        np.testing.assert_array_equal(data[:, 1, 2], numbers * 10 + 5)
        wanted = (numbers[:, None] + np.array([0.1, 0.2])).astype(weight.dtype)
        np.testing.assert_array_equal(weight.reshape(3, 2), wanted)


def test_the_solver_data_of_the_reference(monkeypatch):
    folder = ORACLE / "solvers" / "sgd_fixed"
    monkeypatch.chdir(folder)
    net = parse_text((folder / "net.prototxt").read_text(), pb.NetParameter)
    param = next(layer for layer in net.layer if layer.type == "HDF5Data")
    layer = create_layer(param, LayerContext(phase=pb.TRAIN, seed=1))
    with h5py.File(folder / "data.h5") as file:
        for top, got in zip(param.top, layer()):
            np.testing.assert_array_equal(got.numpy(), file[top][: param.hdf5_data_param.batch_size])


@checks("HDF5Data", "gradient")
def test_no_gradient(tmp_path):
    layer = make_layer(text(make_files(tmp_path)))
    assert not any(top.requires_grad for top in layer())


def test_a_batch_of_several_epochs(tmp_path):
    layer = make_layer(text(make_files(tmp_path), 25, ["label"]))
    assert labels(layer, 2) == [i % 10 for i in range(50)]


def test_shuffle_permutes_files_and_rows(tmp_path):
    layer = make_layer(text(make_files(tmp_path), 5, ["label"], "shuffle: true"))
    epochs = [labels(layer, 2) for _ in range(30)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    orders, rows = set(), set()
    for epoch in epochs:
        files = [0 if x < 5 else 1 if x == 5 else 2 for x in epoch]
        order = list(dict.fromkeys(files))
        assert files == [f for f in order for _ in range(ROWS[f])]  # a file is finished before the next begins
        orders.add(tuple(order))
        rows.add(tuple(x for x in epoch if x < 5))
    assert len(orders) == 6
    assert len(rows) > 15


def test_resume(tmp_path):
    line = text(make_files(tmp_path), 3, ["label"], "shuffle: true")
    layer = make_layer(line)
    reference = [labels(layer, 1) for _ in range(12)]
    other = make_layer(line)
    for start in (11, 4, 0, 7):
        other.passes = start
        assert labels(other, 1) == reference[start]


def test_processes_share_out_the_rows(tmp_path):
    param = parse_text(text(make_files(tmp_path), 3, ["label"]), pb.LayerParameter)
    for phase, wanted in ((pb.TRAIN, [1, 3, 5, 7, 9, 1]), (pb.TEST, [0, 1, 2, 3, 4, 5])):
        layer = create_layer(param, LayerContext(phase=phase, seed=1, rank=1, world=2))
        assert labels(layer, 2) == wanted


@checks("HDF5Data", "errors")
def test_transform_is_refused(tmp_path):
    with pytest.raises(LayerError, match="HDF5Data does not transform data"):
        make_layer(text(tmp_path) + " transform_param { scale: 1 }")
    with pytest.raises(LayerError, match="Positive batch size required"):
        make_layer(text(tmp_path, 0))
    with pytest.raises(LayerError, match="hdf5_data_param has no source"):
        make_layer('type: "HDF5Data" top: "d"')


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"list.txt, layer 'data' \(HDF5Data\): Failed to open source file"):
        make_layer(text(tmp_path))
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(DataError, match="Must have at least 1 HDF5 filename"):
        make_layer(text(tmp_path))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/no.h5\n")
    with pytest.raises(DataError, match=r"no.h5, layer 'data' \(HDF5Data\): Failed opening HDF5 file"):
        make_layer(text(tmp_path))


def test_the_source_is_a_list_not_an_hdf5_file(tmp_path):
    make_files(tmp_path)
    (tmp_path / "0.h5").rename(tmp_path / "list.txt")
    with pytest.raises(DataError, match="a text file that lists HDF5 files"):
        make_layer(text(tmp_path))


@pytest.mark.parametrize(
    ("number", "name", "value", "cause"),
    [
        (0, "data", None, "Failed to find HDF5 dataset 'data'. There are: label, weight"),
        (2, "data", np.zeros((4, 2, 2)), r"2.h5, layer 'data' \(HDF5Data\): rows of dataset 'data' have the shape"),
        (1, "label", np.zeros(2), "dataset 'label' has 2 rows, 'data' 1"),
        (1, "data", np.float32(3), "dataset 'data' has no rows"),
        (0, "label", np.array([True] * 5), "dataset 'label' has the unsupported type bool"),
        (0, "label", np.array([b"x"] * 5), "unsupported type"),
    ],
)
def test_unfit_datasets(tmp_path, number, name, value, cause):
    make_files(tmp_path)
    with h5py.File(tmp_path / f"{number}.h5", "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(DataError, match=cause):
        make_layer(text(tmp_path))


def test_a_damaged_file(tmp_path):
    make_files(tmp_path)
    data = (tmp_path / "1.h5").read_bytes()
    (tmp_path / "1.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"1.h5.*Failed opening HDF5 file"):
        make_layer(text(tmp_path))
