"""References that OpenCV or a Caffe computes on the spot."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port import Net
from caffe_port.errors import CaffeError
from caffe_port.parity import compare
from caffe_port.parity.live import inputs_for, record_caffe, record_opencv
from tests.shared import MODELS, ROOT, needs

ONET = MODELS / "mtcnn_onet"
FILES = ONET / "net.prototxt", ONET / "weights.caffemodel"
READS_CAFFE = hasattr(cv2.dnn, "readNetFromCaffe")
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""
#: A package "caffe" that is another module than caffe_port's: what a real one looks like from outside.
CAFFE = """
import sys
sys.path.insert(0, {root!r})
from caffe_port.pycaffe import *
from caffe_port.pycaffe import Net
"""


@needs(ONET)
@pytest.mark.skipif(not READS_CAFFE, reason=f"OpenCV {cv2.__version__} does not read Caffe nets")
def test_opencv_agrees():
    net = Net(*FILES)
    report = compare(*FILES, record_opencv(net, *FILES, inputs_for(net, None, 1)))
    assert report.agrees
    assert report.count("agrees") >= 10


@needs(ONET)
@pytest.mark.skipif(READS_CAFFE, reason=f"OpenCV {cv2.__version__} reads Caffe nets")
def test_opencv_5_is_refused():
    net = Net(*FILES)
    with pytest.raises(CaffeError, match=r"OpenCV 5\S* does not read Caffe nets any more.*opencv-python-headless<5"):
        record_opencv(net, *FILES, inputs_for(net, None, 1))


def test_what_opencv_hands_out_goes_to_the_right_tops(tmp_path, monkeypatch):
    """By the layer's name or its top's; the last of layers that work in-place counts."""
    path = tmp_path / "net.prototxt"
    path.write_text(NET + 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
                    'layer { name: "t" type: "TanH" bottom: "y" top: "z" }')  # fmt: skip

    class Other:
        def enableFusion(self, wanted):
            assert wanted is False

        def setInput(self, value, name):
            assert name == "x"

        def getLayerNames(self):
            return ("ip", "relu", "z")

        def forward(self, names):
            return tuple(np.full((2, 4), len(name), np.float32) for name in names)

    monkeypatch.setattr(cv2.dnn, "readNetFromCaffe", lambda *_: Other(), raising=False)
    net = Net(path, seed=1)
    record = record_opencv(net, path, "w", inputs_for(net, None, 1))
    assert {name: value[0, 0] for name, value in record.blobs.items()} == {"y": 4, "z": 1}


def test_inputs(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    net = Net(tmp_path / "net.prototxt")
    first, again, other = (inputs_for(net, None, seed)["x"] for seed in (1, 1, 2))
    assert first.shape == (2, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for key in ("x", "input/x"):
        np.savez(tmp_path / "i.npz", **{key: np.ones((5, 3)), "blob/y": np.ones(1)})
        assert inputs_for(net, tmp_path / "i.npz", 1)["x"].shape == (5, 3)
    np.savez(tmp_path / "i.npz", z=np.ones(3))
    with pytest.raises(CaffeError, match=r"i\.npz: lacks the input 'x'. Store it as input/x"):
        inputs_for(net, tmp_path / "i.npz", 1)


def test_caffe_in_a_process_of_its_own(tmp_path, monkeypatch):
    path, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    path.write_text(NET)
    net = Net(path, seed=1)
    net.save(weights)
    folder = tmp_path / "caffe"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (folder / "__init__.py").write_text(CAFFE.format(root=str(ROOT)))
    inputs = inputs_for(net, None, 3)
    record = record_caffe(path, weights, inputs)
    assert np.array_equal(record.inputs["x"], inputs["x"])
    assert set(record.params) == {"ip/0", "ip/1"}
    assert compare(path, weights, record).agrees
    (folder / "__init__.py").write_text("__name__ = 'caffe_port.pycaffe'")
    with pytest.raises(CaffeError, match="is caffe_port itself"):
        record_caffe(path, weights, inputs)
    (folder / "__init__.py").write_text("raise ImportError('libcaffe.so')")
    with pytest.raises(CaffeError, match=r"cannot import caffe: ImportError: libcaffe\.so"):
        record_caffe(path, weights, inputs)
    with pytest.raises(CaffeError, match="gone cannot be run: No such file"):
        record_caffe(path, weights, inputs, python=f"{tmp_path}/gone")
