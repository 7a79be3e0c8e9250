"""Which array diverges first and why, what is missing on either side, random layers, data layers, diffs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import CaffeError, NetError, WeightsError
from caffe_port.parity import Record, compare
from tests.shared import ORACLE

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "h" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "sig" type: "Sigmoid" bottom: "h" top: "a" }
layer { name: "tan" type: "TanH" bottom: "h" top: "b" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "y" }
layer { name: "flat" type: "Flatten" bottom: "y" top: "f" }
layer { name: "ip" type: "InnerProduct" bottom: "f" top: "z" inner_product_param { num_output: 5 } }
"""
SPLITS = ["h_relu_0_split_0", "h_relu_0_split_1"]


@pytest.fixture
def files(tmp_path):
    """A net with random weights; the record of it that plain torch computes."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    path.write_text(NET)
    net = Net(path, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for param in net.parameters():
            param.copy_(torch.randn(param.shape))
    net.save(weights)
    p = {f"{n.name}/{i}": b.detach() for n in net.nodes for i, b in enumerate(n.layer.blobs)}
    x = torch.randn(2, 3, 6, 6, requires_grad=True)
    h = torch.nn.functional.conv2d(x, p["conv/0"], p["conv/1"]).relu()
    a, b = h.sigmoid(), h.tanh()
    y = a + b
    z = y.flatten(1) @ p["ip/0"].T + p["ip/1"]
    top_diff = torch.randn_like(z)
    for value in (h, a, b, y):
        value.retain_grad()
    z.backward(top_diff)
    blobs = {"h": h, "a": a, "b": b, "y": y, "f": y.flatten(1), "z": z, **dict.fromkeys(SPLITS, h)}
    record = Record(
        inputs={"x": x.detach().numpy()},
        blobs={name: value.detach().numpy() for name, value in blobs.items()},
        top_diffs={"z": top_diff.numpy()},
        diffs={name: value.grad.numpy() for name, value in {"x": x, "a": a, "b": b, "y": y}.items()},
    )
    return path, weights, record


def statuses(report, kind="blob"):
    return {row.name: row.status for row in report.rows if row.kind == kind}


def changed(record, name, change):
    record.blobs[name] = change(record.blobs[name].copy())
    return record


def test_rows_are_in_net_order(files):
    report = compare(*files, backward=True)
    assert report.agrees
    assert report.finding is None
    assert list(statuses(report)) == ["h", *SPLITS, "a", "b", "y", "f", "z"]
    assert list(statuses(report, "diff")) == ["y", "a", "b", "x"]
    assert set(statuses(report, "diff").values()) == {"agrees"}
    rows = {row.name: row for row in report.rows if row.kind == "blob"}
    assert rows["h"].layers == ("conv", "relu")
    assert rows["a"].layers == ("sig",)


def test_error_stays_with_its_layer(files):
    """One value of ``a`` is off: what lies above it differs on the whole way, yet each layer by itself is right."""
    path, weights, record = files

    def spoil(a):
        a[1, 2, 3, 0] += 0.25
        return a

    blobs = {**record.blobs}
    record = changed(record, "a", spoil)
    y = record.blobs["a"] + blobs["b"]
    net = Net(path, weights)
    z = y.reshape(2, -1) @ net.layer("ip").blob(0).detach().numpy().T + net.layer("ip").blob(1).detach().numpy()
    record.blobs.update(y=y, f=y.reshape(2, -1), z=z)
    report = compare(path, weights, record)
    assert statuses(report) | dict.fromkeys(SPLITS, "agrees") == {
        **dict.fromkeys(["h", "b", *SPLITS], "agrees"), "a": "diverges", **dict.fromkeys("yfz", "inherits"),
    }  # fmt: skip
    assert [layer.name for layer in report.finding.layers] == ["sig"]
    assert report.finding.row.own.at == (1, 2, 3, 0)
    assert report.finding.row.own.error == pytest.approx(0.25, rel=1e-4)
    assert report.finding.explanations == ()


def test_layers_between_recorded_blobs_are_named_together(files):
    path, weights, record = files
    for name in ("a", "b", "y", "f"):
        del record.blobs[name]
    report = compare(path, weights, changed(record, "z", lambda z: z + 1))
    assert statuses(report)["y"] == "not recorded"
    found = [layer.name for layer in report.finding.layers]
    assert found == ["sig", "tan", "sum", "flat", "ip"]


@pytest.mark.parametrize("splits", [{}, {"h_split_0": 0, "h_split_1": 1}])
def test_splits_that_the_record_lacks_or_names_otherwise(splits, files):
    path, weights, record = files
    h = record.blobs["h"]
    for name in SPLITS:
        del record.blobs[name]
    record.blobs.update(dict.fromkeys(splits, h))
    report = compare(path, weights, record)
    assert report.agrees
    assert dict.fromkeys(splits, "agrees").items() <= statuses(report).items()
    if splits:
        record.blobs["h_split_1"] = h + 1
        assert not compare(path, weights, record).agrees


def test_blobs_of_one_side_only(files):
    path, weights, record = files
    record.blobs["other"] = np.ones(3)
    del record.blobs["y"]
    report = compare(path, weights, record)
    assert statuses(report)["other"] == "not in the net"
    assert statuses(report)["y"] == "not recorded"
    assert not report.agrees
    assert report.finding is None


def test_shape_and_nan(files):
    path, weights, record = files
    report = compare(path, weights, changed(record, "z", lambda z: z[:, :4]))
    assert report.finding.row.own.reference_shape == (2, 4)
    form = json.loads(json.dumps(report.to_json()))
    assert form["finding"]["row"]["own"]["error"] == "inf"
    assert form["finding"]["row"]["own"]["at"] is None
    assert form["agrees"] is False
    record = changed(record, "y", lambda y: np.where(y == y.max(), math.nan, y).astype(np.float32))
    assert compare(path, weights, record).finding.row.name == "y"


def test_tolerance(files):
    path, weights, record = files
    record = changed(record, "z", lambda z: z + 1e-4 * np.abs(z).max())
    assert not compare(path, weights, record).agrees
    assert compare(path, weights, record, tolerance=2e-4).agrees


# -- learnable blobs ---------------------------------------------------------------------------------------------------


def test_recorded_weights_come_in_place_of_given_ones_and_are_compared(files, tmp_path):
    """The file has conv's filters for BGR, the record those for RGB: the weights are named, not what follows."""
    path, weights, record = files
    net = Net(path, weights)
    for node in net.nodes:
        for index, blob in enumerate(node.layer.blobs):
            record.params[f"{node.name}/{index}"] = blob.detach().numpy().copy()
    assert compare(path, None, record).agrees
    assert statuses(compare(path, weights, record), "param") == dict.fromkeys(record.params, "agrees")
    with torch.no_grad():
        net.layer("conv").blobs[0].copy_(net.layer("conv").blobs[0].flip(1).clone())
    net.save(tmp_path / "bgr.caffemodel")
    report = compare(path, tmp_path / "bgr.caffemodel", record)
    assert statuses(report, "param")["conv/0"] == "diverges"
    assert set(statuses(report).values()) == {"agrees"}
    assert report.finding.row.kind == "param"
    assert "RGB and BGR swapped" in report.finding.explanations[0].what
    del record.params["ip/0"]
    with pytest.raises(WeightsError, match=r"layer 'ip' \(InnerProduct\).*\[0\].*neither in the weights nor in the"):
        compare(path, None, record)
    assert compare(path, weights, record).agrees


def test_backward(files):
    path, weights, record = files
    assert "compared with --backward" in compare(path, weights, record).notes[0]
    record.diffs["a"] = record.diffs["a"] * 2
    record.diffs["x"] = record.diffs["x"] + 0
    report = compare(path, weights, record, backward=True)
    assert statuses(report, "diff") == {"y": "agrees", "a": "diverges", "b": "agrees", "x": "diverges"}
    assert report.finding.row.name == "a"
    assert [layer.name for layer in report.finding.layers] == ["sum"]
    assert "loss_weight" in report.finding.layers[0].suspects[0]
    record.diffs.clear()
    with pytest.raises(CaffeError, match=r"holds no diffs\. Record it with --backward"):
        compare(path, weights, record, backward=True)


# -- nets that cannot be run as they are -------------------------------------------------------------------------------


def test_data_layers_serve_what_was_recorded(tmp_path):
    """Their source need not be here, nor their batch size known."""
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "gone" backend: LMDB batch_size: 7 } }
layer { name: "half" type: "Power" bottom: "data" top: "half" power_param { scale: 0.5 } }
layer { name: "s" type: "Silence" bottom: "label" }
""")
    data = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    blobs = {"data": data, "label": np.zeros(2, np.float32), "half": data / 2}
    assert compare(path, None, Record(blobs=dict(blobs))).agrees
    assert not compare(path, None, Record(blobs={**blobs, "half": data})).agrees
    with pytest.raises(NetError, match=r"layer 'd' \(Data\): The record lacks the input 'label'"):
        compare(path, None, Record(inputs={"data": data}, blobs={"half": data}))
    path.write_text(path.read_text().replace('top: "half"', 'top: "data"'))
    with pytest.raises(NetError, match="lacks the input 'data'"):  # what was recorded is half of what went in
        compare(path, None, Record(blobs=dict(blobs)))


def test_random_layers_take_the_records_numbers(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 5 } } }
layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
layer { name: "twice" type: "Power" bottom: "d" top: "y" power_param { scale: 2 } }
""")
    x = np.random.default_rng(0).standard_normal((4, 5), np.float32)
    d = 2 * x * (x > 0)
    record = Record(inputs={"x": x}, blobs={"d": d, "y": 2 * d})
    report = compare(path, None, record, phase="TRAIN")
    assert statuses(report) == {"d": "random", "y": "agrees"}
    assert report.agrees
    assert compare(path, None, record).finding.explanations[0].what == "the TRAIN phase, in which it drops values"
    del record.blobs["d"]
    with pytest.raises(NetError, match=r"layer 'drop' \(Dropout\): draws random numbers in this phase, and the record"):
        compare(path, None, record, phase="TRAIN")


def test_memory_shared_with_a_blob_that_is_overwritten(tmp_path):
    """In Caffe a Flatten's top is its bottom's memory, so an in-place layer above changes both."""
    path = tmp_path / "net.prototxt"
    path.write_text("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { shift: -0.5 } }
layer { name: "f" type: "Flatten" bottom: "p" top: "f" }
layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
""")
    x = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    relu = np.maximum(x - np.float32(0.5), 0)
    assert compare(path, None, Record(inputs={"x": x}, blobs={"p": relu, "f": relu})).agrees
    assert not compare(path, None, Record(inputs={"x": x}, blobs={"p": x - np.float32(0.5), "f": relu})).agrees


def test_running_statistics(tmp_path):
    """Recorded after forward; a record of another moving_average_fraction is noticed."""
    record = Record.read(ORACLE / "layers" / "batchnorm_train_0.npz")
    text = (ORACLE / "layers" / "batchnorm_train_0.prototxt").read_text()
    path = tmp_path / "net.prototxt"
    path.write_text(text.replace("batch_norm_param {", "batch_norm_param { moving_average_fraction: 0.9"))
    report = compare(path, None, record, phase="TRAIN")
    assert statuses(report)["y"] == "agrees"
    assert report.finding.row.kind == "param_after"
    assert "moving_average_fraction" in report.finding.layers[0].suspects
