"""``caffe-port surgery``."""

from __future__ import annotations

import re

import pytest
import torch

from caffe_port import Net
from caffe_port.proto.files import read_net
from tests.cli.process import Here, caffe_port, error_line
from tests.net.make import conv, inputs, ip, layer
from tests.solver.make import copy_case


@pytest.fixture
def folder(tmp_path):
    return copy_case("sgd_fixed", tmp_path)


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


OPTIONS = tuple(f"--{phase}-{what}={what}" for phase in ("train", "test") for what in ("source", "labels"))


def cut(run, folder, *arguments, blob="ip1"):
    return run("surgery", "cut", "net.prototxt", blob, "head.prototxt", *arguments, cwd=folder)


@pytest.mark.parametrize("process", [True, False])
def test_cut(process, here, folder):
    result = cut(caffe_port if process else here, folder, *OPTIONS, "--backend", "leveldb", "--batch-size", 4)
    assert result.returncode == 0, result.stderr
    head = read_net(folder / "head.prototxt")
    data = [layer for layer in head.layer if layer.type == "Data"]
    assert {(each.data_param.source, each.data_param.batch_size) for each in data} == {("source", 4), ("labels", 4)}
    assert not any(layer.type == "Convolution" for layer in head.layer)
    assert result.stdout == f"head.prototxt: {len(head.layer)} layers, ip1 and labels read from databases.\n"
    assert re.search(r"caffe-port: warning: Below 'ip1', conv1, conv2, ip1 would be trained", result.stderr)


def test_a_head_trains(here, folder):
    extract = ("extract-features", "init.caffemodel", "net.prototxt", "pool2,label", "source,labels", 5, "lmdb")
    assert here(*extract, cwd=folder).returncode == 0
    assert cut(here, folder, *OPTIONS, blob="pool2").returncode == 0
    solver = (folder / "solver.prototxt").read_text()
    (folder / "solver.prototxt").write_text(solver.replace("net.prototxt", "head.prototxt"))
    result = here("train", "--solver", "solver.prototxt", "--weights", "init.caffemodel", cwd=folder)
    assert result.returncode == 0, result.stderr[-2000:]


def test_errors(here, folder):
    assert re.search(r"net\.prototxt: The net has no blob 'q'", error_line(cut(here, folder, blob="q")))
    line = error_line(cut(here, folder, "--train-source", "x", "--train-labels", "y"))
    assert re.search(r"net\.prototxt: The net has 'ip1' in TEST phase too, but no database of it is given", line)
    assert not (folder / "head.prototxt").exists()


def test_usage(here, folder):
    result = cut(here, folder, "--train-labels", "y")
    assert result.returncode == 2
    assert "--train-labels needs --train-source" in result.stderr
    assert cut(here, folder, "--batch-size", 0).returncode == 2
    assert "Example: caffe-port surgery cut" in here("surgery", "cut", "--help", cwd=folder).stdout
    assert "cut" in here("surgery", "--help", cwd=folder).stdout


# -- fc-to-conv -------------------------------------------------------------------------------------------------------

NET = inputs(x=(2, 3, 8, 8)) + conv("conv1", "x", "conv1") + ip("fc", "conv1", "fc", 5)
NET += layer("Softmax", "prob", "fc", "prob")
FILES = ("net.prototxt", "net.caffemodel", "full.prototxt", "full.caffemodel")


@pytest.fixture
def trained(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    Net(tmp_path / "net.prototxt", seed=1).save(tmp_path / "net.caffemodel")
    return tmp_path


@pytest.mark.parametrize("process", [True, False])
def test_fc_to_conv(process, here, trained):
    run = caffe_port if process else here
    result = run("surgery", "fc-to-conv", *FILES, "--input-size", 9, 12, cwd=trained)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "full.prototxt: gives prob 2x5x2x5. Its weights are in full.caffemodel.\n"
    net, full = (Net(trained / f"{name}.prototxt", trained / f"{name}.caffemodel") for name in ("net", "full"))
    image = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps, expected = full(x=image)["prob"], net(x=image[..., 1:, 4:])["prob"]
    torch.testing.assert_close(maps[..., 1, 4], expected)


def test_names_and_forms(here, trained):
    files = (*FILES[:3], "full.caffemodel.h5")
    assert here("surgery", "fc-to-conv", *files, "--suffix", "_full", cwd=trained).returncode == 0
    assert Net(trained / "full.prototxt", trained / "full.caffemodel.h5").layer("fc_full").TYPE == "Convolution"


def test_fc_to_conv_refusals(here, trained):
    (trained / "net.prototxt").write_text(NET + layer("Flatten", "flat", "fc", "flat"))
    line = error_line(here("surgery", "fc-to-conv", *FILES, cwd=trained))
    assert line.startswith("net.prototxt, layer 'flat' (Flatten): reads 'fc', which gets spatial axes")
    assert not (trained / "full.prototxt").exists()
    assert here("surgery", "fc-to-conv", *FILES, "--input-size", 0, 9, cwd=trained).returncode == 2
    assert "Example: caffe-port surgery fc-to-conv" in here("surgery", "fc-to-conv", "--help", cwd=trained).stdout
