"""``caffe-port classify``."""

from __future__ import annotations

import itertools
import json
import re

import cv2
import numpy as np
import pytest
import torch

from caffe_port.data.database import open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from caffe_port.proto import format_text, read_net
from caffe_port.proto.means import write_mean
from caffe_port.pycaffe.net import Net
from tests.cli.process import Here, caffe_port, error_line
from tests.net.make import inputs, ip, layer
from tests.shared import IMAGES, MODELS, needs

RNG = np.random.default_rng(0)
NAMES = ["n01 tench, Tinca tinca", "n02 goldfish", 'n03 a "quoted" ñandú', "n04 ray"]


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path):
    """A net that gives 4 classes the share of each channel's average, so that what it says can be read off an image.

    Class 0 is blue, 1 green, 2 red, in the order of the net's channels; class 3 is their negative sum.
    """
    text = inputs(data=(2, 3, 8, 8)) + ip("fc", "data", "fc", 4) + layer("Softmax", "prob", "fc", "prob")
    (tmp_path / "deploy.prototxt").write_text(text)
    net = Net(str(tmp_path / "deploy.prototxt"), phase="TEST")
    weight = np.repeat([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], 64, axis=1) / 64
    net.params["fc"][0].data[...] = weight
    net.params["fc"][1].data[...] = 0
    net.save(str(tmp_path / "w.caffemodel"))
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    for name, colour in (("blue", (200, 100, 0)), ("red", (0, 50, 255)), ("grey", (90, 90, 90))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((12, 10, 3), colour, np.uint8))
    return tmp_path


def classify(run, folder, *arguments):
    return run("classify", "--model", "deploy.prototxt", "--weights", "w.caffemodel", *map(str, arguments), cwd=folder)


def found(run, folder, *arguments):
    """The ``--json`` output: for each image its scores by class."""
    result = classify(run, folder, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return [{one["class"]: one["score"] for one in entry["predictions"]} for entry in json.loads(result.stdout)]


def softmax(values):
    exponents = np.exp(np.asarray(values, float))
    return exponents / exponents.sum()


@pytest.mark.parametrize("process", [True, False])
def test_the_likeliest_classes_with_their_names(process, here, folder):
    run = caffe_port if process else here
    result = classify(run, folder, "--raw-scale", 1, "--labels", "names.txt", "--top", 2, "blue.png", "red.png")
    assert result.returncode == 0, result.stderr
    blue = softmax(np.array([200, 100, 0, -300]) / 255)
    red = softmax(np.array([0, 50, 255, -305]) / 255)
    assert result.stdout.splitlines() == [
        "---------- Prediction for blue.png ----------",
        f'{blue[0]:.4f} - "{NAMES[0]}"',
        f'{blue[1]:.4f} - "{NAMES[1]}"',
        "---------- Prediction for red.png ----------",
        f'{red[2]:.4f} - "{NAMES[2]}"',
        f'{red[1]:.4f} - "{NAMES[1]}"',
    ]


def test_json(here, folder):
    result = classify(here, folder, "--raw-scale", 1, "--labels", "names.txt", "--top", 1, "--json", "red.png")
    score = softmax(np.array([0, 50, 255, -305]) / 255)[2]
    (entry,) = json.loads(result.stdout)
    assert entry["image"] == "red.png"
    assert entry["predictions"] == [{"class": 2, "label": NAMES[2], "score": pytest.approx(score, rel=1e-4)}]
    entry = json.loads(classify(here, folder, "--raw-scale", 1, "--json", "red.png").stdout)[0]
    assert [one["class"] for one in entry["predictions"]] == [2, 1, 0, 3]
    assert {one["label"] for one in entry["predictions"]} == {None}


def test_more_images_than_a_batch_and_without_labels(here, folder):
    result = classify(here, folder, "--raw-scale", 1, *["blue.png", "grey.png", "red.png", "blue.png", "red.png"])
    blocks = re.findall(r'Prediction for (\w+).png -+\n[\d.]+ - "(\d)"', result.stdout)
    assert blocks == [("blue", "0"), ("grey", "0"), ("red", "2"), ("blue", "0"), ("red", "2")]


def test_scales_means_and_order(here, folder):
    """The net's scores, computed beside it, for every setting."""
    pixels = np.array([200.0, 100, 0])
    settings = ["--raw-scale", 2, "--input-scale", 0.5]

    def expected(values):
        values = (values - np.array([0.5, 0.25, 0.125])) * 0.5
        return softmax([*values, -values.sum()])

    for arguments, values in (
        (["--mean", "0.5,0.25,0.125"], pixels / 255 * 2),
        (["--mean", "0.5,0.25,0.125", "--channel-order", "RGB"], pixels[::-1] / 255 * 2),
    ):
        (scores,) = found(here, folder, *settings, *arguments, "blue.png")
        np.testing.assert_allclose([scores[i] for i in range(4)], expected(values), rtol=1e-4)
    (scores,) = found(here, folder, "--raw-scale", 1, "--mean", 0.25, "blue.png")
    shifted = pixels / 255 - 0.25
    np.testing.assert_allclose([scores[i] for i in range(4)], softmax([*shifted, -shifted.sum()]), rtol=1e-4)


@pytest.mark.parametrize("suffix", ["binaryproto", "npy"])
def test_mean_files(suffix, here, folder):
    mean = np.ones((3, 16, 16), np.float32) * np.reshape([0.5, 0.25, 0.125], (3, 1, 1)).astype(np.float32)
    path = folder / f"mean.{suffix}"
    write_mean(path, mean) if suffix == "binaryproto" else np.save(path, mean)
    arguments = ("--raw-scale", 1, "blue.png")
    # resized in the colours' common range, as Caffe does: flat images stay flat, but for the darkened border of a
    # larger size; this one shrinks
    (of_file,) = found(here, folder, "--mean", path, *arguments)
    (of_values,) = found(here, folder, "--mean", "0.5,0.25,0.125", *arguments)
    assert of_file == pytest.approx(of_values, rel=1e-5)


def test_oversampling(here, folder):
    """An image whose left half alone is red: ten crops see as much of it as their mirror images do."""
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8, 2] = 255
    cv2.imwrite(str(folder / "half.png"), image)
    settings = ("--raw-scale", 1, "--image-size", "8,16", "half.png")
    (centre,) = found(here, folder, *settings, "--center-only")
    assert centre == pytest.approx(dict(enumerate(softmax([0, 0, 0.5, -0.5]))), rel=1e-4)
    (average,) = found(here, folder, *settings, "--oversample")
    crops = [softmax([0, 0, share, -share]) for share in (1, 0, 1, 0, 0.5)]
    assert average == pytest.approx(dict(enumerate(np.mean(crops, axis=0))), rel=1e-4)
    assert found(here, folder, *settings) == [centre]
    (square,) = found(here, folder, "--raw-scale", 1, "--image-size", 8, "half.png")
    assert square == pytest.approx(centre, abs=0.02)  # the whole image, twice as narrow


def test_errors(here, folder, monkeypatch):
    assert re.search(r"gone.png: cannot be read: No such file", error_line(classify(here, folder, "gone.png")))
    assert "deploy.prototxt: cannot be decoded" in error_line(classify(here, folder, "deploy.prototxt"))
    (folder / "few.txt").write_text("one\ntwo\n")
    line = error_line(classify(here, folder, "--labels", "few.txt", "red.png"))
    assert "few.txt: names 2 classes, but the net has 4" in line
    assert "gone.txt: cannot be read" in error_line(classify(here, folder, "--labels", "gone.txt", "red.png"))
    (folder / "latin.txt").write_bytes(b"\xf1\n" * 4)
    assert "latin.txt: is not UTF-8" in error_line(classify(here, folder, "--labels", "latin.txt", "red.png"))
    assert "Mean channels incompatible" in error_line(classify(here, folder, "--mean", "1,2", "red.png"))
    assert "gone.npy" in error_line(classify(here, folder, "--mean", "gone.npy", "red.png"))
    line = error_line(classify(here, folder, "--image-size", 4, "red.png"))
    assert "Images of 4x4 have no crops of 8x8" in line
    (folder / "five.prototxt").write_text(inputs(data=(1, 5, 2, 2)))
    line = error_line(here("classify", "--model", "five.prototxt", "--weights", "w.caffemodel", "red.png", cwd=folder))
    assert "Input 'data' has 5 channels; images have 1 or 3" in line
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no usable GPU was found" in error_line(classify(here, folder, "--gpu", 0, "red.png"))


def test_usage(here, folder):
    assert classify(here, folder).returncode == 2
    assert classify(here, folder, "--top", 0, "red.png").returncode == 2
    for size in ("0", "1,2,3", "a", "-1", "3,"):
        result = classify(here, folder, "--image-size", size, "red.png")
        assert result.returncode == 2, size
    assert "is no size such as 256,256" in result.stderr
    assert "Example: caffe-port classify" in " ".join(classify(here, folder, "--help").stdout.split())


@needs(MODELS / "lenet_v1")
@needs(IMAGES / "mnist")
def test_lenet_reads_digits(here, tmp_path):
    """Real Caffe's LeNet and MNIST's test images as files; 12 of the first 12 are right."""
    deploy = read_net(MODELS / "lenet_v1" / "net.prototxt")
    for name in ("label", "accuracy", "loss"):
        deploy.layer.remove(next(one for one in deploy.layer if one.name == name))
    (tmp_path / "deploy.prototxt").write_text(format_text(deploy) + layer("Softmax", "prob", "ip2", "prob"))
    (tmp_path / "w.caffemodel").symlink_to(MODELS / "lenet_v1" / "weights.caffemodel")
    database = open_database(IMAGES / "mnist" / "mnist-test-leveldb", "LEVELDB")
    datums = [parse_datum(value, name="") for _, value in itertools.islice(database.records(), 12)]
    names = []
    for index, datum in enumerate(datums):
        names.append(f"{index}.png")
        cv2.imwrite(str(tmp_path / names[-1]), datum_to_array(datum)[0])
    results = found(here, tmp_path, "--input-scale", 1 / 256, "--top", 1, *names)
    assert [max(scores, key=scores.get) for scores in results] == [datum.label for datum in datums]
    assert min(max(scores.values()) for scores in results) > 0.5
