"""What every registered layer must have: its place in Caffe's catalogue, documentation, checks and float64."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest
import torch

from caffe_port.layers import layer_types
from caffe_port.proto import pb
from tests.layers.harness import CHECKED, KINDS, run
from tests.shared import ROOT, tool

make_layer_table = tool("make_layer_table")

ONE, TWO, ANY, NONE = (1, 1), (2, 2), (1, None), (0, 0)
#: Every layer type of BVLC Caffe master: V1 name, bottoms and tops (least, most) as Caffe's headers declare
#: them. The recurrent layers' are those over all settings.
CAFFE = {
    "AbsVal": ("ABSVAL", ONE, ONE),
    "Accuracy": ("ACCURACY", TWO, (1, 2)),
    "ArgMax": ("ARGMAX", ONE, ONE),
    "BNLL": ("BNLL", ONE, ONE),
    "BatchNorm": (None, ONE, ONE),
    "BatchReindex": (None, TWO, ONE),
    "Bias": (None, (1, 2), ONE),
    "Clip": (None, ONE, ONE),
    "Concat": ("CONCAT", ANY, ONE),
    "ContrastiveLoss": ("CONTRASTIVE_LOSS", (3, 3), ONE),
    "Convolution": ("CONVOLUTION", ANY, ANY),
    "Crop": (None, TWO, ONE),
    "Data": ("DATA", NONE, (1, 2)),
    "Deconvolution": ("DECONVOLUTION", ANY, ANY),
    "Dropout": ("DROPOUT", ONE, ONE),
    "DummyData": ("DUMMY_DATA", NONE, ANY),
    "ELU": (None, ONE, ONE),
    "Eltwise": ("ELTWISE", (2, None), ONE),
    "Embed": (None, ONE, ONE),
    "EuclideanLoss": ("EUCLIDEAN_LOSS", TWO, ONE),
    "Exp": ("EXP", ONE, ONE),
    "Filter": (None, (2, None), ANY),
    "Flatten": ("FLATTEN", ONE, ONE),
    "HDF5Data": ("HDF5_DATA", NONE, ANY),
    "HDF5Output": ("HDF5_OUTPUT", TWO, NONE),
    "HingeLoss": ("HINGE_LOSS", TWO, ONE),
    "Im2col": ("IM2COL", ONE, ONE),
    "ImageData": ("IMAGE_DATA", NONE, TWO),
    "InfogainLoss": ("INFOGAIN_LOSS", (2, 3), (1, 2)),
    "InnerProduct": ("INNER_PRODUCT", ONE, ONE),
    "Input": (None, NONE, ANY),
    "LRN": ("LRN", ONE, ONE),
    "LSTM": (None, (2, 5), (1, 3)),
    "LSTMUnit": (None, (3, 3), TWO),
    "Log": (None, ONE, ONE),
    "MVN": ("MVN", ONE, ONE),
    "MemoryData": ("MEMORY_DATA", NONE, TWO),
    "MultinomialLogisticLoss": ("MULTINOMIAL_LOGISTIC_LOSS", TWO, ONE),
    "PReLU": (None, ONE, ONE),
    "Parameter": (None, NONE, ONE),
    "Pooling": ("POOLING", ONE, (1, 2)),
    "Power": ("POWER", ONE, ONE),
    "Python": (None, (0, None), (0, None)),
    "RNN": (None, (2, 4), (1, 2)),
    "ReLU": ("RELU", ONE, ONE),
    "Reduction": (None, ONE, ONE),
    "Reshape": (None, ONE, ONE),
    "SPP": (None, ONE, ONE),
    "Scale": (None, (1, 2), ONE),
    "Sigmoid": ("SIGMOID", ONE, ONE),
    "SigmoidCrossEntropyLoss": ("SIGMOID_CROSS_ENTROPY_LOSS", TWO, ONE),
    "Silence": ("SILENCE", ANY, NONE),
    "Slice": ("SLICE", ONE, ANY),
    "Softmax": ("SOFTMAX", ONE, ONE),
    "SoftmaxWithLoss": ("SOFTMAX_LOSS", TWO, (1, 2)),
    "Split": ("SPLIT", ONE, ANY),
    "Swish": (None, ONE, ONE),
    "TanH": ("TANH", ONE, ONE),
    "Threshold": ("THRESHOLD", ONE, ONE),
    "Tile": (None, ONE, ONE),
    "WindowData": ("WINDOW_DATA", NONE, TWO),
}

COMPUTING = [cls for cls in layer_types().values() if make_layer_table.takes_input(cls)]
every_layer = pytest.mark.parametrize("cls", layer_types().values(), ids=lambda cls: cls.TYPE)


@pytest.fixture(scope="module")
def checked():
    """The checks of each type, after the import of every module that could declare one."""
    for path in sorted((ROOT / "tests" / "layers").rglob("test_*.py")):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return CHECKED


def test_the_catalogue_is_bvlc_masters():
    assert set(layer_types()) == set(CAFFE)


@every_layer
def test_names_and_numbers_of_blobs_are_caffes(cls):
    assert CAFFE[cls.TYPE] == (cls.V1_TYPE, cls.BOTTOMS, cls.TOPS)


def test_every_v1_type_leads_to_exactly_one_layer():
    enum = pb.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    names = [cls.V1_TYPE for cls in layer_types().values() if cls.V1_TYPE is not None]
    assert sorted(names) == sorted(set(enum.values_by_name) - {"NONE"})


@every_layer
def test_every_kind_of_check_is_there(cls, checked):
    lacking = set(KINDS) - checked[cls.TYPE]
    assert not lacking, f"tests/layers has no @checks({cls.TYPE!r}, ...) for {sorted(lacking)}"


def test_checks_name_registered_layers_only(checked):
    assert set(checked) <= set(layer_types())


@every_layer
def test_the_docstring_says_what_it_computes_and_where_it_comes_from(cls):
    text = " ".join((cls.__dict__.get("__doc__") or "").split())  # its own, not that of a base class
    assert len(text.partition("Caffe: ")[0].split()) >= 5, "no formula or meaning"
    assert re.search(r"Caffe: [\w./, ]*\w+_layer\.[ch]pp", text), "no source, as in 'Caffe: relu_layer.cpp'"
    if "deviates" in text.lower():
        assert any(line.strip().startswith("Deviates from Caffe: ") for line in cls.__doc__.splitlines())


@every_layer
def test_it_lies_in_a_module_and_has_a_test_module_of_its_group(cls):
    *_, group, module = cls.__module__.split(".")
    assert group in make_layer_table.GROUPS
    tests = ROOT / "tests" / "layers" / group
    assert any(f'@checks("{cls.TYPE}"' in path.read_text() for path in tests.glob("test_*.py")), module


@pytest.mark.parametrize("cls", COMPUTING, ids=lambda cls: cls.TYPE)
def test_it_computes_in_float64(cls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # HDF5Output writes
    layer, shapes = make_layer_table.example(cls.TYPE)
    tops = run(layer.to(torch.float64), *(np.ones(shape) for shape in shapes))
    assert len(tops) >= cls.TOPS[0]
    assert all(top.dtype == np.float64 and np.isfinite(top).all() for top in tops)
