"""extract_features against the blobs that real Caffe computed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe_port.data.database import open_database
from caffe_port.data.datum import array_to_datum, parse_datum
from caffe_port.errors import CaffeError, DataError, NetError, WeightsError
from caffe_port.net import features
from caffe_port.net.features import extract_features, needed_layers
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.data.make import images, write_database
from tests.shared import MODELS, ORACLE, needs

CASE = ORACLE / "solvers" / "sgd_fixed"


def read(path, backend="LMDB"):
    """Keys and Datums of a database."""
    database = open_database(path, backend)
    records = list(itertools.islice(database.records(), len(database)))
    return [key for key, _ in records], [parse_datum(value, name="") for _, value in records]


def served(folder, text, inputs):
    """A net file whose Input layers are replaced by one HDF5Data layer that serves ``inputs`` as one batch."""
    with h5py.File(folder / "data.h5", "w") as file:
        for name, value in inputs.items():
            file[name] = value
    (folder / "data.txt").write_text("data.h5\n")
    net = parse_text(text.encode(), pb.NetParameter)
    layers = [layer for layer in net.layer if layer.type != "Input"]
    data = pb.LayerParameter(name="served", type="HDF5Data", top=list(inputs))
    data.hdf5_data_param.source = "data.txt"
    data.hdf5_data_param.batch_size = len(next(iter(inputs.values())))
    del net.layer[:]
    net.layer.extend([data, *layers])
    (folder / "net.prototxt").write_text(str(net))


def stored(path, blobs):
    """A caffemodel with these blobs, ``layer/index`` -> array."""
    net = pb.NetParameter()
    net.layer.add(name="unrelated")
    layers = {}
    for key, array in sorted(blobs.items()):
        name = key.split("/")[0]
        layer = layers[name] if name in layers else layers.setdefault(name, net.layer.add(name=name))
        blob = layer.blobs.add(data=array.ravel().tolist())
        blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


def part(arrays, prefix):
    return {key[len(prefix) + 1 :]: arrays[key] for key in arrays if key.startswith(f"{prefix}/")}


@pytest.fixture
def oracle(tmp_path, monkeypatch):
    """Prepares one layer case of the oracle and returns its expected blobs."""

    def prepare(case):
        monkeypatch.chdir(tmp_path)
        with np.load(ORACLE / "layers" / f"{case}.npz") as arrays:
            served(tmp_path, (ORACLE / "layers" / f"{case}.prototxt").read_text(), part(arrays, "input"))
            stored(tmp_path / "weights", part(arrays, "param"))
            return part(arrays, "blob")

    return prepare


@pytest.mark.parametrize(
    "case",
    ["diamond_0", "two_losses_0", "shared_params_0", "innerproduct_0", "convolution_3", "slice_0", "reduction_0",
     "batchnorm_test_0", "convolution_1d_0"],
)  # fmt: skip
def test_blobs_are_caffes(case, oracle):
    expected = oracle(case)
    names = [name for name in expected if not name.startswith("t_t_")]  # Splits of the Input layer that is replaced
    extract_features("weights", "net.prototxt", names, [f"db{i}" for i in range(len(names))], 1)
    for i, name in enumerate(names):
        keys, datums = read(f"db{i}")
        blob = expected[name]
        num, *dims = [*blob.shape, 1, 1, 1, 1][:4]
        assert keys == [b"%010d" % n for n in range(num)]
        assert [(d.channels, d.height, d.width) for d in datums] == [tuple(dims)] * num
        found = np.array([d.float_data for d in datums], np.float32)
        np.testing.assert_allclose(found.ravel(), blob.ravel(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("alone", ["h", "a", "h_relu_0_split_1", "y"])
def test_one_blob_is_the_same_as_all(alone, oracle):
    expected = oracle("diamond_0")
    assert extract_features("weights", "net.prototxt", [alone], ["db"], 1) == 3
    found = np.array([d.float_data for d in read("db")[1]], np.float32)
    np.testing.assert_allclose(found, expected[alone], rtol=1e-4, atol=1e-5)


def test_the_record_is_what_caffe_serialises(oracle):
    """Channels, height, width and unpacked floats; neither label nor encoded."""
    expected = oracle("convolution_3")["y"]
    extract_features("weights", "net.prototxt", ["x"], ["db"], 1)
    with h5py.File("data.h5") as file:
        x = file["x"][:]
    database = open_database("db", "LMDB")
    value = next(database.records())[1]
    head = b"".join(bytes([number << 3, size]) for number, size in zip((1, 2, 3), x.shape[1:]))
    floats = b"".join(b"\x35" + number.tobytes() for number in x[0].astype("<f4").ravel())
    assert value == head + floats
    assert len(database) == len(expected)


def test_the_loss_is_real_caffes(tmp_path, monkeypatch):
    monkeypatch.chdir(CASE)
    extract_features(CASE / "init.caffemodel", "net.prototxt", ["loss"], [tmp_path / "db"], 1)
    ((value,),) = [d.float_data for d in read(tmp_path / "db")[1]]
    with np.load(CASE / "expected.npz") as expected:
        assert value == pytest.approx(float(expected["loss"][0]), rel=1e-5)


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_records_follow_the_data_and_begin_anew(backend, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(CASE)
    monkeypatch.setattr(features, "LOG_EVERY", 20)
    with h5py.File("data.h5") as file:
        images, labels = file["data"][:], file["label"][:]
    seen = []
    with caplog.at_level("INFO", "caffe_port"):
        count = extract_features(
            "init.caffemodel",
            "net.prototxt",
            ["data", "label"],
            [tmp_path / "data", tmp_path / "label"],
            6,
            backend=backend,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert count == 48
    assert seen == [(i, 6) for i in range(1, 7)]
    keys, datums = read(tmp_path / "data", backend)
    assert keys == [b"%010d" % i for i in range(48)]
    found = np.array([d.float_data for d in datums], np.float32).reshape(48, *images.shape[1:])
    np.testing.assert_array_equal(found, images[np.arange(48) % 40])
    assert [d.float_data[0] for d in read(tmp_path / "label", backend)[1]] == labels[np.arange(48) % 40].tolist()
    lines = [r.getMessage() for r in caplog.records]
    ours = [line for line in lines if line.startswith("Extracted") and line.endswith("label")]
    assert ours == [f"Extracted features of {i} query images for feature blob label" for i in (20, 40, 48)]


def test_no_more_records_than_wanted(tmp_path, monkeypatch):
    """Ten images in batches of four: the third batch begins anew, and is cut where all have been seen."""
    monkeypatch.chdir(tmp_path)
    write_database(tmp_path / "db", [array_to_datum(image, i) for i, image in enumerate(images(10))])
    net = """
    layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 4 backend: LMDB } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1 } }
    """
    (tmp_path / "net.prototxt").write_text(net)
    stored(tmp_path / "w.caffemodel", {"ip/0": np.ones((1, 168), np.float32), "ip/1": np.zeros(1, np.float32)})
    blobs = ["label", "ip"]
    assert extract_features("w.caffemodel", "net.prototxt", blobs, ["labels", "sums"], 3, records=10) == 10
    assert [datum.float_data[0] for datum in read("labels")[1]] == list(range(10))
    np.testing.assert_allclose([d.float_data[0] for d in read("sums")[1]], images(10).reshape(10, -1).sum(1))


@needs(MODELS / "lenet_v1")
def test_a_real_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = MODELS / "lenet_v1"
    with np.load(folder / "reference.npz") as arrays:
        served(tmp_path, re.sub(r"\blayers\b", "layer", (folder / "net.prototxt").read_text()), part(arrays, "input"))
        extract_features(folder / "weights.caffemodel", "net.prototxt", ["ip1", "pool2"], ["ip1", "pool2"], 1)
        for name in ("ip1", "pool2"):
            blob = arrays[f"blob/{name}"]
            found = np.array([d.float_data for d in read(name)[1]], np.float32).reshape(blob.shape)
            np.testing.assert_allclose(found, blob, rtol=1e-3, atol=1e-4 * np.abs(blob).max())


def test_layers_above_need_no_weights_and_layers_below_do(oracle):
    expected = oracle("two_losses_0")
    extra = 'layer { name: "new" type: "InnerProduct" bottom: "h" top: "n" inner_product_param { num_output: 2 } }'
    with open("net.prototxt", "a") as file:
        file.write(extra)
    extract_features("weights", "net.prototxt", ["l1"], ["db"], 1)
    assert read("db")[1][0].float_data[0] == pytest.approx(float(expected["l1"]), rel=1e-5)
    with pytest.raises(WeightsError, match=r"layer 'new' \(InnerProduct\): The file has no blobs"):
        extract_features("weights", "net.prototxt", ["n"], ["other"], 1)


def test_a_layer_whose_parameters_are_shared_is_kept(oracle):
    """ip2 uses the blobs of ip1, and the file has only ip1's (in the recorded run ip2's values were written last)."""
    expected = oracle("shared_params_0")
    with np.load(ORACLE / "layers" / "shared_params_0.npz") as arrays:
        stored(Path("weights"), {f"ip1/{i}": arrays[f"param/ip2/{i}"] for i in (0, 1)})
    extract_features("weights", "net.prototxt", ["b"], ["db"], 1)
    found = np.array([d.float_data for d in read("db")[1]], np.float32)
    np.testing.assert_allclose(found, expected["b"], rtol=1e-4, atol=1e-5)


NET = """
layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "early" type: "Power" bottom: "x" top: "early" }
layer { name: "inplace" type: "ReLU" bottom: "x" top: "x" }
layer { name: "late" type: "Power" bottom: "x" top: "late" }
layer { name: "again" type: "TanH" bottom: "x" top: "x" }
"""


@pytest.mark.parametrize(
    ("blob", "layers"),
    [("early", "d early"), ("late", "d inplace late"), ("x", "d inplace again")],
)
def test_needed_layers(blob, layers):
    net = parse_text(NET.encode(), pb.NetParameter)
    assert [layer.name for layer in needed_layers(net, [blob]).layer] == layers.split()
    assert len(net.layer) == 5


def test_only_what_is_needed_runs(oracle, monkeypatch):
    oracle("two_losses_0")
    types = []
    monkeypatch.setattr(features.Net, "to", lambda net, _: types.extend(n.layer.TYPE for n in net.nodes) or net)
    extract_features("weights", "net.prototxt", ["h"], ["db"], 1)
    assert types == ["HDF5Data", "InnerProduct"]


@pytest.mark.parametrize(
    ("blobs", "databases", "message"),
    [
        (["q"], ["db"], r"net.prototxt: Unknown feature blob name 'q'. The net has: x, t, .*l1"),
        (["h", "l1"], ["db"], r"2 blobs, but 1 databases. .*must be equal"),
        (["h"], ["taken"], r"taken: The database exists already"),
        (["h", "l1"], ["db", "taken"], r"taken: The database exists already"),
        (["h"], ["gone/db"], r"gone/db: .*parent folder"),
    ],
)
def test_refused(blobs, databases, message, oracle):
    oracle("two_losses_0")
    Path("taken").mkdir()
    with pytest.raises(CaffeError, match=message):
        extract_features("weights", "net.prototxt", blobs, databases, 1)
    assert not Path("db").exists()
    assert Path("taken").exists()


def test_more_than_four_axes(oracle):
    oracle("convolution_3d_0")
    with pytest.raises(NetError, match=r"net.prototxt: Blob 'y' of shape .* does not fit into Datums"):
        extract_features("weights", "net.prototxt", ["y"], ["db"], 1)
    assert not Path("db").exists()


def test_input_layers_are_refused(tmp_path):
    path = ORACLE / "layers" / "reduction_0.prototxt"
    (tmp_path / "weights").write_bytes(pb.NetParameter(layer=[pb.LayerParameter(name="x")]).SerializeToString())
    with pytest.raises(NetError, match=r"reduction_0.prototxt: The net waits for input: x. Give it a data layer"):
        extract_features(tmp_path / "weights", path, ["y"], [tmp_path / "db"], 1)


def test_broken_data_leave_no_database(oracle):
    oracle("two_losses_0")
    net = Path("net.prototxt")
    data = 'type: "Data" data_param { source: "broken" batch_size: 5 backend: LMDB }'
    text = re.sub(r'type: "HDF5Data"', data, net.read_text())
    net.write_text(re.sub(r"hdf5_data_param \{[^}]*\}", "", text))
    good = [array_to_datum(image, 0) for image in images(7, (3, 1, 1))]
    write_database(Path("broken"), [*good, b"\x0a\xff"])
    with pytest.raises(DataError, match=r"broken, .*: record '00000007_img7' is no Datum"):
        extract_features("weights", "net.prototxt", ["h"], ["db"], 2)
    assert not Path("db").exists()
