"""``caffe-port extract-features``."""

from __future__ import annotations

import itertools
import re

import h5py
import numpy as np
import pytest
import torch

from caffe_port.data.database import open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from tests.cli.process import Here, caffe_port, error_line, messages
from tests.solver.make import copy_case


@pytest.fixture
def folder(tmp_path):
    return copy_case("sgd_fixed", tmp_path)


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


def extract(run, folder, *arguments, weights="init.caffemodel", net="net.prototxt"):
    return run("extract-features", weights, net, *arguments, cwd=folder)


def arrays(path, backend="LMDB"):
    database = open_database(path, backend)
    values = [value for _, value in itertools.islice(database.records(), len(database))]
    return np.array([datum_to_array(parse_datum(value, name="")) for value in values])


@pytest.mark.parametrize("process", [True, False])
def test_one_database_for_each_blob(process, here, folder):
    result = extract(caffe_port if process else here, folder, "data,label,loss", "a,b,c", 5, "leveldb", "CPU")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    lines = messages(result.stderr)
    assert "Using CPU" in lines
    assert lines[-4:] == [
        "Extracted features of 40 query images for feature blob data",
        "Extracted features of 40 query images for feature blob label",
        "Extracted features of 5 query images for feature blob loss",
        "Successfully extracted the features!",
    ]
    with h5py.File(folder / "data.h5") as file:
        np.testing.assert_array_equal(arrays(folder / "a", "LEVELDB"), file["data"][:])
        np.testing.assert_array_equal(arrays(folder / "b", "LEVELDB").ravel(), file["label"][:])
    first = arrays(folder / "c", "LEVELDB")[0].item()
    assert first == pytest.approx(float(np.load(folder / "expected.npz")["loss"][0]), rel=1e-5)


def test_features_can_be_trained_on(here, folder):
    """A head that reads the features has the loss that the whole net had."""
    assert extract(here, folder, "pool2,label", "features,labels", 5, "lmdb").returncode == 0
    text = (folder / "net.prototxt").read_text()
    head = "".join(
        f'layer {{ name: "{source}" type: "Data" top: "{top}" data_param {{ source: "{source}" batch_size: 8 '
        "backend: LMDB } }\n"
        for source, top in (("features", "pool2"), ("labels", "label"))
    )
    (folder / "head.prototxt").write_text(head + text[text.index('layer { name: "ip1"') :])
    result = extract(here, folder, "loss", "losses", 1, "lmdb", net="head.prototxt")
    assert result.returncode == 0, result.stderr
    expected = float(np.load(folder / "expected.npz")["loss"][0])
    assert arrays(folder / "losses").item() == pytest.approx(expected, rel=1e-5)


def test_errors(here, folder, monkeypatch):
    line = error_line(extract(here, folder, "conv9", "db", 1, "lmdb"))
    assert re.search(r"net\.prototxt: Unknown feature blob name 'conv9'. The net has: data, label, conv1", line)
    assert "must be equal" in error_line(extract(here, folder, "data,label", "db", 1, "lmdb"))
    assert re.search(
        r"gone: .*No such file", error_line(extract(here, folder, "data", "db", 1, "lmdb", weights="gone"))
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = error_line(extract(here, folder, "data", "db", 1, "lmdb", "GPU", 3))
    assert re.search(r"no usable GPU was found. Give CPU instead of GPU", line)
    assert not (folder / "db").exists()


def test_usage(here, folder):
    assert extract(here, folder, "data", "db", 0, "lmdb").returncode == 2
    assert extract(here, folder, "data", "db", 1, "sqlite").returncode == 2
    assert "Missing argument 'DB_TYPE'" in extract(here, folder, "data", "db", 1).stderr
    assert "Example: caffe-port extract-features" in extract(here, folder, "--help").stdout
